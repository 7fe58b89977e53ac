//! What selects anchors: Services, and policies and monitors besides.

use serde_json::{Value, json};

use super::draft::Draft;
use super::pairs::{Adopted, Front};
use super::world::{Fate, World, items, pairs, selects};
use crate::names::{label, linkerd};

/// Points the Services in front of what is adopted at its anchors.
pub(super) fn rewrite(world: &mut World, adopted: &[Adopted], fronts: &[Front]) {
    for front in fronts {
        let workload = front.of.first().and_then(|place| adopted.get(*place));
        let Some(workload) = workload.map(|one| one.workload.clone()) else {
            continue;
        };
        let Some(object) = world.objects.get_mut(front.service) else {
            continue;
        };
        let called = format!("service {} -n {}", object.name(), object.namespace);
        if front.probes_only {
            object.fate = Fate::LeftOut(
                "only the probes needed its address; the kubelet asks the anchors themselves now"
                    .to_owned(),
            );
            world.do_after(format!("kubectl delete {called}"));
            continue;
        }
        object.edit(|draft| point(draft, &workload, front.of_pods));
    }
}

fn point(draft: &mut Draft, workload: &str, of_pods: bool) {
    let before = pairs(&draft.value["spec"]["selector"]);
    let before: Vec<_> = before
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let before = before.join(",");
    draft.value["spec"]["selector"] = json!({ label::ANCHOR: workload });
    let why = if of_pods {
        format!("the anchors; before: {before}, the HostProcess pods, whose address is the node's")
    } else {
        format!("the anchors; before: {before}")
    };
    let pointer = format!("/spec/selector/{}", label::ANCHOR.replace('/', "~1"));
    draft.comment(&pointer, why);
    if draft.value["spec"]["clusterIP"] != "None" {
        draft.comment(
            "/spec/clusterIP",
            "can go, unless clients have it written down: no probe needs it any more",
        );
        draft.comment("/spec/clusterIPs", "can go, with clusterIP");
    }
    draft.comment(
        "/spec/publishNotReadyAddresses",
        "should go: what is not ready is published by it, and nothing needs that any more",
    );
}

/// The selectors of other kinds: pointers to those that stand for pods of the object's own namespace.
fn selectors(group: &str, kind: &str, object: &Value) -> Vec<String> {
    let fixed: &[&str] = match (group, kind) {
        ("networking.k8s.io", "NetworkPolicy") | (linkerd::GROUP, "Server") => {
            &["/spec/podSelector"]
        }
        ("monitoring.coreos.com", "PodMonitor") | ("policy", "PodDisruptionBudget") => {
            &["/spec/selector"]
        }
        _ => return Vec::new(),
    };
    let mut found: Vec<String> = fixed.iter().map(|one| (*one).to_owned()).collect();
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (rule, of) in items(&object["spec"][direction]).enumerate() {
            for (peer, one) in items(&of[peers]).enumerate() {
                if one["namespaceSelector"].is_null() {
                    found.push(format!(
                        "/spec/{direction}/{rule}/{peers}/{peer}/podSelector"
                    ));
                }
            }
        }
    }
    found
}

/// Rewrites what selected the anchors by labels that they have no more.
pub(super) fn rewrite_selectors(world: &mut World, adopted: &[Adopted]) {
    for index in 0..world.objects.len() {
        let Some(object) = world.objects.get(index) else {
            continue;
        };
        let (kind, namespace) = (object.kind().to_owned(), object.namespace.clone());
        for pointer in selectors(object.group(), &kind, &object.value) {
            let Some(selector) = world
                .objects
                .get(index)
                .and_then(|one| one.value.pointer(&pointer))
            else {
                continue;
            };
            let wanted = pairs(&selector["matchLabels"]);
            let expressions = items(&selector["matchExpressions"]).next().is_some();
            let mut workloads: Vec<&str> = adopted
                .iter()
                .filter(|one| {
                    let mut anchors = one
                        .anchors
                        .iter()
                        .filter_map(|place| world.objects.get(*place));
                    anchors.any(|anchor| {
                        anchor.namespace == namespace
                            && anchor.pod().is_some_and(|pod| selects(&wanted, pod))
                    })
                })
                .map(|one| one.workload.as_str())
                .collect();
            workloads.sort_unstable();
            workloads.dedup();
            if workloads.is_empty() {
                continue;
            }
            let text = if kind == "PodDisruptionBudget" {
                Some("it counted the anchors: a budget has to select the program's pods, by their labels".to_owned())
            } else if expressions {
                Some(format!(
                    "{pointer} selects the anchors by expressions: write matchLabels: {{{}: {}}}",
                    label::ANCHOR,
                    workloads.join(" or ")
                ))
            } else {
                None
            };
            if let Some(text) = text {
                world.lose(index, &text);
                continue;
            }
            let before: Vec<_> = wanted
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let before = before.join(",");
            let new = match workloads.as_slice() {
                [one] => json!({"matchLabels": {label::ANCHOR: one}}),
                several => {
                    json!({"matchExpressions": [{"key": label::ANCHOR, "operator": "In", "values": several}]})
                }
            };
            let Some(object) = world.objects.get_mut(index) else {
                continue;
            };
            object.edit(|draft| {
                if let Some(selector) = draft.value.pointer_mut(&pointer) {
                    *selector = new;
                }
                draft.comment(&pointer, format!("the anchors; before: {before}"));
            });
        }
    }
}
