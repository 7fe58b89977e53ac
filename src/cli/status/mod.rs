//! `native-host status`: where every pair stands.
//!
//! ```text
//!  API server -> read, live -> seen (the controller's views) -> row (its rules) -> print
//! ```
//!
//! It asks the same functions as the controller, so the two cannot disagree.

pub(super) mod age;
mod external;
#[cfg(test)]
pub(super) mod fixtures;
mod live;
pub(super) mod print;
pub(super) mod read;
pub(super) mod row;
pub(super) mod seen;

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::unix::pipe;

use super::connection::{AskError, Connection};
use super::{FAILURE, in_colour, yaml};
use crate::external::look::Row as External;
use crate::names::label;
use live::LiveError;
use print::{Style, Table};
use read::Wanted;
use row::Row;

/// A shell's number for what SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Show the pairs of HostProcess pods and anchors, and what they wait for
///
/// One line for each pod of a workload: its node, its anchor, the anchor's IP, and where the two stand.
/// WHY says what is not as it should be; `native-host explain POD` says more. Below them one line for each
/// external Service: its addresses, and how many of them are ready.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  # The pairs of this namespace, and of all
  native-host status
  native-host status -A

  # Those of one workload, or of one pod; then whatever changes
  native-host status albums -w
  native-host status albums-7d4b9c5f6-x2x9z -o wide

  # For programs
  native-host status -A -o json | jq -r '.items[] | select(.state == \"Stuck\") | .pod.name'

States:
  Unscheduled, Pending, Starting, Running, Ready: the way up, in this order
  Stuck                                           the anchor does not start in time
  Draining, Ending, Finished                      the way down
  Lost                                            the anchor, and so the program's network, is gone
  NotInjected                                     the pod was made without the webhook

Exit codes:
  0    done; with --watch, nobody reads any more
  1    something failed, or no pair has this name
  2    the command line is wrong
  130  --watch was interrupted

Every flag is also an environment variable, shown as [env: ...].")]
pub struct Args {
    /// Name of a pod, of a workload, of an anchor or of an external Service; by default all
    name: Option<String>,

    #[command(flatten)]
    connection: Connection,

    /// Look in all namespaces, even if one is given by --namespace or its variable
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// Label selector of pods, as in app=albums,tier!=test; anchors without a pod are left out
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,

    /// What to print
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Table)]
    output: Form,

    /// Go on, and print each pair that changes
    #[arg(short, long)]
    watch: bool,

    /// Leave out the table's first line
    #[arg(long)]
    no_headers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One line a pair
    Table,
    /// The same with restarts, the IP that the launcher was told, the anchor's node and the pod's UID
    Wide,
    /// One document; with --watch one more a change
    Json,
    /// The same in YAML
    Yaml,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(
        "error: no pair {name:?} {place}: no pod, workload or anchor of this name carries the label {}, and no external Service has it. \
         `native-host explain {name}` says why a pod is not one; -A looks in all namespaces",
        label::WORKLOAD
    )]
    NotFound { name: String, place: String },
    #[error("error: cannot write to standard output: {0}")]
    Write(io::Error),
    #[error("error: cannot start: {0}")]
    System(io::Error),
}

impl From<LiveError> for StatusError {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Ask(error) => Self::Ask(error),
            LiveError::Write(error) => Self::Write(error),
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(StatusError::System)
        .and_then(|runtime| runtime.block_on(args.status()));
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            if matches!(&error, StatusError::Ask(error) if error.is_about_rights()) {
                eprintln!(
                    "native-host status needs the rights get and list on pods, and watch for --watch"
                );
            }
            ExitCode::from(FAILURE)
        }
    }
}

impl Args {
    async fn status(&self) -> Result<ExitCode, StatusError> {
        let (client, namespace) = self.connection.open().await?;
        let wanted = Wanted {
            namespace: (!self.all_namespaces).then_some(namespace),
            name: self.name.clone(),
            selector: self.selector.clone(),
            rules: self.connection.rules(),
        };
        let pods = read::pods(&client, &wanted).await?;
        let now = Timestamp::now();
        let rows = pods.rows(&wanted, now);
        let external = match external::read(&client, &wanted).await {
            Err(error) if error.is_about_rights() => {
                eprintln!("External Services are not shown: {error}");
                Vec::new()
            }
            other => other?,
        };
        let mut out = Out::new(self);
        match (&wanted.name, rows.is_empty() && external.is_empty()) {
            (Some(name), true) => {
                return Err(StatusError::NotFound {
                    name: name.clone(),
                    place: place(&wanted),
                });
            }
            (None, true) if out.is_table() => match &wanted.namespace {
                Some(namespace) => eprintln!("No pairs found in namespace {namespace}."),
                None => eprintln!("No pairs found."),
            },
            _ => {}
        }
        if !out.all(&rows, &external, now).map_err(StatusError::Write)? || !self.watch {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            ended = live::watch(&client, &wanted, pods, &mut out) => {
                ended?;
                Ok(ExitCode::SUCCESS)
            }
            () = nobody_reads() => Ok(ExitCode::SUCCESS),
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(INTERRUPTED)),
        }
    }

    fn style(&self) -> Style {
        Style {
            namespaces: self.all_namespaces,
            wide: self.output == Form::Wide,
            headers: !self.no_headers,
            colour: in_colour(&io::stdout()),
        }
    }
}

fn place(wanted: &Wanted) -> String {
    match &wanted.namespace {
        Some(namespace) => format!("in namespace {namespace}"),
        None => "in any namespace".to_owned(),
    }
}

/// Standard output, in the form that was asked for.
struct Out {
    form: Form,
    style: Style,
    table: Table,
    watch: bool,
}

impl Out {
    fn new(args: &Args) -> Self {
        Out {
            form: args.output,
            style: args.style(),
            table: Table::new(args.style()),
            watch: args.watch,
        }
    }

    fn is_table(&self) -> bool {
        matches!(self.form, Form::Table | Form::Wide)
    }

    /// The rows of the first moment. With `--watch` each document is of one pair, so that a reader of
    /// the stream has one kind of document to read. False if nobody reads.
    fn all(&mut self, rows: &[Row], external: &[External], now: Timestamp) -> io::Result<bool> {
        match self.form {
            // Under a heading of its own, an empty table would be taken for an answer.
            Form::Table | Form::Wide => {
                let mut text = String::new();
                if !rows.is_empty() {
                    text.push_str(&self.table.lines(rows, now));
                }
                // They are of a moment: a watch is of pairs.
                if !external.is_empty() && !self.watch {
                    if !text.is_empty() {
                        text.push('\n');
                    }
                    text.push_str(&external::table(external, self.style));
                }
                write(&text)
            }
            Form::Json | Form::Yaml if self.watch => {
                let mut read = true;
                for row in rows {
                    read = read && self.document(&print::one(row))?;
                }
                Ok(read)
            }
            Form::Json | Form::Yaml => self.document(&print::list(rows, external)),
        }
    }

    fn document(&self, value: &Value) -> io::Result<bool> {
        match self.form {
            Form::Yaml => {
                let text = yaml::write(value).map_err(io::Error::other)?;
                write(&if self.watch {
                    format!("---\n{text}")
                } else {
                    text
                })
            }
            // One line each, for readers of streams.
            _ if self.watch => write(&format!("{value}\n")),
            _ => write(&format!("{value:#}\n")),
        }
    }
}

impl live::Sink for Out {
    fn take(&mut self, row: &Row, before: Option<&Row>, now: Timestamp) -> io::Result<bool> {
        if !self.is_table() {
            return self.document(&print::one(row));
        }
        if before.is_some_and(|before| !self.style.tells_apart(row, before)) {
            return Ok(true);
        }
        write(&self.table.lines([row], now))
    }
}

/// False if nobody reads any more.
fn write(text: &str) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// Waits until the other end of standard output is closed, so that `| head` ends a watch in which
/// nothing happens. Of files there is no such news.
async fn nobody_reads() {
    // Never written to: only what the system says of it matters, so its mode does not.
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    if let Ok(stdout) = stdout.and_then(pipe::Sender::from_owned_fd_unchecked)
        && stdout.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}
