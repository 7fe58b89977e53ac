//! One container: its state, how it starts, and how it is stopped.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Container as Spec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use native_host::names::injected;

use super::orders::Real;
use super::program::Program;

/// `minimumGracePeriodInSeconds` (`kuberuntime_container.go`): what a program always has to stop.
pub const LEAST_STOP: Duration = Duration::from_secs(2);

/// The exit code of what was killed (128 + SIGKILL; a HostProcess container's too, as the kubelet
/// invents it where the runtime says nothing).
pub const KILLED: i32 = 137;

/// What kind of container it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Has to end before what follows it starts.
    Init,
    /// An init container with `restartPolicy: Always` (KEP-753).
    Sidecar,
    /// A regular one.
    Main,
}

/// What its preStop is.
#[derive(Debug, Clone, Copy)]
pub enum PreStop {
    /// There is none.
    None,
    /// The kubelet itself sleeps (KEP-3960).
    Sleep(Duration),
    /// A command or a request, which takes as long as the program says.
    Hook,
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// Where it is not `Completed` or `Error`.
    pub reason: Option<&'static str>,
    /// From when it ran.
    pub started: Option<Time>,
    /// Until when.
    pub finished: Time,
    /// When that was for timers.
    pub at: Instant,
    /// Which of its runs.
    pub id: String,
    /// The termination message.
    pub message: Option<String>,
}

/// Where it stands.
#[derive(Debug, Clone)]
pub enum State {
    /// Not started yet, and why where it is not for the pod's own beginning.
    Waiting(Option<String>),
    /// Ended, to be started again later.
    Backoff(Instant),
    /// It runs.
    Running {
        since: Instant,
        started: Time,
        /// When it ends by itself.
        ends: Option<Instant>,
    },
    /// It runs still, and is being stopped.
    Stopping {
        since: Instant,
        started: Time,
        ends: Instant,
        code: i32,
    },
    /// It has ended, and is not started again.
    Ended(Ended),
}

/// A container of a pod.
#[derive(Debug)]
pub struct Container {
    /// Its place in the pod, init containers first.
    pub index: usize,
    pub name: String,
    pub image: String,
    pub kind: Kind,
    pub startup_probe: bool,
    pub readiness_probe: bool,
    pub pre_stop: PreStop,
    /// Whether a launcher in it reads the anchor's status.
    pub launcher: bool,
    pub program: Program,
    pub state: State,
    pub last: Option<Ended>,
    pub restarts: i32,
    /// How often it ended by itself, which is what the backoff counts.
    pub crashes: u32,
    pub id: Option<String>,
    /// The anchor's status that its launcher works by.
    pub saw: Option<String>,
    /// Whether it has to run again, in a new sandbox: without a backoff, however it ended.
    pub again: bool,
    /// Its pod is not gone before: the kubelet waits for a preStop even if the container has ended
    /// meanwhile (`executePreStopHook` looks at the hook and the grace period only).
    pub held_until: Option<Instant>,
    /// What is known of it where it really runs; then its program plays no part.
    pub real: Option<Real>,
}

impl Container {
    /// One that has not started.
    pub fn new(spec: &Spec, kind: Kind) -> Self {
        let pre_stop = spec.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref());
        let mut mounts = spec.volume_mounts.iter().flatten();
        Self {
            index: 0,
            name: spec.name.clone(),
            image: spec.image.clone().unwrap_or_default(),
            kind,
            startup_probe: spec.startup_probe.is_some(),
            readiness_probe: spec.readiness_probe.is_some(),
            pre_stop: match pre_stop {
                None => PreStop::None,
                Some(handler) => match &handler.sleep {
                    Some(sleep) => PreStop::Sleep(seconds(sleep.seconds)),
                    None => PreStop::Hook,
                },
            },
            launcher: mounts.any(|mount| mount.name == injected::ANCHOR_VOLUME),
            program: Program::default(),
            state: State::Waiting(None),
            last: None,
            restarts: 0,
            crashes: 0,
            id: None,
            saw: None,
            again: false,
            held_until: None,
            real: None,
        }
    }

    /// Whether its process is there.
    pub fn runs(&self) -> bool {
        matches!(self.state, State::Running { .. } | State::Stopping { .. })
    }

    /// The process ended, if it has.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.state {
            State::Ended(ended) => Some(ended),
            _ => None,
        }
    }

    /// Starts it, again or for the first time.
    pub fn start(&mut self, program: Program, id: String, now: Instant) {
        if let State::Ended(ended) = &self.state {
            self.last = Some(ended.clone());
        }
        if self.last.is_some() {
            self.restarts += 1;
        }
        self.state = State::Running {
            since: now,
            started: timestamp(),
            ends: match self.real {
                Some(_) => None,
                None => program.runs.map(|runs| now + runs),
            },
        };
        if self.real.is_some() {
            self.real = Some(Real {
                started: !self.startup_probe,
                ready: !self.readiness_probe,
                ..Real::default()
            });
        }
        self.program = program;
        self.id = Some(id);
        self.saw = None;
        self.again = false;
    }

    /// Its process is gone.
    pub fn end(&mut self, code: i32, reason: Option<&'static str>, now: Instant) {
        let started = match &self.state {
            State::Running { started, .. } | State::Stopping { started, .. } => {
                Some(started.clone())
            }
            _ => None,
        };
        self.state = State::Ended(Ended {
            code,
            reason,
            started,
            finished: timestamp(),
            at: now,
            id: self.id.clone().unwrap_or_default(),
            message: None,
        });
    }

    /// Begins to stop it as `killContainer` does: the preStop, then (`turn`: where native sidecars
    /// are, the containers in their order) the signal, for all of which there is the grace period,
    /// then the kill. Gives when it will be gone.
    pub fn stop(&mut self, grace: Duration, turn: Option<Instant>, now: Instant) -> Instant {
        let (State::Running { since, started, .. } | State::Stopping { since, started, .. }) =
            &self.state
        else {
            return now;
        };
        let hook = match self.pre_stop {
            PreStop::None => Duration::ZERO,
            PreStop::Sleep(sleep) => sleep.min(grace),
            PreStop::Hook => self.program.pre_stop.min(grace),
        };
        let mut signal = now + hook;
        if let Some(turn) = turn {
            signal = signal.max(turn.min(now + grace));
        }
        let left = (now + grace)
            .saturating_duration_since(signal)
            .max(LEAST_STOP);
        let (ends, code) = if self.program.stop <= left {
            (signal + self.program.stop, self.program.stop_exit)
        } else {
            (signal + left, KILLED)
        };
        self.held_until = Some(now + hook);
        self.state = State::Stopping {
            since: *since,
            started: started.clone(),
            ends,
            code,
        };
        ends
    }

    /// Ends it if its time has come. Gives when that will be.
    pub fn advance(&mut self, now: Instant) -> Option<Instant> {
        if self.real.is_some() {
            return None;
        }
        let (ends, code) = match &self.state {
            State::Running { ends, .. } => ((*ends)?, self.program.exit),
            State::Stopping { ends, code, .. } => (*ends, *code),
            _ => return None,
        };
        if now < ends {
            return Some(ends);
        }
        self.end(code, None, now);
        None
    }

    /// Whether its startup probe has passed, and when it will.
    pub fn started(&self, now: Instant) -> (bool, Option<Instant>) {
        let (State::Running { since, .. } | State::Stopping { since, .. }) = &self.state else {
            return (false, None);
        };
        if let Some(real) = &self.real {
            return (real.started, None);
        }
        if !self.startup_probe {
            return (true, None);
        }
        let at = *since + self.program.started_after;
        (now >= at, (now < at).then_some(at))
    }

    /// Whether its readiness probe passes (`said`: what a test says of it), and when it will. It
    /// goes on while the container is being stopped (`prober_manager.go`,
    /// `StopLivenessAndStartup`).
    pub fn ready(&self, said: Option<bool>, now: Instant) -> (bool, Option<Instant>) {
        let (State::Running { since, .. } | State::Stopping { since, .. }) = &self.state else {
            return (false, None);
        };
        let (started, at) = self.started(now);
        if !started {
            return (false, at);
        }
        if let Some(said) = said {
            return (said, None);
        }
        if let Some(real) = &self.real {
            return (real.ready, None);
        }
        if !self.readiness_probe {
            return (true, None);
        }
        match self.program.ready_after {
            None => (false, None),
            Some(after) => {
                let at = *since + after;
                (now >= at, (now < at).then_some(at))
            }
        }
    }
}

/// Now, as the API has it: in whole seconds.
pub fn timestamp() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap())
}

/// Seconds of the API.
pub fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}
