//! The node's own objects: the Node, as a kubelet on Windows registers it, and its Lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::env::Allocatable;
use crate::network::guid;
use crate::support::NodeOptions;

/// Where nodes' Leases are (KEP-589), and how often one is renewed (`nodeLeaseRenewIntervalFraction`).
const LEASES: &str = "kube-node-lease";
const BEAT: Duration = Duration::from_secs(10);

/// What a node says of itself.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its name.
    pub name: String,
    /// Its own address.
    pub ip: String,
    /// Its pods'.
    pub cidr: String,
    /// Where it answers the API server, if it does.
    pub port: Option<u16>,
    /// Whether Linux pods are kept off.
    pub tainted: bool,
}

impl Registration {
    /// What pods may use of it.
    pub fn allocatable(&self) -> Allocatable {
        let manifest = self.manifest("");
        serde_json::from_value(manifest["status"]["allocatable"].clone()).unwrap_or_default()
    }

    /// Registers it, or says anew of one that is there what it is (`kubelet_node_status.go`,
    /// `tryRegisterWithAPIServer`).
    pub async fn register(&self, client: &Client) -> kube::Result<()> {
        let manifest = self.manifest(&guid().unwrap_or_default());
        let api = Api::<Node>::all(client.clone());
        let params = PatchParams::apply("kubelet").force();
        let mut node = manifest.clone();
        node.as_object_mut().map(|node| node.remove("status"));
        api.patch(&self.name, &params, &Patch::Apply(node)).await?;
        let status = json!({"status": manifest["status"]});
        self.say(&api, &status).await?;
        self.renew(client).await
    }

    /// It has booted anew.
    pub async fn rebooted(&self, client: &Client) -> kube::Result<()> {
        let boot = guid().unwrap_or_default();
        let status = json!({"status": {"nodeInfo": {"bootID": boot}}});
        self.say(&Api::all(client.clone()), &status).await
    }

    /// Says that it lives, for as long as it does.
    pub async fn beat(self, client: Client) {
        let mut ticks = tokio::time::interval(BEAT);
        loop {
            ticks.tick().await;
            // An API server that is away for a while hears it the next time.
            let _ = self.renew(&client).await;
        }
    }

    async fn say(&self, api: &Api<Node>, status: &Value) -> kube::Result<()> {
        let params = PatchParams::default();
        api.patch_status(&self.name, &params, &Patch::Merge(status))
            .await?;
        Ok(())
    }

    async fn renew(&self, client: &Client) -> kube::Result<()> {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": LEASES},
            "spec": {
                "holderIdentity": self.name,
                "leaseDurationSeconds": 40,
                "renewTime": format!("{:.6}", Timestamp::now()),
            },
        });
        let api = Api::<Lease>::namespaced(client.clone(), LEASES);
        let params = PatchParams::apply("kubelet").force();
        api.patch(&self.name, &params, &Patch::Apply(lease)).await?;
        Ok(())
    }

    fn manifest(&self, boot: &str) -> Value {
        let options = NodeOptions {
            tainted: self.tainted,
            ..NodeOptions::default()
        };
        let mut node = options.manifest(&self.name);
        node["spec"]["podCIDR"] = json!(self.cidr);
        node["spec"]["podCIDRs"] = json!([self.cidr]);
        // No host name: nobody resolves it, and an API server would prefer it.
        node["status"]["addresses"] = json!([{"type": "InternalIP", "address": self.ip}]);
        if let Some(port) = self.port {
            node["status"]["daemonEndpoints"] = json!({"kubeletEndpoint": {"Port": port}});
        }
        node["status"]["nodeInfo"]["bootID"] = json!(boot);
        for condition in node["status"]["conditions"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            condition["message"] = json!("reported by the simulated node");
            condition["lastHeartbeatTime"] = json!(Timestamp::now().strftime("%FT%TZ").to_string());
            condition["lastTransitionTime"] = condition["lastHeartbeatTime"].clone();
        }
        node
    }
}
