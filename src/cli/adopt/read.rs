//! What people have written: files, byte for byte; or a cluster, as it was applied.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use super::AdoptError;
use super::world::{Fate, Object};
use crate::cli::connection::{AskError, list};
use crate::cli::inject::documents;
use crate::cli::inject::objects::flat;
use crate::cli::inject::source::Source;
use crate::names::{annotation, label, linkerd};

/// A document of a source, and which objects stand in it.
pub(super) struct Document<'t> {
    pub(super) separator: &'t str,
    pub(super) text: &'t str,
    pub(super) json: bool,
    /// Places among the objects.
    pub(super) objects: std::ops::Range<usize>,
}

/// The documents of files.
pub(super) fn files<'t>(
    sources: &'t [Source],
    namespace: &str,
    objects: &mut Vec<Object>,
) -> Result<Vec<Document<'t>>, AdoptError> {
    let mut all = Vec::new();
    for source in sources {
        for document in documents::split(&source.text, &source.name) {
            let value = document
                .value
                .map_err(|error| AdoptError::Parse(source.name.clone(), error))?;
            let before = objects.len();
            if value.is_object() {
                objects.extend(
                    flat(&value)
                        .into_iter()
                        .map(|value| object(value, namespace)),
                );
            }
            all.push(Document {
                separator: document.separator,
                text: document.text,
                json: document.json,
                objects: before..objects.len(),
            });
        }
    }
    Ok(all)
}

fn object(value: Value, default: &str) -> Object {
    let namespace = value["metadata"]["namespace"]
        .as_str()
        .filter(|name| !name.is_empty());
    Object {
        namespace: namespace.unwrap_or(default).to_owned(),
        value,
        fate: Fate::Untouched,
    }
}

/// Everything of a namespace that may play a part.
pub(super) async fn cluster(client: Client, namespace: &str) -> Result<Vec<Object>, AskError> {
    let known = [
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<DaemonSet>(&()),
        ApiResource::erase::<ReplicaSet>(&()),
        ApiResource::erase::<CronJob>(&()),
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Endpoints>(&()),
        ApiResource::erase::<EndpointSlice>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<Role>(&()),
        ApiResource::erase::<RoleBinding>(&()),
    ];
    // Kinds that a cluster need not have.
    let others = [
        GroupVersionKind::gvk(linkerd::GROUP, linkerd::SERVER, "Server"),
        GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor"),
    ];
    let others = others
        .iter()
        .map(ApiResource::from_gvk)
        .map(|one| (one, true));
    let mut objects = Vec::new();
    for (resource, optional) in known.into_iter().map(|one| (one, false)).chain(others) {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let keep = |one: DynamicObject| written(serde_json::to_value(one).ok()?, &resource);
        match list(&api, &ListParams::default(), keep).await {
            Ok(found) => objects.extend(found.into_iter().map(|value| object(value, namespace))),
            Err(AskError::Refused(status)) if optional && status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(objects)
}

/// What somebody wrote, as they did; nothing that a controller made.
fn written(mut object: Value, resource: &ApiResource) -> Option<Value> {
    let metadata = &object["metadata"];
    let owners = metadata["ownerReferences"].as_array();
    if owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true)) {
        return None;
    }
    let labels = &metadata["labels"];
    let keeper = labels[label::SLICE_MANAGED_BY].as_str();
    // The API server's own, and those that controllers keep; a mirrored one has its Endpoints.
    let kept = keeper
        .is_some_and(|keeper| keeper.ends_with(".k8s.io") || keeper == label::SLICE_MANAGED_BY_US);
    if kept || metadata["name"] == "kube-root-ca.crt" {
        return None;
    }
    // Endpoints of Services that select pods are written by a controller that does not say so.
    let made =
        !metadata["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"].is_null();
    if made && resource.kind == "Endpoints" {
        return None;
    }
    if let Some(applied) = metadata["annotations"][annotation::LAST_APPLIED].as_str()
        && let Ok(applied) = serde_json::from_str::<Value>(applied)
        && applied.is_object()
    {
        return Some(applied);
    }
    object["apiVersion"] = resource.api_version.clone().into();
    object["kind"] = resource.kind.clone().into();
    clean(&mut object);
    Some(ordered(object))
}

/// Takes away what the API server writes.
fn clean(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
            "selfLink",
        ] {
            metadata.shift_remove(key);
        }
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.shift_remove("deployment.kubernetes.io/revision");
        }
    }
    if object["kind"] == "Pod"
        && let Some(spec) = object["spec"].as_object_mut()
    {
        spec.shift_remove("nodeName");
        spec.shift_remove("preemptionPolicy");
        spec.shift_remove("priority");
    }
}

/// `apiVersion` and `kind` first, as everybody writes them.
fn ordered(object: Value) -> Value {
    let Value::Object(mut fields) = object else {
        return object;
    };
    let mut first = serde_json::Map::new();
    for key in ["apiVersion", "kind", "metadata"] {
        first.extend(fields.shift_remove_entry(key));
    }
    first.extend(fields);
    Value::Object(first)
}
