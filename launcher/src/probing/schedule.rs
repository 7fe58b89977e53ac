//! When attempts are due, and what follows from their outcomes: `pkg/kubelet/prober/worker.go` of Kubernetes
//! 1.36 as a state machine without a clock. Times are those since the program was started.
//!
//! ```text
//!   startup probe, if there is one           liveness probe, if there is one
//!   --+-----+-----+-----> succeeded: started --+-----+-----+----->
//!     |period                                    |period
//!     `failureThreshold in a row: failed         `failureThreshold in a row: failed
//! ```
//!
//! Where the kubelet leaves it to chance, this does not. The kubelet's ticks begin when it hears of the pod,
//! so a container's first attempt comes at some moment of the period that follows `initialDelaySeconds`. Here it comes
//! after `initialDelaySeconds`, and not before one period has passed: a program whose probe has no initial delay is
//! not found dead before it could open its port, and a startup probe gives it `failureThreshold` times
//! `periodSeconds`, which is what Kubernetes' documentation promises. There is no jitter: launchers do not
//! start all at once, as the probes of a kubelet do that was restarted.

use std::time::Duration;

use super::Outcome;
use crate::exit::Exit;
use crate::probe::Probe;

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// `startupProbe`
    Startup,
    /// `livenessProbe`
    Liveness,
}

impl Which {
    /// As it is called in a sentence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Liveness => "liveness",
        }
    }

    /// What the launcher ends with when this probe failed.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Startup => Exit::StartupFailed,
            Self::Liveness => Exit::LivenessFailed,
        }
    }
}

/// The attempt that is due next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<'a> {
    /// When, since the program was started.
    pub at: Duration,
    /// For which probe.
    pub which: Which,
    /// What to do, and how long it may take.
    pub probe: &'a Probe,
}

/// A probe that failed as often in a row as it may: the program is to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which probe.
    pub which: Which,
    /// How often in a row it failed.
    pub times: u32,
    /// Why the last attempt failed.
    pub why: String,
    /// How long the program has to stop, in seconds, if the probe says so itself.
    pub grace: Option<u32>,
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Unchanged,
    /// The startup probe succeeded. It is over; liveness begins.
    Started,
    /// The program is to be ended. No attempt is due any more.
    Failed(Failed),
}

/// The probes of one run of one container.
#[derive(Clone, Debug)]
pub struct Schedule {
    current: Option<Worker>,
    /// What follows when the startup probe has succeeded.
    liveness: Option<Probe>,
}

#[derive(Clone, Debug)]
struct Worker {
    which: Which,
    probe: Probe,
    at: Duration,
    /// How often in a row the result was the same.
    run: u32,
    succeeded: bool,
}

impl Schedule {
    /// For a program that is started at zero.
    pub fn new(startup: Option<Probe>, liveness: Option<Probe>) -> Self {
        match startup {
            Some(probe) => Self {
                current: Some(Worker::new(Which::Startup, probe, Duration::ZERO)),
                liveness,
            },
            None => Self {
                current: liveness.map(|probe| Worker::new(Which::Liveness, probe, Duration::ZERO)),
                liveness: None,
            },
        }
    }

    /// What is due next; nothing, if there is nothing to probe or a probe has failed.
    pub fn due(&self) -> Option<Due<'_>> {
        let worker = self.current.as_ref()?;
        Some(Due {
            at: worker.at,
            which: worker.which,
            probe: &worker.probe,
        })
    }

    /// The attempt that was due ended at `now` with this outcome.
    pub fn record(&mut self, now: Duration, outcome: &Outcome) -> Verdict {
        let Some(worker) = &mut self.current else {
            return Verdict::Unchanged;
        };
        worker.at = tick_after(worker.at, period(&worker.probe), now);
        let succeeded = match outcome {
            // A prober's error: thrown away.
            Outcome::Unknown(_) => return Verdict::Unchanged,
            Outcome::Success | Outcome::Warning(_) => true,
            Outcome::Failure(_) => false,
        };
        if worker.run > 0 && worker.succeeded == succeeded {
            worker.run = worker.run.saturating_add(1);
        } else {
            worker.run = 1;
            worker.succeeded = succeeded;
        }
        if succeeded {
            if worker.which == Which::Liveness || worker.run < worker.probe.success_threshold {
                return Verdict::Unchanged;
            }
            let liveness = self.liveness.take();
            self.current = liveness.map(|probe| Worker::new(Which::Liveness, probe, now));
            return Verdict::Started;
        }
        if worker.run < worker.probe.failure_threshold {
            return Verdict::Unchanged;
        }
        let failed = Failed {
            which: worker.which,
            times: worker.run,
            why: outcome.why().unwrap_or_default().to_owned(),
            grace: worker.probe.grace,
        };
        // On hold until there is a new container.
        self.current = None;
        self.liveness = None;
        Verdict::Failed(failed)
    }
}

impl Worker {
    /// One that may begin at `from`.
    fn new(which: Which, probe: Probe, from: Duration) -> Self {
        let delay = Duration::from_secs(probe.initial_delay.into());
        Self {
            which,
            at: delay.max(from.saturating_add(period(&probe))),
            probe,
            run: 0,
            succeeded: false,
        }
    }
}

/// Never zero, which no [`Probe`] that was read from a command line is either.
fn period(probe: &Probe) -> Duration {
    Duration::from_secs(probe.period.max(1).into())
}

/// The tick after one at `last`, seen at `now`. A Go ticker keeps one tick for who comes late and drops the
/// others, so after a long attempt the next is due at once, and those after it on the beat again.
fn tick_after(last: Duration, period: Duration, now: Duration) -> Duration {
    let missed = now.saturating_sub(last).as_nanos() / period.as_nanos();
    let beats = u32::try_from(missed).unwrap_or(u32::MAX).max(1);
    last.saturating_add(period.saturating_mul(beats))
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
