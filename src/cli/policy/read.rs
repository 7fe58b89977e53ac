//! Where the workload is read: manifests, or a cluster.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, Node, Pod};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use super::PolicyCommandError as Error;
use super::workload::Workload;
use crate::admission::offline;
use crate::cli::connection::{AskError, list};
use crate::cli::inject::objects::{Namespaces, flat};
use crate::cli::inject::{documents, source};
use crate::names::label;
use crate::policy::{Namespace, Policy};

/// What was read.
pub(super) struct Found {
    pub(super) workload: Workload,
    pub(super) namespace: String,
    /// The networks that the kubelets of the Windows nodes probe from, where a cluster was asked.
    pub(super) kubelets: Option<Vec<IpNet>>,
}

/// The workload's name, where an object is of one.
fn workload_of(object: &Value) -> Option<&str> {
    offline::template(object)?["metadata"]["labels"][label::WORKLOAD].as_str()
}

/// What makes pods by itself: what something else made, as a ReplicaSet of a Deployment, is left to that.
fn is_made(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners
        .into_iter()
        .flatten()
        .any(|owner| owner["controller"] == true)
}

fn called(object: &Value, namespace: &str) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    format!("{kind}/{namespace}/{name}")
}

/// From files; objects that name no namespace are in `default`.
pub(super) fn from_files(
    wanted: &str,
    (names, recursive): (&[String], bool),
    namespace: Option<&str>,
    policy: &Policy,
) -> Result<Found, Error> {
    let mut objects = Vec::new();
    for source in source::read(names, recursive)? {
        for document in documents::split(&source.text, &source.name) {
            let value = document.value;
            let value = value.map_err(|error| Error::Parse(source.name.clone(), error))?;
            objects.extend(flat(&value));
        }
    }
    let default = namespace.unwrap_or("default").to_owned();
    let mut namespaces = Namespaces::new(policy, default, None);
    for object in &objects {
        namespaces.learn(object, policy);
    }
    let mut workload = Workload::default();
    let (mut home, mut others) = (None::<String>, Vec::new());
    for object in &objects {
        let Some(name) = workload_of(object) else {
            continue;
        };
        let (of, rules) = namespaces.of(object);
        if name != wanted || namespace.is_some_and(|only| only != of) {
            others.push(format!("{name} (namespace {of})"));
            continue;
        }
        if let Some(home) = home.as_ref().filter(|home| *home != of) {
            return Err(Error::TwoNamespaces(
                wanted.to_owned(),
                home.clone(),
                of.to_owned(),
            ));
        }
        home = Some(of.to_owned());
        workload.add(&called(object, of), object, rules)?;
    }
    let Some(namespace) = home else {
        return Err(Error::not_found(
            wanted,
            "among the manifests".to_owned(),
            others,
        ));
    };
    Ok(Found {
        workload,
        namespace,
        kubelets: None,
    })
}

/// From a cluster.
pub(super) async fn from_cluster(
    wanted: &str,
    (client, namespace): (Client, String),
    policy: &Policy,
    with_nodes: bool,
) -> Result<Found, Error> {
    let object = Api::<NamespaceObject>::all(client.clone())
        .get(&namespace)
        .await
        .map_err(AskError::from)?;
    let (labels, annotations) = (object.labels().iter(), object.annotations().iter());
    let rules = Namespace::read(
        policy,
        labels.map(|(key, value)| (key.as_str(), value.as_str())),
        annotations.map(|(key, value)| (key.as_str(), value.as_str())),
    );
    let mut workload = Workload::default();
    let (mut found, mut others) = (false, Vec::new());
    for resource in [
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<DaemonSet>(&()),
        ApiResource::erase::<ReplicaSet>(&()),
        ApiResource::erase::<CronJob>(&()),
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<Pod>(&()),
    ] {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
        let keep = |one: DynamicObject| {
            let mut object = serde_json::to_value(one).ok()?;
            // Items of a list do not say what they are.
            object["apiVersion"] = resource.api_version.clone().into();
            object["kind"] = resource.kind.clone().into();
            (workload_of(&object).is_some() && !is_made(&object)).then_some(object)
        };
        for object in list(&api, &ListParams::default(), keep).await? {
            let name = workload_of(&object).unwrap_or_default();
            if name == wanted {
                found = true;
                workload.add(&called(&object, &namespace), &object, &rules)?;
            } else {
                others.push(name.to_owned());
            }
        }
    }
    if !found {
        let place = format!("in namespace {namespace}");
        return Err(Error::not_found(wanted, place, others));
    }
    let kubelets = if with_nodes {
        Some(kubelets(&client).await?)
    } else {
        None
    };
    Ok(Found {
        workload,
        namespace,
        kubelets,
    })
}

/// Where the kubelets of the Windows nodes ask from: the nodes' own addresses; and, as bridges of CNI plugins
/// have it, the first two addresses of each node's pod network (the gateway, and the host's own port at it).
async fn kubelets(client: &Client) -> Result<Vec<IpNet>, AskError> {
    let windows = ListParams::default().labels(&format!("{}={}", label::OS, label::OS_WINDOWS));
    let nodes = Api::<Node>::all(client.clone());
    let mut networks: Vec<IpNet> = list(&nodes, &windows, |node| Some(of_node(&node)))
        .await?
        .into_iter()
        .flatten()
        .collect();
    networks.sort();
    networks.dedup();
    Ok(networks)
}

fn of_node(node: &Node) -> Vec<IpNet> {
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_ref());
    let internal = addresses
        .into_iter()
        .flatten()
        .filter(|address| address.type_ == "InternalIP");
    let mut networks: Vec<IpNet> = internal
        .filter_map(|address| address.address.parse::<IpAddr>().ok())
        .map(IpNet::from)
        .collect();
    let spec = node.spec.as_ref();
    let pods = spec.and_then(|spec| spec.pod_cidrs.as_ref());
    for network in pods.into_iter().flatten() {
        if let Ok(network) = network.parse::<IpNet>() {
            networks.extend(network.hosts().take(2).map(IpNet::from));
        }
    }
    networks
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kubelets_ask_from_their_nodes_and_from_their_bridges() {
        let node = json!({"spec": {"podCIDRs": ["10.244.3.0/24", "fd00:3::/64"]}, "status": {"addresses": [
            {"type": "Hostname", "address": "win-1"}, {"type": "InternalIP", "address": "172.19.1.1"}]}});
        let networks = of_node(&serde_json::from_value(node).unwrap());
        let shown: Vec<_> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "172.19.1.1/32",
                "10.244.3.1/32",
                "10.244.3.2/32",
                "fd00:3::/128",
                "fd00:3::1/128"
            ]
        );
    }

    #[test]
    fn what_something_else_made_is_left_to_that() {
        let owned = json!({"metadata": {"ownerReferences": [{"controller": true}]}});
        assert!(is_made(&owned));
        assert!(!is_made(&json!({"metadata": {}})));
    }
}
