//! The request that creates an anchor, made while the whole HP pod is at hand and kept until it is sent.
//!
//! Pods of one workload differ in little that their anchors are made of: name, UID and node, which the
//! index knows anyway. So what is kept is the request with holes for these, and once for all pods that
//! have it in common: a burst of thousands costs no memory, and no read to make it anew.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::core::v1::Pod;

use super::manifest::{self, Owner};
use crate::names::annotation::{ANCHOR_SPEC, INJECTED};
use crate::plan::MARKER;
use crate::plan::anchor_spec::{AnchorSpec, AnchorSpecError};

/// How many different ones are kept at a time.
const TEMPLATES: usize = 64;

/// What stands in a hole, before the letter that tells which. Nobody can write one into a pod: it is
/// drawn at random by each process.
static HOLE: LazyLock<String> = LazyLock::new(|| {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}-", random(), random())
});

/// What fills a hole.
type Filling = fn(&Owner<'_>) -> String;

/// The holes, each with its letter.
const FILLINGS: [(char, Filling); 4] = [
    ('a', |owner| manifest::name(owner.name, owner.uid)),
    ('n', |owner| owner.name.to_owned()),
    ('u', |owner| owner.uid.to_owned()),
    ('o', |owner| owner.node.to_owned()),
];

/// The body of the request that creates a pair's anchor, but for who its owner is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe(Arc<str>);

/// Why an HP pod can have no anchor.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// It has the marker, and not what admission writes beside it.
    #[error("the annotation {ANCHOR_SPEC} is missing: delete the pod to have it created anew")]
    NoSpec,
    /// What is written there is not a spec, or that of another version.
    #[error("annotation {ANCHOR_SPEC}: {0}; delete the pod to have it created anew")]
    Spec(#[from] AnchorSpecError),
    /// Another version of the program injected it, and by other rules.
    #[error(
        "annotation {INJECTED} is {0:?}: another version of native-host injected the pod, and this one knows \
         {MARKER:?} only; delete the pod to have it created anew"
    )]
    Contract(String),
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
        let annotation = |key| annotations.and_then(|all| all.get(key));
        // Who has no marker at all gets no anchor in the first place ([`super::pair`]).
        if let Some(marker) = annotation(INJECTED).filter(|marker| *marker != MARKER) {
            return Err(RecipeError::Contract(marker.clone()));
        }
        let spec = AnchorSpec::parse(annotation(ANCHOR_SPEC).ok_or(RecipeError::NoSpec)?)?;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let (Some(name), Some(_)) = (pod.metadata.name.as_deref(), node) else {
            return Err(RecipeError::Unbound);
        };
        let [anchor_hole, name_hole, uid_hole, node_hole] =
            FILLINGS.map(|(letter, _)| format!("{}{letter}", *HOLE));
        let holes = Owner {
            name: &name_hole,
            uid: &uid_hole,
            node: &node_hole,
        };
        let mut manifest = manifest::manifest(pod, holes, &spec);
        manifest.metadata.name = Some(anchor_hole);
        // A StatefulSet gives each of its pods a hostname: its name.
        if let Some(spec) = &mut manifest.spec
            && spec.hostname.as_deref() == Some(name)
        {
            spec.hostname = Some(name_hole.clone());
        }
        let json = serde_json::to_string(&manifest).map_err(RecipeError::Json)?;
        Ok(Recipe(json.into()))
    }

    /// The body of the request, for the anchor of this pod.
    pub fn body(&self, owner: &Owner<'_>) -> Vec<u8> {
        let mut pieces = self.0.split(&*HOLE);
        let mut body = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let mut rest = piece.chars();
            let letter = rest.next();
            let filling = FILLINGS.iter().find(|(known, _)| Some(*known) == letter);
            // Each of them is a name or a UID that the API server has checked, so nothing in it needs to
            // be escaped in JSON.
            body.extend(filling.map(|(_, fill)| fill(owner)));
            body.push_str(rest.as_str());
        }
        body.into_bytes()
    }
}

/// Recipes that were made lately, each once.
#[derive(Debug, Default)]
pub struct Recipes(HashSet<Arc<str>>);

impl Recipes {
    /// Keeps one, as the one copy of it; None where there is no room.
    pub fn keep(&mut self, recipe: &Recipe) -> Option<Recipe> {
        if let Some(known) = self.0.get(&recipe.0) {
            return Some(Recipe(Arc::clone(known)));
        }
        if self.0.len() >= TEMPLATES {
            self.0.retain(|known| Arc::strong_count(known) > 1);
        }
        (self.0.len() < TEMPLATES).then(|| {
            self.0.insert(Arc::clone(&recipe.0));
            recipe.clone()
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, node: &str, image: &str) -> Pod {
        let spec = format!(r#"{{"version":1,"image":"{image}","containers":[]}}"#);
        serde_json::from_value(json!({
            "metadata": {
                "name": name, "namespace": "shop", "uid": format!("uid-of-{name}"),
                "labels": {crate::names::label::WORKLOAD: "albums"},
                "annotations": {ANCHOR_SPEC: spec},
            },
            "spec": {"nodeName": node, "hostname": name, "subdomain": "albums", "containers": []},
        }))
        .unwrap()
    }

    fn owner(pod: &Pod) -> Owner<'_> {
        Owner {
            name: pod.metadata.name.as_deref().unwrap(),
            uid: pod.metadata.uid.as_deref().unwrap(),
            node: pod.spec.as_ref().unwrap().node_name.as_deref().unwrap(),
        }
    }

    #[test]
    fn pods_of_one_workload_have_one_recipe_and_each_its_own_anchor() {
        let pods = [
            pod("albums-0", "win-1", "pause"),
            pod("albums-1", "win-2", "pause"),
        ];
        let recipes = pods.each_ref().map(|pod| Recipe::of(pod).unwrap());
        assert_eq!(recipes[0], recipes[1]);
        for (pod, recipe) in pods.iter().zip(recipes) {
            let made: Pod = serde_json::from_slice(&recipe.body(&owner(pod))).unwrap();
            let spec = AnchorSpec::parse(&pod.metadata.annotations.as_ref().unwrap()[ANCHOR_SPEC]);
            assert_eq!(made, manifest::manifest(pod, owner(pod), &spec.unwrap()));
        }
    }

    #[test]
    fn a_pod_of_another_version_is_left_alone_and_says_which() {
        let mut newer = pod("albums-0", "win-1", "pause");
        let annotations = newer.metadata.annotations.as_mut().unwrap();
        annotations.insert(INJECTED.to_owned(), "v2".to_owned());
        let error = Recipe::of(&newer).unwrap_err().to_string();
        assert!(
            error.contains(r#"is "v2""#) && error.contains(r#"knows "v1" only"#),
            "{error}"
        );
        let annotations = newer.metadata.annotations.as_mut().unwrap();
        annotations.insert(INJECTED.to_owned(), MARKER.to_owned());
        assert!(Recipe::of(&newer).is_ok());
        let annotations = newer.metadata.annotations.as_mut().unwrap();
        annotations.insert(
            ANCHOR_SPEC.to_owned(),
            r#"{"version":2,"pods":[]}"#.to_owned(),
        );
        let error = Recipe::of(&newer).unwrap_err().to_string();
        assert!(
            error.contains("version 2") && error.contains("delete the pod"),
            "{error}"
        );
    }

    #[test]
    fn so_many_are_kept_and_no_more_while_they_are_in_use() {
        let mut recipes = Recipes::default();
        let recipe = |n: usize| Recipe::of(&pod("a", "win-1", &format!("pause:{n}"))).unwrap();
        let in_use: Vec<_> = (0..TEMPLATES)
            .filter_map(|n| recipes.keep(&recipe(n)))
            .collect();
        assert_eq!(in_use.len(), TEMPLATES);
        assert!(recipes.keep(&recipe(TEMPLATES)).is_none());
        let again = recipes.keep(&recipe(0)).unwrap();
        assert!(Arc::ptr_eq(&again.0, &in_use[0].0), "one copy");
        drop((in_use, again));
        assert!(recipes.keep(&recipe(TEMPLATES)).is_some());
    }
}
