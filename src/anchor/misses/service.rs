//! A Service that selects a workload's pods publishes the nodes' addresses.
//!
//! An endpoint's addresses are those of `status.podIPs` (`getEndpointAddresses` in
//! `k8s.io/endpointslice` utils.go), on the host network the node's. The endpoint is ready whenever the
//! program serves, since the pod is; but the program listens on the anchor's address only. With a
//! named `targetPort` the endpoint has no port at all (`getEndpointPorts`, same file): the pod's ports
//! have moved to the anchor. Anchors beside the pods do not make it right: connections are spread over
//! both.

use serde_json::Value;

use super::selection::{Selection, as_map, map_selector, named, with_role};
use super::{Miss, Workloads};

/// What a Service's spec misses.
pub fn miss(namespace: &str, spec: &Value, workloads: &Workloads) -> Option<Miss> {
    // No endpoints are made for it, whatever it selects.
    if spec["type"] == "ExternalName" {
        return None;
    }
    let selector = map_selector(&spec["selector"])?;
    let selection = Selection::of(&selector, workloads.namespace(namespace)?.pairs());
    if !selection.missed.is_empty() {
        let instead = selection.instead(&selector).anchors_only();
        return Some(Miss {
            what: format!(
                "It selects the pods of {}, which are on the host network: its endpoints are the nodes' addresses, where the program does not listen. The program's address is its anchor's.",
                named(selection.missed)
            ),
            way_out: instead.sentence("selector", as_map),
        });
    }
    if selection.both.is_empty() {
        return None;
    }
    Some(Miss {
        what: format!(
            "It selects the pods of {} beside their anchors: the nodes' addresses, where the program does not listen, are among its endpoints.",
            named(selection.both)
        ),
        way_out: format!("Write `selector: {}`.", as_map(&with_role(&selector))),
    })
}
