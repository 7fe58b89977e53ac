//! `native-host check`: is the cluster fit for native-host, is it installed as it is to be, and does it
//! work; in the manner of `linkerd check`.
//!
//! ```text
//!  API server -> one file a section: read, then judge -> lines -> report -> stdout
//!                                     ^
//!        deploy/base/*.yaml, the controller's audit, finder and pair rules
//! ```
//!
//! What is expected is nowhere written a second time: the manifests are carried in the program, and
//! what is wrong with a pod is asked of the controller's own rules. Judging is pure. Nothing is written;
//! the one pod that is created is a dry run.

mod api;
mod ask;
mod cert_manager;
mod certificate;
mod injection;
mod manifests;
mod namespaces;
mod nodes;
mod pairs;
mod policies;
mod program;
mod report;
mod rights;
mod webhooks;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use tokio::time::Instant;

use super::connection::Connection;
use super::policy_args::PolicyArgs;
use super::serve_args::duration;
use super::{FAILURE, in_colour, yaml};
use crate::names::install;
use ask::Asker;
use report::{Check, Line, Mark, Report};

/// Between two tries of `--wait`.
const PAUSE: Duration = Duration::from_secs(2);

/// Check the cluster, the installation and the workloads, and say what to do
///
/// Before an installation (--pre): is the cluster fit, and may you install. After it: does the API server
/// reach the webhook and trust it, has the program its rights, are the guard rails in force, does a controller
/// lead, are the Windows nodes new enough, are namespaces, pods and anchors as they should be.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("namespace", |arg| arg.help("Look at this namespace's policy, pods and anchors only; by default at all")),
    after_long_help = help()
)]
pub struct Args {
    /// Check what has to be so before an installation, and only that
    #[arg(long)]
    pre: bool,

    #[command(flatten)]
    connection: Connection,

    /// Look at all namespaces, even if one is given by --namespace or its variable
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// Namespace that native-host is installed in
    #[arg(long, value_name = "NAME", default_value = install::NAME)]
    install_namespace: String,

    /// How long to try again while something fails
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    wait: Duration,

    /// What to print
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    output: Form,

    #[command(flatten)]
    defaults: PolicyArgs,
}

const HELP: &str = "\
Examples:
  # Is this cluster fit, and may I install?
  native-host check --pre

  # Is it installed, and does it work? In a pipeline, give it time to come up
  native-host check
  native-host check --wait 5m

  # With the rights of a namespace's editor: what cannot be read is a warning
  native-host check -n shop

  # For programs
  native-host check -o json | jq -r '.checks[] | select(.result != \"ok\") | .check'

Marks:
  √  as it should be
  ‼  worth a look, or not to be told with the caller's rights
  ×  something does not work; the line below it says what to do

A labelled pod is created as a dry run, in the namespace of -n or in default, to see that the API server
reaches the webhook. Nothing is stored.

Exit codes:
  0  nothing failed; there may be warnings
  1  something failed
  2  the command line is wrong

Every flag is also an environment variable, shown as [env: ...].";

/// The examples, and what is checked.
fn help() -> String {
    let mut help = format!("{HELP}\n\nChecks (docs/check.md tells each):");
    let mut section = "";
    for check in Check::ALL {
        if check.section() != section {
            section = check.section();
            help.extend(["\n  ", section]);
        }
        help.extend(["\n    ", check.claim()]);
    }
    help
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Marks and sentences
    Text,
    /// A document with all that was found
    Json,
    /// The same in YAML
    Yaml,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let report = match runtime {
        Ok(runtime) => runtime.block_on(args.until_well()),
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(FAILURE);
        }
    };
    let text = match args.output {
        Form::Text => Ok(report.to_text(in_colour(&io::stdout()))),
        Form::Json => Ok(format!("{:#}\n", report.to_document())),
        Form::Yaml => yaml::write(&report.to_document()),
    };
    let printed = match text {
        Ok(text) => super::print(text.as_bytes()),
        Err(error) => {
            eprintln!("error: cannot write it as YAML: {error}");
            ExitCode::from(FAILURE)
        }
    };
    match report.result() {
        Mark::Failed => ExitCode::from(FAILURE),
        Mark::Ok | Mark::Warning => printed,
    }
}

impl Args {
    /// Once, or until nothing fails or `--wait` is over. What is printed is the last try.
    async fn until_well(&self) -> Report {
        let end = Instant::now() + self.wait;
        loop {
            let report = self.check().await;
            if report.result() != Mark::Failed || Instant::now() + PAUSE > end {
                return report;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn check(&self) -> Report {
        let mut lines = Vec::new();
        let client = match self.connection.open().await {
            Ok((client, _)) => client,
            Err(error) => {
                lines.push(api::unreachable(&error.to_string()));
                return Report(lines);
            }
        };
        let scope = self.connection.namespace.clone();
        let asker = Asker {
            client,
            home: &self.install_namespace,
            scope: scope.filter(|_| !self.all_namespaces),
            flags: self.defaults.policy(),
            rules: self.connection.rules(),
        };
        if api::look(&asker, &mut lines).await {
            if self.pre {
                before(&asker, &mut lines).await;
            } else {
                after(&asker, &mut lines).await;
            }
        }
        Report(lines)
    }
}

/// What has to be so before an installation.
async fn before(asker: &Asker<'_>, lines: &mut Vec<Line>) {
    cert_manager::before(asker, lines).await;
    rights::before(asker, lines).await;
    nodes::look(asker, lines).await;
}

/// What has to be so after it.
async fn after(asker: &Asker<'_>, lines: &mut Vec<Line>) {
    let registered = webhooks::read(asker).await;
    if let Ok(registered) = &registered {
        cert_manager::look(asker, registered.by_cert_manager, lines).await;
    }
    lines.push(program::deployment(asker).await);
    lines.push(webhooks::look(asker, &registered));
    if let Ok(registered) = &registered {
        // By a URL, the Service is not on the way.
        if registered.url().is_none() {
            lines.push(program::endpoints(asker).await);
        }
        certificate::look(asker, registered, lines).await;
    }
    lines.push(injection::look(asker).await);
    rights::look(asker, lines).await;
    lines.push(policies::look(asker).await);
    nodes::look(asker, lines).await;
    lines.push(program::leader(asker).await);
    let seen = namespaces::read(asker).await;
    namespaces::look(asker, &seen, lines).await;
    lines.push(pairs::misses(asker, &seen).await);
    lines.push(pairs::ready(asker).await);
}
