//! `native-host policy`: Linkerd's policy for a workload: nobody may anything, then what is allowed.
//!
//! ```text
//!  manifests | API server -> read -> workload (ports, probes) ─┐
//!  --allow RULE.. -> allow ────────────────────────────────────┴-> matching (routes) -> objects -> stdout
//! ```
//!
//! Nothing is written to the cluster.

mod allow;
mod matching;
mod name;
mod objects;
mod read;
mod workload;

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use clap::ValueEnum;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::connection::{AskError, Connection};
use super::inject::source::SourceError;
use super::policy_args::PolicyArgs;
use super::{FAILURE, USAGE, in_colour, yaml};
use crate::names::label;
use allow::{Allow, AllowError};
use objects::{Asked, Document, PolicyError};
use read::Found;
use workload::WorkloadError;

/// Write Linkerd's policy for a workload: deny all, then what is allowed
///
/// Prints a Server for each of the workload's ports, which denies, and for each rule an HTTPRoute, an
/// AuthorizationPolicy, and who it is for. They select the anchors, where the mesh's proxy is. The paths that
/// probes ask for stay open to the kubelet, and to it alone. Nothing is changed in the cluster.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Rules:
  --allow 'METHOD PATH [on PORT] from WHO'
  --allow 'tcp on PORT from WHO'           connections, for what is not HTTP

  METHOD  GET, POST, ..., several as GET,HEAD, or ANY
  PATH    /x/y for that path; /x/* for it and all below
  PORT    a port's name or number; needed where it is not clear which
  WHO     NAMESPACE/SERVICEACCOUNT; NAMESPACE/* for all of a namespace; * for everybody in the mesh;
          a network as 10.0.0.0/8 for clients that are not. Several with commas

Examples:
  # One identity may GET one path, and nobody may anything else
  native-host policy albums --allow 'GET /x/y from shop/frontend' | kubectl apply -f -

  # From manifests, before they are applied; a gateway, and a monitor besides
  native-host policy albums -f albums/ --kubelet 172.19.1.0/24 \\
    --allow 'GET /albums/* from ingress-traefik/traefik' \\
    --allow 'GET /metrics on metrics from monitoring/prometheus'

  # A licence daemon that speaks no HTTP
  native-host policy licences --allow 'tcp on 27000 from shop/*'

  # Rules that are given no more are deleted, too
  native-host policy albums --allow 'GET /x/y from shop/frontend' | kubectl apply -f - --prune \\
    -l native-host.io/workload=albums,app.kubernetes.io/managed-by=native-host-policy \\
    --prune-allowlist=policy.linkerd.io/v1beta3/Server \\
    --prune-allowlist=policy.linkerd.io/v1beta3/HTTPRoute \\
    --prune-allowlist=policy.linkerd.io/v1alpha1/AuthorizationPolicy \\
    --prune-allowlist=policy.linkerd.io/v1alpha1/MeshTLSAuthentication \\
    --prune-allowlist=policy.linkerd.io/v1alpha1/NetworkAuthentication

Exit codes:
  0  done
  1  the workload is not there or could not be read, or the rules cannot be written down
  2  the command line is wrong

Every flag is also an environment variable, shown as [env: ...].")]
pub struct Args {
    /// Name of the workload: the value of the label native-host.io/workload
    workload: String,

    /// What is allowed, to whom, as in 'GET /x/y from shop/frontend'; see Rules below. May be given several times
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,

    /// Files or folders with the workload's manifests, or - for standard input; by default the cluster is asked
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    filename: Vec<String>,

    /// Go through the folders below those that -f names, too
    #[arg(short = 'R', long, requires = "filename")]
    recursive: bool,

    /// Networks that kubelets probe from. By default, of a cluster: the addresses of its Windows nodes; of
    /// manifests: every network, as Linkerd itself does
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = allow::network)]
    kubelet: Vec<IpNet>,

    /// What to print
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Yaml)]
    output: Form,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    defaults: PolicyArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Documents, each with a comment that says what it is for
    Yaml,
    /// A List
    Json,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
enum PolicyCommandError {
    #[error("error: {0}")]
    Allow(#[from] AllowError),
    #[error("error: {0}")]
    Policy(#[from] PolicyError),
    #[error("error: {0}")]
    Workload(#[from] WorkloadError),
    #[error("error: {0}")]
    Source(#[from] SourceError),
    #[error("error: error parsing {0}: {1}")]
    Parse(String, String),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(
        "error: there is no workload {name:?} {place}: expected a pod, or a template of pods, with the label {}: \
         {name}{hint}",
        label::WORKLOAD
    )]
    NotFound {
        name: String,
        place: String,
        hint: String,
    },
    #[error("error: workload {0:?} is in the namespaces {1} and {2}: say which with --namespace")]
    TwoNamespaces(String, String, String),
    #[error(
        "error: {name:?} is no workload's name: expected the value of the label {}",
        label::WORKLOAD
    )]
    NoName { name: String },
    #[error(
        "error: there is no Windows node to be probed by: give --kubelet the networks that kubelets probe from"
    )]
    NoNodes,
    #[error("error: cannot start: {0}")]
    System(io::Error),
    #[error("error: cannot write it: {0}")]
    Write(String),
}

impl PolicyCommandError {
    fn not_found(name: &str, place: String, mut others: Vec<String>) -> Self {
        others.sort();
        others.dedup();
        let hint = if others.is_empty() {
            String::new()
        } else {
            format!(". There are: {}", others.join(", "))
        };
        Self::NotFound {
            name: name.to_owned(),
            place,
            hint,
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Allow(_) | Self::NoName { .. } => USAGE,
            Self::Source(error) if error.is_usage() => USAGE,
            _ => FAILURE,
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match args.documents().and_then(|documents| args.text(&documents)) {
        Ok(text) => super::print(text.as_bytes()),
        Err(error) => {
            eprintln!("{error}");
            if error.code() == USAGE {
                eprintln!("See 'native-host policy --help' for usage.");
            }
            ExitCode::from(error.code())
        }
    }
}

/// Linkerd's own default (`policyController.probeNetworks` of its chart).
fn everywhere() -> Vec<IpNet> {
    ["0.0.0.0/0", "::/0"]
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

impl Args {
    fn documents(&self) -> Result<Vec<Document>, PolicyCommandError> {
        if !crate::plan::is_workload_name(&self.workload) {
            return Err(PolicyCommandError::NoName {
                name: self.workload.clone(),
            });
        }
        // What is wrong with the rules is said before anything is read.
        self.rules("default")?;
        let found = self.find()?;
        let mut notes = found.workload.notes.clone();
        let kubelets = match (&self.kubelet, found.kubelets) {
            (given, _) if !given.is_empty() => given.clone(),
            (_, Some(of_nodes)) if of_nodes.is_empty() => return Err(PolicyCommandError::NoNodes),
            (_, Some(of_nodes)) => of_nodes,
            (_, None) => {
                notes.push(
                    "the paths of probes are open to every network: give --kubelet those that kubelets \
                     probe from, such as the nodes' addresses"
                        .to_owned(),
                );
                everywhere()
            }
        };
        if let Some(note) = own_identity(&found.workload) {
            notes.push(note);
        }
        let allow = self.rules(&found.namespace)?;
        let asked = Asked {
            workload: &self.workload,
            namespace: &found.namespace,
            facts: &found.workload,
            allow: &allow,
            kubelets: &kubelets,
        };
        let documents = asked.documents()?;
        let (yellow, reset) = if in_colour(&io::stderr()) {
            ("\x1b[33;1m", "\x1b[0m")
        } else {
            ("", "")
        };
        for note in notes {
            eprintln!("{yellow}Warning:{reset} {note}");
        }
        Ok(documents)
    }

    fn rules(&self, namespace: &str) -> Result<Vec<Allow>, AllowError> {
        self.allow
            .iter()
            .map(|text| Allow::parse(text, namespace))
            .collect()
    }

    fn find(&self) -> Result<Found, PolicyCommandError> {
        let policy = self.defaults.policy();
        if !self.filename.is_empty() {
            let files = (self.filename.as_slice(), self.recursive);
            let namespace = self.connection.namespace.as_deref();
            return read::from_files(&self.workload, files, namespace, policy);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(PolicyCommandError::System)?;
        runtime.block_on(async {
            let place = self.connection.open().await?;
            read::from_cluster(&self.workload, place, policy, self.kubelet.is_empty()).await
        })
    }

    fn text(&self, documents: &[Document]) -> Result<String, PolicyCommandError> {
        let objects: Vec<&Value> = documents.iter().map(|document| &document.object).collect();
        if self.output == Form::Json {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
            return Ok(format!("{list:#}\n"));
        }
        let mut text = format!(
            "# Linkerd's policy for workload {}, by native-host policy:\n",
            self.workload
        );
        for rule in &self.allow {
            let _ = writeln!(text, "#   --allow '{rule}'");
        }
        if self.allow.is_empty() {
            text.push_str("#   nothing is allowed\n");
        }
        for document in documents {
            let object = yaml::write(&document.object).map_err(PolicyCommandError::Write)?;
            let _ = write!(text, "---\n# {}\n{object}", document.comment);
        }
        Ok(text)
    }
}

/// Pods without a ServiceAccount of their own share an identity with all others of their namespace that have none.
fn own_identity(workload: &workload::Workload) -> Option<String> {
    workload.accounts.iter().any(|name| name == "default").then(|| {
        "the workload has the ServiceAccount \"default\", and so an identity that is not its own: give it one \
         (spec.serviceAccountName), so that rules can name it, and its own launcher is known to the proxy"
            .to_owned()
    })
}
