//! The kubelets of a control plane's nodes, played: a small, honest stand-in until there is a
//! simulated node.
//!
//! ```text
//! let kubelet = Kubelet::start(&plane, &["win-1"]);
//! kubelet.program(pods("shop", "albums"), Program::that_stops_in(Duration::from_secs(3)));
//! kubelet.readiness("shop", "albums-0", "albums", false);
//! ```
//!
//! It starts what is bound to its nodes, sets phases, IPs, container states and conditions,
//! evaluates readiness gates, restarts what ends, stops what is deleted and then completes the
//! deletion. Each rule names the file of Kubernetes 1.36 (`pkg/kubelet/`) that it is taken from.
//! By itself it runs no program: what a container does is a [`Program`], and what befalls a pod is a
//! method. The simulated node (`tests/windows-node`) gives it a [`Runtime`](orders::Runtime) that does.
//! What a test says of a pod that is not there yet holds once it is.
//!
//! What it does not play: volumes, images, resources, probes with their thresholds, ephemeral
//! containers, and a kubelet's restart: pods that run when it starts are started anew.
//!
//! - [`program`]: what a test says.
//! - [`container`], [`machine`], [`starts`]: the life of a container and of a pod; no client, no
//!   clock.
//! - [`orders`]: the same where containers really run.
//! - [`status`], [`conditions`]: what the API server gets to see of it.
//! - [`worker`]: one pod's task, and its writes.

pub mod conditions;
pub mod container;
pub mod machine;
pub mod orders;
pub mod program;
pub mod starts;
pub mod status;
pub mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Config};
use tokio::sync::{Semaphore, oneshot, watch};

use super::ControlPlane;
use orders::Runtime;
use program::Knobs;
pub use program::{Program, Settings, pods};

/// Writes at once. More would only queue in the API server (its own limit for writes is 200).
const WRITES: usize = 32;

/// How many pod IPs were given. Of all stand-ins, since several may play nodes of one cluster.
static IPS: AtomicU32 = AtomicU32::new(0);

/// How many nodes got an IP; likewise.
static NODES: AtomicU32 = AtomicU32::new(0);

/// The kubelets of some nodes. Dropping it is the end of them, and of nothing that they said.
#[derive(Debug)]
pub struct Kubelet {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the handle and the pods' workers share.
pub struct Shared {
    knobs: Mutex<Knobs>,
    /// Told whenever a test has said something.
    pub changed: watch::Sender<()>,
    /// As the administrator: which node a kubelet may write for is not what is tested here.
    pub client: Client,
    /// Bounds the writes at once.
    pub writes: Semaphore,
    /// Whether a pod's worker panicked.
    failed: AtomicBool,
    nodes: Mutex<HashMap<String, String>>,
    /// What really runs the pods, if they are not played.
    pub runtime: Option<Arc<dyn Runtime>>,
}

impl Kubelet {
    /// Plays the kubelets of these nodes; of all nodes, where none is named.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(plane: &ControlPlane, nodes: &[&str]) -> Self {
        Self::start_with(plane, nodes, Settings::default())
    }

    /// As [`start`](Self::start), with other settings.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with(plane: &ControlPlane, nodes: &[&str], settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options);
            let mut config = config.await.unwrap();
            // A worker tries again by itself, with what is so by then.
            config.default_retry = false;
            Client::try_from(config).unwrap()
        });
        let shared = Shared::new(client, settings);
        let nodes = nodes.iter().map(ToString::to_string).collect();
        Self::on(runtime, shared, nodes)
    }

    /// The kubelet of one node, whose pods really run.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn really(
        client: Client,
        (node, ip): (&str, &str),
        settings: Settings,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        let mut shared = Shared::new(client, settings);
        shared.runtime = Some(runtime);
        shared.nodes = Mutex::new(HashMap::from([(node.to_owned(), ip.to_owned())]));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self::on(runtime, shared, HashSet::from([node.to_owned()]))
    }

    fn on(runtime: tokio::runtime::Runtime, shared: Shared, nodes: HashSet<String>) -> Self {
        let shared = Arc::new(shared);
        let (stop, stopped) = oneshot::channel();
        let hub = hub(Arc::clone(&shared), nodes);
        let thread = std::thread::Builder::new()
            .name("kubelet".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = hub => {}
                        _ = stopped => {}
                    }
                });
            })
            .unwrap();
        Self {
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// What the programs of some containers do, from their next start on. Later calls go before
    /// earlier ones. See [`pods`] for all containers of some pods.
    pub fn program(
        &self,
        which: impl Fn(&Pod, &str) -> bool + Send + Sync + 'static,
        program: Program,
    ) {
        self.say(|knobs| knobs.rules.push((Arc::new(which), program)));
    }

    /// Changes what holds for all pods.
    pub fn settings(&self, change: impl FnOnce(&mut Settings)) {
        self.say(|knobs| change(&mut knobs.settings));
    }

    /// What a container's readiness probe says from now on.
    pub fn readiness(&self, namespace: &str, pod: &str, container: &str, ready: bool) {
        self.say(|knobs| {
            let key = (namespace.into(), pod.into(), container.into());
            knobs.readiness.insert(key, ready);
        });
    }

    /// A container's program ends by itself.
    pub fn exit(&self, namespace: &str, pod: &str, container: &str, code: i32) {
        self.say(|knobs| {
            let key = (namespace.into(), pod.into(), container.into());
            knobs.exits.insert(key, code);
        });
    }

    /// The kubelet itself evicts a pod, as under memory pressure: it ends as Failed, `Evicted`.
    pub fn evict_locally(&self, namespace: &str, pod: &str) {
        self.say(|knobs| {
            knobs.evictions.insert((namespace.into(), pod.into()));
        });
    }

    /// A pod's sandbox is lost, and made anew: new IP, all containers started again.
    pub fn new_ip(&self, namespace: &str, pod: &str) {
        self.say(|knobs| {
            knobs.lost_sandboxes.insert((namespace.into(), pod.into()));
        });
    }

    /// A node is rebooted: that happens to all its pods, and what was stopping has stopped.
    pub fn reboot(&self, node: &str) {
        self.say(|knobs| *knobs.boots.entry(node.into()).or_default() += 1);
    }

    /// A node is lost: nothing is started, stopped or said any more.
    pub fn pause(&self, node: &str) {
        self.say(|knobs| {
            knobs.paused.insert(node.into());
        });
    }

    /// A lost node is back.
    pub fn resume(&self, node: &str) {
        self.say(|knobs| {
            knobs.paused.remove(node);
        });
    }

    /// The containers of these pods cannot be started, e.g. for `ErrImagePull`.
    pub fn refuse_to_start(&self, namespace: &str, prefix: &str, reason: &str) {
        self.say(|knobs| {
            let refusal = (namespace.into(), prefix.into(), reason.into());
            knobs.refusals.push(refusal);
        });
    }

    /// They can again.
    pub fn allow_to_start(&self, namespace: &str, prefix: &str) {
        self.say(|knobs| {
            knobs
                .refusals
                .retain(|(ns, pods, _)| ns != namespace || pods != prefix);
        });
    }

    fn say(&self, what: impl FnOnce(&mut Knobs)) {
        what(&mut self.shared.knobs());
        self.shared.changed.send_replace(());
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let failed = thread.join().is_err() || self.shared.failed.load(Ordering::SeqCst);
            assert!(
                !failed || std::thread::panicking(),
                "the kubelet stand-in panicked"
            );
        }
    }
}

impl Shared {
    fn new(client: Client, settings: Settings) -> Self {
        Self {
            knobs: Mutex::new(Knobs {
                settings,
                ..Knobs::default()
            }),
            changed: watch::channel(()).0,
            client,
            writes: Semaphore::new(WRITES),
            failed: AtomicBool::new(false),
            nodes: Mutex::default(),
            runtime: None,
        }
    }

    /// What was said. A poisoned lock means that a worker panicked, which is told elsewhere.
    pub fn knobs(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod IP that no pod had before.
    pub fn new_ip() -> String {
        // 250 a /24: neither a network's address nor its broadcast.
        let n = IPS.fetch_add(1, Ordering::Relaxed);
        let (net, host) = (n / 250, n % 250 + 1);
        format!("10.{}.{}.{host}", 244 + net / 256, net % 256)
    }

    /// A node's IP, and whether it is only known now.
    pub fn node_ip(&self, node: &str) -> (String, bool) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = !nodes.contains_key(node);
        let ip = nodes.entry(node.to_owned()).or_insert_with(|| {
            let n = NODES.fetch_add(1, Ordering::Relaxed);
            format!("172.30.{}.{}", n / 250, n % 250 + 1)
        });
        (ip.clone(), new)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Watches the pods, and keeps one worker for each.
async fn hub(shared: Arc<Shared>, nodes: HashSet<String>) {
    let api = Api::<Pod>::all(shared.client.clone());
    // A field selector knows no "one of these".
    let config = watcher::Config::default().fields("spec.nodeName!=");
    let mut events = std::pin::pin!(watcher::watcher(api, config).backoff(Quick));
    let mut workers: HashMap<String, watch::Sender<Arc<Pod>>> = HashMap::new();
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        let pod = match event {
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitDone) => {
                // The others went while we did not look. A dropped sender ends its worker.
                workers.retain(|uid, _| listed.contains(uid));
                continue;
            }
            Ok(Event::Delete(pod)) => {
                workers.remove(pod.metadata.uid.as_deref().unwrap_or_default());
                continue;
            }
            Ok(Event::InitApply(pod)) => {
                listed.insert(pod.metadata.uid.clone().unwrap_or_default());
                pod
            }
            Ok(Event::Apply(pod)) => pod,
            // Said by what it leads to; the stream goes on after the backoff.
            Err(_) => continue,
        };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        if !nodes.is_empty() && node.is_none_or(|node| !nodes.contains(node)) {
            continue;
        }
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let pod = Arc::new(pod);
        match workers.get(&uid) {
            Some(worker) if !worker.is_closed() => {
                worker.send_replace(pod);
            }
            _ => {
                let (sender, receiver) = watch::channel(pod);
                let play = tokio::spawn(worker::play(Arc::clone(&shared), receiver));
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    if play.await.is_err_and(|error| error.is_panic()) {
                        shared.failed.store(true, Ordering::SeqCst);
                    }
                });
                workers.insert(uid, sender);
            }
        }
    }
}

/// The API server of a test is back within seconds.
struct Quick;

impl Iterator for Quick {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(200))
    }
}

impl Backoff for Quick {
    fn reset(&mut self) {}
}
