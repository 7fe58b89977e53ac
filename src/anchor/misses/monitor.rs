//! A PodMonitor that selects a workload's pods scrapes nothing.
//!
//! Prometheus makes one target of each container's port, and the operator keeps those whose port has
//! the endpoint's name or number (`generatePodMonitorConfig` in prometheus-operator
//! pkg/prometheus/promcfg.go). The workload's pods have no ports, they have moved to the anchors, and
//! their address is the node's.

use serde_json::Value;

use super::selection::{Selection, as_selector, label_selector, named};
use super::{Miss, Workloads};

/// What a PodMonitor's spec misses.
pub fn miss(namespace: &str, spec: &Value, workloads: &Workloads) -> Option<Miss> {
    let selector = label_selector(&spec["selector"])?;
    let from = &spec["namespaceSelector"];
    let names = from["matchNames"].as_array().filter(|all| !all.is_empty());
    // `any` goes first, an empty list is the PodMonitor's own namespace (`NamespaceSelector` in
    // pkg/apis/monitoring/v1/types.go).
    let looks_into = |name: &str| match names {
        _ if from["any"] == true => true,
        Some(names) => names.iter().any(|one| one == name),
        None => name == namespace,
    };
    let pairs = workloads
        .namespaces()
        .filter(|(name, _)| looks_into(name))
        .flat_map(|(_, of)| of.pairs());
    let selection = Selection::of(&selector, pairs);
    if selection.missed.is_empty() {
        return None;
    }
    Some(Miss {
        what: format!(
            "Its selector selects the pods of {} and not their anchors. The program's address and ports are the anchors', the pods have none: nothing of it is scraped.",
            named(selection.missed.iter().copied())
        ),
        way_out: selection
            .instead(&selector)
            .sentences("selector", as_selector),
    })
}
