//! What all tests share: a cluster with native-host, and four simulated nodes.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use native_host::admission::self_signed::Authority;
use native_host::names::{annotation, gate, label, policy};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::look::Eyes;
use crate::node::Node;
use crate::program::{Certificate, Program, mount};
use crate::support::{ControlPlane, wait_until};

/// The label of the nodes that take the load; each of the others is of one test or a kind of them.
pub const POOL: &str = "pool";

/// The one world.
pub struct World {
    pub plane: &'static ControlPlane,
    pub eyes: Eyes,
    /// Each a process of its own, so that each can be restarted by itself.
    webhook: Mutex<Program>,
    controller: Mutex<Program>,
    /// `win-1` and `win-2` take the load, `win-3` is for endings, `win-4` is rebooted.
    pub nodes: [Node; 4],
}

/// Fails with the reason where the addresses of pods are not local.
pub fn must_be_inside() {
    let pod = Ipv4Addr::new(10, 244, 1, 1);
    assert!(
        TcpListener::bind((pod, 0)).is_ok(),
        "{pod} is not of this machine: these tests are run by the_chain_holds, in hack/with-pod-network"
    );
}

impl World {
    /// Starts it, once.
    pub fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| {
            must_be_inside();
            let plane = ControlPlane::shared().expect("the outer test looked for it");
            let start = |name, number| Node::start(plane, name, number);
            let nodes = [
                start("win-1", 1),
                start("win-2", 2),
                start("win-3", 3),
                start("win-4", 4),
            ];
            for (node, pool) in nodes.iter().zip(["load", "load", "endings", "reboots"]) {
                plane.kubectl_ok(&["label", "node", node.name, &format!("{POOL}={pool}")]);
            }
            plane.install_roles();
            // A certificate that outlives the program, as cert-manager's does.
            let authority = Authority::new().unwrap();
            let ca = authority.pem();
            let folder = plane.folder().join("webhook-certificate");
            let pair = authority.issue_pem(&["127.0.0.1".to_owned()]).unwrap();
            mount(&folder, 0, &pair);
            let mounted = Certificate::Mounted {
                folder: &folder,
                ca: &ca,
            };
            let webhook = Program::start(plane, "webhook", mounted);
            let controller = Program::start_with(
                plane,
                "controller",
                mounted,
                &plane.program_kubeconfig("controller", None),
                &["--webhook=false", "--shutdown-delay=0s"],
            );
            plane.register_webhooks(&webhook.url(), &webhook.ca());
            let world = World {
                plane,
                eyes: Eyes::new(plane),
                webhook: Mutex::new(webhook),
                controller: Mutex::new(controller),
                nodes,
            };
            world.until_in_force();
            world
        })
    }

    /// The webhooks have arrived in the API server once a pod comes out injected.
    fn until_in_force(&self) {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "probe", "labels": {label::WORKLOAD: "probe"}},
            "spec": {"containers": [{"name": "c", "image": "i", "command": [r"C:\apps\albums.exe"], "ports": [{"containerPort": 80}]}]}});
        let dry_run = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        wait_until("the webhooks are asked", PATIENCE, || {
            let output = self.plane.kubectl_stdin(&dry_run, &pod.to_string());
            let pod: Value = serde_json::from_slice(&output.stdout).ok()?;
            pod["metadata"]["annotations"][annotation::INJECTED]
                .as_str()
                .map(drop)
        });
    }

    /// Makes a namespace whose pods go to the nodes of a pool.
    pub fn namespace(&self, name: &str, pool: &str) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "annotations": {policy::NODE_SELECTOR: format!("{POOL}={pool}")},
        }});
        self.plane.apply(&namespace.to_string());
        let account = ["serviceaccount", "default", "-n", name];
        self.plane.wait_for(&account, "{.metadata.name}");
    }

    /// `kubectl apply`; while the webhook restarts, again.
    pub fn apply(&self, namespace: &str, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let args = ["apply", "--validate=strict", "-n", namespace, "-f", "-"];
        wait_until("kubectl apply", PATIENCE, || {
            let output = self.plane.kubectl_stdin(&args, &list);
            let said = String::from_utf8_lossy(&output.stderr);
            let away = said.contains("failed calling webhook");
            assert!(output.status.success() || away, "{said}\n{list}");
            output.status.success().then_some(())
        });
    }

    /// kubectl in a namespace, which has to succeed.
    pub fn kubectl(&self, namespace: &str, args: &[&str]) -> String {
        self.plane.kubectl_ok(&[args, &["-n", namespace]].concat())
    }

    /// Waits until a Deployment has rolled out.
    pub fn rolled_out(&self, namespace: &str, deployment: &str) {
        let what = format!("deployment/{deployment}");
        let limit = format!("--timeout={}s", PATIENCE.as_secs());
        let args = ["rollout", "status", &what, &limit, "-n", namespace];
        if !self.plane.kubectl(&args).status.success() {
            self.give_up(namespace, &format!("{what} rolled out"));
        }
    }

    /// The HP pods and the anchors of a namespace.
    pub fn pods(&self, namespace: &str) -> (Vec<Value>, Vec<Value>) {
        let all = self.eyes.list(namespace, "pods").into_iter();
        all.partition(|pod| pod["metadata"]["labels"][label::ROLE] != label::ROLE_ANCHOR)
    }

    /// Waits until there are `count` pairs that serve, and nothing else, and gives them.
    pub fn pairs(&self, namespace: &str, count: usize) -> Vec<Pair> {
        let what = format!("{count} pairs");
        self.until(namespace, &what, || self.pairs_now(namespace, count))
    }

    /// The same at this moment; None where it is not so.
    pub fn pairs_now(&self, namespace: &str, count: usize) -> Option<Vec<Pair>> {
        let (pods, anchors) = self.pods(namespace);
        if pods.len() != count || anchors.len() != count {
            return None;
        }
        let pairs = pods.into_iter().map(|pod| {
            let uid = &pod["metadata"]["uid"];
            let of_pod = |anchor: &&Value| anchor["metadata"]["labels"][label::ANCHOR_FOR] == *uid;
            let anchor = anchors.iter().find(of_pod)?.clone();
            let serves = is(&pod, "Ready") && is(&pod, gate::ANCHOR_READY) && is(&anchor, "Ready");
            serves.then_some(Pair { pod, anchor })
        });
        pairs.collect()
    }

    /// Asks again and again until there is an answer; what never comes is told with all that there is.
    pub fn until<T>(&self, namespace: &str, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            if started.elapsed() > PATIENCE {
                self.give_up(namespace, what);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn give_up(&self, namespace: &str, what: &str) -> ! {
        let look = |what: &[&str]| self.kubectl(namespace, &[&["get"], what].concat());
        panic!(
            "not within {PATIENCE:?}: {what} in {namespace}\n{}\n{}",
            look(&["deployments,jobs,pods", "-o", "wide"]),
            look(&["events", "--sort-by=.lastTimestamp"]),
        );
    }

    /// Ends the program that is the controller, as a kubelet does, and starts it again.
    pub fn restart_controller(&self) {
        restart(&self.controller);
    }

    /// The same with the webhook.
    pub fn restart_webhook(&self) {
        restart(&self.webhook);
    }
}

fn restart(program: &Mutex<Program>) {
    let mut program: MutexGuard<'_, _> = program.lock().unwrap_or_else(PoisonError::into_inner);
    program.terminate();
    program.begin();
}

/// An HP pod and its anchor, as they were.
#[derive(Clone, Debug)]
pub struct Pair {
    pub pod: Value,
    pub anchor: Value,
}

impl Pair {
    pub fn name(&self) -> &str {
        self.pod["metadata"]["name"].as_str().unwrap()
    }

    pub fn anchor_name(&self) -> &str {
        self.anchor["metadata"]["name"].as_str().unwrap()
    }

    /// Both UIDs: what says that it is still the same pair.
    pub fn uids(&self) -> [&str; 2] {
        [&self.pod, &self.anchor].map(|pod| pod["metadata"]["uid"].as_str().unwrap())
    }

    /// The address that it serves on.
    pub fn ip(&self) -> &str {
        self.anchor["status"]["podIP"].as_str().unwrap()
    }

    /// How often its program was started anew.
    pub fn restarts(&self) -> u64 {
        self.pod["status"]["containerStatuses"][0]["restartCount"]
            .as_u64()
            .unwrap()
    }

    /// How its program's last run ended.
    pub fn last_exit(&self) -> i64 {
        let last = &self.pod["status"]["containerStatuses"][0]["lastState"];
        last["terminated"]["exitCode"].as_i64().unwrap()
    }
}

/// Whether a condition of an object is True.
pub fn is(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let mut found = conditions
        .into_iter()
        .flatten()
        .filter(|one| one["type"] == kind);
    found.any(|one| one["status"] == "True")
}
