//! What an anchor had that its pod needs now, since anchors are made of their pods.

use serde_json::Value;

use super::draft::Draft;
use super::workload::{SETS, annotate, map};
use super::world::{World, items, pairs};
use crate::names::{annotation, label};

/// What the anchor had, and its pod gets now, since anchors are made of their pods.
pub(super) fn take_over(
    draft: &mut Draft,
    root: &str,
    world: &World,
    anchor: usize,
) -> Vec<String> {
    let mut lost = Vec::new();
    let Some((object, pod)) = world
        .objects
        .get(anchor)
        .and_then(|one| Some((one, one.pod()?)))
    else {
        return lost;
    };
    let (called, spec) = (object.called(), &pod["spec"]);
    for (key, value) in pairs(&pod["metadata"]["annotations"]) {
        let linkerd =
            key == annotation::LINKERD_INJECT || key.starts_with(annotation::LINKERD_CONFIG_PREFIX);
        if linkerd {
            annotate(
                draft,
                root,
                key,
                value,
                "the anchor's, which gets it from here",
            );
        }
    }
    for key in [
        "serviceAccountName",
        "priorityClassName",
        "hostname",
        "subdomain",
        "dnsPolicy",
        "dnsConfig",
        "imagePullSecrets",
    ] {
        let Some(value) = spec.get(key).filter(|value| !value.is_null()) else {
            continue;
        };
        let pointer = format!("{root}/spec/{key}");
        match draft.value.pointer(&pointer) {
            None => {
                if let Some(fields) = draft.value.pointer_mut(&format!("{root}/spec")).and_then(Value::as_object_mut) {
                    fields.insert(key.to_owned(), value.clone());
                }
                draft.comment(&pointer, "the anchor's, which gets it from here");
            }
            Some(own) if own != value => lost.push(format!("{called} had {key} {value}, and the program's pod has {own}: anchors take their pod's")),
            Some(_) => {}
        }
    }
    let own = draft
        .value
        .pointer(&format!("{root}/spec/nodeSelector"))
        .cloned()
        .unwrap_or_default();
    for (key, value) in pairs(&spec["nodeSelector"])
        .into_iter()
        .filter(|(key, _)| own[*key].is_null())
    {
        if let Some(selector) = map(draft, &format!("{root}/spec"), "nodeSelector") {
            selector.insert(key.to_owned(), value.into());
        }
        let pointer = format!("{root}/spec/nodeSelector/{}", key.replace('/', "~1"));
        let why = if key == label::OS {
            SETS
        } else {
            "the anchor's, which goes where its pod goes"
        };
        draft.comment(&pointer, why);
    }
    if let Some(node) = spec["nodeName"].as_str() {
        lost.push(format!(
            "{called} was bound to node {node} by hand: anchors go where their pods are scheduled"
        ));
    }
    let extra: Vec<_> = items(&spec["containers"])
        .skip(1)
        .filter_map(|one| one["name"].as_str())
        .collect();
    if !extra.is_empty() {
        lost.push(format!(
            "{called} ran more than one container ({}): anchors run pause containers only. Give them a pod of their own",
            extra.join(", ")
        ));
    }
    if items(&spec["initContainers"]).next().is_some() {
        lost.push(format!("{called} had init containers: anchors have none"));
    }
    lost
}
