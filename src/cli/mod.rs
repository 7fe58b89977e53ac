//! The command line: one file a subcommand.
//!
//! Every flag is also an environment variable, and every policy key a flag; both by rule and not by
//! hand ([`command`], [`policy_args`]), so that none can be forgotten.

pub mod adopt;
pub mod check;
mod connection;
pub mod controller;
pub mod explain;
pub mod external_args;
pub mod inject;
pub mod logging;
pub mod policy;
pub mod policy_args;
pub mod serve;
pub mod serve_args;
pub mod status;
pub mod version;
mod yaml;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::names::env::FLAG_PREFIX;

/// Something was refused, or could not be read or written.
pub const FAILURE: u8 = 1;
/// The command line is wrong. clap's own number for it.
pub const USAGE: u8 = 2;

/// Native Windows programs as full Kubernetes workloads.
#[derive(Debug, Parser)]
#[command(
    name = "native-host",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    after_help = "Every flag is also an environment variable: --launcher-image is \
                  NATIVE_HOST_LAUNCHER_IMAGE. The flag goes before it.\n\n\
                  Exit codes: 0 done; 1 something was refused or failed; 2 the command line is wrong."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<Serve>),
    Inject(inject::Args),
    Check(Box<check::Args>),
    Status(status::Args),
    Explain(Box<explain::Args>),
    Policy(Box<policy::Args>),
    Adopt(adopt::Args),
    Version(version::Args),
}

/// Answer admission reviews over HTTPS, and keep pairs whole, until told to stop
///
/// The webhook and the anchor controller. Policy is read from the annotations of Namespaces and pods; the
/// flags below are what holds where those say nothing.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  # In a cluster, with cert-manager's Secret mounted
  native-host serve --cert-dir /certs --launcher-image registry.example.com/native-host/launcher:v1

  # The two parts apart: a webhook that scales, and a controller of which one instance leads
  native-host serve --cert-dir /certs --controller=false
  native-host serve --webhook=false

  # To try it out, without a cluster
  native-host serve --no-cluster --policies namespaces.yaml --self-signed --self-signed-dir /tmp/certs

Exit codes:
  0  stopped by SIGTERM or SIGINT, and every request was answered
  1  it could not start, or connections were cut off
  2  the command line is wrong

Every flag is also an environment variable, shown as [env: ...].")]
struct Serve {
    #[command(flatten)]
    server: serve::ServeArgs,
    #[command(flatten)]
    defaults: policy_args::PolicyArgs,
}

/// Runs what the process's arguments ask for.
pub fn run() -> ExitCode {
    match parse(std::env::args_os()) {
        Ok(Command::Serve(args)) => serve::run(args.server, args.defaults.into_policy()),
        Ok(Command::Inject(args)) => inject::run(&args),
        Ok(Command::Check(args)) => check::run(&args),
        Ok(Command::Status(args)) => status::run(&args),
        Ok(Command::Explain(args)) => explain::run(&args),
        Ok(Command::Policy(args)) => policy::run(&args),
        Ok(Command::Adopt(args)) => adopt::run(&args),
        Ok(Command::Version(args)) => version::run(&args),
        Err(error) => {
            // What cannot be printed cannot be complained of either.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Command, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let command = Cli::from_arg_matches(&matches)?.command;
    if let Command::Serve(serve) = &command {
        let wrong = |text| self::command().error(clap::error::ErrorKind::ArgumentConflict, text);
        serve.server.check().map_err(wrong)?;
    }
    Ok(command)
}

/// The whole command line, as `--help` and the documentation show it.
pub fn command() -> clap::Command {
    Cli::command().mut_subcommands(|command| {
        command.mut_args(|arg| match arg.get_long().map(variable) {
            Some(variable) if !matches!(arg.get_id().as_str(), "help" | "version") => {
                arg.env(variable).hide_env_values(true)
            }
            _ => arg,
        })
    })
}

/// The environment variable of a flag.
fn variable(flag: &str) -> String {
    format!(
        "{FLAG_PREFIX}{}",
        flag.replace('-', "_").to_ascii_uppercase()
    )
}

/// Writes to standard output. Whoever closed it has read enough.
fn print(bytes: &[u8]) -> ExitCode {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to standard output: {error}");
            ExitCode::from(FAILURE)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Whether to write in colour there (<https://no-color.org>).
fn in_colour(stream: &impl std::io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_is_an_environment_variable_and_says_what_it_does() {
        let command = command();
        let mut flags = 0;
        for subcommand in command.get_subcommands() {
            for arg in subcommand
                .get_arguments()
                .filter(|arg| arg.get_id() != "help")
            {
                if arg.is_positional() {
                    // A name of an object: no setting, and no variable that would be one.
                    assert_eq!((arg.get_env(), arg.get_help().is_some()), (None, true));
                    continue;
                }
                let flag = arg.get_long().expect("every flag has a long name");
                assert_eq!(arg.get_env().unwrap(), variable(flag).as_str());
                assert!(arg.get_help().is_some(), "--{flag} says nothing");
                flags += 1;
            }
        }
        assert!(flags > 25);
        assert_eq!(variable("launcher-image"), "NATIVE_HOST_LAUNCHER_IMAGE");
    }

    #[test]
    fn serve_refuses_what_would_serve_nothing() {
        let serve = |flags: &[&str]| {
            let all = ["native-host", "serve"].iter().chain(flags);
            parse(all.map(std::ffi::OsString::from))
        };
        for (flags, expected) in [
            (
                &["--webhook=false", "--controller=false"][..],
                "leave nothing to serve",
            ),
            (
                &[],
                "needs a certificate: give --cert-dir <DIR> or --self-signed",
            ),
            (
                &["--webhook=false", "--no-cluster"],
                "leaves nothing but the webhook",
            ),
        ] {
            let error = serve(flags).expect_err("refused");
            assert_eq!(error.exit_code(), i32::from(USAGE));
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(serve(&["--webhook=false"]).is_ok());
        assert!(serve(&["--self-signed", "--controller=false"]).is_ok());
        let both = serve(&["--self-signed", "--cert-dir", "/certs"]).expect_err("one of them");
        assert_eq!(both.exit_code(), i32::from(USAGE));
        let short = serve(&["--self-signed", "--lease-duration", "1s"]).expect_err("too short");
        assert!(short.to_string().contains("at least 3s"), "{short}");
    }

    #[test]
    fn no_flag_takes_a_variable_that_pods_are_given() {
        for subcommand in command().get_subcommands() {
            for variable in subcommand.get_arguments().filter_map(clap::Arg::get_env) {
                assert!(
                    crate::names::env::RESERVED
                        .iter()
                        .all(|own| *own != variable)
                );
            }
        }
    }
}
