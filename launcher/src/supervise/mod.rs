//! `run`: one target, from the anchor's status to the end of the last process.
//!
//! ```text
//! wait for the status ─► find the compartment ─► job into it ─► check process ─► target ─► watch ─► end
//!        │ deadline          │ deadline              │               │             │         │
//!        ▼                   ▼                       ▼               ▼             ▼         ▼
//!   AnchorTimeout   CompartmentNotFound   CompartmentRefused    FailClosed  TargetNotStarted │
//!   AnchorStatus                                       AnchorChanged, LivenessFailed, … ◄────┘
//! ```
//!
//! Whichever way it ends: first every process of the job, then the job leaves the compartment
//! (`Confined`). The other way round, a process would be on the host's network for a moment.

mod machine;
mod watch;

use std::time::Duration;

use crate::check::Verdict;
use crate::compartment::Found;
use crate::environment;
use crate::exit::Exit;
use crate::expand::MOUNT_POINT;
use crate::report::{Circumstances, line};
use crate::run::{Cplauncher, Hook, Run};
use crate::status::{Anchor, Reader, Reading};

pub use machine::{Job, Machine, Signal, Step, Target};

/// How long until a status that is not there is looked for again: one file, and a pair's start waits for it.
const STATUS_PAUSE: Duration = Duration::from_millis(25);
/// How long until a compartment that was not found is looked for again; that is dozens of calls.
const COMPARTMENT_PAUSE: Duration = Duration::from_millis(500);

/// How `run` ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The target did, with this code.
    Target(u32),
    /// By the launcher: its code, and the line that says why.
    Own(Exit, String),
}

impl End {
    /// The process's exit code.
    pub fn code(&self) -> u32 {
        match self {
            Self::Target(code) => *code,
            Self::Own(exit, _) => exit.code(),
        }
    }
}

/// Why `run` ends before its target does, or has it end.
type Failure = (Exit, String);

/// Runs a target.
pub fn supervise<M: Machine>(run: &Run, machine: &mut M) -> End {
    let start = machine.now();
    let mut known = Circumstances {
        container: Some(run.container.clone()),
        program: run.argv.first().cloned(),
        ..Circumstances::default()
    };
    match attempt(run, machine, &mut known) {
        Ok(code) => End::Target(code),
        Err((exit, why)) => {
            known.after = machine.now().saturating_sub(start);
            End::Own(exit, line(exit, &known, &why))
        }
    }
}

fn attempt<M: Machine>(
    run: &Run,
    machine: &mut M,
    known: &mut Circumstances,
) -> Result<u32, Failure> {
    let (anchor, found) = wait(run, machine, known)?;
    let target = prepare(run, machine, &anchor, found.compartment)?;
    known.program = Some(target.file.clone());
    let job = machine.job().map_err(|why| (Exit::System, why))?;
    let mut confined = Confined { job, inside: false };
    if run.cplauncher.is_none() {
        confined.enter(&anchor, found.compartment)?;
    }
    confined
        .job
        .start(&target)
        .map_err(|why| (Exit::TargetNotStarted, why))?;
    machine.probe(run, anchor.ip, found.compartment);
    watch::watch(run, machine, &anchor, &confined.job)
}

/// Waits for the anchor and its compartment, up to the deadline.
fn wait<M: Machine>(
    run: &Run,
    machine: &mut M,
    known: &mut Circumstances,
) -> Result<(Anchor, Found), Failure> {
    let deadline = machine.now() + Duration::from_secs(run.timeout_seconds.into());
    let mut reader = Reader::default();
    loop {
        let now = machine.now();
        let (missing, pause) = match reader.judge(&machine.status(), now) {
            Reading::Wrong(why) => return Err((Exit::AnchorStatus, why)),
            Reading::NotYet(why) => ((Exit::AnchorTimeout, why), STATUS_PAUSE),
            Reading::Anchor(anchor) => {
                known.anchor = Some(anchor.uid.clone());
                known.ip = Some(anchor.ip);
                match stale(&anchor, machine) {
                    Some(why) => ((Exit::AnchorTimeout, why), STATUS_PAUSE),
                    None => match machine.find(anchor.ip) {
                        Ok(found) => {
                            known.compartment = Some(found.compartment);
                            known.by = Some(found.way);
                            return Ok((anchor, found));
                        }
                        Err(why) => ((Exit::CompartmentNotFound, why), COMPARTMENT_PAUSE),
                    },
                }
            }
        };
        if now >= deadline {
            return Err(missing);
        }
        let signal = machine.next(deadline.min(now + pause));
        if let Some(Signal::Stop(_) | Signal::Closing | Signal::Interrupted) = signal {
            let (exit, why) = missing;
            return Err((exit, format!("told to stop while it waited: {why}")));
        }
    }
}

/// Why an anchor cannot be the one to use: it started before the node booted. The API server's record of it
/// lives on, and meanwhile its IP may be another pod's.
fn stale<M: Machine>(anchor: &Anchor, machine: &M) -> Option<String> {
    let booted = machine.booted();
    (anchor.started < booted).then(|| {
        format!(
            "the anchor started at {}, before the node's last boot at {booted}, so its IP may be another \
             pod's by now",
            anchor.started
        )
    })
}

/// The target's file, arguments and variables.
fn prepare<M: Machine>(
    run: &Run,
    machine: &M,
    anchor: &Anchor,
    compartment: u32,
) -> Result<Target, Failure> {
    let set = environment::set(run, anchor.ip, compartment);
    let variable = |name: &str| {
        let ours = set.iter().find(|(known, _)| known == name);
        ours.map_or_else(|| machine.variable(name), |(_, value)| Some(value.clone()))
    };
    let root = machine.variable(MOUNT_POINT);
    let mut argv = run.resolve(variable, root.as_deref());
    let name = argv.first().cloned().unwrap_or_default();
    let not_started = |why| (Exit::TargetNotStarted, why);
    let file = machine.locate(&name).map_err(not_started)?;
    let Some(cplauncher) = &run.cplauncher else {
        return Ok(Target { file, argv, set });
    };
    argv[0] = file;
    let launcher = machine.locate(&cplauncher.path).map_err(not_started)?;
    Ok(Target {
        argv: through(cplauncher, compartment, argv),
        file: launcher,
        set,
    })
}

/// The command line by which K2s's cplauncher starts a target in a compartment, its whole tree waited for
/// (k2s `k2s/cmd/cplauncher/cplauncher.go`, `main`).
fn through(cplauncher: &Cplauncher, compartment: u32, argv: Vec<String>) -> Vec<String> {
    let mut line = vec![
        cplauncher.path.clone(),
        "-compartment".to_owned(),
        compartment.to_string(),
        "-wait-tree".to_owned(),
    ];
    match &cplauncher.hook {
        Hook::Own => {}
        Hook::Dll(dll) => line.extend(["-dll".to_owned(), dll.clone()]),
        Hook::None => line.push("-no-inject".to_owned()),
    }
    line.push("--".to_owned());
    line.extend(argv);
    line
}

/// A job, and whether it is in a compartment. When it goes, so do its processes, and then it leaves.
struct Confined<J: Job> {
    job: J,
    inside: bool,
}

impl<J: Job> Confined<J> {
    /// Puts the job into the compartment, and has the check process see that it is there.
    fn enter(&mut self, anchor: &Anchor, compartment: u32) -> Result<(), Failure> {
        // From the call on: one that fails half-way is taken back too.
        self.inside = true;
        self.job
            .enter(compartment)
            .map_err(|why| (Exit::CompartmentRefused, why))?;
        match self.job.check(compartment, anchor.ip) {
            Ok(Verdict::Inside) => Ok(()),
            Ok(other) => Err((Exit::FailClosed, other.to_string())),
            Err(why) => Err((Exit::FailClosed, format!("the check process: {why}"))),
        }
    }
}

impl<J: Job> Drop for Confined<J> {
    fn drop(&mut self) {
        self.job.end();
        if self.inside {
            self.job.leave();
        }
    }
}

#[cfg(test)]
mod tests;
