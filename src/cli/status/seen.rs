//! The two pods of a pair as `status` sees them: the controller's own views, and what only a person
//! asks for.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::anchor::view::{Anchor, Hp};
use crate::names::{annotation, gate, label};

/// When things happened to a pod, as far as it says so itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Times {
    /// It was created.
    pub(in crate::cli) created: Option<Timestamp>,
    /// The scheduler said that no node takes it.
    pub(in crate::cli) unscheduled: Option<Timestamp>,
    /// Its deletion was asked for.
    pub(in crate::cli) deleted: Option<Timestamp>,
    /// The last of its containers ended.
    pub(in crate::cli) finished: Option<Timestamp>,
    /// Its condition `Ready` turned.
    pub(in crate::cli) ready: Option<Timestamp>,
    /// Its gate [`gate::ANCHOR_READY`] turned.
    pub(in crate::cli) gate: Option<Timestamp>,
}

impl Times {
    fn of(pod: &Pod) -> Self {
        let turned = |kind: &str| {
            let status = pod.status.as_ref()?;
            let mut all = status.conditions.iter().flatten();
            Some(
                all.find(|c| c.type_ == kind)?
                    .last_transition_time
                    .as_ref()?
                    .0,
            )
        };
        let finished = containers(pod).filter_map(|one| {
            let ended = one.state.as_ref()?.terminated.as_ref()?;
            ended.finished_at.as_ref().map(|time| time.0)
        });
        Times {
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            unscheduled: unscheduled(pod).and_then(|_| turned("PodScheduled")),
            deleted: deleted(pod),
            finished: finished.max(),
            ready: turned("Ready"),
            gate: turned(gate::ANCHOR_READY),
        }
    }
}

/// `deletionTimestamp` is when the grace period ends, so it lies that much later than the request
/// (`BeforeDelete`, apiserver/pkg/registry/rest/delete.go).
fn deleted(pod: &Pod) -> Option<Timestamp> {
    let Time(ends) = pod.metadata.deletion_timestamp.as_ref()?;
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    ends.checked_sub(SignedDuration::from_secs(grace)).ok()
}

/// All containers that the kubelet tells of.
pub(in crate::cli) fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|s| s.init_container_statuses.as_ref());
    let regular = status.and_then(|s| s.container_statuses.as_ref());
    init.into_iter().chain(regular).flatten()
}

/// Why no node takes the pod, in the scheduler's words.
fn unscheduled(pod: &Pod) -> Option<String> {
    let mut all = pod.status.as_ref()?.conditions.iter().flatten();
    let condition = all.find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    let words = condition.message.as_ref().or(condition.reason.as_ref());
    Some(words.cloned().unwrap_or_default())
}

/// An HP pod.
#[derive(Clone, Debug)]
pub(in crate::cli) struct HpSeen {
    /// What the rules see of it.
    pub(in crate::cli) view: Hp,
    pub(in crate::cli) times: Times,
    /// Why no node takes it, in the scheduler's words.
    pub(in crate::cli) unscheduled: Option<String>,
    /// How often its containers were restarted.
    pub(in crate::cli) restarts: i32,
    /// The marker's value.
    pub(in crate::cli) injected: Option<String>,
}

impl HpSeen {
    /// None where it lacks what every stored object has.
    pub(in crate::cli) fn of(pod: &Pod) -> Option<Self> {
        let annotations = pod.metadata.annotations.as_ref();
        Some(HpSeen {
            view: Hp::of(pod)?,
            times: Times::of(pod),
            unscheduled: unscheduled(pod),
            restarts: containers(pod).map(|one| one.restart_count).sum(),
            injected: annotations
                .and_then(|all| all.get(annotation::INJECTED))
                .cloned(),
        })
    }

    /// Whether it has anything to do with native-host.
    pub(in crate::cli) fn is_ours(&self) -> bool {
        self.view.workload.is_some() || self.view.marked
    }
}

/// An anchor.
#[derive(Clone, Debug)]
pub(in crate::cli) struct AnchorSeen {
    /// What the rules see of it.
    pub(in crate::cli) view: Anchor,
    pub(in crate::cli) times: Times,
    /// The workload that it serves.
    pub(in crate::cli) workload: Option<String>,
    /// The node that it is bound to.
    pub(in crate::cli) node: Option<String>,
}

impl AnchorSeen {
    /// None where it is no anchor.
    pub(in crate::cli) fn of(pod: &Pod) -> Option<Self> {
        let labels = pod.metadata.labels.as_ref();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        Some(AnchorSeen {
            view: Anchor::of(pod)?,
            times: Times::of(pod),
            workload: labels.and_then(|all| all.get(label::ANCHOR)).cloned(),
            node: node.filter(|node| !node.is_empty()),
        })
    }
}
