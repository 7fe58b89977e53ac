//! A NetworkPolicy that selects a workload's pods, to hold for them or to let them through, does not
//! cover the program's traffic: that is the anchors'.
//!
//! The pods themselves are on the host network, where what a NetworkPolicy does is not defined; most
//! network plugins leave such pods out and treat their traffic as the node's ("NetworkPolicy and
//! hostNetwork pods" in Kubernetes' documentation of network policies).

use kube::core::{Selector, SelectorExt as _};
use serde_json::Value;

use super::selection::{Instead, Selection, as_selector, label_selector, named};
use super::workloads::Pair;
use super::{Miss, Workloads};

/// What a NetworkPolicy's spec misses.
pub fn miss(namespace: &str, spec: &Value, workloads: &Workloads) -> Option<Miss> {
    let mut what = Vec::new();
    let mut way_out = Vec::new();
    if let Some((missed, instead)) = subject(namespace, spec, workloads) {
        what.push(format!(
            "Its podSelector selects the pods of {missed} and not their anchors. The pods are on the host network, where no NetworkPolicy holds; the program's traffic is the anchors', and this one does not cover it.",
        ));
        way_out.push(instead.sentence("podSelector", as_selector));
    }
    for direction in [Direction::Ingress, Direction::Egress] {
        // One of each direction says enough.
        let rules = direction.rules(spec);
        let found =
            (0..rules.len()).find_map(|at| peers(namespace, direction, rules, at, workloads));
        if let Some(found) = found {
            what.push(format!(
                "{} selects the pods of {} and not their anchors, {}: this rule does not allow it.",
                found.field,
                found.missed,
                direction.meaning(),
            ));
            let field = format!("{}.podSelector", found.field);
            way_out.push(found.instead.sentence(&field, as_selector));
        }
    }
    if what.is_empty() {
        return None;
    }
    Some(Miss {
        what: what.join(" "),
        way_out: way_out.join(" "),
    })
}

/// The pods that the policy holds for.
fn subject(namespace: &str, spec: &Value, workloads: &Workloads) -> Option<(String, Instead)> {
    let selector = label_selector(&spec["podSelector"])?;
    let selection = Selection::of(&selector, workloads.namespace(namespace)?.pairs());
    if selection.missed.is_empty() {
        return None;
    }
    let instead = selection.instead(&selector);
    Some((named(selection.missed), instead))
}

#[derive(Clone, Copy)]
enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    /// The rules, where the policy is about this direction at all.
    fn rules(self, spec: &Value) -> &[Value] {
        let (kind, field) = match self {
            Self::Ingress => ("Ingress", "ingress"),
            Self::Egress => ("Egress", "egress"),
        };
        let kinds = spec["policyTypes"].as_array();
        if kinds.is_some_and(|kinds| kinds.iter().all(|one| one != kind)) {
            return &[];
        }
        spec[field].as_array().map_or(&[], Vec::as_slice)
    }

    /// Where a rule's peers stand.
    const fn peers(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }

    fn field(self, rule: usize, peer: usize) -> String {
        match self {
            Self::Ingress => format!("ingress[{rule}].from[{peer}]"),
            Self::Egress => format!("egress[{rule}].to[{peer}]"),
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Ingress => "from which the program's connections come",
            Self::Egress => "to which connections to the program go",
        }
    }
}

struct Found {
    field: String,
    missed: String,
    instead: Instead,
}

/// The first peer of a rule that lets pods through and their anchors not, where no other peer lets
/// the anchors through on the same ports.
fn peers(
    namespace: &str,
    direction: Direction,
    rules: &[Value],
    at: usize,
    workloads: &Workloads,
) -> Option<Found> {
    let rule = &rules[at];
    let peers = rule[direction.peers()].as_array()?;
    let others: Vec<_> = rules.iter().filter(|other| covers(other, rule)).collect();
    peers.iter().enumerate().find_map(|(i, peer)| {
        let peer = Peer::of(peer)?;
        let let_in = |name: &str, of: &super::workloads::Namespace, pair: &Pair| {
            let anchor = |all: &&&Value| lets_in(all, direction, namespace, (name, of), pair);
            others.iter().any(|other| anchor(&other))
        };
        let pairs = workloads
            .namespaces()
            .filter(|(name, of)| peer.looks_into(namespace, name, &of.labels))
            .flat_map(|(name, of)| of.pairs().filter(move |(_, pair)| !let_in(name, of, pair)));
        let selection = Selection::of(&peer.pods, pairs);
        if selection.missed.is_empty() {
            return None;
        }
        let instead = selection.instead(&peer.pods);
        Some(Found {
            field: direction.field(at, i),
            missed: named(selection.missed),
            instead,
        })
    })
}

/// Whether a rule is for all the ports that another one is for.
fn covers(rule: &Value, other: &Value) -> bool {
    let ports = rule["ports"].as_array().filter(|ports| !ports.is_empty());
    ports.is_none_or(|_| rule["ports"] == other["ports"])
}

/// Whether a rule lets an anchor's traffic through.
fn lets_in(
    rule: &Value,
    direction: Direction,
    own: &str,
    (namespace, of): (&str, &super::workloads::Namespace),
    pair: &Pair,
) -> bool {
    let peers = rule[direction.peers()].as_array();
    // Without peers a rule is for everybody.
    peers.is_none_or(|peers| {
        peers.is_empty()
            || peers.iter().filter_map(Peer::of).any(|peer| {
                peer.looks_into(own, namespace, &of.labels) && peer.pods.matches(&pair.anchor)
            })
    })
}

/// A peer that is named by labels, not by addresses.
struct Peer {
    /// Empty for all.
    pods: Selector,
    /// None for the policy's own namespace.
    namespaces: Option<Selector>,
}

impl Peer {
    fn of(peer: &Value) -> Option<Self> {
        if !peer["ipBlock"].is_null() {
            return None;
        }
        Some(Peer {
            pods: match &peer["podSelector"] {
                Value::Null => Selector::default(),
                given => label_selector(given)?,
            },
            namespaces: match &peer["namespaceSelector"] {
                Value::Null => None,
                given => Some(label_selector(given)?),
            },
        })
    }

    fn looks_into(&self, own: &str, name: &str, labels: &super::workloads::Labels) -> bool {
        match &self.namespaces {
            None => own == name,
            Some(selector) => selector.matches(labels),
        }
    }
}
