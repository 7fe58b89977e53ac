//! The request that creates an anchor: made from the whole HP pod, kept as the bytes to send.

use k8s_openapi::api::core::v1::Pod;

use super::manifest::{self, Owner};
use crate::names::annotation::ANCHOR_SPEC;
use crate::plan::anchor_spec::{AnchorSpec, AnchorSpecError};

/// The body of the request that creates a pair's anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe(Box<[u8]>);

/// Why an HP pod can have no anchor.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// It has the marker, and not what admission writes beside it.
    #[error("the annotation {ANCHOR_SPEC} is missing: delete the pod to have it created anew")]
    NoSpec,
    /// What is written there is not a spec.
    #[error("annotation {ANCHOR_SPEC}: {0}; delete the pod to have it created anew")]
    Spec(#[from] AnchorSpecError),
    /// It is not bound to a node.
    #[error("the pod is not bound to a node")]
    Unbound,
    /// The manifest could not be written down.
    #[error("cannot write the anchor's manifest: {0}")]
    Json(serde_json::Error),
}

impl Recipe {
    /// The recipe of an HP pod's anchor.
    ///
    /// # Errors
    /// If the pod is not bound, or its anchor spec is missing or unreadable.
    pub fn of(pod: &Pod) -> Result<Self, RecipeError> {
        let annotations = pod.metadata.annotations.as_ref();
        let spec = annotations.and_then(|all| all.get(ANCHOR_SPEC));
        let spec = AnchorSpec::parse(spec.ok_or(RecipeError::NoSpec)?)?;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let (Some(name), Some(uid), Some(node)) = (
            pod.metadata.name.as_deref(),
            pod.metadata.uid.as_deref(),
            node,
        ) else {
            return Err(RecipeError::Unbound);
        };
        let manifest = manifest::manifest(pod, Owner { name, uid, node }, &spec);
        let json = serde_json::to_vec(&manifest).map_err(RecipeError::Json)?;
        Ok(Recipe(json.into()))
    }

    /// The body of the request.
    pub fn into_body(self) -> Vec<u8> {
        self.0.into()
    }
}
