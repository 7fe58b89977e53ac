//! What starts in a pod, and starts again: the order of its containers and the restart policy.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;

use super::container::{Kind, State};
use super::machine::{Machine, Restart, earliest};
use super::orders::Order;
use super::program::Knobs;

impl Machine {
    /// Starts what may start.
    pub fn run(
        &mut self,
        pod: &Pod,
        knobs: &Knobs,
        new_ip: &mut dyn FnMut() -> String,
        now: Instant,
    ) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        if !self.sandbox {
            if let Some(at) = self.start_at.filter(|at| now < *at) {
                return Some(at);
            }
            if self.real.is_some() {
                self.order_sandbox();
                return None;
            }
            self.sandbox = true;
            self.ip = Some(new_ip());
        }
        let mut next = None;
        for index in 0..self.containers.len() {
            let kind = self.containers[index].kind;
            if kind == Kind::Init && self.initialized {
                continue;
            }
            let due = self.start_one(index, pod, knobs, now);
            next = earliest(next, due);
            let container = &self.containers[index];
            // What follows waits for it.
            let passed = match kind {
                Kind::Init => container.ended().is_some_and(|e| e.code == 0) && !container.again,
                Kind::Sidecar => {
                    let (started, at) = container.started(now);
                    next = earliest(next, at);
                    started || self.initialized
                }
                Kind::Main => {
                    self.initialized |= container.runs();
                    true
                }
            };
            if !passed {
                break;
            }
        }
        next
    }

    /// Starts one, again where its end and the restart policy have it so. Gives when it, or its
    /// restart, is due.
    fn start_one(
        &mut self,
        index: usize,
        pod: &Pod,
        knobs: &Knobs,
        now: Instant,
    ) -> Option<Instant> {
        let restarts = self.restarts(index);
        let settings = &knobs.settings;
        let container = &mut self.containers[index];
        if container.real.as_ref().is_some_and(|r| r.ordered.is_some()) {
            return None;
        }
        let refused = container.real.as_ref().and_then(|real| real.again_at);
        let due = match &container.state {
            State::Running { .. } | State::Stopping { .. } => return None,
            State::Waiting(Some(_)) if refused.is_some() => refused.unwrap_or(now),
            State::Waiting(_) => now,
            State::Backoff(until) => *until,
            State::Ended(_) if container.again => now,
            State::Ended(_) if !restarts => return None,
            State::Ended(ended) if container.crashes <= 1 => ended.at + settings.start,
            State::Ended(ended) => {
                let factor = 2_u32.saturating_pow(container.crashes - 2);
                let wait = settings.crash_backoff.saturating_mul(factor);
                let until = ended.at + wait.min(settings.crash_backoff_limit);
                container.last = Some(ended.clone());
                container.state = State::Backoff(until);
                until
            }
        };
        if now < due {
            return Some(due);
        }
        if let Some(reason) = knobs.refusal(&self.key)
            && container.id.is_none()
        {
            container.state = State::Waiting(Some(reason.to_owned()));
            return None;
        }
        self.runs += 1;
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let id = format!("containerd://{}{:08x}", uid.replace('-', ""), self.runs);
        if let Some(real) = &mut container.real {
            real.ordered = Some(id.clone());
            let restarts = container.restarts
                + i32::from(container.last.is_some() || container.ended().is_some());
            self.order(Some(Order::Start {
                container: index,
                id,
                restarts,
            }));
            return None;
        }
        let program = knobs.program(pod, &container.name, container.kind == Kind::Init);
        container.start(program, id, now);
        container.advance(now)
    }

    /// Whether a container that has ended is started again (`ContainerShouldRestart`).
    pub fn restarts(&self, index: usize) -> bool {
        let container = &self.containers[index];
        let failed = match &container.state {
            State::Ended(ended) => ended.code != 0,
            _ => container.last.as_ref().is_some_and(|last| last.code != 0),
        };
        match (container.kind, self.restart) {
            (Kind::Sidecar, _) | (Kind::Main, Restart::Always) => true,
            (Kind::Init, Restart::Always) | (_, Restart::OnFailure) => failed,
            (_, Restart::Never) => false,
        }
    }

    /// Whether nothing regular runs or will run again.
    pub fn is_over(&self) -> bool {
        let mut each = self.containers.iter().enumerate();
        let failed = each.any(|(index, container)| {
            container.kind == Kind::Init
                && container.ended().is_some_and(|ended| ended.code != 0)
                && !self.restarts(index)
        });
        let mut main = self.containers.iter().enumerate();
        let done = main.all(|(index, container)| {
            container.kind != Kind::Main || (container.ended().is_some() && !self.restarts(index))
        });
        failed || done
    }
}
