//! What the tests of pairs share: a cluster in which native-host is installed.

use std::sync::OnceLock;

use native_host::names::{PREFIX, annotation, gate, label};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::look::Eyes;
use crate::program::{Certificate, Program};
use crate::support::{ControlPlane, Kubelet, wait_until};

/// A control plane, its Windows nodes and their kubelets, and the program.
#[allow(dead_code, reason = "tests of faults use all of it")]
pub struct World {
    pub plane: &'static ControlPlane,
    pub kubelet: Kubelet,
    pub program: Program,
    pub eyes: Eyes,
}

impl World {
    /// The one that tests share which stay in a namespace of their own. Its nodes are `win-1` to
    /// `win-3`.
    pub fn shared() -> Option<&'static Self> {
        static WORLD: OnceLock<World> = OnceLock::new();
        let plane = ControlPlane::shared()?;
        Some(WORLD.get_or_init(|| Self::on(plane, &[])))
    }

    /// Installs native-host on a control plane that has nothing yet.
    pub fn on(plane: &'static ControlPlane, flags: &[&str]) -> Self {
        for node in ["win-1", "win-2", "win-3"] {
            plane.windows_node(node);
        }
        let kubelet = Kubelet::start(plane, &[]);
        plane.install_roles();
        let all = [&["--lease-duration=3s", "--misses-interval=1s"], flags].concat();
        let program = Program::start_with(
            plane,
            "native-host",
            Certificate::SelfSigned,
            &plane.program_kubeconfig("native-host", None),
            &all,
        );
        put_in_force(plane, &program);
        World {
            plane,
            kubelet,
            program,
            eyes: Eyes::new(plane),
        }
    }

    /// Makes a namespace, ready for pods.
    pub fn namespace(&self, name: &str) {
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.plane.apply(&manifest.to_string());
        let account = ["serviceaccount", "default", "-n", name];
        self.plane.wait_for(&account, "{.metadata.name}");
    }

    /// `kubectl apply -n NAMESPACE -f -`, which has to succeed. `@/` is our prefix.
    pub fn apply(&self, namespace: &str, manifest: &str) {
        let manifest = manifest.replace("@/", PREFIX);
        let args = ["apply", "--validate=strict", "-n", namespace, "-f", "-"];
        let output = self.plane.kubectl_stdin(&args, &manifest);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}\n{manifest}");
    }

    /// kubectl in a namespace, which has to succeed.
    pub fn kubectl(&self, namespace: &str, args: &[&str]) -> String {
        self.plane.kubectl_ok(&[args, &["-n", namespace]].concat())
    }

    /// The pods of a namespace, HP pods and anchors.
    pub fn pods(&self, namespace: &str) -> (Vec<Value>, Vec<Value>) {
        let all = self.eyes.list(namespace, "pods");
        let anchor = |pod: &Value| pod["metadata"]["labels"][label::ROLE] == label::ROLE_ANCHOR;
        all.into_iter().partition(|pod| !anchor(pod))
    }

    /// Waits until `count` pairs are whole and ready and there is nothing else, and gives the HP
    /// pods and their anchors in the same order.
    pub fn pairs(&self, namespace: &str, count: usize) -> (Vec<Value>, Vec<Value>) {
        let what = format!("{count} ready pairs in {namespace}");
        wait_until(&what, PATIENCE, || {
            let (pods, anchors) = self.pods(namespace);
            let pods: Vec<_> = pods.into_iter().filter(|pod| !finished(pod)).collect();
            if pods.len() != count || anchors.len() != count {
                return None;
            }
            let anchors: Option<Vec<_>> = pods
                .iter()
                .map(|pod| {
                    let anchor = anchors.iter().find(|anchor| owner(anchor) == uid(pod))?;
                    whole(pod, anchor).then(|| anchor.clone())
                })
                .collect();
            Some((pods, anchors?))
        })
    }

    /// The reasons and messages of the Events on an object.
    pub fn events(&self, namespace: &str, name: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = self.eyes.list(namespace, "events").into_iter();
        all.filter(|event| event["involvedObject"]["name"] == name)
            .map(|event| (text(&event["reason"]), text(&event["message"])))
            .collect()
    }

    /// Waits for an Event of a reason on an object, and gives what it says.
    pub fn event(&self, namespace: &str, name: &str, reason: &str) -> String {
        wait_until(&format!("event {reason} on {name}"), PATIENCE, || {
            let mut events = self.events(namespace, name).into_iter();
            events
                .find(|(r, _)| r == reason)
                .map(|(_, message)| message)
        })
    }
}

/// The webhook configurations have arrived in the API server once a pod comes out injected.
pub fn put_in_force(plane: &ControlPlane, program: &Program) {
    plane.register_webhooks(&program.url(), &program.ca());
    let dry_run = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    let pod = bare("probe").replace("@/", PREFIX);
    wait_until("the webhooks are asked", PATIENCE, || {
        let output = plane.kubectl_stdin(&dry_run, &pod);
        let pod: Value = serde_json::from_slice(&output.stdout).ok()?;
        pod["metadata"]["annotations"][annotation::INJECTED]
            .as_str()
            .map(drop)
    });
}

pub fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap()
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// The UID of the controller of an object.
pub fn owner(object: &Value) -> &str {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let mut owners = owners.into_iter().flatten();
    let owner = owners.find(|owner| owner["controller"] == true);
    owner
        .and_then(|owner| owner["uid"].as_str())
        .unwrap_or_default()
}

pub fn finished(pod: &Value) -> bool {
    matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    )
}

pub fn terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Whether a condition of an object is True.
pub fn is(object: &Value, kind: &str) -> bool {
    condition(object, kind)["status"] == "True"
}

pub fn condition<'v>(object: &'v Value, kind: &str) -> &'v Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|c| c["type"] == kind);
    found.unwrap_or(&Value::Null)
}

/// What an HP pod says of its anchor.
pub fn published(pod: &Value) -> Value {
    let text = pod["metadata"]["annotations"][annotation::ANCHOR_STATUS].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

/// Everything that holds for a pair that is up.
pub fn whole(pod: &Value, anchor: &Value) -> bool {
    let status = published(pod);
    !terminating(pod)
        && !terminating(anchor)
        && is(pod, gate::ANCHOR_READY)
        && is(pod, "Ready")
        && is(anchor, gate::WORKLOAD_RUNNING)
        && is(anchor, "Ready")
        && status["uid"] == anchor["metadata"]["uid"]
        && status["ip"] == anchor["status"]["podIP"]
        && anchor["spec"]["nodeName"] == pod["spec"]["nodeName"]
}

/// A bare workload pod.
pub fn bare(name: &str) -> String {
    format!(
        r"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}, '@/workload': {name}}}}}
spec:
{CONTAINERS}
"
    )
}

/// The containers of a workload, for a pod's spec.
pub const CONTAINERS: &str = r"
  containers:
  - name: albums
    image: registry.example/albums
    command: ['C:\apps\albumswin.exe']
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1}
";

/// A workload with a template of its own kind: `head` is what its spec has beside the template.
pub fn workload(kind: &str, api_version: &str, name: &str, head: &str) -> String {
    let containers = CONTAINERS.replace('\n', "\n    ");
    format!(
        r"
apiVersion: {api_version}
kind: {kind}
metadata: {{name: {name}}}
spec:
  {head}
  template:
    metadata: {{labels: {{app: {name}, '@/workload': {name}}}}}
    spec:
      terminationGracePeriodSeconds: 10
{containers}
"
    )
}

/// A Deployment of a workload.
pub fn deployment(name: &str, replicas: u32) -> String {
    let head = format!(
        "replicas: {replicas}\n  selector: {{matchLabels: {{app: {name}}}}}\n  strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}"
    );
    workload("Deployment", "apps/v1", name, &head)
}
