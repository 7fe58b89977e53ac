//! `native-host adopt`: what people have written by hand, as native-host wants it.
//!
//! ```text
//!  manifests | API server -> read -> world ─┬─ pairs (command, text, env, probes): who belongs together
//!                                           ├─ workload, services, external: what becomes of them
//!                                           └─ print: YAML with comments -> stdout; what is lost -> stderr
//! ```
//!
//! Nothing is written to the cluster, and nothing is guessed in silence: what is not understood stays as it is,
//! and is told of.

mod command;
mod draft;
mod env;
mod external;
mod heritage;
mod leftovers;
mod pairs;
mod ports;
mod print;
mod probes;
mod read;
mod services;
mod text;
mod workload;
mod world;

use std::io;
use std::process::ExitCode;

use clap::ValueEnum;

use super::connection::{AskError, Connection};
use super::inject::source::{self, SourceError};
use super::{FAILURE, USAGE};
use world::World;

/// Rewrite hand-made anchors, launchers and endpoints for native-host
///
/// Reads what K2s's guides have one write: the anchor Pod, the Deployment that calls cplauncher (through cmd.exe,
/// PowerShell, or a script that finds the compartment), probes with a Service's address, the Service; the Service
/// without a selector and its EndpointSlice. Prints the same for native-host, with a comment on each line that could
/// go, and says what it could not carry over. It changes nothing by itself.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  # The manifests of an application: everything in them is printed, changed or not
  native-host adopt -f albums/ > albums-native-host.yaml

  # See what admission makes of it, and what the API server says
  native-host inject -f albums-native-host.yaml --anchors
  kubectl apply --dry-run=server --validate=strict -f albums-native-host.yaml

  # What runs in a namespace: what has to change is printed, as it was applied
  native-host adopt -n albums

What is not understood is printed as it is, told of on standard error, and in a comment above it.

Exit codes:
  0  done, whatever could not be carried over
  1  a command line was not understood, or something could not be read; all else is still printed
  2  the command line is wrong

Every flag is also an environment variable, shown as [env: ...].")]
pub struct Args {
    /// Files or folders with manifests, or - for standard input; by default the cluster is asked
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    filename: Vec<String>,

    /// Go through the folders below those that -f names, too
    #[arg(short = 'R', long, requires = "filename")]
    recursive: bool,

    /// What to print
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Yaml)]
    output: Form,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Documents with comments
    Yaml,
    /// A List of all objects, without comments
    Json,
}

/// Why nothing was adopted.
#[derive(Debug, thiserror::Error)]
enum AdoptError {
    #[error("error: {0}")]
    Source(#[from] SourceError),
    #[error("error: error parsing {0}: {1}")]
    Parse(String, String),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("error: cannot start: {0}")]
    System(io::Error),
    #[error("error: cannot write it as YAML: {0}")]
    Yaml(String),
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match args.adopt() {
        Ok((text, unclear)) => {
            let code = super::print(text.as_bytes());
            if unclear {
                ExitCode::from(FAILURE)
            } else {
                code
            }
        }
        Err(error) => {
            eprintln!("{error}");
            let usage = matches!(&error, AdoptError::Source(source) if source.is_usage());
            ExitCode::from(if usage { USAGE } else { FAILURE })
        }
    }
}

/// Does all that there is to do with what was read.
fn rewrite(world: &mut World) {
    let mut adopted = pairs::adopted(world);
    let fronts = pairs::fronts(world, &adopted);
    pairs::name(world, &mut adopted, &fronts);
    for (place, one) in adopted.iter().enumerate() {
        let of = fronts.iter().filter(|front| front.of.contains(&place));
        let of: Vec<_> = of.filter(|front| !front.probes_only).collect();
        workload::rewrite(world, one, &of);
    }
    services::rewrite(world, &adopted, &fronts);
    services::rewrite_selectors(world, &adopted);
    leftovers::anchors(world, &adopted);
    leftovers::twins(world, &adopted);
    leftovers::rights(world, &adopted);
    leftovers::config_maps(world, &adopted);
    external::rewrite(world);
}

impl Args {
    /// What to print, and whether something was not understood.
    fn adopt(&self) -> Result<(String, bool), AdoptError> {
        let mut world = World::default();
        let text = if self.filename.is_empty() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(AdoptError::System)?;
            world.objects = runtime.block_on(async {
                let (client, namespace) = self.connection.open().await?;
                read::cluster(client, &namespace).await
            })?;
            rewrite(&mut world);
            match self.output {
                Form::Yaml => print::changed(&world)?,
                Form::Json => print::json(&world, false),
            }
        } else {
            let sources = source::read(&self.filename, self.recursive)?;
            let namespace = self.connection.namespace.as_deref().unwrap_or("default");
            let documents = read::files(&sources, namespace, &mut world.objects)?;
            rewrite(&mut world);
            match self.output {
                Form::Yaml => print::documents(&documents, &world)?,
                Form::Json => print::json(&world, true),
            }
        };
        eprint!("{}", print::report(&world));
        Ok((text, world.unclear))
    }
}
