//! What the API server has, looked at and watched: by one connection, since a kubectl for each of
//! the many looks of tests that run side by side would be all that the machine does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Request;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Config};
use native_host::names::label;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::PATIENCE;
use crate::support::{ControlPlane, wait_until};

/// Looks as the administrator.
pub struct Eyes {
    runtime: Runtime,
    client: Client,
}

/// The resources that tests look at, and their APIs.
const APIS: &[(&str, &[&str])] = &[
    (
        "api/v1",
        &[
            "pods",
            "services",
            "events",
            "nodes",
            "namespaces",
            "resourcequotas",
        ],
    ),
    (
        "apis/apps/v1",
        &["deployments", "statefulsets", "daemonsets", "replicasets"],
    ),
    ("apis/batch/v1", &["jobs", "cronjobs"]),
    ("apis/policy/v1", &["poddisruptionbudgets"]),
    ("apis/autoscaling/v2", &["horizontalpodautoscalers"]),
    ("apis/discovery.k8s.io/v1", &["endpointslices"]),
];

impl Eyes {
    /// Looks at a control plane.
    pub fn new(plane: &ControlPlane) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options);
            Client::try_from(config.await.unwrap()).unwrap()
        });
        Eyes { runtime, client }
    }

    /// The objects of a namespace of one resource, by its plural.
    pub fn list(&self, namespace: &str, resource: &str) -> Vec<Value> {
        let list = self.ask(&path(namespace, resource, resource)).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// One object, as `pods/albums`; None where there is none.
    pub fn see(&self, namespace: &str, what: &str) -> Option<Value> {
        let resource = what.split('/').next().unwrap();
        self.ask(&path(namespace, resource, what))
    }

    fn ask(&self, path: &str) -> Option<Value> {
        let request = Request::get(path).body(Vec::new()).unwrap();
        match self.runtime.block_on(self.client.request(request)) {
            Ok(value) => Some(value),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Waits until an object is as a test wants it, and gives it.
    pub fn until(
        &self,
        namespace: &str,
        what: &str,
        wanted: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        wait_until(&format!("{what} in {namespace} {wanted}"), PATIENCE, || {
            self.see(namespace, what).filter(&is)
        })
    }

    /// Waits until there is no such object.
    pub fn until_gone(&self, namespace: &str, what: &str) {
        wait_until(&format!("{what} in {namespace} is gone"), PATIENCE, || {
            self.see(namespace, what).is_none().then_some(())
        });
    }

    /// Takes down every state of the endpoints of a Service, from now on.
    pub fn follow(&self, namespace: &str, service: &str) -> Record {
        let api = Api::<EndpointSlice>::namespaced(self.client.clone(), namespace);
        let config = watcher::Config::default().labels(&format!("{SERVICE}={service}"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let states = Arc::clone(&seen);
        let task = self.runtime.spawn(async move {
            let mut events = std::pin::pin!(watcher::watcher(api, config));
            while let Some(event) = events.next().await {
                if let Event::Apply(slice) | Event::InitApply(slice) = event.unwrap() {
                    let slice = serde_json::to_value(slice).unwrap();
                    states.lock().unwrap().push(endpoints(&slice));
                }
            }
        });
        Record { seen, task }
    }
}

/// What a watch showed of a pod.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub gone: bool,
    pub pod: Value,
}

impl Eyes {
    /// Takes down every change of the pods of a namespace, from now on.
    pub fn watch(&self, namespace: &str) -> Watch {
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sightings = Arc::clone(&seen);
        let (ready, listed) = std::sync::mpsc::channel();
        let task = self.runtime.spawn(async move {
            let mut events = std::pin::pin!(watcher::watcher(api, watcher::Config::default()));
            while let Some(event) = events.next().await {
                let (gone, pod) = match event.unwrap() {
                    Event::Apply(pod) | Event::InitApply(pod) => (false, pod),
                    Event::Delete(pod) => (true, pod),
                    Event::InitDone => {
                        let _ = ready.send(());
                        continue;
                    }
                    Event::Init => continue,
                };
                let pod = serde_json::to_value(pod).unwrap();
                sightings.lock().unwrap().push(Sighting { gone, pod });
            }
        });
        listed.recv_timeout(PATIENCE).unwrap();
        Watch { seen, task }
    }
}

/// What befell the pods of a namespace, one change after the other.
pub struct Watch {
    seen: Arc<Mutex<Vec<Sighting>>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Every change so far.
    pub fn sightings(&self) -> Vec<Sighting> {
        assert!(!self.task.is_finished(), "the watch of the pods ended");
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Names the Service of a slice (`k8s.io/api/discovery/v1`).
const SERVICE: &str = "kubernetes.io/service-name";

fn path(namespace: &str, resource: &str, what: &str) -> String {
    let mut apis = APIS.iter();
    let (api, _) = apis.find(|(_, all)| all.contains(&resource)).unwrap();
    match resource {
        "nodes" | "namespaces" => format!("/{api}/{what}"),
        _ => format!("/{api}/namespaces/{namespace}/{what}"),
    }
}

/// One endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub ip: String,
    pub pod: String,
    pub hostname: String,
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
}

/// The endpoints of a slice.
pub fn endpoints(slice: &Value) -> Vec<Endpoint> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = slice["endpoints"].as_array().into_iter().flatten();
    all.map(|endpoint| {
        let conditions = &endpoint["conditions"];
        Endpoint {
            ip: text(&endpoint["addresses"][0]),
            pod: text(&endpoint["targetRef"]["name"]),
            hostname: text(&endpoint["hostname"]),
            ready: conditions["ready"] == true,
            serving: conditions["serving"] == true,
            terminating: conditions["terminating"] == true,
        }
    })
    .collect()
}

/// What the endpoints of a Service were, one state after the other. One slice holds them all: there
/// are fewer than a hundred.
pub struct Record {
    seen: Arc<Mutex<Vec<Vec<Endpoint>>>>,
    task: JoinHandle<()>,
}

impl Record {
    /// Every state so far.
    pub fn states(&self) -> Vec<Vec<Endpoint>> {
        assert!(!self.task.is_finished(), "the watch of a Service ended");
        self.seen.lock().unwrap().clone()
    }

    /// Waits until the endpoints are as a test wants them, and gives them.
    pub fn until(&self, wanted: &str, is: impl Fn(&[Endpoint]) -> bool) -> Vec<Endpoint> {
        wait_until(&format!("endpoints {wanted}"), PATIENCE, || {
            self.states().pop().filter(|state| is(state))
        })
    }

    /// Waits until so many are ready, and forgets what was before that.
    pub fn until_ready(&self, count: usize) -> Vec<Endpoint> {
        let state = self.until(&format!("are ready: {count}"), |state| {
            state.iter().filter(|one| one.ready).count() == count
        });
        let mut seen = self.seen.lock().unwrap();
        let last = seen.iter().rposition(|old| *old == state).unwrap();
        seen.drain(..last);
        drop(seen);
        state
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long nothing may happen where nothing should: longer than any resync of ours or of a
/// controller that reacts, shorter than a person's patience.
pub const QUIET: Duration = Duration::from_secs(5);

/// Whether a pod is an anchor.
pub fn is_anchor(pod: &Value) -> bool {
    pod["metadata"]["labels"][label::ROLE] == label::ROLE_ANCHOR
}
