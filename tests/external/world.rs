//! What the tests share: a control plane, the webhook, and a controller.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Output;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use native_host::names::{PREFIX, label};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::admin::Admin;
use crate::inside;
use crate::program::{Certificate, Program};
use crate::support::{ControlPlane, NodeOptions, wait_until};

/// The networks that the tests' namespaces allow.
pub const ALLOWED: &str = "10.245.0.0/16, fd00:245::/64";
/// What the program is told of the cluster's own.
pub const CLUSTER: &str = "--cluster-cidrs=10.244.0.0/16,fd00:244::/64";

/// See the module.
pub struct World {
    pub plane: &'static ControlPlane,
    pub admin: Admin,
    pub program: Mutex<Program>,
}

/// What is published of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub ready: bool,
    pub serving: bool,
    pub node: Option<String>,
    pub zone: Option<String>,
}

impl World {
    /// The one that all tests share which stay in a namespace of their own; None outside of the network
    /// of pods.
    pub fn shared() -> Option<&'static Self> {
        static WORLD: OnceLock<World> = OnceLock::new();
        if !inside() {
            return None;
        }
        let plane = ControlPlane::shared()?;
        Some(WORLD.get_or_init(|| Self::on(plane)))
    }

    fn on(plane: &'static ControlPlane) -> Self {
        plane.install_roles();
        let kubeconfig = plane.program_kubeconfig("native-host", None);
        let flags = ["--lease-duration=3s", "--external-probes=64", CLUSTER];
        let program = Program::start_with(
            plane,
            "native-host",
            Certificate::SelfSigned,
            &kubeconfig,
            &flags,
        );
        plane.register_webhooks(&program.url(), &program.ca());
        let world = World {
            plane,
            admin: Admin::new(plane),
            program: Mutex::new(program),
        };
        world.namespace("first");
        // A wrong one is refused once the webhook is asked.
        let wrong = service("wrong", &[("external-addresses", "127.0.0.1")], "");
        wait_until("the webhook is asked", PATIENCE, || {
            let output = world.try_apply("first", &wrong);
            (!output.status.success()).then_some(())
        });
        world
    }

    /// Makes a namespace that allows [`ALLOWED`].
    pub fn namespace(&self, name: &str) {
        self.namespace_with(name, ALLOWED);
    }

    /// Makes one, or changes it.
    pub fn namespace_with(&self, name: &str, cidrs: &str) {
        let annotations = if cidrs.is_empty() {
            json!({})
        } else {
            json!({format!("{PREFIX}external-cidrs"): cidrs})
        };
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}});
        self.plane.apply(&manifest.to_string());
    }

    /// `kubectl apply -n NAMESPACE -f -`, whatever comes of it.
    pub fn try_apply(&self, namespace: &str, manifest: &str) -> Output {
        let args = ["apply", "--validate=strict", "-n", namespace, "-f", "-"];
        self.plane
            .kubectl_stdin(&args, &manifest.replace("@/", PREFIX))
    }

    /// The same, which has to succeed; gives what was warned of.
    pub fn apply(&self, namespace: &str, manifest: &str) -> String {
        let output = self.try_apply(namespace, manifest);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}\n{manifest}");
        stderr
    }

    /// The same, which has to be refused; gives why.
    pub fn refused(&self, namespace: &str, manifest: &str) -> String {
        let output = self.try_apply(namespace, manifest);
        assert!(!output.status.success(), "applied: {manifest}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn kubectl(&self, namespace: &str, args: &[&str]) -> String {
        self.plane.kubectl_ok(&[args, &["-n", namespace]].concat())
    }

    /// The EndpointSlices of a Service.
    pub fn slices(&self, namespace: &str, service: &str) -> Vec<Value> {
        let path = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector={}%3D{service}",
            label::SERVICE_NAME.replace('/', "%2F")
        );
        self.admin.list(&path).unwrap()
    }

    /// What is published of a Service, by address.
    pub fn endpoints(&self, namespace: &str, service: &str) -> BTreeMap<IpAddr, Seen> {
        let slices = self.slices(namespace, service);
        let all = slices
            .iter()
            .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let text = |value: &Value| value.as_str().map(str::to_owned);
        all.map(|endpoint| {
            let seen = Seen {
                ready: endpoint["conditions"]["ready"] == true,
                serving: endpoint["conditions"]["serving"] == true,
                node: text(&endpoint["nodeName"]),
                zone: text(&endpoint["zone"]),
            };
            (
                endpoint["addresses"][0].as_str().unwrap().parse().unwrap(),
                seen,
            )
        })
        .collect()
    }

    /// The addresses that are ready.
    pub fn ready(&self, namespace: &str, service: &str) -> Vec<String> {
        let all = self.endpoints(namespace, service).into_iter();
        all.filter(|(_, seen)| seen.ready)
            .map(|(address, _)| address.to_string())
            .collect()
    }

    /// Waits until exactly these are ready.
    pub fn until_ready(&self, namespace: &str, service: &str, expected: &[&str]) {
        let mut last = Vec::new();
        let started = std::time::Instant::now();
        loop {
            let ready = self.ready(namespace, service);
            if ready == expected {
                return;
            }
            last.clone_from(&ready);
            assert!(
                started.elapsed() < PATIENCE,
                "{namespace}/{service}: {expected:?} are not ready, {last:?} are; published: {:?}",
                self.endpoints(namespace, service)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until exactly these are published, in whatever state.
    pub fn until_published(&self, namespace: &str, service: &str, expected: &[&str]) {
        wait_until(
            &format!("{expected:?} are published of {namespace}/{service}"),
            PATIENCE,
            || {
                let all = self.endpoints(namespace, service);
                let all: Vec<_> = all.keys().map(ToString::to_string).collect();
                (all == expected).then_some(())
            },
        );
    }

    /// Waits for an Event of a reason on an object that says these words; gives all of it.
    pub fn event(&self, namespace: &str, name: &str, reason: &str, words: &str) -> String {
        wait_until(
            &format!("event {reason} on {name}: {words}"),
            PATIENCE,
            || {
                let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
                let events = self.admin.list(&path).unwrap().into_iter();
                let mut events = events.filter(|event| {
                    event["regarding"]["name"] == name && event["reason"] == reason
                });
                events.find_map(|event| {
                    let note = event["note"].as_str().unwrap().to_owned();
                    note.contains(words).then_some(note)
                })
            },
        )
    }

    /// Sets fields of a Node's status and labels.
    pub fn node(&self, name: &str, addresses: &[&str], ready: &str, labels: &Value) {
        let mut node = NodeOptions::default().manifest(name);
        let all = addresses
            .iter()
            .map(|one| json!({"type": "InternalIP", "address": one}));
        node["status"]["addresses"] = all.collect::<Vec<_>>().into();
        node["status"]["conditions"] =
            json!([{"type": "Ready", "status": ready, "reason": "Test", "message": "by a test"}]);
        json_patch::merge(&mut node["metadata"]["labels"], labels);
        let path = format!("/api/v1/nodes/{name}");
        if self.admin.get(&path).is_err() {
            self.admin.create("/api/v1/nodes", &node).unwrap();
            return;
        }
        self.admin
            .merge(&path, &json!({"metadata": {"labels": labels}}))
            .unwrap();
        let status = json!({"status": {"conditions": node["status"]["conditions"], "addresses": node["status"]["addresses"]}});
        self.admin
            .merge(&format!("{path}/status"), &status)
            .unwrap();
    }
}

/// An external Service of one port, by its annotations under our prefix; `more` is of its spec.
pub fn service(name: &str, annotations: &[(&str, &str)], more: &str) -> String {
    let annotations: BTreeMap<_, _> = annotations
        .iter()
        .map(|(key, value)| (format!("@/{key}"), value))
        .collect();
    let ports = if more.contains("ports:") {
        ""
    } else {
        "ports: [{name: http, port: 80, targetPort: 8080}]"
    };
    format!(
        r"
apiVersion: v1
kind: Service
metadata:
  name: {name}
  labels: {{'@/external': 'true'}}
  annotations: {}
spec:
  {ports}
  {more}
",
        serde_json::to_string(&annotations).unwrap()
    )
}

/// Annotations of a probe that is quick, for tests that wait.
pub const QUICK: [(&str, &str); 3] = [
    ("external-probe", "http://:8080/health"),
    ("external-probe-period", "1s"),
    ("external-probe-failures", "2"),
];

/// The same with addresses.
pub fn quick(addresses: &str) -> Vec<(&str, &str)> {
    [&QUICK[..], &[("external-addresses", addresses)]].concat()
}

/// A Windows node's labels.
pub fn windows() -> Value {
    json!({label::OS: label::OS_WINDOWS})
}
