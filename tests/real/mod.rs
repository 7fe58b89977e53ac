//! What the tests on a real API server share.

mod adopt;
mod again;
mod bystanders;
#[path = "../server/client.rs"]
#[allow(dead_code, reason = "the server's own tests use all of it")]
mod client;
mod evictions;
mod example;
mod injectors;
mod linkerd;
mod load;
mod outage;
mod policies;
mod program;
mod refusals;
mod upgrade;
mod workloads;

use std::process::Output;
use std::sync::OnceLock;
use std::time::Duration;

use native_host::names::{PREFIX, annotation, label};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::support::{ControlPlane, NodeOptions, Options, free_port, wait_until};
use program::{Certificate, Program};

/// A busy machine is slow; what never comes is not waited for much longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The one pod that the tests begin with; `@/` is our prefix ([`named`]).
const POD: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: albums, labels: {'@/workload': albums}}
spec:
  containers:
  - name: albums
    image: registry.example/albums
    command: ['C:\apps\albumswin.exe']
    ports: [{name: http, containerPort: 8080}]
";

/// A text of a test with our names in it.
fn named(text: &str) -> String {
    text.replace("@/", PREFIX)
}

/// YAML of a test as a value.
fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(&named(text)).expect(text)
}

/// `POD`.
fn pod() -> Value {
    yaml(POD)
}

/// A control plane with nodes and one program in front of it.
struct World {
    plane: &'static ControlPlane,
    program: Program,
}

impl World {
    /// The one that all tests share which stay in a namespace of their own.
    fn shared() -> Option<&'static Self> {
        static WORLD: OnceLock<World> = OnceLock::new();
        let plane = ControlPlane::shared()?;
        Some(WORLD.get_or_init(|| {
            plane.windows_node("win-2022");
            let server_2019 = NodeOptions {
                build: label::WINDOWS_BUILD_2019.into(),
                ..NodeOptions::default()
            };
            plane.windows_node_with("win-2019", &server_2019);
            let mut linux = NodeOptions::default().manifest("linux");
            linux["metadata"]["labels"][label::OS] = json!("linux");
            plane.apply(&linux.to_string());
            let program = Program::start(plane, "native-host", Certificate::SelfSigned);
            put_in_force(plane, &program.url(), &program.ca(), &[&program]);
            World { plane, program }
        }))
    }

    /// Makes a namespace with the given annotations and labels, ready for pods.
    fn namespace(&self, name: &str, annotations: &[(&str, &str)], labels: &[(&str, &str)]) {
        self.plane.apply(&namespace(name, annotations, labels));
        let account = ["serviceaccount", "default", "-n", name];
        self.plane.wait_for(&account, "{.metadata.name}");
    }

    /// `kubectl apply -n NAMESPACE -f -`.
    fn apply(&self, namespace: &str, manifest: &Value) -> Output {
        let args = ["apply", "-n", namespace, "-f", "-"];
        self.plane.kubectl_stdin(&args, &manifest.to_string())
    }

    /// The same, which has to succeed.
    fn apply_ok(&self, namespace: &str, manifest: &Value) {
        let output = self.apply(namespace, manifest);
        assert!(output.status.success(), "{}", stderr(&output));
    }

    /// The pods of a selector, once there are `count`, all bound to a node.
    fn bound(&self, namespace: &str, selector: &str, count: usize) -> Vec<Value> {
        wait_until(&format!("{count} bound pods {selector}"), PATIENCE, || {
            let pods = self.plane.get(&["pods", "-n", namespace, "-l", selector]);
            let pods = pods["items"].as_array()?.clone();
            let bound = |pod: &Value| pod["spec"]["nodeName"].is_string();
            (pods.len() == count && pods.iter().all(bound)).then_some(pods)
        })
    }
}

/// A Namespace's manifest.
fn namespace(name: &str, annotations: &[(&str, &str)], labels: &[(&str, &str)]) -> String {
    let map = |pairs: &[(&str, &str)]| -> Value {
        let pairs = pairs.iter();
        pairs.map(|(k, v)| (named(k), json!(v))).collect()
    };
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": name, "annotations": map(annotations), "labels": map(labels),
    }})
    .to_string()
}

/// Registers the webhooks and waits until the API server asks both kinds of them.
fn put_in_force(plane: &ControlPlane, url: &str, ca: &str, programs: &[&Program]) {
    plane.register_webhooks(url, ca);
    let validated = "native_host_reviews_total{door=\"validate\"";
    let dry_run = ["create", "--dry-run=server", "-f", "-"];
    wait_until("the webhooks are asked", PATIENCE, || {
        plane.kubectl_stdin(&dry_run, &pod().to_string());
        let mut programs = programs.iter();
        programs
            .any(|program| program.metric(validated) > 0.0)
            .then_some(())
    });
}

/// Keeps tests that measure, or that need a control plane of their own, from running at once.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A control plane of one's own that is as the default one, but nothing makes pods of workloads
/// or binds them.
fn own_plane() -> Option<ControlPlane> {
    ControlPlane::start_or_skip(&Options::apiserver_only())
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Whether admission has been at a pod.
fn is_injected(pod: &Value) -> bool {
    pod["metadata"]["annotations"][annotation::INJECTED].is_string()
}
