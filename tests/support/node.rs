//! A Windows node: the Node object that a kubelet on Windows would register.

use native_host::names::label;
use serde_json::{Value, json};

use super::ControlPlane;

/// What differs from node to node.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The Windows build, as the kubelet reports it.
    pub build: String,
    /// Whether it has the taint that keeps Linux pods off, as Kubernetes' guide for Windows has it:
    /// `os=windows:NoSchedule`.
    pub tainted: bool,
    /// How many pods it takes.
    pub pods: u32,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            // Windows Server 2022.
            build: "10.0.20348".into(),
            tainted: false,
            pods: 110,
        }
    }
}

impl NodeOptions {
    /// The Node. A kubelet, too, creates it with its status (`kubelet_node_status.go`,
    /// `registerWithAPIServer`). Nothing of the control plane judges its heartbeat: the node
    /// lifecycle controller does not run.
    pub fn manifest(&self, name: &str) -> Value {
        let resources = json!({
            "cpu": "16", "memory": "64Gi", "ephemeral-storage": "200Gi",
            "pods": self.pods.to_string(),
        });
        let mut node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {
                label::OS: label::OS_WINDOWS,
                label::WINDOWS_BUILD: self.build,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
            }},
            "spec": {},
            "status": {
                "capacity": resources,
                "allocatable": resources,
                "addresses": [
                    {"type": "InternalIP", "address": "127.0.0.1"},
                    {"type": "Hostname", "address": name},
                ],
                "conditions": [
                    condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                    condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                    condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                    condition("Ready", "True", "KubeletReady"),
                ],
                "nodeInfo": {
                    "architecture": "amd64",
                    "bootID": "", "machineID": name, "systemUUID": name,
                    "containerRuntimeVersion": "containerd://1.7.27",
                    "kernelVersion": format!("{}.2700", self.build),
                    "kubeletVersion": "v1.36.1",
                    "kubeProxyVersion": "",
                    "operatingSystem": label::OS_WINDOWS,
                    "osImage": "Windows Server 2022 Datacenter",
                },
            },
        });
        if self.tainted {
            node["spec"]["taints"] =
                json!([{"key": "os", "value": label::OS_WINDOWS, "effect": "NoSchedule"}]);
        }
        node
    }
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": "registered by a test"})
}

impl ControlPlane {
    /// Registers a ready Windows Server 2022 node.
    pub fn windows_node(&self, name: &str) {
        self.windows_node_with(name, &NodeOptions::default());
    }

    /// Registers a ready Windows node.
    pub fn windows_node_with(&self, name: &str, options: &NodeOptions) {
        self.apply(&options.manifest(name).to_string());
    }
}
