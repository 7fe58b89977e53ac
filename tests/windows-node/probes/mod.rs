//! Probes, by the kubelet's rules (`pkg/kubelet/prober`): one worker for each probe of a container, for
//! as long as its pod lives.
//!
//! ```text
//!   the node ── Seen ──► worker (course: whether to probe now)
//!                           │
//!                           ▼
//!                attempt: http, tcp, grpc, exec  ── Event ──┐
//!                           │                               ├──► Update ──► the node: Results
//!                           └── thresholds ── Outcome ──────┘
//! ```
//!
//! - [`course`]: when to probe, and what a row of results means; pure.
//! - [`attempt`]: one probe, with the kubelet's retries and its words.
//! - [`results`]: what the node makes of it: started, ready, to be killed.
//! - [`hook`]: `httpGet` of `postStart` and `preStop`.
//!
//! Left out: a kubelet that has just started waits for a random part of the period before its first
//! probes. This one has always been up for long.

mod attempt;
mod course;
mod grpc;
pub mod hook;
mod http;
mod results;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::MissedTickBehavior;

use course::{Course, Step};
pub use results::Results;

/// Which of a container's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// The probe of a container.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        })
    }
}

/// What probes say of a run of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    /// A startup probe that has not decided yet.
    Unknown,
}

/// Where a container stands, as the node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// It has not started, or is about to start again.
    #[default]
    Waiting,
    /// It runs since then.
    Running(Instant),
    /// It has ended, and will be started again or not.
    Terminated { again: bool },
}

/// What a worker has to know of its container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Which run it is: a new ID starts everything anew. None before the first.
    pub id: Option<String>,
    pub state: State,
    /// Whether it counts as started ([`Results::started`]).
    pub started: bool,
    /// Where probes go that name no host.
    pub pod_ip: Option<String>,
    /// Whether the pod is being deleted.
    pub terminating: bool,
    /// Whether the pod has its last phase.
    pub over: bool,
}

/// Something new of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The pod's UID.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// Which run of it.
    pub id: String,
    pub kind: Kind,
    pub news: News,
}

/// What is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The probe's thresholds have decided.
    Outcome(Outcome),
    /// An Event of type Warning on the container: its reason and message.
    Event(&'static str, String),
}

/// Carries out commands in containers.
pub trait Exec: Send + Sync + 'static {
    /// Runs one in this run of a container and gives its exit code and output. The command is ended
    /// when the time is over.
    fn exec(
        &self,
        target: &Target,
        command: Vec<String>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Ran, ExecError>> + Send;
}

/// Which run of which container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The pod's UID.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// Which run of it.
    pub id: String,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub code: i32,
    /// stdout, then stderr.
    pub output: Vec<u8>,
}

/// Why there is nothing to say of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecError {
    TimedOut,
    /// The runtime's words.
    Failed(String),
}

/// Starts workers.
pub struct Prober<E> {
    exec: Arc<E>,
    updates: mpsc::UnboundedSender<Update>,
}

impl<E: Exec> Prober<E> {
    /// What its workers find goes to `updates`.
    pub fn new(exec: E, updates: mpsc::UnboundedSender<Update>) -> Self {
        Self {
            exec: Arc::new(exec),
            updates,
        }
    }

    /// Starts the workers of a container, when its pod is first seen (`AddPod`): not of an init container,
    /// unless that is a sidecar. They work until they are dropped, or the container ends for good.
    pub fn add(&self, pod: &Pod, container: &Container, seen: &watch::Receiver<Seen>) -> Workers {
        let mut workers = Workers {
            workers: Vec::new(),
            again: Arc::default(),
        };
        for kind in Kind::ALL {
            let Some(probe) = kind.of(container) else {
                continue;
            };
            let stop = Arc::new(Notify::new());
            let again = match kind {
                Kind::Readiness => workers.again.clone(),
                _ => Arc::default(),
            };
            let worker = Worker {
                course: Course::new(kind, probe),
                probe: probe.clone(),
                container: container.clone(),
                pod: pod.metadata.uid.clone().unwrap_or_default(),
                seen: seen.clone(),
                exec: self.exec.clone(),
                updates: self.updates.clone(),
            };
            tokio::spawn(worker.run(stop.clone(), again));
            workers.workers.push((kind, stop));
        }
        workers
    }
}

/// The workers of one container. When dropped, they stop after the probe that they are at.
pub struct Workers {
    workers: Vec<(Kind, Arc<Notify>)>,
    again: Arc<Notify>,
}

impl Workers {
    /// Has readiness looked at now. The kubelet does so whenever it makes the status of a pod whose
    /// started container is not ready (`UpdatePodStatus`), which brings a pod up faster than its period.
    pub fn look_again(&self) {
        self.again.notify_one();
    }

    /// When the pod is to go, only readiness is probed on (`StopLivenessAndStartup`).
    pub fn only_readiness(&self) {
        for (kind, stop) in &self.workers {
            if *kind != Kind::Readiness {
                stop.notify_one();
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for (_, stop) in &self.workers {
            stop.notify_one();
        }
    }
}

struct Worker<E> {
    course: Course,
    probe: Probe,
    container: Container,
    pod: String,
    seen: watch::Receiver<Seen>,
    exec: Arc<E>,
    updates: mpsc::UnboundedSender<Update>,
}

impl<E: Exec> Worker<E> {
    /// Probes at once and then by the clock, which runs from when the pod was first seen. A probe that
    /// takes longer than the period has the next follow at once, as Go's ticker would.
    async fn run(mut self, stop: Arc<Notify>, again: Arc<Notify>) {
        let period = seconds(self.probe.period_seconds, 10).max(Duration::from_secs(1));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.reset();
        while self.once().await {
            tokio::select! {
                biased;
                () = stop.notified() => return,
                _ = ticks.tick() => {}
                () = again.notified() => ticks.reset(),
            }
        }
    }

    /// `doProbe`. Gives whether to go on.
    async fn once(&mut self) -> bool {
        let seen = self.seen.borrow().clone();
        // Tokio's clock, which tests can turn.
        let now = tokio::time::Instant::now().into_std();
        let (step, outcome) = self.course.step(&seen, now);
        self.tell(outcome.map(News::Outcome));
        match step {
            Step::Wait => return true,
            Step::Stop => return false,
            Step::Probe => {}
        }
        let target = Target {
            pod: self.pod.clone(),
            container: self.container.name.clone(),
            id: seen.id.unwrap_or_default(),
        };
        let ip = seen.pod_ip.unwrap_or_default();
        let container = &self.container;
        let attempted = attempt::attempt(&self.probe, container, &ip, &target, &*self.exec).await;
        let kind = self.course.kind();
        let (outcome, event) = attempt::judge(kind, attempted);
        self.tell(event.map(|(reason, message)| News::Event(reason, message)));
        // An error of the prober's own: the result is thrown away.
        if let Some(outcome) = outcome {
            let decided = self.course.outcome(outcome);
            self.tell(decided.map(News::Outcome));
        }
        true
    }

    fn tell(&self, news: Option<News>) {
        let (Some(news), Some(id)) = (news, self.course.id()) else {
            return;
        };
        // Nobody may listen any more.
        let _ = self.updates.send(Update {
            pod: self.pod.clone(),
            container: self.container.name.clone(),
            id: id.to_owned(),
            kind: self.course.kind(),
            news,
        });
    }
}

/// A number of seconds, or what the API server writes where there is none.
fn seconds(number: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(
        number
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(default),
    )
}
