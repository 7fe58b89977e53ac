//! What the controller counts, for Prometheus. Labels come from closed sets only.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::pair::State;
use super::{audit, misses};
use crate::admission::metrics::{self as server, register};
use crate::closed_set::closed_set;
use crate::cluster::failure::Failure;

closed_set! {
    /// Requests that the controller makes, reads of watches aside.
    Request {
        /// Creates an anchor.
        Create = "create-anchor",
        /// Deletes an anchor.
        Delete = "delete-anchor",
        /// Writes an anchor's status onto its HP pod.
        Publish = "publish",
        /// Sets a gate of an HP pod.
        HpGate = "gate-pod",
        /// Sets a gate of an anchor.
        AnchorGate = "gate-anchor",
        /// Marks an HP pod as disrupted.
        Disrupt = "disrupt-pod",
        /// Deletes an HP pod for its controller to replace it.
        Replace = "delete-pod",
        /// Reads a pod.
        Read = "read",
        /// Creates an EndpointSlice of an external Service.
        CreateSlice = "create-slice",
        /// Writes one.
        UpdateSlice = "update-slice",
        /// Deletes one.
        DeleteSlice = "delete-slice",
        /// Writes an Event.
        Event = "event",
        /// Lists what may miss anchors, or an external Service's EndpointSlices, a page at a time.
        List = "list",
    }
}

/// All counters of the controller.
#[derive(Debug)]
pub struct Metrics {
    pairs: Vec<IntGauge>,
    requests: Vec<IntCounter>,
    failures: Vec<IntCounter>,
    misses: Vec<IntGauge>,
    audit: Vec<IntGauge>,
    /// From when a bound HP pod was seen to its anchor's creation, in seconds.
    pub bound_to_created: Histogram,
    /// From when a bound HP pod was seen to its being ready, in seconds.
    pub bound_to_ready: Histogram,
    /// Pairs that wait for a worker.
    pub queue_depth: IntGauge,
    /// Turns of a worker that failed and come again.
    pub retries: IntCounter,
    /// 1 while this instance leads.
    pub leader: IntGauge,
    /// Errors of the pods' watches, each followed by a retry.
    pub watch_errors: IntCounter,
    /// Events that were dropped, to keep within the limit.
    pub events_dropped: IntCounter,
    /// HP pods deleted because their anchor was lost or did not start.
    pub replaced: IntCounter,
}

/// A histogram of seconds.
fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: Vec<f64>,
) -> Result<Histogram, prometheus::Error> {
    let one = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
    register(registry, &one);
    Ok(one)
}

/// A gauge for each value of a label.
fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntGaugeVec, prometheus::Error> {
    let all = IntGaugeVec::new(Opts::new(name, help), &[label])?;
    register(registry, &all);
    Ok(all)
}

/// A counter for each value of some labels.
fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let all = IntCounterVec::new(Opts::new(name, help), labels)?;
    register(registry, &all);
    Ok(all)
}

impl Metrics {
    /// All counters at zero, exported with the server's.
    ///
    /// # Errors
    /// If a name or label here were not one of Prometheus's.
    pub fn new(server: &server::Metrics) -> Result<Self, prometheus::Error> {
        let registry = server.registry();
        let counter = |name: &str, help: &str| {
            let one = IntCounter::new(name, help)?;
            register(registry, &one);
            Ok::<_, prometheus::Error>(one)
        };
        let gauge = |name: &str, help: &str| {
            let one = IntGauge::new(name, help)?;
            register(registry, &one);
            Ok::<_, prometheus::Error>(one)
        };
        let pairs = gauges(
            registry,
            "native_host_pairs",
            "Pairs, by where they stand; of the leader only.",
            "state",
        )?;
        let requests = counters(
            registry,
            "native_host_api_requests_total",
            "Requests of the controller.",
            &["request"],
        )?;
        let failures = counters(
            registry,
            "native_host_api_errors_total",
            "Requests of the controller that failed, by why.",
            &["request", "failure"],
        )?;
        let misses = gauges(
            registry,
            "native_host_misses",
            "Objects that select a workload's labels and so miss its anchors; of the leader only.",
            "kind",
        )?;
        let audit = gauges(
            registry,
            "native_host_audit_findings",
            "Objects that an audit of the cluster found something wrong with; of the leader only.",
            "problem",
        )?;
        Ok(Metrics {
            pairs: State::ALL
                .iter()
                .map(|state| pairs.with_label_values(&[state.as_str()]))
                .collect(),
            requests: Request::ALL
                .iter()
                .map(|request| requests.with_label_values(&[request.as_str()]))
                .collect(),
            failures: Request::ALL
                .iter()
                .flat_map(|r| Failure::ALL.iter().map(move |f| [r.as_str(), f.as_str()]))
                .map(|labels| failures.with_label_values(&labels))
                .collect(),
            misses: misses::Kind::ALL
                .iter()
                .map(|kind| misses.with_label_values(&[kind.as_str()]))
                .collect(),
            audit: audit::Problem::ALL
                .iter()
                .map(|problem| audit.with_label_values(&[problem.as_str()]))
                .collect(),
            bound_to_created: histogram(
                registry,
                "native_host_bound_to_anchor_created_seconds",
                "From when a bound pod was seen to its anchor's creation.",
                vec![
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
                ],
            )?,
            bound_to_ready: histogram(
                registry,
                "native_host_bound_to_ready_seconds",
                "From when a bound pod was seen to its being ready.",
                vec![
                    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
                ],
            )?,
            queue_depth: gauge("native_host_queue_depth", "Pairs that wait for a worker.")?,
            retries: counter(
                "native_host_retries_total",
                "Turns that failed and come again.",
            )?,
            leader: gauge("native_host_leader", "1 while this instance leads.")?,
            watch_errors: counter(
                "native_host_pod_watch_errors_total",
                "Errors of the pods' watches, each followed by a retry.",
            )?,
            events_dropped: counter(
                "native_host_events_dropped_total",
                "Events that were dropped, to keep within the limit.",
            )?,
            replaced: counter(
                "native_host_pairs_replaced_total",
                "Pods deleted because their anchor was lost or did not start.",
            )?,
        })
    }

    /// Counts a pair from one state to another.
    pub fn moved(&self, from: Option<State>, to: Option<State>) {
        if let Some(from) = from {
            self.pairs[from as usize].dec();
        }
        if let Some(to) = to {
            self.pairs[to as usize].inc();
        }
    }

    /// Notes how many objects of a kind miss anchors.
    pub fn set_misses(&self, kind: misses::Kind, count: i64) {
        self.misses[kind as usize].set(count);
    }

    /// Notes how many objects have a problem.
    pub fn set_audit(&self, problem: audit::Problem, count: i64) {
        self.audit[problem as usize].set(count);
    }

    /// Counts a request, and why it failed if it did.
    pub fn request<T>(&self, request: Request, answer: &Result<T, kube::Error>) {
        self.requests[request as usize].inc();
        if let Err(error) = answer {
            let failure = Failure::of(error) as usize;
            self.failures[request as usize * Failure::ALL.len() + failure].inc();
        }
    }
}
