//! What tests apply, and nodes of their own to apply it to.

use k8s_openapi::api::core::v1::Pod;
use native_host::names::label;
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::support::{NodeOptions, wait_until};
use crate::world::{World, name, terminating};

/// A manifest, to change before it is applied.
pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// A Service of a workload's anchors.
pub fn service(name: &str, workload: &str) -> String {
    let manifest = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {
            "selector": {label::ANCHOR: workload},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    });
    manifest.to_string()
}

/// The programs of the HP pods whose names begin so, for [`crate::support::Kubelet::program`].
pub fn programs_of(namespace: &str, prefix: &str) -> impl Fn(&Pod, &str) -> bool + use<> {
    let start = (namespace.to_owned(), prefix.to_owned());
    move |pod, container| starts(pod, &start) && !has_role(pod) && container == "albums"
}

/// The pause containers of their anchors.
pub fn anchors_of(namespace: &str, prefix: &str) -> impl Fn(&Pod, &str) -> bool + use<> {
    let start = (namespace.to_owned(), prefix.to_owned());
    move |pod, _| starts(pod, &start) && has_role(pod)
}

fn starts(pod: &Pod, (namespace, prefix): &(String, String)) -> bool {
    let name = pod.metadata.name.as_ref();
    pod.metadata.namespace.as_ref() == Some(namespace)
        && name.is_some_and(|name| name.starts_with(prefix))
}

fn has_role(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(label::ROLE))
}

/// The spec of the pods that a manifest makes.
pub fn pod_spec(manifest: &mut Value) -> &mut Value {
    if manifest["kind"] == "Pod" {
        &mut manifest["spec"]
    } else {
        &mut manifest["spec"]["template"]["spec"]
    }
}

/// Nodes that only one test's pods run on.
pub struct Pool<'w> {
    world: &'w World,
    name: &'static str,
    pub nodes: Vec<String>,
}

const POOL: &str = "test.example/pool";

impl<'w> Pool<'w> {
    /// Registers so many, each for so many pods.
    pub fn new(world: &'w World, name: &'static str, count: u32, pods: u32) -> Self {
        let nodes = (1..=count).map(|n| format!("{name}-{n}")).collect();
        let pool = Pool { world, name, nodes };
        for n in 1..=count {
            pool.add(n, pods);
        }
        pool
    }

    /// Registers one more.
    pub fn add(&self, number: u32, pods: u32) {
        let options = NodeOptions {
            pods,
            ..NodeOptions::default()
        };
        let mut manifest = options.manifest(&format!("{}-{number}", self.name));
        manifest["metadata"]["labels"][POOL] = self.name.into();
        manifest["spec"]["taints"] =
            json!([{"key": POOL, "value": self.name, "effect": "NoSchedule"}]);
        self.world.plane.apply(&manifest.to_string());
    }

    /// Has the pods of a manifest run there and nowhere else.
    pub fn pin(&self, manifest: &str) -> Value {
        let mut manifest = yaml(manifest);
        let spec = pod_spec(&mut manifest);
        spec["nodeSelector"] = json!({POOL: self.name, label::OS: label::OS_WINDOWS});
        spec["tolerations"] = json!([{"key": POOL, "value": self.name, "effect": "NoSchedule"}]);
        manifest
    }

    /// Applies a manifest whose pods run there and nowhere else.
    pub fn apply(&self, namespace: &str, manifest: &str) {
        let manifest = self.pin(manifest);
        self.world.apply(namespace, &manifest.to_string());
    }
}

impl World {
    /// Waits for a rollout to end well.
    pub fn rolled_out(&self, namespace: &str, what: &str) {
        self.kubectl(namespace, &["rollout", "status", what, "--timeout=120s"]);
    }

    /// Waits until the HP pods and the anchors of a namespace are as a test wants them.
    pub fn until_pods<T>(
        &self,
        namespace: &str,
        wanted: &str,
        is: impl Fn(&[Value], &[Value]) -> Option<T>,
    ) -> T {
        wait_until(&format!("{wanted} in {namespace}"), PATIENCE, || {
            let (pods, anchors) = self.pods(namespace);
            is(&pods, &anchors)
        })
    }

    /// Waits until no anchor is left in a namespace.
    pub fn until_no_anchors(&self, namespace: &str) {
        self.until_pods(namespace, "no anchor", |_, anchors| {
            anchors.is_empty().then_some(())
        });
    }

    /// Waits until a pod is gone.
    pub fn until_gone(&self, namespace: &str, pod: &Value) {
        let what = format!("{} of {}", pod["metadata"]["uid"], name(pod));
        self.until_pods(namespace, &format!("{what} gone"), |pods, anchors| {
            let mut all = pods.iter().chain(anchors);
            let same = |one: &Value| one["metadata"]["uid"] == pod["metadata"]["uid"];
            (!all.any(same)).then_some(())
        });
    }

    /// Deletes a pod, and does not wait for its end.
    pub fn delete(&self, namespace: &str, pod: &Value) {
        self.kubectl(namespace, &["delete", "pod", name(pod), "--wait=false"]);
    }

    /// A pod as it is now, which has to be there.
    pub fn again(&self, namespace: &str, pod: &Value) -> Value {
        let now = self.eyes.see(namespace, &format!("pods/{}", name(pod)));
        let now = now.unwrap_or_else(|| panic!("{} is gone", name(pod)));
        assert_eq!(now["metadata"]["uid"], pod["metadata"]["uid"]);
        now
    }

    /// Waits until a pod is terminating.
    pub fn until_terminating(&self, namespace: &str, pod: &Value) -> Value {
        self.eyes.until(
            namespace,
            &format!("pods/{}", name(pod)),
            "is terminating",
            terminating,
        )
    }
}
