//! What the rules of a pair look at, of either pod; all else is dropped where it is decoded.
//!
//! The controller keeps one of each for every pair of the cluster ([`super::packed`]), so both hold little.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::status::AnchorStatus;
use crate::closed_set::closed_set;
use crate::cluster::is_plain;
use crate::names::{annotation, gate, label, policy};
use crate::plan::pod::DEFAULT_GRACE_SECONDS;

closed_set! {
    /// `status.phase` of a pod.
    #[derive(Serialize, Deserialize)]
    Phase {
        /// Not all containers have started.
        Pending = "Pending",
        /// At least one runs.
        Running = "Running",
        /// All ended well, for good.
        Succeeded = "Succeeded",
        /// All ended, one at least badly, for good.
        Failed = "Failed",
    }
}

impl Phase {
    /// Nothing of the pod runs, nor ever will again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    fn of(pod: &Pod) -> Self {
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        let known = Self::ALL.iter().find(|p| Some(p.as_str()) == phase);
        known.copied().unwrap_or(Self::Pending)
    }
}

/// One condition of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Whether its status is `True`.
    pub holds: bool,
    /// `reason`
    pub reason: Arc<str>,
    /// `message`
    pub message: Arc<str>,
}

impl Condition {
    /// One that holds or does not, and why.
    pub fn new(holds: bool, reason: &str, message: &str) -> Self {
        Condition {
            holds,
            reason: reason.into(),
            message: message.into(),
        }
    }

    fn of(pod: &Pod, kind: &str) -> Option<Self> {
        let found = conditions(pod).find(|c| c.type_ == kind)?;
        Some(Self::new(
            found.status == "True",
            found.reason.as_deref().unwrap_or_default(),
            found.message.as_deref().unwrap_or_default(),
        ))
    }
}

fn conditions(pod: &Pod) -> impl Iterator<Item = &PodCondition> {
    let status = pod.status.as_ref();
    status
        .and_then(|s| s.conditions.as_ref())
        .into_iter()
        .flatten()
}

/// Which object a view is of: for preconditions, so that a write made on an old view fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `metadata.namespace`
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
    /// `metadata.uid`
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`
    pub version: Box<str>,
}

impl Identity {
    fn of(metadata: &ObjectMeta) -> Option<Self> {
        Some(Identity {
            namespace: metadata.namespace.as_deref()?.into(),
            name: metadata.name.as_deref()?.into(),
            uid: metadata.uid.as_deref()?.into(),
            version: metadata.resource_version.as_deref()?.into(),
        })
    }
}

/// What an HP pod says of its anchor ([`annotation::ANCHOR_STATUS`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Published {
    /// Nothing yet.
    Nothing,
    /// This.
    Status(AnchorStatus),
    /// Something that this program did not write.
    Unreadable,
}

/// A HostProcess pod of a workload, bound to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hp {
    /// Which pod.
    pub id: Identity,
    /// The node that it is bound to; None where it is not yet.
    pub node: Option<Arc<str>>,
    /// The workload that its label names; None where the label is gone.
    pub workload: Option<Arc<str>>,
    /// Whether it carries our marker, which says that admission made it what it is.
    pub marked: bool,
    /// Whether it is on the host's network and has no anchor (policy key `network: host`).
    pub on_host: bool,
    /// The UID of the controller that replaces it; None for a bare pod.
    pub controller: Option<Arc<str>>,
    /// The grace period of its deletion, in seconds, once it is terminating.
    pub terminating: Option<i64>,
    /// `status.phase`
    pub phase: Phase,
    /// When it was bound to its node, or created where nobody says.
    pub bound: Timestamp,
    /// Its condition `ContainersReady`.
    pub containers_ready: Option<Condition>,
    /// Its gate [`gate::ANCHOR_READY`].
    pub gate: Option<Condition>,
    /// What it says of its anchor.
    pub published: Published,
    /// Whether it has the condition `DisruptionTarget` already.
    pub disrupted: bool,
}

impl Hp {
    /// The view of a pod; None where it lacks what every stored object has.
    pub fn of(pod: &Pod) -> Option<Self> {
        let text = |key: &str| pod.metadata.annotations.as_ref()?.get(key);
        let labels = pod.metadata.labels.as_ref();
        let bound = conditions(pod)
            .find(|c| c.type_ == "PodScheduled" && c.status == "True")
            .and_then(|c| c.last_transition_time.as_ref())
            .or(pod.metadata.creation_timestamp.as_ref());
        Some(Hp {
            id: Identity::of(&pod.metadata)?,
            node: pod
                .spec
                .as_ref()
                .and_then(|spec| spec.node_name.as_deref())
                .filter(|node| !node.is_empty())
                .map(Into::into),
            workload: labels
                .and_then(|labels| labels.get(label::WORKLOAD))
                .map(|name| name.as_str().into()),
            marked: text(annotation::INJECTED).is_some(),
            // Both are admission's, and only it can write them: the admission policies see to that.
            on_host: text(annotation::ANCHOR_SPEC).is_none()
                && text(policy::NETWORK).is_some_and(|value| value.trim() == "host"),
            controller: controller(&pod.metadata).map(|owner| owner.uid.as_str().into()),
            terminating: terminating(pod),
            phase: Phase::of(pod),
            bound: bound.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            containers_ready: Condition::of(pod, CONTAINERS_READY),
            gate: Condition::of(pod, gate::ANCHOR_READY),
            published: match text(annotation::ANCHOR_STATUS) {
                None => Published::Nothing,
                Some(text) => match AnchorStatus::parse(text) {
                    Ok(status) => Published::Status(status),
                    Err(_) => Published::Unreadable,
                },
            },
            disrupted: conditions(pod).any(|c| c.type_ == DISRUPTION_TARGET && c.status == "True"),
        })
    }

    /// Whether a controller makes another one in its place.
    pub fn is_replaced_by_its_controller(&self) -> bool {
        self.controller.is_some()
    }
}

/// `ContainersReady`, a condition of every pod (KEP-580).
pub const CONTAINERS_READY: &str = "ContainersReady";
/// The condition by which Jobs' podFailurePolicy tells a disruption from a failure (KEP-3329).
pub const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// The grace period of a pod's deletion, once it is terminating.
fn terminating(pod: &Pod) -> Option<i64> {
    pod.metadata.deletion_timestamp.as_ref()?;
    let own = pod.spec.as_ref()?.termination_grace_period_seconds;
    let grace = pod.metadata.deletion_grace_period_seconds.or(own);
    Some(grace.unwrap_or(DEFAULT_GRACE_SECONDS))
}

/// The owner that manages an object.
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

/// The pod that an anchor belongs to; None where it is no anchor: it lacks the label, or is not
/// controlled by a pod whose anchor has its name.
pub fn anchor_owner(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let role = metadata.labels.as_ref()?.get(label::ROLE)?;
    let owner = controller(metadata)?;
    let own_name = super::name(&owner.name, &owner.uid);
    let is_anchor = role == label::ROLE_ANCHOR
        && is_plain(&owner.name)
        && owner.kind == "Pod"
        && owner.api_version == "v1"
        && metadata.name.as_ref() == Some(&own_name);
    is_anchor.then_some(owner)
}

/// An anchor pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Which pod.
    pub id: Identity,
    /// The name of the HP pod that it belongs to.
    pub owner: Arc<str>,
    /// The UID of the HP pod that it belongs to.
    pub owner_uid: Arc<str>,
    /// The grace period of its deletion, in seconds, once it is terminating.
    pub terminating: Option<i64>,
    /// `status.phase`
    pub phase: Phase,
    /// `status.podIP`
    pub ip: Option<IpAddr>,
    /// Once all containers run: when the first of them started.
    pub started: Option<Timestamp>,
    /// Its condition `Ready`.
    pub ready: Option<Condition>,
    /// Its gate [`gate::WORKLOAD_RUNNING`].
    pub gate: Option<Condition>,
    /// What keeps it from running, where something is known.
    pub trouble: Option<Box<str>>,
    /// Since when its containers are not ready; None while they are.
    pub down_since: Option<Timestamp>,
}

impl Anchor {
    /// The view of a pod; None where it is no anchor: it lacks the label, or is not owned by the pod
    /// whose anchor it claims to be.
    pub fn of(pod: &Pod) -> Option<Self> {
        let owner = anchor_owner(&pod.metadata)?;
        let id = Identity::of(&pod.metadata)?;
        let status = pod.status.as_ref();
        Some(Anchor {
            id,
            owner: owner.name.as_str().into(),
            owner_uid: owner.uid.as_str().into(),
            terminating: terminating(pod),
            phase: Phase::of(pod),
            ip: status
                .and_then(|status| status.pod_ip.as_deref())
                .and_then(|ip| ip.parse().ok()),
            started: started(pod),
            ready: Condition::of(pod, "Ready"),
            gate: Condition::of(pod, gate::WORKLOAD_RUNNING),
            trouble: trouble(pod).map(Into::into),
            down_since: conditions(pod)
                .find(|c| c.type_ == CONTAINERS_READY && c.status != "True")
                .and_then(|c| Some(c.last_transition_time.as_ref()?.0)),
        })
    }

    /// What to publish, once all of it runs.
    pub fn status(&self) -> Option<AnchorStatus> {
        Some(AnchorStatus {
            ip: self.ip?,
            started: self.started?,
            uid: Arc::clone(&self.id.uid),
        })
    }
}

fn statuses(list: Option<&Vec<ContainerStatus>>) -> impl Iterator<Item = &ContainerStatus> {
    list.into_iter().flatten()
}

/// When the first container started, once all run: those of the pod, and sidecars that the mesh put
/// among the init containers (`restartPolicy: Always`, KEP-753).
fn started(pod: &Pod) -> Option<Timestamp> {
    let spec = pod.spec.as_ref()?;
    let status = pod.status.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|one| one.restart_policy.as_deref() == Some("Always"));
    for sidecar in sidecars {
        let mut known = statuses(status.init_container_statuses.as_ref());
        let known = known.find(|one| one.name == sidecar.name)?;
        if known.started != Some(true) {
            return None;
        }
    }
    let mut first: Option<Timestamp> = None;
    for container in &spec.containers {
        let mut known = statuses(status.container_statuses.as_ref());
        let known = known.find(|one| one.name == container.name)?;
        let started = known
            .state
            .as_ref()?
            .running
            .as_ref()?
            .started_at
            .as_ref()?
            .0;
        first = Some(first.map_or(started, |first| first.min(started)));
    }
    first
}

/// What keeps a pod from running, in the words of whoever found it: the kubelet that gave it up, the
/// scheduler, the container runtime.
fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let said = |reason: Option<&String>, message: Option<&String>| {
        let words: Vec<_> = [reason, message]
            .into_iter()
            .flatten()
            // The kubelet's end with ". ".
            .map(|words| words.trim_end())
            .collect();
        (!words.is_empty()).then(|| words.join(": "))
    };
    if Phase::of(pod).is_final() {
        let own = said(status.reason.as_ref(), status.message.as_ref());
        return Some(own.unwrap_or_else(|| "its containers ended".to_owned()));
    }
    let unscheduled = conditions(pod).find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(condition) = unscheduled {
        return said(condition.reason.as_ref(), condition.message.as_ref());
    }
    let all = statuses(status.init_container_statuses.as_ref())
        .chain(statuses(status.container_statuses.as_ref()));
    all.filter_map(|one| Some((one, one.state.as_ref()?)))
        .find_map(|(one, state)| {
            let waiting = state.waiting.as_ref()?;
            // These two are a start as it should be.
            let reason = waiting
                .reason
                .as_deref()
                .filter(|r| !matches!(*r, "ContainerCreating" | "PodInitializing"))?;
            // The kubelet turns from one to the other and back at each try.
            let reason = if reason == "ErrImagePull" {
                "ImagePullBackOff"
            } else {
                reason
            };
            Some(format!(
                "container {:?}: {reason} (image {})",
                one.name, one.image
            ))
        })
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
