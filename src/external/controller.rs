//! What runs when: watches in every instance, workers and probes on the leader.
//!
//! The watch of external Services and that of our slices cost next to nothing. Nodes and namespaces are
//! watched only once there is an external Service.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use tokio::task::JoinSet;

use super::board::Board;
use super::index::Index;
use super::metrics::Metrics;
use super::node::SlimNode;
use super::probe::Prober;
use super::prober::Probes;
use super::ranges::{self, Ranges};
use super::worker::{Shares, Worker};
use super::writer::Writer;
use crate::anchor::events::Events;
use crate::anchor::leadership::SharedFence;
use crate::anchor::metrics as pairs;
use crate::anchor::queue::Queue;
use crate::cluster::follow::{Sink, everything, follow};
use crate::names::label;
use crate::policy::Policy;

/// How many Services are worked on at a time.
const WORKERS: usize = 8;
/// How many probes may be under way at a time, by default. 2,000 addresses that are all dead, with the
/// default timeout of 2 s, are each tried within their default period of 10 s by 400.
pub const PLACES: u16 = 512;

/// See the module.
#[derive(Debug)]
pub struct External {
    index: Arc<Index>,
    queue: Arc<Queue>,
    ranges: Arc<Ranges>,
    metrics: Arc<Metrics>,
    places: usize,
}

/// A watch's events on their way to the index.
struct Watched<F> {
    take: F,
    metrics: Arc<Metrics>,
}

impl<K, F: FnMut(Event<K>)> Sink<K> for Watched<F> {
    fn take(&mut self, event: Event<K>) {
        (self.take)(event);
    }

    fn failed(&mut self) {
        self.metrics.watch_errors.inc();
    }
}

impl External {
    /// Does nothing until it is followed and led. At most `places` probes are under way at a time.
    pub fn new(
        ranges: Arc<Ranges>,
        flags: Arc<Policy>,
        places: u16,
        metrics: Arc<Metrics>,
    ) -> Self {
        let queue = Arc::new(Queue::default());
        External {
            index: Arc::new(Index::new(Arc::clone(&queue), Arc::clone(&ranges), flags)),
            queue,
            ranges,
            metrics,
            places: usize::from(places),
        }
    }

    /// Starts the watches.
    pub fn follow(&self, client: &Client, tasks: &mut JoinSet<()>) {
        let sink = |index: &Arc<Index>| (Arc::clone(index), Arc::clone(&self.metrics));
        let (index, metrics) = sink(&self.index);
        let services: Api<Service> = Api::all(client.clone());
        let labelled = everything().labels(label::EXTERNAL);
        let take = move |event| index.take_service(event);
        tasks.spawn(follow(
            "external services",
            services,
            labelled,
            Watched { take, metrics },
        ));

        let (index, metrics) = sink(&self.index);
        let slices: Api<EndpointSlice> = Api::all(client.clone());
        let ours = everything().labels(&format!(
            "{}={}",
            label::SLICE_MANAGED_BY,
            label::SLICE_MANAGED_BY_US
        ));
        let take = move |event| index.take_slice(event);
        tasks.spawn(follow(
            "endpoint slices",
            slices,
            ours,
            Watched { take, metrics },
        ));

        let (index, metrics) = sink(&self.index);
        let nodes: Api<SlimNode> = Api::all(client.clone());
        let mut needed = self.index.needed();
        tasks.spawn(async move {
            let _ = needed.wait_for(|needed| *needed).await;
            let take = move |event| index.take_node(event);
            follow("nodes", nodes, everything(), Watched { take, metrics }).await;
        });

        let (index, metrics) = sink(&self.index);
        let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
        let mut needed = self.index.needed();
        tasks.spawn(async move {
            let _ = needed.wait_for(|needed| *needed).await;
            let take = move |event| index.take_namespace(event);
            follow(
                "namespaces",
                namespaces,
                everything(),
                Watched { take, metrics },
            )
            .await;
        });

        tasks.spawn(ranges::follow_services(
            client.clone(),
            Arc::clone(&self.ranges),
        ));
    }

    /// Works for as long as it is polled: while this instance leads.
    pub async fn lead(
        self: Arc<Self>,
        client: Client,
        fence: SharedFence,
        events: Arc<Events>,
        counters: Arc<pairs::Metrics>,
    ) {
        let prober = match Prober::new() {
            Ok(prober) => prober,
            Err(error) => {
                tracing::error!(%error, "external Services are not probed, and nothing of them changes: no TLS");
                return;
            }
        };
        // What is published is where health begins, so it has to be known first.
        let mut synced = self.index.synced();
        if synced.wait_for(|synced| *synced).await.is_err() {
            return;
        }
        let board = Arc::new(Board::default());
        let (index, queue) = (Arc::clone(&self.index), Arc::clone(&self.queue));
        let metrics = Arc::clone(&self.metrics);
        let worker = Arc::new(Worker {
            probes: Probes::new(
                prober,
                self.places,
                Arc::clone(&board),
                Arc::clone(&queue),
                Arc::clone(&metrics),
            ),
            writer: Writer::new(client, fence, counters),
            shares: Shares::new(Arc::clone(&metrics)),
            ranges: Arc::clone(&self.ranges),
            index,
            queue,
            board,
            events,
            metrics,
        });
        let _closed = Open::new(&self.queue);
        self.index.enqueue_all();
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let worker = Arc::clone(&worker);
            workers.spawn(async move { worker.work().await });
        }
        drop(worker);
        let mut changes = self.ranges.changes();
        while changes.changed().await.is_ok() {
            self.index.enqueue_all();
        }
    }
}

/// The queue is open for as long as this lives.
struct Open<'q>(&'q Queue);

impl<'q> Open<'q> {
    fn new(queue: &'q Queue) -> Self {
        queue.open();
        Open(queue)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
