//! One pod's task: what it is told and what it makes of that.
//!
//! - `sandbox`: the volumes and the network, before any container.
//! - `hooks`: preStop.

mod hooks;
mod sandbox;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::container::{Ask, Event};
use crate::env::Facts;
use crate::pods::Node;
use crate::probes::{News, Results, Seen, State, Update, Workers};
use crate::start;
use crate::support::kubelet::orders::{Order, Report, Reports};

/// How often the kubelet looks at a pod's volumes again (`--sync-frequency`).
const SYNC: Duration = Duration::from_secs(60);

/// What a pod's task is told.
pub enum Message {
    /// By the kubelet's rules.
    Order(Order),
    /// The pod as the API server has it.
    Update(Arc<Pod>),
    /// The API server was told the pod's status.
    Said,
    /// By a probe.
    Probe(Update),
    /// By a run of a container.
    Container(usize, String, Event),
    /// The sandbox is up, with this address.
    Sandbox(Option<String>),
    /// The pod is gone.
    Forget,
}

/// The task.
pub struct Task {
    node: Arc<Node>,
    pod: Arc<Pod>,
    uid: String,
    reports: Reports,
    me: UnboundedSender<Message>,
    results: Results,
    slots: Vec<Slot>,
    ip: Option<String>,
    sandbox: Option<JoinHandle<()>>,
    /// A pod's volumes are made by one at a time.
    volumes: Arc<tokio::sync::Mutex<()>>,
}

/// One of its containers.
struct Slot {
    spec: Container,
    run: Option<String>,
    asks: Option<UnboundedSender<Ask>>,
    seen: watch::Sender<Seen>,
    workers: Option<Workers>,
}

impl Task {
    /// Of a pod that was just bound.
    pub fn new(
        node: Arc<Node>,
        pod: Arc<Pod>,
        reports: Reports,
        me: UnboundedSender<Message>,
    ) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let init = spec.init_containers.unwrap_or_default();
        let count = init.len();
        let all = init.into_iter().chain(spec.containers);
        let slots = all.enumerate().map(|(index, spec)| {
            let (seen, receiver) = watch::channel(Seen::default());
            let probed = index >= count || spec.restart_policy.as_deref() == Some("Always");
            Slot {
                workers: probed.then(|| node.prober.add(&pod, &spec, &receiver)),
                spec,
                run: None,
                asks: None,
                seen,
            }
        });
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            slots: slots.collect(),
            node,
            pod,
            reports,
            me,
            results: Results::default(),
            ip: None,
            sandbox: None,
            volumes: Arc::default(),
        }
    }

    /// Works until the pod is gone.
    pub async fn work(mut self, mut messages: UnboundedReceiver<Message>) {
        let mut again = tokio::time::interval(SYNC);
        again.reset();
        loop {
            let message = tokio::select! {
                message = messages.recv() => message,
                _ = again.tick() => {
                    self.sync_volumes();
                    continue;
                }
            };
            match message {
                None | Some(Message::Forget) => break,
                Some(Message::Order(order)) => self.carry_out(order),
                Some(Message::Update(pod)) => self.update(pod),
                Some(Message::Said) => self.look_again(),
                Some(Message::Probe(update)) => self.probed(&update),
                Some(Message::Container(index, id, event)) => self.happened(index, id, event),
                Some(Message::Sandbox(ip)) => {
                    self.ip.clone_from(&ip);
                    self.sandbox = None;
                    self.node.timings.sandbox(&self.uid);
                    self.report(Report::Sandbox { ip });
                }
            }
        }
        self.lose();
        self.remove();
        self.node.events.forget(&self.uid);
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Sandbox => self.make_sandbox(),
            Order::Start {
                container,
                id,
                restarts,
            } => self.start(container, id, restarts),
            Order::Hook { container, id, .. } => self.hook(container, id),
            Order::Stop {
                container,
                id,
                grace,
            } => {
                let slot = &self.slots[container];
                if slot.run.as_ref() == Some(&id)
                    && let Some(asks) = &slot.asks
                {
                    let name = &slot.spec.name;
                    self.say(
                        Some(name),
                        "Normal",
                        "Killing",
                        format!("Stopping container {name}"),
                    );
                    let _ = asks.send(Ask::Stop(grace));
                }
            }
            Order::Lost => self.lose(),
            Order::Remove => {
                self.remove();
                self.report(Report::Removed);
            }
        }
    }

    fn start(&mut self, index: usize, id: String, restarts: i32) {
        let slot = &mut self.slots[index];
        let (asks, asked) = mpsc::unbounded_channel();
        slot.run = Some(id.clone());
        slot.asks = Some(asks.clone());
        let name = slot.spec.name.clone();
        let facts = Facts {
            host_ips: vec![self.node.network.node_ip()],
            pod_ips: vec![
                self.ip
                    .clone()
                    .unwrap_or_else(|| self.node.network.node_ip()),
            ],
            allocatable: self.node.allocatable.clone(),
        };
        let line = start::is_host_process(&self.pod, &slot.spec).then_some(start::line as _);
        self.node.running.add(&self.uid, &name, &id, asks, line);
        self.node.timings.start(&self.uid, &name);
        let start = start::Start {
            node: Arc::clone(&self.node),
            pod: Arc::clone(&self.pod),
            container: slot.spec.clone(),
            facts,
            restarts,
            asks: asked,
        };
        let me = self.me.clone();
        tokio::spawn(start.start(move |event| {
            let _ = me.send(Message::Container(index, id.clone(), event));
        }));
    }

    fn happened(&mut self, index: usize, id: String, event: Event) {
        let (uid, ip) = (self.uid.clone(), self.ip.clone());
        let slot = &mut self.slots[index];
        if slot.run.as_ref() != Some(&id) {
            return;
        }
        let name = slot.spec.name.clone();
        let report = match event {
            Event::Started => {
                let started = self.results.started(&slot.spec, &id);
                let terminating = self.pod.metadata.deletion_timestamp.is_some();
                slot.seen.send_replace(Seen {
                    id: Some(id.clone()),
                    state: State::Running(Instant::now()),
                    started,
                    pod_ip: Some(ip.unwrap_or_else(|| self.node.network.node_ip())),
                    terminating,
                    over: false,
                });
                if let Some(workers) = &slot.workers {
                    workers.look_again();
                }
                self.node.timings.started(&uid, &name);
                self.say(
                    Some(&name),
                    "Normal",
                    "Started",
                    format!("Started container {name}"),
                );
                Report::Started {
                    container: index,
                    id,
                }
            }
            Event::Refused(reason, message) => {
                slot.run = None;
                slot.asks = None;
                self.node.running.remove(&uid, &name, &id);
                let reason = reason.to_owned();
                self.say(
                    Some(&name),
                    "Warning",
                    "Failed",
                    format!("Error: {message}"),
                );
                Report::Refused {
                    container: index,
                    id,
                    reason,
                    message,
                }
            }
            Event::Ended { code, words } => {
                slot.run = None;
                slot.asks = None;
                slot.seen
                    .send_modify(|seen| seen.state = State::Terminated { again: true });
                self.node.running.remove(&uid, &name, &id);
                self.results.forget(&id);
                self.node.timings.ended(&uid, &name, code);
                let policy = slot.spec.termination_message_policy.as_deref();
                // The API server knows no empty message.
                let wanted =
                    |words: &String| policy == Some("FallbackToLogsOnError") && !words.is_empty();
                let message = words.filter(wanted);
                Report::Ended {
                    container: index,
                    id,
                    code,
                    message,
                }
            }
        };
        self.report(report);
    }

    /// What a probe has found.
    fn probed(&mut self, update: &Update) {
        let mut slots = self.slots.iter().enumerate();
        let Some((index, slot)) = slots.find(|(_, slot)| slot.spec.name == update.container) else {
            return;
        };
        if slot.run.as_ref() != Some(&update.id) {
            return;
        }
        if let News::Event(reason, message) = &update.news {
            return self.say(Some(&update.container), "Warning", reason, message.clone());
        }
        if !self.results.take(update) {
            return;
        }
        let started = self.results.started(&slot.spec, &update.id);
        slot.seen
            .send_if_modified(|seen| std::mem::replace(&mut seen.started, started) != started);
        let passed = self.results.ready(&slot.spec, &update.id);
        let (container, id) = (index, update.id.clone());
        self.report(Report::Probed {
            container,
            id: id.clone(),
            started: Some(started),
            ready: Some(passed),
        });
        if let Some(killing) = self.results.to_be_killed(&slot.spec, &id) {
            self.say(
                Some(&update.container),
                "Normal",
                "Killing",
                format!("{killing}, will be restarted"),
            );
            let grace = own_grace(update.kind.of(&slot.spec));
            self.report(Report::Unhealthy {
                container,
                id,
                grace,
            });
        }
    }

    /// The pod has changed. What its volumes show of it are labels and annotations.
    fn update(&mut self, pod: Arc<Pod>) {
        let old = std::mem::replace(&mut self.pod, pod);
        let (old, new) = (&old.metadata, &self.pod.metadata);
        let changed = old.annotations != new.annotations || old.labels != new.labels;
        if new.deletion_timestamp.is_some() && old.deletion_timestamp.is_none() {
            for slot in &self.slots {
                slot.seen.send_modify(|seen| seen.terminating = true);
                if let Some(workers) = &slot.workers {
                    workers.only_readiness();
                }
            }
        }
        if changed {
            self.sync_volumes();
        }
    }

    fn sync_volumes(&self) {
        // Before that, the sandbox's task makes them, of the pod as it was then.
        let (node, pod) = (Arc::clone(&self.node), Arc::clone(&self.pod));
        let volumes = Arc::clone(&self.volumes);
        tokio::spawn(async move {
            let _one = volumes.lock().await;
            for failure in node.volumes.sync(&pod).await.failures {
                node.events
                    .say(&pod, None, "Warning", "FailedMount", failure);
            }
        });
    }

    /// The kubelet makes a pod's status anew with every sync, and then has what is not ready probed at
    /// once (`UpdatePodStatus`).
    fn look_again(&self) {
        for slot in &self.slots {
            let seen = slot.seen.borrow();
            if let (Some(workers), Some(id), State::Running(_)) =
                (&slot.workers, &seen.id, seen.state)
                && seen.started
                && !self.results.ready(&slot.spec, id)
            {
                workers.look_again();
            }
        }
    }

    /// Everything in the sandbox ends, and is not spoken of.
    fn lose(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            sandbox.abort();
        }
        for slot in &mut self.slots {
            if let (Some(id), Some(asks)) = (slot.run.take(), slot.asks.take()) {
                let _ = asks.send(Ask::End);
                self.node.running.remove(&self.uid, &slot.spec.name, &id);
                self.results.forget(&id);
            }
            slot.seen
                .send_modify(|seen| seen.state = State::Terminated { again: true });
        }
        self.detach();
    }

    /// Nothing runs any more: sandbox and volumes go.
    fn remove(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            sandbox.abort();
        }
        self.detach();
        if let Err(error) = self.node.volumes.remove(&self.uid) {
            eprintln!("windows-node: volumes of {}: {error}", self.uid);
        }
    }

    fn detach(&self) {
        if let Err(error) = self.node.network.detach(&self.uid) {
            eprintln!("windows-node: the endpoint of {}: {error}", self.uid);
        }
    }

    fn report(&self, report: Report) {
        // A kubelet that has stopped hears nothing.
        let _ = self.reports.send(report);
    }

    fn say(&self, container: Option<&str>, kind: &'static str, reason: &str, message: String) {
        self.node
            .events
            .say(&self.pod, container, kind, reason, message);
    }
}

/// A probe may have a grace period of its own.
fn own_grace(probe: Option<&Probe>) -> Option<Duration> {
    let seconds = probe?.termination_grace_period_seconds?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}
