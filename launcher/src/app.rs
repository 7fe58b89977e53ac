//! The subcommands: arguments in, an exit code out.

use std::ffi::OsString;
use std::io::Write as _;
use std::time::Instant;

use crate::tools;
use crate::win::{self, Compartments, Reached, Serving, Windows};
use native_host_launcher::report::{Circumstances, line};
use native_host_launcher::stop::{self, Names};
use native_host_launcher::supervise::{End, supervise};
use native_host_launcher::{Command, Exit, Run, Stop, check, names};

/// Why a subcommand failed.
type Failure = (Exit, String);

/// Does what the command line says, and ends the process.
pub(crate) fn main() -> ! {
    std::panic::set_hook(Box::new(|error| {
        // A panic ends the process without dropping anything.
        win::leave_at_once();
        say(&line(
            Exit::System,
            &Circumstances::default(),
            &error.to_string(),
        ));
        end(Exit::System.code());
    }));
    let args: Result<Vec<String>, OsString> = std::env::args_os()
        .skip(1)
        .map(OsString::into_string)
        .collect();
    let code = match args {
        Ok(args) => dispatch(&args),
        Err(odd) => {
            let why = format!("the argument {} is no Unicode", odd.display());
            fail((Exit::Usage, why), &Circumstances::default())
        }
    };
    end(code)
}

fn dispatch(args: &[String]) -> u32 {
    if args.first().is_some_and(|first| first == check::COMMAND) {
        let own = || {
            Compartments::load()
                .and_then(Compartments::current)
                .unwrap_or(0)
        };
        return check::carry_out(args, own, check::PATIENCE).code();
    }
    let unknown = Circumstances::default;
    match Command::parse(args) {
        Ok(Command::Run(asked)) => run(&asked),
        Ok(Command::Stop(asked)) => {
            let start = Instant::now();
            let result = stop(&asked);
            let known = Circumstances {
                container: Some(asked.container),
                after: start.elapsed(),
                ..unknown()
            };
            code(result, &known)
        }
        Ok(Command::Probe(asked)) => said(tools::probe_once(&asked)),
        Ok(Command::Install(asked)) => said(tools::install_itself(&asked)),
        Ok(Command::Doctor(asked)) => {
            tools::report(&asked);
            0
        }
        Ok(Command::Version) => {
            tools::print(concat!(
                "native-host-launcher ",
                env!("CARGO_PKG_VERSION"),
                "\n"
            ));
            0
        }
        Ok(Command::Help(topic)) => {
            tools::print(&topic.text());
            0
        }
        Err(error) => fail((Exit::Usage, error.to_string()), &unknown()),
    }
}

fn run(asked: &Run) -> u32 {
    let prepare = || -> Result<(Windows, Serving), Failure> {
        let names = meeting_point(&asked.container)?;
        let system = |why| (Exit::System, why);
        let machine = Windows::new().map_err(system)?;
        let serving = Serving::begin(&names, machine.to()).map_err(system)?;
        Ok((machine, serving))
    };
    match prepare() {
        Ok((mut machine, _serving)) => {
            let end = supervise(asked, &mut machine);
            if let End::Own(_, line) = &end {
                say(line);
            }
            end.code()
        }
        Err(failure) => {
            let known = Circumstances {
                container: Some(asked.container.clone()),
                program: asked.argv.first().cloned(),
                ..Circumstances::default()
            };
            fail(failure, &known)
        }
    }
}

fn stop(asked: &Stop) -> Result<(), Failure> {
    let names = meeting_point(&asked.container)?;
    match Reached::find(&names).map_err(|why| (Exit::System, why))? {
        Some(running) => stop::stop(asked, &running),
        None => Err((
            Exit::NothingToStop,
            format!("no `run` of container {} is there", asked.container),
        )),
    }
}

/// Where the `run` and the `stop` of a container meet.
fn meeting_point(container: &str) -> Result<Names, Failure> {
    match std::env::var(names::POD_UID) {
        Ok(uid) if !uid.is_empty() => Ok(Names::new(&uid, container)),
        _ => Err((
            Exit::Usage,
            format!(
                "the variable {} is not set: the webhook sets it",
                names::POD_UID
            ),
        )),
    }
}

fn code(result: Result<(), Failure>, known: &Circumstances) -> u32 {
    result.map_or_else(|failure| fail(failure, known), |()| 0)
}

/// Says the line of a command that failed, and gives the code.
fn said(result: Result<(), tools::Failed>) -> u32 {
    result.map_or_else(
        |(exit, line)| {
            say(&line);
            exit.code()
        },
        |()| 0,
    )
}

/// Says why, and gives the code.
fn fail((exit, why): Failure, known: &Circumstances) -> u32 {
    say(&line(exit, known, &why));
    exit.code()
}

/// Writes a line to stderr, if there is one: hcsshim may have closed it already.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn end(code: u32) -> ! {
    std::process::exit(code.cast_signed())
}
