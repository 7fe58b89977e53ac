//! Whether an anchor may be evicted, given it and its pod; pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::names::label;

/// What the rules look at of a pod; all else is skipped when it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodView {
    metadata: Metadata,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    uid: String,
    labels: BTreeMap<String, String>,
    owner_references: Vec<OwnerReference>,
    deletion_timestamp: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
}

impl PodView {
    /// The pod that this one is the anchor of, if it is one: the label alone is anybody's.
    pub(super) fn anchors_owner(&self) -> Option<&OwnerReference> {
        let role = self.metadata.labels.get(label::ROLE)?;
        let owner = self.controller()?;
        let is_anchor = role == label::ROLE_ANCHOR;
        (is_anchor && owner.api_version == "v1" && owner.kind == "Pod").then_some(owner)
    }

    fn controller(&self) -> Option<&OwnerReference> {
        let mut owners = self.metadata.owner_references.iter();
        owners.find(|owner| owner.controller == Some(true))
    }

    /// As `isControllerRefDaemonSet` in kubectl/pkg/drain/filters.go.
    fn is_of_daemonset(&self) -> bool {
        self.controller()
            .is_some_and(|owner| owner.api_version == "apps/v1" && owner.kind == "DaemonSet")
    }

    /// Nothing of it is left to protect: so a disruption budget sees it too (`canIgnorePDB`,
    /// pkg/registry/core/pod/storage/eviction.go).
    fn is_ending(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
            || matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }
}

/// What comes of an eviction of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EvictAnswer {
    /// Not ours to judge.
    NotAnAnchor,
    /// The pod needs its network no longer, or has lost it already.
    PairEnding,
    /// The pod runs.
    PairRunning,
    /// The pod runs, and stays when its node is drained.
    OfDaemonSet,
}

/// `hp` is the pod of the name that the anchor's owner has, if there is one.
pub(super) fn decide(anchor: &PodView, hp: Option<&PodView>) -> EvictAnswer {
    let Some(owner) = anchor.anchors_owner() else {
        return EvictAnswer::NotAnAnchor;
    };
    // A StatefulSet's pod comes back under its name: then it has another anchor.
    let hp = hp.filter(|hp| hp.metadata.uid == owner.uid);
    match hp {
        _ if anchor.is_ending() => EvictAnswer::PairEnding,
        None => EvictAnswer::PairEnding,
        Some(hp) if hp.is_ending() => EvictAnswer::PairEnding,
        Some(hp) if hp.is_of_daemonset() => EvictAnswer::OfDaemonSet,
        Some(_) => EvictAnswer::PairRunning,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(pod: &Value) -> PodView {
        PodView::deserialize(pod).unwrap()
    }

    fn anchor() -> Value {
        json!({
            "metadata": {
                "uid": "a-1",
                "labels": {label::ROLE: label::ROLE_ANCHOR},
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Pod", "name": "albums", "uid": "hp-1",
                    "controller": true,
                }],
            },
            "spec": {"containers": []},
            "status": {"phase": "Running"},
        })
    }

    fn hp() -> Value {
        json!({"metadata": {"uid": "hp-1"}, "status": {"phase": "Running"}})
    }

    fn decided(anchor: &Value, hp: Option<&Value>) -> EvictAnswer {
        decide(&view(anchor), hp.map(view).as_ref())
    }

    /// `at` is a JSON pointer; members of objects are added.
    fn with(mut pod: Value, at: &str, value: Value) -> Value {
        let (parent, key) = at.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[key] = value;
        pod
    }

    #[test]
    fn the_anchor_of_a_living_pod_stays() {
        for phase in ["Running", "Pending", "Unknown", ""] {
            let hp = with(hp(), "/status/phase", json!(phase));
            let answer = decided(&anchor(), Some(&hp));
            assert_eq!(answer, EvictAnswer::PairRunning, "{phase}");
        }
        let unscheduled = json!({"metadata": {"uid": "hp-1"}});
        let answer = decided(&anchor(), Some(&unscheduled));
        assert_eq!(answer, EvictAnswer::PairRunning);
    }

    #[test]
    fn the_anchor_of_a_pod_that_ends_may_go() {
        let deleted = json!("2026-01-01T00:00:00Z");
        for (at, value) in [
            ("/metadata/deletionTimestamp", &deleted),
            ("/status/phase", &json!("Succeeded")),
            ("/status/phase", &json!("Failed")),
            ("/metadata/uid", &json!("hp-2")),
        ] {
            let hp = with(hp(), at, value.clone());
            assert_eq!(
                decided(&anchor(), Some(&hp)),
                EvictAnswer::PairEnding,
                "{at}"
            );
        }
        assert_eq!(decided(&anchor(), None), EvictAnswer::PairEnding);
    }

    #[test]
    fn an_anchor_that_ends_itself_is_not_held() {
        for (at, value) in [
            ("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")),
            ("/status/phase", json!("Failed")),
        ] {
            let anchor = with(anchor(), at, value);
            assert_eq!(
                decided(&anchor, Some(&hp())),
                EvictAnswer::PairEnding,
                "{at}"
            );
        }
    }

    #[test]
    fn a_daemonsets_anchor_stays_with_its_node_until_its_pod_ends() {
        let owned = |kind: &str, version: &str, controller: bool| {
            let owner = json!([{"apiVersion": version, "kind": kind, "name": "albums", "uid": "d",
                "controller": controller}]);
            with(hp(), "/metadata/ownerReferences", owner)
        };
        let of_daemonset = owned("DaemonSet", "apps/v1", true);
        assert_eq!(
            decided(&anchor(), Some(&of_daemonset)),
            EvictAnswer::OfDaemonSet
        );
        for other in [
            owned("DaemonSet", "apps/v1", false),
            owned("DaemonSet", "apps.example/v1", true),
            owned("ReplicaSet", "apps/v1", true),
        ] {
            assert_eq!(decided(&anchor(), Some(&other)), EvictAnswer::PairRunning);
        }
        let finished = with(of_daemonset, "/status/phase", json!("Failed"));
        assert_eq!(decided(&anchor(), Some(&finished)), EvictAnswer::PairEnding);
    }

    #[test]
    fn a_pod_without_the_role_or_a_pod_as_controller_is_no_anchor() {
        for (at, value) in [
            ("/metadata/labels", json!({})),
            ("/metadata/labels", json!({label::ROLE: "proxy"})),
            ("/metadata/ownerReferences", json!([])),
            ("/metadata/ownerReferences/0/controller", json!(false)),
            ("/metadata/ownerReferences/0/kind", json!("ReplicaSet")),
            (
                "/metadata/ownerReferences/0/apiVersion",
                json!("pods.example/v1"),
            ),
        ] {
            let other = with(anchor(), at, value.clone());
            let answer = decided(&other, Some(&hp()));
            assert_eq!(answer, EvictAnswer::NotAnAnchor, "{at} {value}");
        }
    }
}
