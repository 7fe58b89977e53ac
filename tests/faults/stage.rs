//! A cluster to do harm to.

use std::time::{Duration, Instant};

use native_host::names::{LEASE, label};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::admin::{self, Admin};
use crate::invariants::{Bystanders, unsettled, wrong};
use crate::program::{Certificate, Program};
use crate::support::install::HOME;
use crate::support::{ControlPlane, Kubelet, NodeOptions, Options, wait_until};
use crate::world;

/// The node of the pods that nobody touches.
pub const QUIET_NODE: &str = "win-0";

/// A control plane, its nodes with their kubelets, the webhook, and pods of other people. The
/// controllers come and go ([`crate::instance`]).
pub struct Stage {
    pub kubelet: Kubelet,
    pub admin: Admin,
    bystanders: Bystanders,
    _webhook: Program,
    pub nodes: Vec<String>,
    // Last, so that it ends last.
    pub plane: ControlPlane,
}

impl Stage {
    /// One with three nodes.
    pub fn start() -> Option<Self> {
        Self::with_nodes(3)
    }

    /// One with so many nodes, of 110 pods each.
    pub fn with_nodes(count: usize) -> Option<Self> {
        let plane = ControlPlane::start_or_skip(&Options::default())?;
        let admin = Admin::new(&plane);
        let mut quiet = NodeOptions::default().manifest(QUIET_NODE);
        quiet["spec"]["unschedulable"] = true.into();
        let mut nodes = vec![quiet];
        let names: Vec<String> = (1..=count).map(|n| format!("win-{n}")).collect();
        let others = names
            .iter()
            .map(|name| NodeOptions::default().manifest(name));
        nodes.extend(others);
        for node in &nodes {
            admin.create("/api/v1/nodes", node).unwrap();
        }
        let kubelet = Kubelet::start(&plane, &[]);
        // A launcher that ends with its anchor is restarted; here that befalls a pod often.
        kubelet.settings(|settings| {
            settings.crash_backoff = Duration::from_millis(200);
            settings.crash_backoff_limit = Duration::from_secs(1);
        });
        plane.install_roles();
        let webhook = Program::start(&plane, "webhook", Certificate::SelfSigned);
        // Before the webhooks are asked: one of them is a workload that was not injected.
        let bystanders = Bystanders::settle(&admin);
        world::put_in_force(&plane, &webhook);
        Some(Stage {
            kubelet,
            admin,
            bystanders,
            _webhook: webhook,
            nodes: names,
            plane,
        })
    }

    /// Makes a namespace, ready for pods.
    pub fn namespace(&self, name: &str) {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.admin.create("/api/v1/namespaces", &namespace).unwrap();
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        wait_until("a ServiceAccount", PATIENCE, || {
            self.admin.get(&account).ok()
        });
    }

    /// Creates an object; its kind says where.
    pub fn create(&self, namespace: &str, object: &Value) -> Value {
        let group = match object["apiVersion"].as_str().unwrap() {
            "v1" => "/api/v1".to_owned(),
            group => format!("/apis/{group}"),
        };
        let kind = object["kind"].as_str().unwrap().to_lowercase();
        let path = format!("{group}/namespaces/{namespace}/{kind}s");
        // The API server may be on its way back.
        wait_until(&format!("create {object}"), PATIENCE, || {
            match self.admin.create(&path, object) {
                Ok(object) => Some(object),
                Err(0 | 429 | 500.. | 409) => None,
                Err(code) => panic!("{code} for {object}"),
            }
        })
    }

    /// All pods but those of other people, as they are at one moment; None while the API server is
    /// away. What must hold at every moment is checked.
    pub fn look(&self) -> Option<Vec<Value>> {
        let mut pods = self.admin.list("/api/v1/pods").ok()?;
        pods.retain(|pod| pod["metadata"]["namespace"] != Bystanders::NAMESPACE);
        let wrong = wrong(&pods);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        Some(pods)
    }

    /// Waits until there are `count` live pairs, each whole, and nothing that belongs to no pair. Gives
    /// the pods.
    pub fn until_settled(&self, count: usize) -> Vec<Value> {
        self.until_settled_while(count, || {})
    }

    /// The same, and does something before each look.
    pub fn until_settled_while(&self, count: usize, act: impl FnMut()) -> Vec<Value> {
        self.until_settled_and(act, |pods| {
            let live = |pod: &&Value| !is_anchor(pod) && !world::finished(pod);
            let live = pods.iter().filter(live).count();
            (live != count).then(|| format!("{live} live pods, not {count}"))
        })
    }

    /// Waits until all pairs are whole, there is nothing that belongs to no pair, and `missing` has
    /// nothing to say. Does something before each look.
    pub fn until_settled_and(
        &self,
        mut act: impl FnMut(),
        mut missing: impl FnMut(&[Value]) -> Option<String>,
    ) -> Vec<Value> {
        let started = Instant::now();
        let mut limit = PATIENCE;
        loop {
            act();
            let looked = Instant::now();
            let why = match self.look() {
                None => "the API server does not answer".to_owned(),
                Some(pods) => {
                    // Thousands take longer.
                    limit =
                        limit.max(Duration::from_millis(300) * u32::try_from(pods.len()).unwrap());
                    match missing(&pods).or_else(|| unsettled(&pods)) {
                        None => {
                            self.bystanders.check(&self.admin);
                            return pods;
                        }
                        Some(why) => why,
                    }
                }
            };
            assert!(
                started.elapsed() < limit,
                "not settled within {limit:?}: {why}"
            );
            // A look at thousands of pods is work for the API server too.
            std::thread::sleep((looked.elapsed() * 2).max(Duration::from_millis(50)));
        }
    }

    /// Gives the Lease back in the name of one who is dead and cannot: its successor need not wait.
    pub fn free_the_lease(&self) {
        let free = json!({"spec": {
            "holderIdentity": null, "acquireTime": null, "renewTime": null, "leaseDurationSeconds": null,
        }});
        wait_until("the Lease is free", PATIENCE, || {
            self.admin.merge(&lease_path(), &free).ok()
        });
    }

    /// Deletes all pods and what makes them.
    pub fn delete_everything(&self, namespace: &str) {
        let kinds = [
            ("apis/apps/v1", "deployments"),
            ("apis/apps/v1", "statefulsets"),
            ("apis/batch/v1", "jobs"),
        ];
        for (group, resource) in kinds {
            let path = format!("/{group}/namespaces/{namespace}/{resource}");
            wait_until("everything is deleted", PATIENCE, || {
                self.admin.delete(&path).ok()
            });
        }
        for pod in self
            .admin
            .list(&format!("/api/v1/namespaces/{namespace}/pods"))
            .unwrap()
        {
            let owned = pod["metadata"]["ownerReferences"].is_array();
            if !owned {
                let _ = self.admin.delete(&admin::pod(namespace, world::name(&pod)));
            }
        }
    }
}

pub fn lease_path() -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/{LEASE}")
}

pub fn is_anchor(pod: &Value) -> bool {
    pod["metadata"]["labels"][label::ROLE] == label::ROLE_ANCHOR
}

/// A manifest of [`world`] as JSON.
pub fn manifest(yaml: &str) -> Value {
    serde_saphyr::from_str(&yaml.replace("@/", native_host::names::PREFIX)).unwrap()
}
