//! The pods of the node as they really are: one task each, which carries out what the kubelet's rules order
//! (`tests/support/kubelet/orders.rs`) and reports what comes of it.
//!
//! ```text
//!   kubelet ── Order ──► Pods ──► pod's task ──► containers' tasks (container, pause)
//!           ◄─ Report ──────────────┘  ▲ ▲              │
//!                              probes ─┘ └── Event ─────┘
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Client;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::container::Ask;
use crate::env::Allocatable;
use crate::events::Events;
use crate::host::Host;
use crate::network::Network;
use crate::pod::{Message, Task};
use crate::probes::{Exec, ExecError, Prober, Ran, Target, Update};
use crate::support::kubelet::orders::{Order, Reports, Runtime};
use crate::timings::Timings;
use crate::volumes::Volumes;

/// What all pods of the node share.
pub struct Node {
    /// The host that containers run on.
    pub host: Arc<Host>,
    /// Addresses.
    pub network: Network,
    /// Volumes.
    pub volumes: Volumes<Client>,
    /// The API server.
    pub client: Client,
    /// What pods may use.
    pub allocatable: Allocatable,
    /// Images' folders by reference.
    pub images: BTreeMap<String, PathBuf>,
    /// For silos, logs and the stand-ins' folders.
    pub folder: PathBuf,
    /// Which containers run.
    pub running: Arc<Running>,
    /// What the node says of its pods.
    pub events: Events,
    /// When what happened.
    pub timings: Timings,
    /// How long a sandbox takes to come up.
    pub sandbox: Duration,
    /// Its probes.
    pub prober: Prober<Arc<Running>>,
}

impl Node {
    /// Everything on the node is gone at once, as when it loses its power: processes, sandboxes, and what
    /// the kubelet had in mind.
    pub fn lose_all(&self) -> std::io::Result<()> {
        self.running.end_all();
        self.volumes.forget();
        self.network.detach_all()
    }

    /// Waits until no container has a prefix left.
    pub async fn all_gone(&self) {
        let silos = self.folder.join("silos");
        let any = || std::fs::read_dir(&silos).is_ok_and(|mut entries| entries.next().is_some());
        while any() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The containers that run now.
#[derive(Default)]
pub struct Running(Mutex<BTreeMap<(String, String), Container>>);

/// One of them, by the pod's UID and its name.
struct Container {
    id: String,
    asks: mpsc::UnboundedSender<Ask>,
    /// How its image's and the bind filter's rules make a line of a command; None where nothing runs.
    line: Option<Line>,
}

/// Makes a command line of a command.
pub type Line = fn(&[String]) -> String;

impl Running {
    /// A run begins.
    pub fn add(
        &self,
        pod: &str,
        name: &str,
        id: &str,
        asks: mpsc::UnboundedSender<Ask>,
        line: Option<Line>,
    ) {
        let container = Container {
            id: id.to_owned(),
            asks,
            line,
        };
        self.all()
            .insert((pod.to_owned(), name.to_owned()), container);
    }

    /// It has ended.
    pub fn remove(&self, pod: &str, name: &str, id: &str) {
        let key = (pod.to_owned(), name.to_owned());
        let mut all = self.all();
        if all.get(&key).is_some_and(|container| container.id == id) {
            all.remove(&key);
        }
    }

    /// Everything is gone at once.
    pub fn end_all(&self) {
        for container in std::mem::take(&mut *self.all()).into_values() {
            let _ = container.asks.send(Ask::End);
        }
    }

    /// Ends the processes of a container that run from a file of this name. None where there is no such
    /// container.
    pub async fn kill_image(&self, pod: &str, name: &str, image: &str) -> Option<usize> {
        let (reply, killed) = oneshot::channel();
        let key = (pod.to_owned(), name.to_owned());
        let asks = self
            .all()
            .get(&key)
            .map(|container| container.asks.clone())?;
        asks.send(Ask::KillImage(image.to_owned(), reply)).ok()?;
        killed.await.ok()
    }

    /// Runs a command in a container; of that run, where it is named.
    pub async fn run(
        &self,
        target: &Target,
        command: &[String],
        timeout: Option<Duration>,
    ) -> Result<Ran, ExecError> {
        let failed = |text: &str| Err(ExecError::Failed(text.to_owned()));
        let (asks, line) = {
            let all = self.all();
            let key = (target.pod.clone(), target.container.clone());
            match all.get(&key).filter(|container| container.id == target.id) {
                Some(container) => (container.asks.clone(), container.line),
                None => return failed("container not running"),
            }
        };
        let Some(line) = line else {
            return failed("no process runs in this container: it is imitated");
        };
        let (reply, ran) = oneshot::channel();
        let ask = Ask::Exec {
            line: line(command),
            timeout,
            reply,
        };
        if asks.send(ask).is_err() {
            return failed("container not running");
        }
        ran.await
            .unwrap_or_else(|_| failed("the container has ended"))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<(String, String), Container>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exec for Arc<Running> {
    async fn exec(
        &self,
        target: &Target,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<Ran, ExecError> {
        self.run(target, &command, Some(timeout)).await
    }
}

/// The runtime of the node's kubelet.
pub struct Pods {
    node: Arc<Node>,
    tasks: Arc<Tasks>,
    handle: Handle,
}

/// Where each pod's task listens.
type Tasks = Mutex<HashMap<String, mpsc::UnboundedSender<Message>>>;

impl Pods {
    /// Tasks run on this runtime. What probes find is told to the pods.
    pub fn new(node: Arc<Node>, mut updates: mpsc::UnboundedReceiver<Update>) -> Self {
        let tasks = Arc::<Tasks>::default();
        let handle = Handle::current();
        let of_probes = Arc::clone(&tasks);
        handle.spawn(async move {
            while let Some(update) = updates.recv().await {
                let tasks = of_probes.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(task) = tasks.get(&update.pod) {
                    let _ = task.send(Message::Probe(update));
                }
            }
        });
        Self {
            node,
            tasks,
            handle,
        }
    }

    fn tell(&self, uid: &str, message: Message) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = tasks.get(uid) {
            let _ = task.send(message);
        }
    }
}

impl Runtime for Pods {
    fn carry_out(&self, pod: &Arc<Pod>, order: Order, reports: &Reports) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let task = tasks.entry(uid).or_insert_with(|| {
            let (sender, messages) = mpsc::unbounded_channel();
            self.node.timings.bound(pod);
            // Probes' workers are tasks, too.
            let _guard = self.handle.enter();
            let task = Task::new(
                Arc::clone(&self.node),
                Arc::clone(pod),
                reports.clone(),
                sender.clone(),
            );
            self.handle.spawn(task.work(messages));
            sender
        });
        let _ = task.send(Message::Order(order));
    }

    fn update(&self, pod: &Arc<Pod>) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        self.tell(uid, Message::Update(Arc::clone(pod)));
    }

    fn said(&self, pod: &Pod, status: &PodStatus) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        self.node.timings.said(uid, status);
        self.tell(uid, Message::Said);
    }

    fn forget(&self, uid: &str) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = tasks.remove(uid) {
            let _ = task.send(Message::Forget);
        }
    }
}
