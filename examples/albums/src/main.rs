//! albums.exe: an ordinary native Windows program that serves a list of record albums, with the knobs
//! that make such a program fit into a cluster: what it binds, which ports, which network compartment,
//! and where its health can be asked for. K2s recommends them to everyone who writes one
//! (`docs/op-manual/integrating-native-processes.md` of Siemens-Healthineers/K2s), and its own
//! `albumswin` has them under the same names.
//!
//! It knows nothing of Kubernetes or native-host. It runs on Linux too, for its own tests.
//!
//! - [`settings`]: arguments and environment in, what to do out.
//! - [`catalogue`]: the albums, as JSON.
//! - [`request`]: as much HTTP/1.1 as it takes: what came, what goes.
//! - [`routes`]: which request gets which answer.
//! - [`state`]: what all threads know: health, and whether it is to end.
//! - [`server`]: listeners, a thread a connection, and an end in good order.
//! - [`echo`]: `--print-args`: the arguments as they arrived.

mod catalogue;
mod echo;
mod request;
mod routes;
mod server;
mod settings;
mod state;
#[cfg(windows)]
mod win32;

use std::process::ExitCode;
use std::sync::Arc;
use std::{env, thread};

use server::Server;
use settings::{Command, Settings};
use state::State;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    if let Some(file) = echo::asked(&arguments) {
        return code(echo::print(file, &arguments[2..]).map(|()| 0));
    }
    let arguments: Vec<String> = arguments
        .into_iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    match settings::parse(&arguments, |name| env::var(name).ok()) {
        Ok(Command::Help) => {
            print!("{}", settings::HELP);
            ExitCode::SUCCESS
        }
        Ok(Command::Batch { after, code }) => {
            thread::sleep(after);
            println!("albums: done, exit code {code}");
            exit(code)
        }
        Ok(Command::Serve(settings)) => code(serve(*settings)),
        Err(wrong) => {
            eprintln!("albums: {wrong}\nalbums --help says what it takes");
            ExitCode::from(2)
        }
    }
}

/// Serves until it is told to stop; the exit code.
fn serve(settings: Settings) -> Result<i32, String> {
    if let Some(compartment) = settings.compartment {
        attach(compartment)?;
    }
    let state = Arc::new(State::new(settings.startup_time));
    #[cfg(windows)]
    win32::stop_on_control_events(Arc::clone(&state))?;
    // Both sockets are made here, on the thread that is in the compartment; what is accepted from them
    // then is in it too, whichever thread asks.
    Server::bind(settings, state)?.run()
}

#[cfg(windows)]
fn attach(compartment: u32) -> Result<(), String> {
    win32::attach(compartment)
}

/// Elsewhere there are no compartments to be in.
#[cfg(not(windows))]
#[allow(clippy::unnecessary_wraps)]
fn attach(compartment: u32) -> Result<(), String> {
    eprintln!("albums: no Windows, so not in compartment {compartment}");
    Ok(())
}

fn code(result: Result<i32, String>) -> ExitCode {
    match result {
        Ok(code) => exit(code),
        Err(reason) => {
            eprintln!("albums: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Exit codes are 32 bits wide on Windows, and `ExitCode` takes 8.
fn exit(code: i32) -> ExitCode {
    if code == 0 {
        return ExitCode::SUCCESS;
    }
    std::process::exit(code)
}
