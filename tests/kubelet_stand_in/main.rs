//! The stand-ins for kubelets and for a bad network do what they are taken for, on a real control
//! plane.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod endings;
mod lives;
mod network;
mod orders;
mod pods;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::kubelet::Settings;
use support::{ControlPlane, Kubelet, wait_until};

/// A busy machine is slow; what never comes is not waited for much longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace and a node of one test's own, on the control plane of all, and the node's kubelet.
struct Stage {
    plane: &'static ControlPlane,
    name: &'static str,
    kubelet: Kubelet,
}

impl Stage {
    fn new(name: &'static str) -> Option<Self> {
        Self::with(name, Settings::default())
    }

    fn with(name: &'static str, settings: Settings) -> Option<Self> {
        let plane = ControlPlane::shared()?;
        plane.windows_node(name);
        plane.kubectl_ok(&["create", "namespace", name]);
        let account = ["serviceaccount", "default", "-n", name];
        plane.wait_for(&account, "{.metadata.name}");
        let kubelet = Kubelet::start_with(plane, &[name], settings);
        Some(Self {
            plane,
            name,
            kubelet,
        })
    }

    /// Applies a manifest to the namespace; `@` in it is the node's name.
    fn apply(&self, manifest: &str) {
        let manifest = manifest.replace('@', self.name);
        let args = ["apply", "--validate=strict", "-n", self.name, "-f", "-"];
        let output = self.plane.kubectl_stdin(&args, &manifest);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
    }

    /// kubectl in the namespace, which has to succeed.
    fn kubectl(&self, args: &[&str]) -> String {
        self.plane.kubectl_ok(&[args, &["-n", self.name]].concat())
    }

    /// An object of the namespace, if it is there.
    fn get(&self, what: &str) -> Option<Value> {
        let args = [
            "get",
            what,
            "-n",
            self.name,
            "-o",
            "json",
            "--ignore-not-found",
        ];
        serde_json::from_str(&self.plane.kubectl_ok(&args)).ok()
    }

    /// Waits until an object is so, and gives it.
    fn until(&self, what: &str, is: &str, so: impl Fn(&Value) -> bool) -> Value {
        wait_until(&format!("{what} {is}"), PATIENCE, || {
            self.get(what).filter(&so)
        })
    }

    /// Waits until it is gone.
    fn until_gone(&self, what: &str) {
        wait_until(&format!("{what} is gone"), PATIENCE, || {
            self.get(what).is_none().then_some(())
        });
    }
}

/// A condition's status and reason.
fn condition(object: &Value, kind: &str) -> (String, String) {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|c| c["type"] == kind);
    let text = |field: &str| {
        let value = found.map(|condition| &condition[field]);
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    (text("status"), text("reason"))
}

fn is(object: &Value, kind: &str) -> bool {
    condition(object, kind).0 == "True"
}

/// A pod of one container, as YAML flow, on the test's node.
fn pod(name: &str, spec: &Value) -> String {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeName": "@",
            "containers": [{"name": "main", "image": "registry.example/main"}],
        },
    });
    let spec = spec.as_object().unwrap().clone();
    pod["spec"].as_object_mut().unwrap().extend(spec);
    pod.to_string()
}
