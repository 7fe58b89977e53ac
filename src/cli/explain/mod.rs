//! `native-host explain`: why a pod is or is not injected, and what holds it up, in sentences.
//!
//! ```text
//!  API server -> read (facts) -> admission, pair, container, event, workload -> finding -> stdout
//! ```
//!
//! The sentences are pure functions of what was read. What admission would do is asked of its own code,
//! where a pair stands of the controller's.

mod admission;
mod container;
mod event;
mod finding;
mod pair;
mod read;
mod service;
mod workload;

use std::io;
use std::process::ExitCode;

use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;

use super::connection::{AskError, Connection};
use super::policy_args::PolicyArgs;
use super::{FAILURE, USAGE, in_colour, yaml};
use finding::Explanation;
use read::Reader;
use workload::Kind;

/// Say why a pod is or is not injected, and what holds it up
///
/// Goes from the label over admission, node, anchor and network to readiness, and says of each what
/// stands in the way and what to do. Of a Deployment and its like it says what its pods are refused for, of an
/// external Service what is published, and how its probes end.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  native-host explain albums-7d4b9c5f6-x2x9z
  native-host explain deployment/albums -n shop
  native-host explain service/albums-external
  native-host explain albums -o json | jq -r '.findings[] | select(.severity == \"error\") | .text'

What admission would do is told by the policy of the Namespace over this command's own flags: give it
those that the webhook runs with, where it has any.

Exit codes:
  0  done, whatever was found
  1  the object is not there, or could not be read
  2  the command line is wrong

Every flag is also an environment variable, shown as [env: ...].")]
pub struct Args {
    /// Name of a pod, of an anchor, of what makes pods or of an external Service; or TYPE/NAME, as in deployment/albums
    #[arg(value_name = "POD")]
    object: String,

    #[command(flatten)]
    connection: Connection,

    /// What to print
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    output: Form,

    #[command(flatten)]
    defaults: PolicyArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Sentences
    Text,
    /// A document with the sentences, their weight and what each is about
    Json,
    /// The same in YAML
    Yaml,
}

/// What the argument names.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Any(&'a str),
    Pod(&'a str),
    Workload(Kind, &'a str),
    Service(&'a str),
}

impl<'a> Target<'a> {
    fn parse(text: &'a str) -> Result<Self, ExplainError> {
        let usage = || ExplainError::Usage(text.to_owned());
        let (kind, name) = text.split_once('/').unwrap_or(("", text));
        // What is no name would be another path at the API server.
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if name.is_empty() || !name.chars().all(named) {
            return Err(usage());
        }
        match kind {
            "" if text.contains('/') => Err(usage()),
            "" => Ok(Self::Any(name)),
            "pod" | "pods" | "po" => Ok(Self::Pod(name)),
            "service" | "services" | "svc" => Ok(Self::Service(name)),
            kind => Ok(Self::Workload(Kind::parse(kind).ok_or_else(usage)?, name)),
        }
    }
}

/// Why nothing could be explained.
#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error(
        "error: {0:?} is no name of a pod and no TYPE/NAME: expected a name as in albums-0, or one after \
         pod/, deployment/, statefulset/, daemonset/, job/, cronjob/, replicaset/ or service/"
    )]
    Usage(String),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("error: there is no {what} in namespace {namespace}{hint}")]
    NotFound {
        what: String,
        namespace: String,
        hint: String,
    },
    #[error("error: cannot start: {0}")]
    System(io::Error),
    #[error("error: cannot write it as YAML: {0}")]
    Yaml(String),
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(ExplainError::System)
        .and_then(|runtime| runtime.block_on(args.explain()))
        .and_then(|explanation| args.text(&explanation));
    match result {
        Ok(text) => super::print(text.as_bytes()),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(match error {
                ExplainError::Usage(_) => USAGE,
                _ => FAILURE,
            })
        }
    }
}

impl Args {
    async fn explain(&self) -> Result<Explanation, ExplainError> {
        let target = Target::parse(&self.object)?;
        let (client, namespace) = self.connection.open().await?;
        let reader = Reader {
            client,
            namespace,
            flags: self.defaults.policy(),
            rules: self.connection.rules(),
        };
        let (pod, kinds, name) = match target {
            Target::Any(name) => (true, Kind::ALL, name),
            Target::Pod(name) => (true, &[][..], name),
            Target::Workload(kind, name) => {
                (false, &Kind::ALL[kind as usize..=kind as usize], name)
            }
            Target::Service(name) => (false, &[][..], name),
        };
        if pod && let Some(facts) = reader.pod(name).await? {
            return Ok(pair::explain(&facts, Timestamp::now()));
        }
        if let Some(facts) = reader.workload(kinds, name).await? {
            return Ok(workload::explain(&facts, Timestamp::now()));
        }
        if matches!(target, Target::Any(_) | Target::Service(_)) {
            // By a bare name only one that is external: others have nothing to do with native-host.
            let bare = matches!(target, Target::Any(_));
            match reader.service(name, bare).await {
                Ok(Some(facts)) => return Ok(service::explain(&facts, Timestamp::now())),
                // Whoever asked for a pod needs no rights on Services.
                Err(error) if !bare => return Err(error.into()),
                _ => {}
            }
        }
        Err(self.not_found(&reader, &target, name).await)
    }

    async fn not_found(
        &self,
        reader: &Reader<'_>,
        target: &Target<'_>,
        name: &str,
    ) -> ExplainError {
        let what = match target {
            Target::Any(name) => format!("pod {name}, nor anything of this name that makes pods,"),
            Target::Pod(name) => format!("pod {name}"),
            Target::Workload(kind, name) => format!("{kind} {name}"),
            Target::Service(name) => format!("Service {name}"),
        };
        let mut pods = reader.of_workload(name).await;
        pods.truncate(5);
        let hint = if pods.is_empty() {
            "; -n looks in another one, and `native-host status -A` shows all pairs".to_owned()
        } else {
            format!(
                "; but a workload of this name has the pods {}",
                pods.join(", ")
            )
        };
        ExplainError::NotFound {
            what,
            namespace: reader.namespace.clone(),
            hint,
        }
    }

    fn text(&self, explanation: &Explanation) -> Result<String, ExplainError> {
        match self.output {
            Form::Text => Ok(explanation.to_text(in_colour(&io::stdout()))),
            Form::Json => Ok(format!("{:#}\n", explanation.to_document())),
            Form::Yaml => yaml::write(&explanation.to_document()).map_err(ExplainError::Yaml),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_kubectl_takes_them() {
        for (text, target) in [
            ("albums-0", Target::Any("albums-0")),
            ("pod/albums-0", Target::Pod("albums-0")),
            ("po/albums-0", Target::Pod("albums-0")),
            (
                "deployment/albums",
                Target::Workload(Kind::Deployment, "albums"),
            ),
            (
                "deployments.apps/albums",
                Target::Workload(Kind::Deployment, "albums"),
            ),
            ("sts/albums", Target::Workload(Kind::StatefulSet, "albums")),
            ("svc/albums", Target::Service("albums")),
            ("service/albums", Target::Service("albums")),
            ("Job/albums", Target::Workload(Kind::Job, "albums")),
            ("cronjobs/albums", Target::Workload(Kind::CronJob, "albums")),
        ] {
            assert_eq!(Target::parse(text).unwrap(), target);
        }
        for bad in [
            "",
            "/albums",
            "pod/",
            "ingress/albums",
            "a/b/c",
            "../nodes",
            "a?b",
            "pod/a%2f",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_kind_has_a_template() {
        for kind in Kind::ALL {
            assert_eq!(Kind::ALL[*kind as usize], *kind);
            assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
        }
    }
}
