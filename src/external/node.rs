//! What is looked at of a Node: its addresses, its labels, whether it is ready, its pods' networks. The
//! rest (images, conditions, capacity) changes with every heartbeat and is not even decoded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;

use crate::names::label;
use crate::policy::Cidr;

/// A Node as the watch decodes it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SlimNode {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    addresses: Option<Vec<Address>>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl Resource for SlimNode {
    type DynamicType = ();
    type Scope = <Node as Resource>::Scope;

    fn kind(dynamic: &()) -> Cow<'_, str> {
        Node::kind(dynamic)
    }
    fn group(dynamic: &()) -> Cow<'_, str> {
        Node::group(dynamic)
    }
    fn version(dynamic: &()) -> Cow<'_, str> {
        Node::version(dynamic)
    }
    fn plural(dynamic: &()) -> Cow<'_, str> {
        Node::plural(dynamic)
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What is kept of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its first `InternalIP` of each family.
    pub internal: Vec<IpAddr>,
    /// All its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether its condition `Ready` is True. `Unknown` is not: nobody hears of it.
    pub ready: bool,
    /// Its pods' networks.
    pub pods: Vec<Cidr>,
}

impl View {
    /// Of a node.
    pub fn of(node: &SlimNode) -> Option<Self> {
        let mut view = View {
            name: node.metadata.name.clone()?,
            labels: node.metadata.labels.clone().unwrap_or_default(),
            ..View::default()
        };
        for address in node.status.addresses.iter().flatten() {
            let Ok(ip) = address.address.parse::<IpAddr>() else {
                continue;
            };
            let first = !view
                .internal
                .iter()
                .any(|known| known.is_ipv4() == ip.is_ipv4());
            if address.kind == "InternalIP" && first {
                view.internal.push(ip);
            }
            view.addresses.push(ip);
        }
        let mut conditions = node.status.conditions.iter().flatten();
        view.ready = conditions.any(|one| one.kind == "Ready" && one.status == "True");
        let pods = node
            .spec
            .pod_cidrs
            .iter()
            .flatten()
            .chain(&node.spec.pod_cidr);
        view.pods = pods.filter_map(|text| text.parse().ok()).collect();
        view.pods.dedup();
        Some(view)
    }

    /// Its zone.
    pub fn zone(&self) -> Option<&str> {
        let zone = self.labels.get(label::ZONE).map(String::as_str);
        zone.filter(|zone| !zone.is_empty())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn takes_the_first_internal_address_of_each_family() {
        let node: SlimNode = serde_json::from_value(json!({
            "metadata": {"name": "win-1", "labels": {label::ZONE: "a"}},
            "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": "win-1"},
                    {"type": "ExternalIP", "address": "198.51.100.7"},
                    {"type": "InternalIP", "address": "172.19.1.100"},
                    {"type": "InternalIP", "address": "172.19.2.100"},
                    {"type": "InternalIP", "address": "fd00:172:19::64"},
                ],
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}],
                "images": [{"names": ["x"], "sizeBytes": 1}],
            },
        }))
        .unwrap();
        let view = View::of(&node).unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(view.internal, [ip("172.19.1.100"), ip("fd00:172:19::64")]);
        assert_eq!(view.addresses.len(), 4);
        assert!(view.ready);
        assert_eq!(view.zone(), Some("a"));
        assert_eq!(view.pods.len(), 3);
    }

    #[test]
    fn a_node_that_nobody_hears_of_is_not_ready() {
        for status in ["False", "Unknown"] {
            let node = json!({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": status}]}});
            let node: SlimNode = serde_json::from_value(node).unwrap();
            assert!(!View::of(&node).unwrap().ready, "{status}");
        }
        let node: SlimNode = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
        assert!(!View::of(&node).unwrap().ready);
    }
}
