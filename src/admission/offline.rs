//! The same decisions without a server: one behaviour, two doors.
//!
//! What the API server would do with an object at `/mutate` is done to it here; a workload's pod
//! template is rewritten in place, since that is what its pods will be.

use super::answer::{Denial, Verdict, bad_namespace, said};
use super::{authorize, external, namespaces_kind, services, templates};
use crate::anchor::{self, Owner};
use crate::json::{Cursor, Patch};
use crate::names::label;
use crate::plan::anchor_spec::AnchorSpec;
use crate::plan::pod::Pod;
use crate::plan::sheet::{Refusal, Root};
use crate::plan::{Decision, plan};
use crate::policy::Namespace;
use serde_json::Value;

/// What stands for a value that only a running cluster knows.
pub(super) const UNKNOWN_UID: &str = "00000000-0000-0000-0000-000000000000";
/// The node of a pod that is not bound.
const UNKNOWN_NODE: &str = "node-of-the-pod";

/// What became of one object.
#[derive(Debug, Default)]
pub struct Offline {
    /// The object as it would be stored.
    pub object: Value,
    /// What was done to it; empty if nothing was.
    pub patch: json_patch::Patch,
    /// What `kubectl` would print as warnings.
    pub warnings: Vec<String>,
    /// The right that a cluster would ask for besides, where the policy says so; here nobody is asked.
    pub unasked: Option<String>,
    /// Why it would be refused.
    pub refusal: Option<Denial>,
    /// The anchors of its pods, as they would be created; of an external Service its EndpointSlices.
    pub anchors: Vec<Value>,
}

/// Something that a fault of this program caused.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The object's JSON is not of the shape that Kubernetes gives it.
    #[error("the object is not of the shape that Kubernetes gives it: {0}")]
    Shape(#[from] crate::json::Error),
    /// JSON could not be written or read back.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A patch of ours does not apply.
    #[error("a patch does not apply: {0}")]
    Patch(#[from] json_patch::PatchError),
}

/// Where a pod stands in an object of this kind.
fn root(object: &Value) -> Option<Root> {
    let (group, _) = api_group(object);
    match (group, object["kind"].as_str()?) {
        ("", "Pod") => Some(Root::POD),
        (group, kind) => templates::root(group, kind),
    }
}

/// The pod template of a workload, or the pod itself.
pub fn template(object: &Value) -> Option<&Value> {
    object.pointer(root(object)?.pointer)
}

fn api_group(object: &Value) -> (&str, &str) {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version.split_once('/').unwrap_or(("", version))
}

/// Does to one object what admission would do. Kinds that admission does not look at, and pods
/// without the label, come back as they are.
pub fn mutate(object: &Value, namespace: &Namespace) -> Result<Offline, OfflineError> {
    if let Some(root) = root(object) {
        return pod(object, root, namespace);
    }
    if api_group(object).0.is_empty() && object["kind"] == "Service" {
        let verdict = services::review(&serde_json::to_string(object)?, namespace)?;
        let mut offline = conclude(object, verdict)?;
        if let Some((verdict, slices)) = external::offline(&offline.object, namespace) {
            offline.warnings.extend(verdict.warnings);
            offline.refusal = offline.refusal.or(verdict.denial);
            offline.anchors = slices;
        }
        return Ok(offline);
    }
    Ok(Offline {
        object: object.clone(),
        ..Offline::default()
    })
}

fn conclude(object: &Value, verdict: Verdict) -> Result<Offline, OfflineError> {
    let mut result = Offline {
        object: object.clone(),
        warnings: verdict.warnings,
        refusal: verdict.denial,
        ..Offline::default()
    };
    if let Some(patch) = verdict.patch {
        apply(&mut result, patch)?;
    }
    Ok(result)
}

fn apply(result: &mut Offline, patch: Patch) -> Result<(), OfflineError> {
    result.patch = serde_json::from_str(&patch.into_json())?;
    json_patch::patch(&mut result.object, &result.patch)?;
    Ok(())
}

fn pod(object: &Value, root: Root, namespace: &Namespace) -> Result<Offline, OfflineError> {
    let mut result = Offline {
        object: object.clone(),
        ..Offline::default()
    };
    let Some(template) = object.pointer(root.pointer) else {
        return Ok(result);
    };
    let text = serde_json::to_string(template)?;
    let mut view = Pod::read(&mut Cursor::new(&text))?;
    view.of_daemonset |= object["kind"] == "DaemonSet";
    if view.labels.get(label::WORKLOAD).is_none() {
        return Ok(result);
    }
    let policy = match &namespace.policy {
        Ok(policy) => policy,
        Err(errors) => {
            let message = bad_namespace(errors);
            result.refusal = Some(Denial {
                message,
                reason: "Forbidden",
                code: 403,
                details: None,
            });
            return Ok(result);
        }
    };
    let planned = plan(&view, policy, root);
    result.warnings = said(planned.warnings);
    result.unasked = authorize::not_asked(&view, policy, root);
    let spec = match planned.decision {
        Decision::Skip(_) => return Ok(result),
        Decision::Reject(refusal) => {
            result.refusal = Some(Denial::of(&refusal));
            return Ok(result);
        }
        Decision::Unchanged(spec) => spec,
        Decision::Inject(patch, spec) => {
            apply(&mut result, patch)?;
            spec
        }
    };
    let Some(spec) = spec else {
        return Ok(result); // on the host's network
    };
    match anchor_of(&result.object, root, &spec) {
        Ok(anchor) => result.anchors.push(anchor),
        Err(error) => {
            let text = format!("its pod is not one that Kubernetes would accept: {error}");
            result.refusal = Some(Denial::of(&Refusal::one(
                crate::plan::reason::Reason::Malformed,
                root.pointer,
                text,
            )));
        }
    }
    Ok(result)
}

/// The anchor of the object's pod. Of a template's pod the name and the UID are not known yet.
fn anchor_of(object: &Value, root: Root, spec: &AnchorSpec) -> Result<Value, serde_json::Error> {
    let mut template = object.pointer(root.pointer).cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let metadata = &object["metadata"];
    let name = text(&metadata["name"])
        .or_else(|| text(&metadata["generateName"]).map(|name| format!("{name}xxxxx")))
        .unwrap_or_default();
    let name = if root == Root::POD {
        name
    } else {
        format!("{name}-xxxxx")
    };
    let uid = text(&template["metadata"]["uid"]).unwrap_or_else(|| UNKNOWN_UID.to_owned());
    let node = text(&template["spec"]["nodeName"]).unwrap_or_else(|| UNKNOWN_NODE.to_owned());
    if let Some(namespace) = metadata.get("namespace") {
        template["metadata"]["namespace"] = namespace.clone();
    }
    let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(template)?;
    serde_json::to_value(anchor::manifest(
        &pod,
        Owner {
            name: &name,
            uid: &uid,
            node: &node,
        },
        spec,
    ))
}

/// What `kubectl apply` of the Namespace itself would print as warnings.
pub fn namespace_warnings(namespace: &Namespace) -> Vec<String> {
    let errors = namespace.policy.as_ref().err();
    errors.map(namespaces_kind::warnings).unwrap_or_default()
}
