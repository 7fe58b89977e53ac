//! A Linkerd Server that selects a workload's pods holds for none of its traffic.
//!
//! A Server says what a proxy lets in; the policy controller tells each proxy the Servers that
//! select its own pod (policy-controller/k8s/index/src/inbound/index.rs of linkerd2). The workload's
//! pods have no proxy (`linkerd.io/inject: disabled`, on the host network it could not work), their
//! anchors have it.

use serde_json::Value;

use super::selection::{Selection, as_selector, label_selector, named};
use super::{Miss, Workloads};

/// What a Server's spec misses. One for external workloads has no `podSelector`.
pub fn miss(namespace: &str, spec: &Value, workloads: &Workloads) -> Option<Miss> {
    let selector = label_selector(&spec["podSelector"])?;
    let selection = Selection::of(&selector, workloads.namespace(namespace)?.pairs());
    if selection.missed.is_empty() {
        return None;
    }
    Some(Miss {
        what: format!(
            "Its podSelector selects the pods of {} and not their anchors. The mesh's proxy is in the anchor, so this Server and the policies that refer to it hold for no traffic of the program.",
            named(selection.missed.iter().copied())
        ),
        way_out: selection
            .instead(&selector)
            .sentences("podSelector", as_selector),
    })
}
