//! The program that is started, and its output, line by line.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::windows::io::{AsRawHandle as _, RawHandle};
use std::os::windows::process::CommandExt as _;
use std::path::absolute;
use std::process::{self, Command, Stdio};
use std::thread::JoinHandle;

use crate::line;

/// It, running.
pub struct Child(process::Child);

/// Starts it, its path as one of the current folder (`createSuspended`).
pub fn start(
    program: &str,
    arguments: &[String],
    variables: &[(String, String)],
) -> Result<Child, String> {
    let full = absolute(program).map_err(|error| error.to_string())?;
    if !full.exists() {
        return Err(format!("executable not found: {}", full.display()));
    }
    let mut command = Command::new(&full);
    for argument in arguments {
        command.raw_arg(line::word(argument));
    }
    let variables = variables.iter().map(|(name, value)| (name, value));
    command.envs(variables).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn();
    child
        .map(Child)
        .map_err(|error| format!("CreateProcessW failed: {error}"))
}

impl Child {
    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its process.
    pub fn handle(&self) -> RawHandle {
        self.0.as_raw_handle()
    }

    /// Waits for its end and gives its exit code.
    pub fn wait(&mut self) -> i32 {
        let status = self
            .0
            .wait()
            .unwrap_or_else(|error| panic!("wait: {error}"));
        status.code().unwrap_or_default()
    }

    /// Passes its output on.
    pub fn stream(&mut self) -> Streams {
        let out = self.0.stdout.take().map(|from| pass(from, io::stdout()));
        let err = self.0.stderr.take().map(|from| pass(from, io::stderr()));
        Streams([out, err])
    }
}

/// Its output on its way.
pub struct Streams([Option<JoinHandle<()>>; 2]);

impl Streams {
    /// Waits until all who could write have closed it.
    pub fn wait(self) {
        for stream in self.0.into_iter().flatten() {
            let _ = stream.join();
        }
    }
}

/// Line by line, without empty ones and without the carriage returns at their ends.
fn pass(from: impl Read + Send + 'static, mut to: impl Write + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while let Ok(1..) = from.read_until(b'\n', &mut line) {
            while line
                .last()
                .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
            {
                line.pop();
            }
            if !line.is_empty() {
                line.push(b'\n');
                let _ = to.write_all(&line).and_then(|()| to.flush());
            }
            line.clear();
        }
    })
}
