//! A PodDisruptionBudget has to select a workload's pods and leave its anchors out.
//!
//! For `maxUnavailable`, and for `minAvailable` in per cent, the disruption controller adds up the
//! scales of all selected pods' controllers (`getExpectedScale` in pkg/controller/disruption/
//! disruption.go). An anchor's controller is a Pod, which has no `scale` subresource, so that
//! `getScaleController` fails: `failSafe` allows no disruption and sets the condition
//! `DisruptionAllowed` to False with the reason `SyncFailed`. With a whole number in `minAvailable`
//! (`getExpectedPodCount`) the anchors count as healthy replicas.

use serde_json::Value;

use super::selection::{Selection, as_selector, label_selector, named, without_anchors};
use super::{Miss, Workloads};
use crate::names::label;
use kube::core::{Expression, Selector};

/// What is wrong with a PodDisruptionBudget's spec. Without a selector it selects nothing, with an
/// empty one everything (`policy/v1`).
pub fn miss(namespace: &str, spec: &Value, workloads: &Workloads) -> Option<Miss> {
    let selector = label_selector(&spec["selector"])?;
    let selection = Selection::of(&selector, workloads.namespace(namespace)?.pairs());
    if selection.both.is_empty() && selection.anchors.is_empty() {
        return None;
    }
    let counted = spec["maxUnavailable"].is_null() && spec["minAvailable"].is_number();
    let effect = if counted && selection.both.is_empty() {
        format!(
            "Their evictions follow those of the pods, which it does not count: minAvailable: {} protects nothing.",
            spec["minAvailable"]
        )
    } else if counted {
        format!(
            "Each replica counts twice towards minAvailable: {}, so more of them can be evicted than it says.",
            spec["minAvailable"]
        )
    } else {
        "An anchor's controller is a Pod, which has no scale, so the budget cannot be computed: its status shows DisruptionAllowed False, SyncFailed, and no healthy pod that it selects can be evicted.".to_owned()
    };
    let all = selection.both.union(&selection.anchors).copied();
    let instead = if selection.both.is_empty() {
        only_pods(selection.anchors.iter().copied())
    } else {
        without_anchors(&selector)
    };
    Some(Miss {
        what: format!("It selects the anchors of {}. {effect}", named(all)),
        way_out: format!("Write `selector: {}`.", as_selector(&instead)),
    })
}

/// The selector for the pods of workloads.
fn only_pods<'w>(workloads: impl Iterator<Item = &'w str>) -> Selector {
    let key = label::WORKLOAD.to_owned();
    let mut names: Vec<_> = workloads.map(str::to_owned).collect();
    match names.as_mut_slice() {
        [one] => Expression::Equal(key, std::mem::take(one)).into(),
        _ => Expression::In(key, names.into_iter().collect()).into(),
    }
}
