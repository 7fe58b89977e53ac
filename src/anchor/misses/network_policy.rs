//! A NetworkPolicy that selects a workload's pods, to hold for them or to let them through, does not
//! cover the program's traffic: that is the anchors'.
//!
//! The pods themselves are on the host network, where what a NetworkPolicy does is not defined; most
//! network plugins leave such pods out and treat their traffic as the node's ("NetworkPolicy and
//! hostNetwork pods" in Kubernetes' documentation of network policies).

use kube::core::{Selector, SelectorExt as _};
use serde_json::Value;

use super::selection::{Instead, Selection, as_selector, label_selector, named};
use super::workloads::{Labels, Namespace, Pair};
use super::{Miss, Workloads};

/// What a NetworkPolicy's spec misses.
pub fn miss(namespace: &str, spec: &Value, workloads: &Workloads) -> Option<Miss> {
    let mut what = Vec::new();
    let mut way_out = Vec::new();
    let mut or_copy = None;
    if let Some((missed, instead)) = subject(namespace, spec, workloads) {
        what.push(format!(
            "Its podSelector selects the pods of {missed} and not their anchors. The pods are on the host network, where no NetworkPolicy holds; the program's traffic is the anchors', and this one does not cover it.",
        ));
        way_out.push(instead.sentence("podSelector", as_selector));
        or_copy = instead.or_copy();
    }
    for direction in [Direction::Ingress, Direction::Egress] {
        let rules = direction.rules(spec);
        // One of each direction says enough.
        let found =
            (0..rules.len()).find_map(|at| peer(namespace, direction, &rules, at, workloads));
        if let Some(found) = found {
            what.push(format!(
                "{} selects the pods of {} and not their anchors, {}: this rule does not allow it.",
                found.field,
                found.missed,
                direction.meaning(),
            ));
            let field = format!("{}.podSelector", found.field);
            way_out.push(found.instead.sentence(&field, as_selector));
            or_copy = or_copy.or(found.instead.or_copy());
        }
    }
    way_out.extend(or_copy);
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
    fn rules(self, spec: &Value) -> Vec<Rule<'_>> {
        let (kind, rules, peers) = match self {
            Self::Ingress => ("Ingress", &spec["ingress"], "from"),
            Self::Egress => ("Egress", &spec["egress"], "to"),
        };
        let kinds = spec["policyTypes"].as_array();
        if kinds.is_some_and(|kinds| kinds.iter().all(|one| one != kind)) {
            return Vec::new();
        }
        let rules = rules.as_array().into_iter().flatten();
        rules.map(|rule| Rule::of(rule, peers)).collect()
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

/// One rule of a direction.
struct Rule<'s> {
    /// Null or empty for all.
    ports: &'s Value,
    /// Those that are named by addresses are None. Without any the rule is for everybody.
    peers: Vec<Option<Peer>>,
}

impl<'s> Rule<'s> {
    fn of(rule: &'s Value, peers: &str) -> Self {
        let peers = rule[peers].as_array().into_iter().flatten();
        Rule {
            ports: &rule["ports"],
            peers: peers.map(Peer::of).collect(),
        }
    }

    /// Whether it is for all the ports that another one is for.
    fn covers(&self, other: &Rule<'_>) -> bool {
        let all = self.ports.as_array().is_none_or(Vec::is_empty);
        all || self.ports == other.ports
    }

    /// Whether it lets an anchor's traffic through, in a policy of the namespace `own`.
    fn lets_in(&self, own: &str, name: &str, namespace: &Namespace, anchor: &Labels) -> bool {
        let mut peers = self.peers.iter().flatten();
        self.peers.is_empty()
            || peers.any(|peer| {
                peer.looks_into(own, name, &namespace.labels) && peer.pods.matches(anchor)
            })
    }
}

/// The first peer of a rule that lets pods through and their anchors not, where no other peer lets
/// the anchors through on the same ports.
fn peer(
    own: &str,
    direction: Direction,
    rules: &[Rule<'_>],
    at: usize,
    workloads: &Workloads,
) -> Option<Found> {
    let rule = &rules[at];
    let others: Vec<_> = rules.iter().filter(|other| other.covers(rule)).collect();
    let let_in = |name: &str, namespace: &Namespace, pair: &Pair| {
        let mut others = others.iter();
        others.any(|other| other.lets_in(own, name, namespace, &pair.anchor))
    };
    let let_in = &let_in;
    rule.peers.iter().enumerate().find_map(|(i, peer)| {
        let peer = peer.as_ref()?;
        let pairs = workloads
            .namespaces()
            .filter(|(name, of)| peer.looks_into(own, name, &of.labels))
            .flat_map(|(name, of)| {
                let takes = |pair: &Pair| peer.pods.matches(&pair.pod);
                of.pairs()
                    .filter(move |(_, pair)| !takes(pair) || !let_in(name, of, pair))
            });
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

    fn looks_into(&self, own: &str, name: &str, labels: &Labels) -> bool {
        match &self.namespaces {
            None => own == name,
            Some(selector) => selector.matches(labels),
        }
    }
}
