//! What `run` needs of the machine it runs on. `win/` has it from Windows, the tests from memory.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::check::Verdict;
use crate::compartment::Found;
use crate::environment::Variable;
use crate::probing::Failed;
use crate::run::Run;
use crate::timestamp::Timestamp;

/// What `stop` asks for, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The end is near: serve on, and no probe counts any more.
    Drain,
    /// Ask the target to end.
    Ask,
    /// End it.
    Kill,
}

/// What happens while `run` waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The target ended with this exit code.
    Exited(u32),
    /// A `stop` says so.
    Stop(Step),
    /// The console closes or the system shuts down, and the target is told so too: hcsshim sends CTRL_SHUTDOWN to
    /// every process of a container that it stops, and ends them 5 seconds later
    /// (`internal/jobcontainers/jobcontainer.go`, `shutdown`).
    Closing,
    /// CTRL_C or CTRL_BREAK, from a person at a console. The target, in a process group of its own, gets neither.
    Interrupted,
    /// A probe failed as often as its threshold says.
    ProbeFailed(Failed),
    /// A probe could not be made in the compartment, so it was not made at all.
    ProbeAstray(String),
}

/// The target, ready to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The file to run.
    pub file: String,
    /// Its arguments, its own name first.
    pub argv: Vec<String>,
    /// Variables to set on top of the launcher's own.
    pub set: Vec<Variable<String>>,
}

/// The node, as far as `run` looks at it.
pub trait Machine {
    /// A Job object.
    type Job: Job;

    /// Time that only goes forward, from any point on.
    fn now(&self) -> Duration;
    /// When the node booted.
    fn booted(&self) -> Timestamp;
    /// What the status file holds.
    fn status(&self) -> io::Result<Vec<u8>>;
    /// The compartment of an IP.
    fn find(&self, ip: IpAddr) -> Result<Found, String>;
    /// A variable of the launcher's own, by its exact name.
    fn variable(&self, name: &str) -> Option<String>;
    /// The file that a target's name means.
    fn locate(&self, name: &str) -> Result<String, String>;
    /// A new job: kills its processes when it is closed, and lets none out.
    fn job(&mut self) -> Result<Self::Job, String>;
    /// Begins to probe, by threads that are in the compartment. [`Signal`]s tell what they find.
    fn probe(&mut self, run: &Run, ip: IpAddr, compartment: u32);
    /// Waits for a signal, at most up to a time.
    fn next(&mut self, until: Duration) -> Option<Signal>;
}

/// A Job object: the target and all that it starts.
pub trait Job {
    /// Puts it into a compartment (`SetJobCompartmentId`).
    fn enter(&self, compartment: u32) -> Result<(), String>;
    /// Takes it out again (`SetJobCompartmentId` with 0), or the compartment leaks until the node reboots.
    fn leave(&self);
    /// Runs the check process in it.
    fn check(&self, compartment: u32, ip: IpAddr) -> Result<Verdict, String>;
    /// Starts the target in it. Its end comes as [`Signal::Exited`].
    fn start(&mut self, target: &Target) -> Result<(), String>;
    /// Asks the target to end: CTRL_BREAK to its process group, WM_CLOSE to its windows.
    fn ask(&self);
    /// Ends whatever runs in it, and waits until nothing does.
    fn end(&self);
}
