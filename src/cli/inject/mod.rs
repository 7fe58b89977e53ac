//! `native-host inject`: what admission would make of manifests, without a cluster.
//!
//! ```text
//! -f FILE.. -> source -> documents -> objects (offline::mutate) -> print -> stdout
//!                                        \-> warnings, refusals -> stderr, exit code
//! ```
//!
//! The decisions are the webhook's own; here is only what kubectl and the API server do around them.

pub(super) mod documents;
pub(super) mod objects;
mod print;
pub(super) mod source;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::policy_args::PolicyArgs;
use super::{FAILURE, USAGE, in_colour};
use crate::policy::Policy;
use objects::{Fate, Namespaces};
use print::Printed;
use source::{Source, SourceError};

/// Print what admission would make of manifests, without a cluster
///
/// Reads manifests as `kubectl apply` does and prints them as the webhook would change them: a Pod as
/// it would be stored, a workload's pod template as its pods will be, a labelled Service pointed at the
/// anchors. Whatever is not changed is printed byte for byte as it was. What is printed can be read
/// again, and then nothing changes any more.
///
/// The policy is that of the flags, of the Namespaces in --policy, and of the Namespaces among the
/// manifests.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  # What becomes of an application
  native-host inject -f albums.yaml

  # Only what changes, under the policy of a Namespace of the cluster
  kubectl get namespace albums -o yaml > albums-namespace.yaml
  native-host inject -f albums/ --policy albums-namespace.yaml --diff

  # Without the webhook: inject before applying
  kustomize build . | native-host inject | kubectl apply -f -

  # The patches, as the webhook answers them
  native-host inject -f albums.yaml -o patch | jq .patch

Exit codes:
  0  done
  1  something was refused, or could not be read; what was not is still printed
  2  the command line is wrong

Every flag is also an environment variable, shown as [env: ...].")]
pub struct Args {
    /// Files or folders with manifests, or - for standard input, which is also read where none is given
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    filename: Vec<String>,

    /// Go through the folders below those that -f names, too
    #[arg(short = 'R', long)]
    recursive: bool,

    /// A manifest of one or more Namespaces: their annotations are the policy, their names those of the
    /// namespaces. They go before Namespaces of the same name among the manifests
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// The namespace of objects that name none: by default that of --policy, if it has just one, or
    /// else "default"
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,

    /// What to print: all manifests as YAML or JSON, or one JSON patch for each changed object
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Yaml)]
    output: Form,

    /// Print each anchor, too, and each EndpointSlice of an external Service, as the controller would create it
    #[arg(long)]
    anchors: bool,

    /// Print only what changes, as unified diffs; in colour on a terminal
    #[arg(long, conflicts_with = "output")]
    diff: bool,

    #[command(flatten)]
    defaults: PolicyArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Yaml,
    Json,
    Patch,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let read = source::read(&args.filename, args.recursive).and_then(|sources| {
        Ok((
            sources,
            args.policy.as_deref().map(source::file).transpose()?,
        ))
    });
    let (sources, policies) = match read {
        Ok(read) => read,
        Err(error) => return unreadable(&error),
    };
    let mut report = Report::new();
    let policy = args.defaults.policy();
    let documents: Vec<_> = sources
        .iter()
        .map(|source| (source, split(source, &mut report)))
        .collect();
    let Some(mut namespaces) = namespaces(args, policies.as_ref(), policy) else {
        return ExitCode::from(FAILURE);
    };
    for (_, documents) in &documents {
        for value in documents
            .iter()
            .flat_map(|document| objects::flat(&document.value))
        {
            namespaces.learn(&value, policy);
        }
    }
    let mut printed = Vec::new();
    for (source, documents) in documents {
        for mut document in documents {
            document.fate = objects::treat(&document.value, &namespaces, &mut document.objects);
            report.tell(&source.name, &document);
            printed.push(document);
        }
    }
    let bytes = match args.output {
        _ if args.diff => print::as_diff(&printed, args.anchors, in_colour(&io::stdout())),
        Form::Yaml => print::as_yaml(&printed, args.anchors),
        Form::Json => Ok(print::as_json(&printed, args.anchors)),
        Form::Patch => print::as_patches(&printed, args.anchors),
    };
    let code = match bytes {
        Ok(bytes) => super::print(&bytes),
        Err(error) => {
            report.error(&error.to_string());
            ExitCode::from(FAILURE)
        }
    };
    if report.failed {
        ExitCode::from(FAILURE)
    } else {
        code
    }
}

fn unreadable(error: &SourceError) -> ExitCode {
    eprintln!("error: {error}");
    if !error.is_usage() {
        return ExitCode::from(FAILURE);
    }
    eprintln!("See 'native-host inject --help' for usage.");
    ExitCode::from(USAGE)
}

/// A source's documents; those that cannot be read are told of and left out.
fn split<'t>(source: &'t Source, report: &mut Report) -> Vec<Printed<'t>> {
    let mut printed = Vec::new();
    for document in documents::split(&source.text, &source.name) {
        match document.value {
            Ok(value) => printed.push(Printed {
                file: &source.name,
                separator: document.separator,
                text: document.text,
                json: document.json,
                value,
                fate: Fate::Untouched,
                objects: Vec::new(),
            }),
            Err(error) => report.error(&format!("error parsing {}: {error}", source.name)),
        }
    }
    printed
}

/// The Namespaces of `--policy`. `None`, having said why, where the file holds anything else.
fn namespaces(args: &Args, policies: Option<&Source>, policy: &Policy) -> Option<Namespaces> {
    let mut manifests = Vec::new();
    let name = policies.map_or("", |source| source.name.as_str());
    for document in documents::split(policies.map_or("", |source| source.text.as_str()), name) {
        match document.value {
            Ok(value) if value.is_null() => {}
            Ok(value) => manifests.extend(objects::flat(&value)),
            Err(error) => {
                eprintln!("error: error parsing {name}: {error}");
                return None;
            }
        }
    }
    if policies.is_some() && (manifests.is_empty() || !manifests.iter().all(objects::is_namespace))
    {
        eprintln!(
            "error: --policy {name}: expected Namespaces and nothing else, such as \
                   `kubectl get namespace NAME -o yaml` prints"
        );
        return None;
    }
    let only = match manifests.as_slice() {
        [one] => one["metadata"]["name"].as_str(),
        _ => None,
    };
    let default = args.namespace.as_deref().or(only).unwrap_or("default");
    let mut namespaces = Namespaces::new(
        policy,
        default.to_owned(),
        policies.map(|source| source.name.clone()),
    );
    for manifest in &manifests {
        namespaces.learn(manifest, policy);
    }
    Some(namespaces)
}

/// What goes to standard error, in kubectl's words.
struct Report {
    failed: bool,
    colour: bool,
    warned: HashSet<String>,
}

impl Report {
    fn new() -> Self {
        Self {
            failed: false,
            colour: in_colour(&io::stderr()),
            warned: HashSet::new(),
        }
    }

    fn error(&mut self, message: &str) {
        self.failed = true;
        eprintln!("error: {message}");
    }

    /// The warnings and refusals of a document's objects.
    fn tell(&mut self, file: &str, document: &Printed<'_>) {
        for object in &document.objects {
            for warning in &object.outcome.warnings {
                // kubectl prints no warning twice (client-go `rest/warnings.go`, Deduplicate).
                if self.warned.insert(warning.clone()) {
                    let (yellow, reset) = if self.colour {
                        ("\x1b[33;1m", "\x1b[0m")
                    } else {
                        ("", "")
                    };
                    eprintln!("{yellow}Warning:{reset} {warning}");
                }
            }
            if let Some(refused) = &object.error {
                self.failed = true;
                let (reason, message) = (refused.reason, &refused.message);
                eprintln!(
                    "Error from server ({reason}): error when creating \"{file}\": {message}"
                );
            }
        }
    }
}
