//! One pod's worker: it lives its life, and tells the API server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::machine::{Machine, earliest, is_terminal, key, phase_of};
use super::orders::{Reports, Runtime};
use super::{Shared, status};

/// How long it waits after a write that failed, at first and at most. An event comes sooner where
/// the API server lives.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Plays one pod until it is gone.
pub async fn play(shared: Arc<Shared>, mut pods: watch::Receiver<Arc<Pod>>) {
    let mut pod = pods.borrow_and_update().clone();
    let mut knobs_changed = shared.changed.subscribe();
    let node = pod.spec.as_ref().unwrap().node_name.clone().unwrap();
    let node_ip = node_ip(&shared, &node).await;
    let mut machine = Machine::new(&pod, &shared.knobs(), Instant::now());
    let (reports, mut heard) = mpsc::unbounded_channel();
    let _tie = Tie::new(&shared, &pod);
    let mut retry = RETRY.0;
    loop {
        knobs_changed.borrow_and_update();
        let mut next = None;
        let paused = shared.knobs().paused.contains(&node);
        if !paused {
            let (patch, due) = step(&shared, &mut machine, &pod, &node_ip, &reports);
            next = due;
            match write(&shared, &machine, &pod, patch.clone()).await {
                Ok(None) => retry = RETRY.0,
                Ok(Some(newer)) => {
                    retry = RETRY.0;
                    // An update of a pod whose deletion was cut off half way finishes that
                    // (`ShouldDeleteDuringUpdate`, apiserver/pkg/registry/generic/registry/store.go),
                    // and answers with what was there.
                    let cut_off = newer.metadata.deletion_grace_period_seconds == Some(0);
                    assert!(
                        cut_off || pod.metadata.resource_version != newer.metadata.resource_version,
                        "a write that changes nothing: {patch:?}\nof {:?}",
                        newer.status
                    );
                    pod = later(pod, newer);
                    if let (Some(runtime), Some(status)) = (&shared.runtime, &pod.status) {
                        runtime.said(&pod, status);
                    }
                    // What it says may be due for another write: a gate, a deletion.
                    next = Some(Instant::now());
                }
                Err(error) => {
                    tell(&pod, &error);
                    next = earliest(next, Some(Instant::now() + retry));
                    retry = (retry * 2).min(RETRY.1);
                }
            }
        }
        let due = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        tokio::select! {
            biased;
            changed = pods.changed() => {
                if changed.is_err() {
                    return;
                }
                pod = later(pod, pods.borrow_and_update().clone());
                if let Some(runtime) = &shared.runtime {
                    runtime.update(&pod);
                }
            }
            Some(report) = heard.recv() => machine.hear(report, &pod, Instant::now()),
            changed = knobs_changed.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep_until(due.into()) => {}
        }
    }
}

/// A pod's tie to what really runs of it: nothing runs on when the pod is gone, forced or not.
struct Tie {
    runtime: Option<Arc<dyn Runtime>>,
    uid: String,
}

impl Tie {
    fn new(shared: &Shared, pod: &Pod) -> Self {
        Self {
            runtime: shared.runtime.clone(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
        }
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        if let Some(runtime) = &self.runtime {
            runtime.forget(&self.uid);
        }
    }
}

/// Says what a person should look at: not that a pod is gone or changed meanwhile, nor that the API
/// server is away.
fn tell(pod: &Pod, error: &kube::Error) {
    if let kube::Error::Api(status) = error
        && !matches!(status.code, 404 | 409 | 429 | 500..)
    {
        let (namespace, name) = key(pod);
        eprintln!("kubelet stand-in: {namespace}/{name}: {status}");
    }
}

/// Advances the pod, and gives what to write and when it is due again.
fn step(
    shared: &Shared,
    machine: &mut Machine,
    pod: &Arc<Pod>,
    node_ip: &str,
    reports: &Reports,
) -> (Option<serde_json::Value>, Option<Instant>) {
    let now = Instant::now();
    let mut knobs = shared.knobs();
    let due = machine.advance(pod, &mut knobs, &mut Shared::new_ip, now);
    if let Some(runtime) = &shared.runtime {
        for order in machine.take_orders() {
            runtime.carry_out(pod, order, reports);
        }
    }
    let (wanted, at) = status::status(machine, pod, &knobs, node_ip, now);
    (status::patch(pod, &wanted), earliest(due, at))
}

/// Writes the status where it differs; deletes the pod for good where it is all over, once the API
/// server has its last phase (`canBeDeleted`, `status_manager.go`).
async fn write(
    shared: &Shared,
    machine: &Machine,
    pod: &Pod,
    patch: Option<serde_json::Value>,
) -> kube::Result<Option<Arc<Pod>>> {
    let (namespace, name) = key(pod);
    let api = Api::<Pod>::namespaced(shared.client.clone(), &namespace);
    let _permit = shared.writes.acquire().await;
    if let Some(patch) = patch {
        let patch = Patch::Strategic(patch);
        let params = PatchParams::default();
        let newer = api.patch_status(&name, &params, &patch).await?;
        return Ok(Some(Arc::new(newer)));
    }
    let last = phase_of(pod).is_some_and(is_terminal);
    if machine.finished && last && pod.metadata.deletion_timestamp.is_some() {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: pod.metadata.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        api.delete(&name, &params).await?;
    }
    Ok(None)
}

/// The later state of one pod. Resource versions can be compared (KEP-5504).
fn later(a: Arc<Pod>, b: Arc<Pod>) -> Arc<Pod> {
    let version = |pod: &Pod| {
        let text = pod.metadata.resource_version.as_deref();
        text.and_then(|text| text.parse::<u64>().ok())
    };
    if version(&b) >= version(&a) { b } else { a }
}

/// The node's IP, which it gets with its first pod: a kubelet reports its address. (Tests register
/// nodes at 127.0.0.1, which no EndpointSlice may hold.)
async fn node_ip(shared: &Shared, node: &str) -> String {
    let (ip, new) = shared.node_ip(node);
    if new {
        let status = json!({"status": {"addresses": [
            {"type": "InternalIP", "address": ip},
            {"type": "Hostname", "address": node},
        ]}});
        let api = Api::<Node>::all(shared.client.clone());
        let params = PatchParams::default();
        if let Err(error) = api.patch_status(node, &params, &Patch::Merge(status)).await {
            eprintln!("kubelet stand-in: the address of node {node}: {error}");
        }
    }
    ip
}
