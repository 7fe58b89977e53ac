//! Pods as the controller decodes them: what its rules and an anchor's manifest look at, and nothing
//! else.
//!
//! Most of a pod's JSON is none of that: `managedFields`, env, volumes, probes. Skipping them where
//! they are read saves most of the time and memory of a watch. What is left is handed on as an
//! ordinary [`Pod`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, LocalObjectReference, Pod, PodDNSConfig, PodSpec, PodStatus, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// A pod of which only some fields were decoded.
#[derive(Clone, Debug, Default)]
pub struct SlimPod(pub Pod);

#[derive(Deserialize)]
struct Whole {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<PodStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    containers: Vec<Named>,
    init_containers: Option<Vec<Named>>,
    dns_config: Option<PodDNSConfig>,
    dns_policy: Option<String>,
    hostname: Option<String>,
    image_pull_secrets: Option<Vec<LocalObjectReference>>,
    node_name: Option<String>,
    priority_class_name: Option<String>,
    service_account_name: Option<String>,
    subdomain: Option<String>,
    termination_grace_period_seconds: Option<i64>,
    tolerations: Option<Vec<Toleration>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    name: String,
    restart_policy: Option<String>,
}

impl From<Named> for Container {
    fn from(named: Named) -> Self {
        Container {
            name: named.name,
            restart_policy: named.restart_policy,
            ..Container::default()
        }
    }
}

impl From<Metadata> for ObjectMeta {
    fn from(metadata: Metadata) -> Self {
        ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            creation_timestamp: metadata.creation_timestamp,
            deletion_timestamp: metadata.deletion_timestamp,
            deletion_grace_period_seconds: metadata.deletion_grace_period_seconds,
            labels: metadata.labels,
            annotations: metadata.annotations,
            owner_references: metadata.owner_references,
            ..ObjectMeta::default()
        }
    }
}

impl From<Spec> for PodSpec {
    fn from(spec: Spec) -> Self {
        let containers = |named: Vec<Named>| named.into_iter().map(Container::from).collect();
        PodSpec {
            containers: containers(spec.containers),
            init_containers: spec.init_containers.map(containers),
            dns_config: spec.dns_config,
            dns_policy: spec.dns_policy,
            hostname: spec.hostname,
            image_pull_secrets: spec.image_pull_secrets,
            node_name: spec.node_name,
            priority_class_name: spec.priority_class_name,
            service_account_name: spec.service_account_name,
            subdomain: spec.subdomain,
            termination_grace_period_seconds: spec.termination_grace_period_seconds,
            tolerations: spec.tolerations,
            ..PodSpec::default()
        }
    }
}

impl<'de> Deserialize<'de> for SlimPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = Whole::deserialize(deserializer)?;
        Ok(SlimPod(Pod {
            metadata: whole.metadata.into(),
            spec: whole.spec.map(PodSpec::from),
            status: whole.status,
        }))
    }
}

impl Resource for SlimPod {
    type DynamicType = ();
    type Scope = <Pod as Resource>::Scope;

    fn kind(dynamic: &()) -> Cow<'_, str> {
        Pod::kind(dynamic)
    }
    fn group(dynamic: &()) -> Cow<'_, str> {
        Pod::group(dynamic)
    }
    fn version(dynamic: &()) -> Cow<'_, str> {
        Pod::version(dynamic)
    }
    fn plural(dynamic: &()) -> Cow<'_, str> {
        Pod::plural(dynamic)
    }
    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::anchor::manifest::Owner;
    use crate::anchor::recipe::Recipe;
    use crate::anchor::view::{Anchor, Hp};
    use crate::names::{annotation, label};
    use serde_json::json;

    /// Whatever a rule or a manifest reads has to be among the fields above.
    #[test]
    fn nothing_is_lost_that_anybody_reads() {
        let spec = r#"{"version":1,"image":"pause","mesh":"linkerd","labels":{"tier":"x"},"containers":[{"name":"a","ports":[{"port":80}]}]}"#;
        let text = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "a-0", "namespace": "shop", "uid": "u", "resourceVersion": "9", "generation": 3,
                "creationTimestamp": "2026-11-21T10:00:00Z", "deletionTimestamp": "2026-11-21T11:00:00Z",
                "deletionGracePeriodSeconds": 12,
                "labels": {label::WORKLOAD: "a", label::ROLE: label::ROLE_ANCHOR},
                "annotations": {
                    annotation::INJECTED: "v1", annotation::ANCHOR_SPEC: spec,
                    annotation::ANCHOR_STATUS: r#"{"ip":"10.0.0.1","started":"2026-11-21T10:00:00Z","uid":"x"}"#,
                    "config.linkerd.io/proxy-log-level": "debug",
                },
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "o", "controller": true}],
                "managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:metadata": {}}}],
            },
            "spec": {
                "nodeName": "win-1", "serviceAccountName": "sa", "priorityClassName": "high", "hostname": "h",
                "subdomain": "s", "dnsPolicy": "ClusterFirstWithHostNet", "dnsConfig": {"nameservers": ["1.1.1.1"]},
                "imagePullSecrets": [{"name": "pull"}], "terminationGracePeriodSeconds": 44,
                "tolerations": [{"key": "os", "operator": "Exists", "effect": "NoExecute"}],
                "initContainers": [{"name": "proxy", "restartPolicy": "Always", "image": "p"}],
                "containers": [{"name": "a", "image": "i", "env": [{"name": "A", "value": "b"}]}],
                "volumes": [{"name": "v", "emptyDir": {}}],
            },
            "status": {
                "phase": "Running", "podIP": "10.0.0.1", "reason": "r", "message": "m",
                "conditions": [
                    {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-21T10:00:01Z"},
                    {"type": "ContainersReady", "status": "False", "reason": "x", "message": "y"},
                    {"type": "DisruptionTarget", "status": "True"},
                ],
                "initContainerStatuses": [{"name": "proxy", "image": "p", "imageID": "", "ready": true, "restartCount": 0, "started": true}],
                "containerStatuses": [{"name": "a", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-11-21T10:00:02Z"}}}],
            },
        })
        .to_string();
        let whole: Pod = serde_json::from_str(&text).unwrap();
        let SlimPod(slim) = serde_json::from_str(&text).unwrap();
        assert!(slim.metadata.managed_fields.is_none(), "it is slim");
        assert_eq!(Hp::of(&slim), Hp::of(&whole));
        assert!(Hp::of(&slim).unwrap().terminating.is_some());
        let recipe = Recipe::of(&slim).unwrap();
        assert_eq!(recipe, Recipe::of(&whole).unwrap());
        let anchor: serde_json::Value = serde_json::from_slice(&recipe.body(&Owner {
            name: "a-0",
            uid: "u",
            node: "win-1",
        }))
        .unwrap();
        for pointer in [
            "/spec/serviceAccountName",
            "/spec/priorityClassName",
            "/spec/hostname",
            "/spec/subdomain",
            "/spec/dnsPolicy",
            "/spec/dnsConfig",
            "/spec/imagePullSecrets",
            "/spec/tolerations/1",
        ] {
            assert!(anchor.pointer(pointer).is_some(), "{pointer}: {anchor}");
        }
        // The same, seen as an anchor.
        let as_anchor = |mut pod: Pod| {
            pod.metadata.name = Some(crate::anchor::name("b", "o"));
            Anchor::of(&pod).unwrap()
        };
        assert_eq!(as_anchor(slim), as_anchor(whole.clone()));
        assert!(as_anchor(whole).status().is_some());
    }
}
