//! Pods whose containers really run: what a pod's machine has a runtime do, and what it hears of it.
//!
//! ```text
//!             Order: sandbox, start, hook, stop, remove
//!   machine --------------------------------------------> runtime (tests/windows-node)
//!           <--------------------------------------------
//!             Report: up, started, probed, ended, removed
//! ```
//!
//! The rules are those of the scripted pods; only that nothing is known in advance: a container has
//! ended when the runtime says so, and is ready when its probes say so.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::sync::mpsc::UnboundedSender;

use super::container::{Container, Kind, LEAST_STOP, PreStop, State};
use super::machine::{Machine, earliest, grace_of};

/// `backOffPeriod` (`kubelet.go`): until a sync that failed is tried again.
const SYNC_AGAIN: Duration = Duration::from_secs(10);

/// What a runtime is to do. Containers are meant by their place, init containers first, and by the
/// run's ID, so that what is said of an earlier run is not taken for the present one.
#[derive(Debug, Clone)]
pub enum Order {
    /// To make volumes and the sandbox, with its address.
    Sandbox,
    /// To start a container.
    Start {
        /// Which.
        container: usize,
        /// What this run of it is called.
        id: String,
        /// How often it was started before.
        restarts: i32,
    },
    /// To run the preStop that is a command or a request; at most for so long is waited for it.
    Hook {
        /// Which.
        container: usize,
        /// Its run.
        id: String,
        /// What is left of the grace period.
        grace: Duration,
    },
    /// `StopContainer` of the CRI: the signal, and the kill after so long.
    Stop {
        /// Which.
        container: usize,
        /// Its run.
        id: String,
        /// What is left of the grace period.
        grace: Duration,
    },
    /// The sandbox is lost: whatever still runs in it ends now, and nothing is reported of that.
    Lost,
    /// Everything has ended: the sandbox and the volumes go.
    Remove,
}

/// What a runtime says.
#[derive(Debug, Clone)]
pub enum Report {
    /// The sandbox is there; where it is not on the host's network, with this address.
    Sandbox {
        /// The pod's IP.
        ip: Option<String>,
    },
    /// The container runs.
    Started {
        /// Which.
        container: usize,
        /// Its run.
        id: String,
    },
    /// It could not be made (`CreateContainerConfigError` and others).
    Refused {
        /// Which.
        container: usize,
        /// The run that did not come about.
        id: String,
        /// For the status.
        reason: String,
        /// Why.
        message: String,
    },
    /// What its startup and readiness probes say now.
    Probed {
        /// Which.
        container: usize,
        /// Its run.
        id: String,
        /// Whether it has started, if that was probed.
        started: Option<bool>,
        /// Whether it is ready, if that was probed.
        ready: Option<bool>,
    },
    /// Its liveness or startup probe has failed for good.
    Unhealthy {
        /// Which.
        container: usize,
        /// Its run.
        id: String,
        /// The probe's own `terminationGracePeriodSeconds`.
        grace: Option<Duration>,
    },
    /// The preStop is over.
    Hooked {
        /// Which.
        container: usize,
        /// Its run.
        id: String,
    },
    /// The container has ended.
    Ended {
        /// Which.
        container: usize,
        /// Its run.
        id: String,
        /// The exit code.
        code: i32,
        /// The termination message.
        message: Option<String>,
    },
    /// After [`Order::Remove`].
    Removed,
}

/// Where a runtime says it.
pub type Reports = UnboundedSender<Report>;

/// What really runs pods. Its methods do not block.
pub trait Runtime: Send + Sync {
    /// Sets about an order. All orders of a pod come from one place, in their order.
    fn carry_out(&self, pod: &Arc<Pod>, order: Order, reports: &Reports);
    /// The pod as the API server has it now.
    fn update(&self, pod: &Arc<Pod>);
    /// The API server was told this of the pod.
    fn said(&self, pod: &Pod, status: &PodStatus);
    /// The pod is gone from the API server; whatever is left of it ends.
    fn forget(&self, uid: &str);
}

impl fmt::Debug for dyn Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

/// What is known of a container that really runs.
#[derive(Debug, Default)]
pub struct Real {
    /// The run that was ordered and is neither there nor refused.
    pub ordered: Option<String>,
    /// When a refused one is tried again.
    pub again_at: Option<Instant>,
    /// Why it was refused.
    pub message: Option<String>,
    /// Whether its startup probe has passed.
    pub started: bool,
    /// Whether its readiness probe passes.
    pub ready: bool,
    /// How far its stop has got.
    pub stop: Option<Stop>,
}

/// A stop under way.
#[derive(Debug)]
pub struct Stop {
    /// When the grace period is over.
    until: Instant,
    /// Whether the runtime was told.
    ordered: bool,
}

/// What is known of a pod that really runs.
#[derive(Debug, Default)]
pub struct RealPod {
    /// What the runtime is to be told.
    pub orders: Vec<Order>,
    /// Whether the sandbox was ordered.
    pub sandbox_ordered: bool,
    /// Whether its end was.
    remove_ordered: bool,
    /// Whether it has come.
    removed: bool,
}

impl Machine {
    /// Takes in what the runtime says.
    pub fn hear(&mut self, report: Report, pod: &Pod, now: Instant) {
        let terminating = self.terminating();
        let grace = self.grace.unwrap_or_else(|| grace_of(pod));
        match report {
            Report::Sandbox { ip } => {
                self.sandbox = true;
                self.ip = ip;
            }
            Report::Removed => {
                if let Some(real) = &mut self.real {
                    real.removed = true;
                }
            }
            Report::Started { container, id } => {
                let Some(container) = self.ordered(container, &id) else {
                    return;
                };
                let program = container.program.clone();
                container.start(program, id, now);
                if terminating {
                    let order = container.begin_stop(grace, now);
                    self.order(order);
                }
            }
            Report::Refused {
                container,
                id,
                reason,
                message,
            } => {
                if let Some(container) = self.ordered(container, &id) {
                    container.state = State::Waiting(Some(reason));
                    if let Some(real) = &mut container.real {
                        real.ordered = None;
                        real.message = Some(message);
                        real.again_at = Some(now + SYNC_AGAIN);
                    }
                }
            }
            Report::Probed {
                container,
                id,
                started,
                ready,
            } => {
                if let Some(real) = self.run_of(container, &id).and_then(|c| c.real.as_mut()) {
                    real.started = started.unwrap_or(real.started);
                    real.ready = ready.unwrap_or(real.ready);
                }
            }
            Report::Unhealthy {
                container,
                id,
                grace: own,
            } => {
                if let Some(container) = self.run_of(container, &id)
                    && matches!(container.state, State::Running { .. })
                {
                    let order = container.begin_stop(own.unwrap_or(grace), now);
                    self.order(order);
                }
            }
            Report::Hooked { container, id } => {
                let container = self.containers.get_mut(container);
                if let Some(container) = container.filter(|c| c.id.as_ref() == Some(&id)) {
                    container.held_until = None;
                }
            }
            Report::Ended {
                container,
                id,
                code,
                message,
            } => {
                if let Some(container) = self.run_of(container, &id) {
                    container.crashes += u32::from(!terminating);
                    container.end(code, None, now);
                    if let State::Ended(ended) = &mut container.state {
                        ended.message = message;
                    }
                    if let Some(real) = &mut container.real {
                        real.stop = None;
                    }
                }
            }
        }
    }

    /// What the runtime is to be told now.
    pub fn take_orders(&mut self) -> Vec<Order> {
        let real = self.real.as_mut();
        real.map(|real| std::mem::take(&mut real.orders))
            .unwrap_or_default()
    }

    /// The sandbox is gone, or may be: nothing that was ordered comes about.
    pub fn forget_orders(&mut self, now: Instant) {
        let Some(real) = &mut self.real else { return };
        real.sandbox_ordered = false;
        real.remove_ordered = false;
        real.orders = vec![Order::Lost];
        for container in &mut self.containers {
            container.held_until = None;
            if let Some(real) = &mut container.real {
                real.ordered = None;
                real.stop = None;
                real.again_at = real.again_at.map(|_| now);
            }
        }
    }

    /// Orders the sandbox, once.
    pub fn order_sandbox(&mut self) {
        if let Some(real) = &mut self.real
            && !std::mem::replace(&mut real.sandbox_ordered, true)
        {
            real.orders.push(Order::Sandbox);
        }
    }

    /// Whether all of it is gone, the sandbox included, which is ordered to go once nothing runs.
    pub fn is_removed(&mut self) -> bool {
        let Some(real) = &mut self.real else {
            return true;
        };
        if !std::mem::replace(&mut real.remove_ordered, true) {
            real.orders.push(Order::Remove);
        }
        real.removed
    }

    /// Adds one to what the runtime is told.
    pub fn order(&mut self, order: Option<Order>) {
        if let Some(real) = &mut self.real {
            real.orders.extend(order);
        }
    }

    /// Orders what the stops under way have come to: a container is signalled once its preStop is over
    /// and, where it is a native sidecar, once what goes before it has ended (`newTerminationOrdering`),
    /// at the latest when the grace period is over. Gives when more is due.
    pub fn advance_stops(&mut self, now: Instant) -> Option<Instant> {
        self.real.as_ref()?;
        let mut next = None;
        let mut orders = Vec::new();
        // From the last sidecar to the first, after all others.
        let mut before_have_ended = !self.runs(|kind| kind != Kind::Sidecar);
        for (index, container) in self.containers.iter_mut().enumerate().rev() {
            let turn = container.kind != Kind::Sidecar || before_have_ended;
            let runs = container.runs();
            if container.kind == Kind::Sidecar {
                before_have_ended &= !runs;
            }
            let (held, id) = (container.held_until, container.id.clone());
            let Some(stop) = container.real.as_mut().and_then(|real| real.stop.as_mut()) else {
                continue;
            };
            if !runs || stop.ordered {
                continue;
            }
            let hook = held.filter(|held| now < *held);
            if now < stop.until && (hook.is_some() || !turn) {
                next = earliest(next, Some(hook.unwrap_or(stop.until)));
                continue;
            }
            stop.ordered = true;
            orders.push(Order::Stop {
                container: index,
                id: id.unwrap_or_default(),
                grace: stop.until.saturating_duration_since(now).max(LEAST_STOP),
            });
        }
        for order in orders {
            self.order(Some(order));
        }
        next
    }

    /// Whether a container of such a kind runs, or is about to.
    pub fn runs(&self, which: impl Fn(Kind) -> bool) -> bool {
        let mut containers = self.containers.iter();
        containers.any(|container| {
            let ordered = container.real.as_ref().is_some_and(|r| r.ordered.is_some());
            which(container.kind) && (container.runs() || ordered)
        })
    }

    /// The container, if this run of it was ordered and is awaited.
    fn ordered(&mut self, index: usize, id: &str) -> Option<&mut Container> {
        let container = self.containers.get_mut(index)?;
        let ordered = container.real.as_ref()?.ordered.as_deref() == Some(id);
        ordered.then_some(container)
    }

    /// The container, if this run of it goes on.
    fn run_of(&mut self, index: usize, id: &str) -> Option<&mut Container> {
        let container = self.containers.get_mut(index)?;
        let same = container.runs() && container.id.as_deref() == Some(id);
        same.then_some(container)
    }
}

impl Container {
    /// Begins to stop it, as `killContainer` (`kuberuntime_container.go`) does: the preStop first. What
    /// follows is [`Machine::advance_stops`]'s.
    pub fn begin_stop(&mut self, grace: Duration, now: Instant) -> Option<Order> {
        let State::Running { since, started, .. } = &self.state else {
            return None;
        };
        self.state = State::Stopping {
            since: *since,
            started: started.clone(),
            // The runtime says when, and how.
            ends: now,
            code: 0,
        };
        let index = self.index;
        let id = self.id.clone().unwrap_or_default();
        if let Some(real) = &mut self.real {
            real.stop = Some(Stop {
                until: now + grace,
                ordered: false,
            });
        }
        self.held_until = match self.pre_stop {
            PreStop::None => None,
            PreStop::Sleep(sleep) => Some(now + sleep.min(grace)),
            PreStop::Hook => Some(now + grace),
        };
        matches!(self.pre_stop, PreStop::Hook).then_some(Order::Hook {
            container: index,
            id,
            grace,
        })
    }
}
