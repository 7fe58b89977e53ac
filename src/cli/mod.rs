//! One file a subcommand.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::policy::Policy;

pub mod logging;
pub mod serve;

/// Native Windows programs as full Kubernetes workloads.
#[derive(Parser, Debug)]
#[command(name = "native-host", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The admission webhook.
    Serve(Box<serve::ServeArgs>),
}

/// Runs what the arguments say.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(*args, Policy::builtin()),
    }
}
