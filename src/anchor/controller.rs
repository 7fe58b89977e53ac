//! The controller: two watches, an election, and workers while this instance leads.
//!
//! The watches run in every instance, so that a new leader begins with what it knows and need not
//! list the cluster first.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::watcher::Event;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::audit::Auditor;
use super::events::Events;
use super::index::{Index, Side};
use super::leadership::{Election, Fence, SharedFence};
use super::limits::{Bucket, Patience};
use super::metrics::Metrics;
use super::misses::Finder;
use super::queue::Queue;
use super::rules::Rules;
use super::slim::SlimPod;
use super::worker::Worker;
use super::writer::Writer;
use crate::cluster::follow::{Sink, everything, follow};
use crate::external::controller::External;
use crate::names::label;
use crate::policy::Policy;

/// How many pairs are worked on at a time.
pub const WORKERS: usize = 16;
/// How many HP pods may be replaced at once because their anchors were lost.
const REPLACE_BURST: u32 = 10;

/// What the controller is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the leader is found.
    pub election: Election,
    /// The numbers of a pair's life.
    pub rules: Rules,
    /// The time between two replacements, after a first few.
    pub replace_interval: Duration,
    /// The time between two looks for what misses anchors.
    pub misses_interval: Duration,
    /// The time between two audits of the cluster.
    pub audit_interval: Duration,
    /// What holds where a Namespace says nothing.
    pub flags: Arc<Policy>,
}

/// See the module.
#[derive(Debug)]
pub struct Controller {
    settings: Settings,
    index: Arc<Index>,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    external: Arc<External>,
}

/// A watch's events on their way to the index.
struct Watched {
    side: Side,
    index: Arc<Index>,
    metrics: Arc<Metrics>,
}

impl Sink<SlimPod> for Watched {
    fn take(&mut self, event: Event<SlimPod>) {
        self.index.take(self.side, event);
    }

    fn failed(&mut self) {
        self.metrics.watch_errors.inc();
    }
}

impl Controller {
    /// Does nothing until it is run.
    pub fn new(settings: Settings, metrics: Arc<Metrics>, external: Arc<External>) -> Self {
        let queue = Arc::new(Queue::default());
        Controller {
            settings,
            index: Arc::new(Index::new(Arc::clone(&queue), Arc::clone(&metrics))),
            queue,
            metrics,
            external,
        }
    }

    /// Becomes true once both watches have shown all there is.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.index.synced()
    }

    /// Runs until told to stop, and gives leadership back.
    pub async fn run(self, client: Client, mut stop: watch::Receiver<bool>) {
        let fence = Arc::new(Fence::shut());
        let (leads, mut leading) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(self.follow(&client, Side::Hp));
        tasks.spawn(self.follow(&client, Side::Anchor));
        self.external.follow(&client, &mut tasks);
        let election = {
            let (fence, client, stop) = (Arc::clone(&fence), client.clone(), stop.clone());
            let election = self.settings.election.clone();
            tokio::spawn(async move { election.run(client, &fence, leads, stop).await })
        };
        // It remembers what was said beyond a term: a renewal that comes late ends one for a moment.
        let events = self.events(&client, &fence);
        // With a rate of its own: addresses that come and go must not keep pairs from being spoken of.
        let external = self.events(&client, &fence);
        let mut synced = self.index.synced();
        loop {
            let turn = async {
                leading.wait_for(|leads| *leads).await.ok()?;
                synced.wait_for(|synced| *synced).await.ok()?;
                self.lead(&client, &fence, [&events, &external], &mut leading)
                    .await;
                Some(())
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                led = turn => if led.is_none() { break },
            }
        }
        self.metrics.leader.set(0);
        // It gives the Lease back; the watches just end.
        let _ = election.await;
    }

    fn events(&self, client: &Client, fence: &SharedFence) -> Arc<Events> {
        let identity = self.settings.election.identity.clone();
        let (fence, metrics) = (Arc::clone(fence), Arc::clone(&self.metrics));
        Arc::new(Events::start(client.clone(), identity, fence, metrics))
    }

    fn follow(&self, client: &Client, side: Side) -> impl Future<Output = ()> + Send + 'static {
        let api: Api<SlimPod> = Api::all(client.clone());
        let (what, config) = match side {
            // A pod that is bound to no node has no anchor yet.
            Side::Hp => (
                "pods",
                everything()
                    .labels(label::WORKLOAD)
                    .fields("spec.nodeName!="),
            ),
            Side::Anchor => (
                "anchors",
                everything().labels(&format!("{}={}", label::ROLE, label::ROLE_ANCHOR)),
            ),
        };
        let sink = Watched {
            side,
            index: Arc::clone(&self.index),
            metrics: Arc::clone(&self.metrics),
        };
        follow(what, api, config, sink)
    }

    /// Works until this instance leads no longer.
    async fn lead(
        &self,
        client: &Client,
        fence: &SharedFence,
        [events, external]: [&Arc<Events>; 2],
        leading: &mut watch::Receiver<bool>,
    ) {
        tracing::info!("leading");
        self.metrics.leader.set(1);
        let worker = Arc::new(Worker {
            index: Arc::clone(&self.index),
            queue: Arc::clone(&self.queue),
            writer: Writer::new(client.clone(), Arc::clone(fence), Arc::clone(&self.metrics)),
            events: Arc::clone(events),
            rules: self.settings.rules,
            replacing: Bucket::new(REPLACE_BURST, self.settings.replace_interval),
            patience: Patience::default(),
            metrics: Arc::clone(&self.metrics),
        });
        self.queue.open();
        self.index.enqueue_all();
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let worker = Arc::clone(&worker);
            workers.spawn(async move { worker.work().await });
        }
        let auditor = Auditor::new(
            client.clone(),
            Arc::clone(events),
            Arc::clone(&self.metrics),
            Arc::clone(&self.settings.flags),
            self.settings.audit_interval,
        );
        let finder = Finder::new(
            client.clone(),
            Arc::clone(events),
            Arc::clone(&self.metrics),
            self.index.newcomers(),
            self.settings.misses_interval,
        );
        workers.spawn(finder.run());
        workers.spawn(auditor.run());
        workers.spawn(Arc::clone(&self.external).lead(
            client.clone(),
            Arc::clone(fence),
            Arc::clone(external),
            Arc::clone(&self.metrics),
        ));
        let _ = leading.wait_for(|leads| !*leads).await;
        // Before the workers have ended: they may take a moment, and the fence is shut already.
        self.metrics.leader.set(0);
        tracing::warn!("leading no longer");
        workers.shutdown().await;
        self.queue.close();
        self.index.forget_states();
    }
}
