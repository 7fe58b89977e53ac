//! Views as the index keeps them, packed into one piece of memory each: there are two for every pair
//! of the cluster, and as structs with a dozen texts each they took four times as much. They are
//! unpacked (well under a microsecond) when a watch shows the pod anew, and when its pair is looked at.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::view::{Anchor, Hp, Identity};

/// A view, packed.
#[derive(Debug)]
pub struct Packed<T> {
    bytes: Box<[u8]>,
    of: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// Packs a view. None where it cannot be, of which there is no case: views are plain data.
    pub fn new(view: &T) -> Option<Self> {
        let packed = postcard::to_allocvec(view);
        let bytes = packed.inspect_err(|error| tracing::error!(%error, "cannot pack a view"));
        Some(Packed {
            bytes: bytes.ok()?.into(),
            of: PhantomData,
        })
    }

    /// The view. None where the bytes are not one, of which there is no case: nobody else writes them.
    pub fn view(&self) -> Option<T> {
        let view = postcard::from_bytes(&self.bytes);
        view.inspect_err(|error| tracing::error!(%error, "cannot unpack a view"))
            .ok()
    }
}

impl Identity {
    /// Whether the other one is an older version of the same object. Versions are numbers that grow
    /// (KEP-5504); one that is not is taken as it comes.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let number = |id: &Self| id.version.parse::<u64>().ok();
        self.uid == other.uid
            && matches!((number(self), number(other)), (Some(a), Some(b)) if a > b)
    }

    fn same_object(&self, other: &Self) -> bool {
        self.uid == other.uid && self.name == other.name && self.namespace == other.namespace
    }
}

impl Hp {
    /// Whether nothing differs that a rule looks at.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.id.same_object(&other.id)
            && *self
                == Hp {
                    id: self.id.clone(),
                    ..other.clone()
                }
    }
}

impl Anchor {
    /// Whether nothing differs that a rule looks at.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.id.same_object(&other.id)
            && *self
                == Anchor {
                    id: self.id.clone(),
                    ..other.clone()
                }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::anchor::manifest;
    use crate::names::{annotation, gate, label};
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    fn pod(name: &str, extra: &Value) -> Pod {
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "reason": "Why", "message": "because of this",
                "lastTransitionTime": "2026-11-21T10:00:01Z",
            })
        };
        let mut pod = json!({
            "metadata": {
                "namespace": "shop", "name": name, "uid": "0c5d1cb4-6a5c-4dbe-a1a8-8d3e6e2f3b1c",
                "resourceVersion": "8123456", "deletionTimestamp": "2026-11-21T11:00:00Z",
                "deletionGracePeriodSeconds": 30,
            },
            "spec": {"nodeName": "win-1", "containers": [{"name": "a"}]},
            "status": {
                "phase": "Running", "podIP": "fd00::1",
                "conditions": [
                    condition("PodScheduled", "True"), condition("ContainersReady", "False"),
                    condition("Ready", "False"), condition(gate::ANCHOR_READY, "True"),
                    condition(gate::WORKLOAD_RUNNING, "True"),
                ],
                "containerStatuses": [{"name": "a", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-11-21T10:00:02Z"}}}],
            },
        });
        for (key, value) in extra.as_object().unwrap() {
            pod["metadata"][key] = value.clone();
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_view_comes_out_as_it_went_in_and_is_small() {
        let status = r#"{"ip":"10.0.0.1","started":"2026-11-21T10:00:00.5Z","uid":"c41c"}"#;
        for status in [status, "not one"] {
            let metadata = json!({
                "labels": {label::WORKLOAD: "albums"},
                "annotations": {annotation::INJECTED: "v1", annotation::ANCHOR_STATUS: status},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "o", "controller": true}],
            });
            let hp = Hp::of(&pod("albums-0", &metadata)).unwrap();
            let packed = Packed::new(&hp).unwrap();
            assert_eq!(packed.view().unwrap(), hp);
            assert!(packed.bytes.len() < 250, "{}", packed.bytes.len());
        }
        let metadata = json!({
            "labels": {label::ROLE: label::ROLE_ANCHOR},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "albums-0", "uid": "o", "controller": true}],
        });
        let anchor = Anchor::of(&pod(&manifest::name("albums-0", "o"), &metadata)).unwrap();
        let packed = Packed::new(&anchor).unwrap();
        assert_eq!(packed.view().unwrap(), anchor);
        assert!(packed.bytes.len() < 250, "{}", packed.bytes.len());
    }
}
