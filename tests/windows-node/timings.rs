//! When what happened to a pod, for the figures of how long a pair takes to start.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde::Serialize;

/// The pods of the node, those that are gone among them.
#[derive(Debug, Default)]
pub struct Timings(Mutex<BTreeMap<String, Timing>>);

/// One pod. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize)]
pub struct Timing {
    namespace: String,
    name: String,
    uid: String,
    /// When the node first saw it.
    bound: f64,
    /// When its sandbox was up with its volumes; the last one.
    sandbox: Option<f64>,
    /// When the API server first had it as Ready.
    ready: Option<f64>,
    containers: Vec<Run>,
}

/// One run of a container.
#[derive(Debug, Clone, Serialize)]
struct Run {
    container: String,
    /// When its start began.
    start: f64,
    /// When its process ran.
    started: Option<f64>,
    ended: Option<f64>,
    code: Option<i32>,
}

impl Timings {
    /// The node sees the pod.
    pub fn bound(&self, pod: &Pod) {
        let metadata = &pod.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        let timing = Timing {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: uid.clone(),
            bound: now(),
            sandbox: None,
            ready: None,
            containers: Vec::new(),
        };
        self.all().entry(uid).or_insert(timing);
    }

    /// Its sandbox is up.
    pub fn sandbox(&self, uid: &str) {
        self.change(uid, |timing| timing.sandbox = Some(now()));
    }

    /// The start of a container begins.
    pub fn start(&self, uid: &str, container: &str) {
        let run = Run {
            container: container.to_owned(),
            start: now(),
            started: None,
            ended: None,
            code: None,
        };
        self.change(uid, |timing| timing.containers.push(run));
    }

    /// Its process runs.
    pub fn started(&self, uid: &str, container: &str) {
        self.last(uid, container, |run| run.started = Some(now()));
    }

    /// It has ended.
    pub fn ended(&self, uid: &str, container: &str, code: i32) {
        self.last(uid, container, |run| {
            run.ended = Some(now());
            run.code = Some(code);
        });
    }

    /// The API server was told this.
    pub fn said(&self, uid: &str, status: &PodStatus) {
        let mut conditions = status.conditions.iter().flatten();
        if conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True") {
            self.change(uid, |timing| {
                timing.ready.get_or_insert_with(now);
            });
        }
    }

    /// All of them, by UID.
    pub fn list(&self) -> Vec<Timing> {
        self.all().values().cloned().collect()
    }

    fn change(&self, uid: &str, change: impl FnOnce(&mut Timing)) {
        if let Some(timing) = self.all().get_mut(uid) {
            change(timing);
        }
    }

    fn last(&self, uid: &str, container: &str, change: impl FnOnce(&mut Run)) {
        self.change(uid, |timing| {
            let mut runs = timing.containers.iter_mut().rev();
            if let Some(run) = runs.find(|run| run.container == container) {
                change(run);
            }
        });
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Timing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(clippy::cast_precision_loss)] // microseconds of this century have 51 bits
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_micros() as f64 / 1000.0
}
