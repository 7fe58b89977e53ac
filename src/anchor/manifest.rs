//! An anchor's manifest, from the live HP pod and the [`AnchorSpec`] that admission wrote.
//!
//! The spec says what only admission knew; all that bears on rights (ServiceAccount, pull
//! secrets, priority) comes from the live pod, where the API server has checked it. The
//! workload's own labels stay off: they would make budgets, autoscalers, anti-affinity and
//! topology spread count the anchor as a replica.

use crate::names::{annotation, gate, label};
use crate::plan::anchor_spec::{
    AnchorContainer, AnchorPort, AnchorSpec, MeshProxy, ReadinessCheck, ReadinessProbe,
};
use crate::plan::pod::DEFAULT_GRACE_SECONDS;
use k8s_openapi::api::core::v1::{
    Affinity, Container, ContainerPort, GRPCAction, HTTPGetAction, HTTPHeader, Lifecycle,
    LifecycleHandler, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod,
    PodOS, PodReadinessGate, PodSpec, Probe, ResourceRequirements, SleepAction, TCPSocketAction,
    Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::{BTreeMap, BTreeSet};

/// How much longer the anchor's grace period is than its HP pod's, in seconds: the network
/// stands until the program is gone.
pub const EXTRA_GRACE_SECONDS: i64 = 30;
/// How much shorter than its grace period the anchor's preStop sleep is, in seconds, so that
/// pause is stopped and not killed.
const SLEEP_MARGIN: i64 = 2;
/// The longest name of a pod (DNS subdomain, RFC 1123).
const NAME_MAX: usize = 253;
/// What stands in an anchor's name between its pod's and the hash.
const NAME_MARK: &str = "-anchor-";
/// What a pause container needs; requests are limits.
const RESOURCES: [(&str, &str); 2] = [("cpu", "10m"), ("memory", "32Mi")];
/// The name of the one pause container of an anchor that has nothing to probe.
const PAUSE: &str = "anchor";

/// The HP pod that an anchor belongs to, as far as the pod itself may not know it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'p> {
    /// Its name.
    pub name: &'p str,
    /// Its UID.
    pub uid: &'p str,
    /// The node that it is bound to.
    pub node: &'p str,
}

/// The name of the anchor of a pod: the pod's, and a hash of its UID, so that a StatefulSet's
/// pod that comes back under its old name gets another anchor.
pub fn name(pod: &str, uid: &str) -> String {
    // FNV-1a, as Kubernetes hashes pod templates (pkg/util/hash).
    let hash = uid.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let tail = format!("{NAME_MARK}{hash:08x}");
    let mut head = pod
        .get(..pod.len().min(NAME_MAX - tail.len()))
        .unwrap_or(pod);
    head = head.trim_end_matches(['-', '.']);
    format!("{head}{tail}")
}

/// Whether a pod's name is of the form that [`name()`] gives. Anybody may give a pod such a name.
pub fn is_name(pod: &str) -> bool {
    let hash = |hash: &str| {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        hash.len() == 8 && hash.bytes().all(digit)
    };
    pod.len() <= NAME_MAX
        && pod
            .rsplit_once(NAME_MARK)
            .is_some_and(|(head, tail)| !head.is_empty() && hash(tail))
}

/// The anchor of `pod`.
pub fn manifest(pod: &Pod, owner: Owner<'_>, spec: &AnchorSpec) -> Pod {
    let hp = pod.spec.clone().unwrap_or_default();
    let workload = pod
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(label::WORKLOAD));
    let mut labels = spec.labels.clone();
    labels.extend([
        (
            label::ANCHOR.to_owned(),
            workload.cloned().unwrap_or_default(),
        ),
        (label::ANCHOR_FOR.to_owned(), owner.uid.to_owned()),
        (label::ROLE.to_owned(), label::ROLE_ANCHOR.to_owned()),
    ]);
    let grace = hp
        .termination_grace_period_seconds
        .unwrap_or(DEFAULT_GRACE_SECONDS)
        .clamp(0, i64::MAX - EXTRA_GRACE_SECONDS)
        + EXTRA_GRACE_SECONDS;
    Pod {
        metadata: ObjectMeta {
            name: Some(name(owner.name, owner.uid)),
            namespace: pod.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations(pod, spec)),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: owner.name.to_owned(),
                uid: owner.uid.to_owned(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            affinity: Some(pinned_to(owner.node)),
            automount_service_account_token: Some(false),
            containers: containers(spec, grace - SLEEP_MARGIN),
            dns_config: hp.dns_config,
            dns_policy: hp.dns_policy.map(|policy| match policy.as_str() {
                "ClusterFirstWithHostNet" => "ClusterFirst".to_owned(),
                _ => policy,
            }),
            enable_service_links: Some(false),
            hostname: hp.hostname,
            image_pull_secrets: hp.image_pull_secrets,
            os: Some(PodOS {
                name: label::OS_WINDOWS.to_owned(),
            }),
            priority_class_name: hp.priority_class_name,
            readiness_gates: Some(vec![PodReadinessGate {
                condition_type: gate::WORKLOAD_RUNNING.to_owned(),
            }]),
            service_account_name: hp.service_account_name,
            subdomain: hp.subdomain,
            termination_grace_period_seconds: Some(grace),
            tolerations: Some(tolerations(hp.tolerations)),
            ..PodSpec::default()
        }),
        status: None,
    }
}

fn annotations(pod: &Pod, spec: &AnchorSpec) -> BTreeMap<String, String> {
    let mut annotations: BTreeMap<_, _> = pod
        .metadata
        .annotations
        .iter()
        .flatten()
        .filter(|(key, _)| key.starts_with(annotation::LINKERD_CONFIG_PREFIX))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    // Said either way: a namespace may inject all pods that say nothing.
    let inject = match spec.mesh {
        Some(MeshProxy::Linkerd) => "enabled",
        None => "disabled",
    };
    let own = [
        (annotation::LINKERD_INJECT, inject),
        (annotation::DAEMONSET_POD, "true"),
        (annotation::ENABLE_DS_EVICTION, "false"),
    ];
    annotations.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    annotations
}

/// To one node, and still by way of the scheduler, as DaemonSets do it
/// (`ReplaceDaemonSetPodNodeNameNodeAffinity`, pkg/controller/daemon/util).
fn pinned_to(node: &str) -> Affinity {
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![NodeSelectorTerm {
                    match_fields: Some(vec![NodeSelectorRequirement {
                        key: "metadata.name".to_owned(),
                        operator: "In".to_owned(),
                        values: Some(vec![node.to_owned()]),
                    }]),
                    match_expressions: None,
                }],
            }),
            preferred_during_scheduling_ignored_during_execution: None,
        }),
        ..Affinity::default()
    }
}

/// The HP pod's for NoExecute, and every NoSchedule: a node that was cordoned in between must
/// not strand the HP pod.
fn tolerations(hp: Option<Vec<Toleration>>) -> Vec<Toleration> {
    let no_execute = |toleration: &Toleration| {
        matches!(toleration.effect.as_deref(), None | Some("" | "NoExecute"))
    };
    let mut tolerations: Vec<_> = hp.into_iter().flatten().filter(no_execute).collect();
    tolerations.push(Toleration {
        effect: Some("NoSchedule".to_owned()),
        operator: Some("Exists".to_owned()),
        ..Toleration::default()
    });
    tolerations
}

/// One pause container for each probed container, since a container holds one readiness probe;
/// ports of the others go to the first.
fn containers(spec: &AnchorSpec, sleep: i64) -> Vec<Container> {
    let (probed, rest): (Vec<_>, Vec<_>) = spec
        .containers
        .iter()
        .partition(|container| container.readiness.is_some());
    let mut containers: Vec<_> = probed
        .into_iter()
        .map(|one| pause(&one.name, one, &spec.image, sleep))
        .collect();
    if containers.is_empty() {
        let none = AnchorContainer {
            name: PAUSE.to_owned(),
            ports: Vec::new(),
            readiness: None,
        };
        containers.push(pause(PAUSE, &none, &spec.image, sleep));
    }
    if let Some(first) = containers.first_mut() {
        let ports = first.ports.get_or_insert_default();
        ports.extend(rest.iter().flat_map(|one| one.ports.iter().map(port)));
        unique(ports);
        if ports.is_empty() {
            first.ports = None;
        }
    }
    containers
}

/// A container's ports may be named, and numbered, once only.
fn unique(ports: &mut Vec<ContainerPort>) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    ports.retain_mut(|port| {
        if port
            .name
            .as_ref()
            .is_some_and(|name| !names.insert(name.clone()))
        {
            port.name = None;
        }
        numbers.insert((port.container_port, port.protocol.clone()))
    });
}

fn pause(name: &str, from: &AnchorContainer, image: &str, sleep: i64) -> Container {
    let resources: BTreeMap<_, _> = RESOURCES
        .map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned())))
        .into();
    let ports: Vec<_> = from.ports.iter().map(port).collect();
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: sleep }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ports: (!ports.is_empty()).then_some(ports),
        readiness_probe: from.readiness.as_ref().map(readiness),
        resources: Some(ResourceRequirements {
            requests: Some(resources.clone()),
            limits: Some(resources),
            ..ResourceRequirements::default()
        }),
        ..Container::default()
    }
}

fn port(port: &AnchorPort) -> ContainerPort {
    ContainerPort {
        name: port.name.clone(),
        container_port: i32::from(port.port),
        protocol: Some(port.protocol.as_str().to_owned()),
        ..ContainerPort::default()
    }
}

fn readiness(probe: &ReadinessProbe) -> Probe {
    let number = |n: u32| Some(i32::try_from(n).unwrap_or(i32::MAX));
    let mut result = Probe {
        initial_delay_seconds: number(probe.timing.initial_delay),
        period_seconds: number(probe.timing.period),
        timeout_seconds: number(probe.timing.timeout),
        success_threshold: number(probe.timing.success),
        failure_threshold: number(probe.timing.failure),
        ..Probe::default()
    };
    match &probe.check {
        ReadinessCheck::HttpGet {
            port,
            path,
            https,
            headers,
        } => {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| HTTPHeader {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect();
            result.http_get = Some(HTTPGetAction {
                port: IntOrString::Int(i32::from(*port)),
                path: Some(path.clone()),
                scheme: Some(if *https { "HTTPS" } else { "HTTP" }.to_owned()),
                http_headers: (!headers.is_empty()).then_some(headers),
                host: None,
            });
        }
        ReadinessCheck::TcpSocket { port } => {
            result.tcp_socket = Some(TCPSocketAction {
                port: IntOrString::Int(i32::from(*port)),
                host: None,
            });
        }
        ReadinessCheck::Grpc { port, service } => {
            result.grpc = Some(GRPCAction {
                port: i32::from(*port),
                service: service.clone(),
            });
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_given_is_known_again() {
        let long = "a".repeat(NAME_MAX);
        for (pod, uid) in [("albums", "1"), ("albums-anchor-0", ""), (&long, "x-y")] {
            let name = name(pod, uid);
            assert!(is_name(&name), "{name}");
        }
        assert!(!is_name(&format!("{long}-anchor-0123abcd")));
    }
}
