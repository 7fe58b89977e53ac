//! One pod on its node: which container runs when, and how all of it ends. No client and no clock:
//! time is handed in, and what is due next is handed out.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use native_host::names::annotation;
use native_host_launcher::exit::Exit;

use super::container::{Container, Kind, State, seconds, timestamp};
use super::orders::{Real, RealPod};
use super::program::{Key, Knobs};

/// `immediateEvictionGracePeriodSeconds` (`eviction_manager.go`).
const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// The exit code that a runtime reports of what was gone when it came back.
const LOST: i32 = 255;

/// A pod on its node.
#[derive(Debug)]
pub struct Machine {
    pub key: Key,
    node: String,
    pub restart: Restart,
    pub host_network: bool,
    /// Init containers first, each kind in the pod's own order.
    pub containers: Vec<Container>,
    /// When the kubelet first saw it.
    pub start_time: Time,
    /// When the sandbox will be there.
    pub start_at: Option<Instant>,
    /// Whether the sandbox is there.
    pub sandbox: bool,
    /// Of this sandbox, or while there is none of the last one.
    pub ip: Option<String>,
    /// Whether a regular container ever started.
    pub initialized: bool,
    /// Since when it is evicted by the kubelet itself.
    pub evicted: Option<Time>,
    pub grace: Option<Duration>,
    /// Everything has ended, and nothing more will start.
    pub finished: bool,
    boot: u32,
    pub runs: u32,
    /// What is known of it where it really runs.
    pub real: Option<RealPod>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    Always,
    OnFailure,
    Never,
}

impl Machine {
    /// A pod that was just bound.
    pub fn new(pod: &Pod, knobs: &Knobs, now: Instant) -> Self {
        let spec = pod.spec.as_ref().unwrap();
        let init = spec.init_containers.iter().flatten().map(|container| {
            let kind = match container.restart_policy.as_deref() {
                Some("Always") => Kind::Sidecar,
                _ => Kind::Init,
            };
            Container::new(container, kind)
        });
        let main = spec.containers.iter();
        let main = main.map(|container| Container::new(container, Kind::Main));
        let node = spec.node_name.clone().unwrap();
        let mut containers: Vec<_> = init.chain(main).collect();
        for (index, container) in containers.iter_mut().enumerate() {
            container.index = index;
            container.real = knobs.settings.real.then(Real::default);
        }
        Self {
            key: key(pod),
            restart: match spec.restart_policy.as_deref() {
                Some("Never") => Restart::Never,
                Some("OnFailure") => Restart::OnFailure,
                _ => Restart::Always,
            },
            host_network: spec.host_network == Some(true),
            containers,
            start_time: timestamp(),
            start_at: Some(now + knobs.settings.start),
            sandbox: false,
            ip: None,
            initialized: false,
            evicted: None,
            grace: None,
            // A kubelet that starts leaves alone what has ended before.
            finished: phase_of(pod).is_some_and(is_terminal),
            boot: knobs.boots.get(&node).copied().unwrap_or_default(),
            node,
            runs: 0,
            real: knobs.settings.real.then(RealPod::default),
        }
    }

    /// Whether it is being stopped.
    pub fn terminating(&self) -> bool {
        self.grace.is_some()
    }

    /// Does everything that is due. Gives when the next thing is.
    pub fn advance(
        &mut self,
        pod: &Pod,
        knobs: &mut Knobs,
        new_ip: &mut dyn FnMut() -> String,
        now: Instant,
    ) -> Option<Instant> {
        if self.finished {
            return None;
        }
        self.befall(pod, knobs, now);
        self.terminate(pod, knobs, now);
        let mut next = self.tick(now);
        if !self.terminating() {
            next = earliest(next, self.run(pod, knobs, new_ip, now));
            if self.is_over() {
                // Only native sidecars can still run.
                self.stop(grace_of(pod), now);
                next = self.tick(now);
            }
        }
        next = earliest(next, self.advance_stops(now));
        if self.terminating() {
            let held = self.containers.iter().filter_map(|c| c.held_until).max();
            if let Some(held) = held.filter(|held| now < *held) {
                next = earliest(next, Some(held));
            } else {
                self.finished = !self.runs(|_| true) && self.is_removed();
            }
        }
        next
    }

    /// What a test made happen to it.
    fn befall(&mut self, pod: &Pod, knobs: &mut Knobs, now: Instant) {
        if knobs.evictions.remove(&self.key) {
            self.evicted = Some(timestamp());
        }
        for container in self.containers.iter_mut().filter(|c| c.runs()) {
            let (namespace, name) = self.key.clone();
            let key = (namespace, name, container.name.clone());
            if let Some(code) = knobs.exits.remove(&key) {
                container.crashes += 1;
                container.end(code, None, now);
            }
        }
        let boot = knobs.boots.get(&self.node).copied().unwrap_or_default();
        let rebooted = boot != self.boot;
        self.boot = boot;
        if rebooted {
            // Nobody waits for a preStop of before.
            for container in &mut self.containers {
                container.held_until = None;
            }
        }
        let lost = knobs.lost_sandboxes.remove(&self.key) || rebooted;
        if lost {
            self.forget_orders(now);
        }
        if lost && self.sandbox {
            self.lose_sandbox(knobs.settings.start, now);
        }
        if knobs.settings.launcher_follows && !self.terminating() {
            self.follow(pod, now);
        }
    }

    /// The launchers see the anchor's status, and end when it changes to another.
    fn follow(&mut self, pod: &Pod, now: Instant) {
        let Some(status) = anchor_status(pod) else {
            return;
        };
        for container in &mut self.containers {
            if !container.launcher || !container.runs() {
                continue;
            }
            match &container.saw {
                Some(saw) if saw == status => {}
                Some(_) => {
                    container.crashes += 1;
                    container.end(Exit::AnchorChanged as i32, None, now);
                }
                None => container.saw = Some(status.to_owned()),
            }
        }
    }

    /// Everything in the sandbox is gone. A new one follows, unless nothing may be started again
    /// (`runtimeutil.PodSandboxChanged` and `computePodActions`).
    fn lose_sandbox(&mut self, start: Duration, now: Instant) {
        for container in &mut self.containers {
            if container.runs() {
                container.end(LOST, None, now);
            }
        }
        if self.terminating() || self.restart == Restart::Never {
            return;
        }
        self.sandbox = false;
        self.start_at = Some(now + start);
        self.initialized = false;
        for container in &mut self.containers {
            let done = container.ended().is_some_and(|ended| ended.code == 0);
            let kept = container.kind == Kind::Main && done && self.restart != Restart::Always;
            container.again = container.ended().is_some() && !kept;
        }
    }

    /// Begins to stop it where somebody wants that. The grace period only ever shrinks
    /// (`calculateEffectiveGracePeriod`).
    fn terminate(&mut self, pod: &Pod, knobs: &Knobs, now: Instant) {
        let mut wanted = None;
        if pod.metadata.deletion_timestamp.is_some() {
            let grace = pod.metadata.deletion_grace_period_seconds;
            wanted = Some(grace.map_or_else(|| grace_of(pod), seconds));
        } else if phase_of(pod).is_some_and(is_terminal) {
            wanted = Some(grace_of(pod));
        }
        if self.evicted.is_some() {
            wanted = Some(wanted.map_or(EVICTION_GRACE, |grace| grace.min(EVICTION_GRACE)));
        }
        let Some(wanted) = wanted.map(|grace| grace.max(Duration::from_secs(1))) else {
            return;
        };
        match self.grace {
            None => self.stop(wanted, now),
            Some(grace) if wanted < grace && knobs.settings.shorter_grace_cuts => {
                self.stop(wanted, now);
            }
            Some(_) => {}
        }
    }

    /// Stops what runs: regular containers at once and together, then native sidecars from last to
    /// first (`newTerminationOrdering`).
    fn stop(&mut self, grace: Duration, now: Instant) {
        self.grace = Some(grace);
        for container in &mut self.containers {
            if let (State::Backoff(_), Some(last)) = (&container.state, &container.last) {
                container.state = State::Ended(last.clone());
            }
        }
        if self.real.is_some() {
            let orders = self.containers.iter_mut();
            let orders: Vec<_> = orders.filter_map(|c| c.begin_stop(grace, now)).collect();
            for order in orders {
                self.order(Some(order));
            }
            return;
        }
        let mut turn = now;
        for container in self
            .containers
            .iter_mut()
            .filter(|c| c.kind != Kind::Sidecar)
        {
            turn = turn.max(container.stop(grace, None, now));
        }
        let sidecars = self.containers.iter_mut().rev();
        for container in sidecars.filter(|c| c.kind == Kind::Sidecar) {
            turn = container.stop(grace, Some(turn), now).max(turn);
        }
    }

    /// Ends what is due.
    fn tick(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for container in &mut self.containers {
            let (before, stopping) = (container.runs(), self.grace.is_some());
            next = earliest(next, container.advance(now));
            if before && !container.runs() && !stopping {
                container.crashes += 1;
            }
        }
        next
    }
}

/// A pod's namespace and name.
pub fn key(pod: &Pod) -> Key {
    let metadata = &pod.metadata;
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

/// The anchor's status as the launcher's volume has it.
pub fn anchor_status(pod: &Pod) -> Option<&str> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations
        .get(annotation::ANCHOR_STATUS)
        .map(String::as_str)
}

/// The phase that the API server has.
pub fn phase_of(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// Whether a phase is a last one.
pub fn is_terminal(phase: &str) -> bool {
    phase == "Succeeded" || phase == "Failed"
}

/// The earlier of two, where there are any.
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// The pod's own grace period.
pub fn grace_of(pod: &Pod) -> Duration {
    let spec = pod.spec.as_ref();
    seconds(
        spec.and_then(|s| s.termination_grace_period_seconds)
            .unwrap_or(30),
    )
}
