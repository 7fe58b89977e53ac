//! From what a Service asks for, the nodes that there are, and what may be published, to its endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use kube::core::SelectorExt as _;

use super::health;
use super::node::View;
use super::reach::{self, Fault};
use super::spec::{Source, Spec};
use crate::policy::Cidr;

/// An address that may be published, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node whose address it is, where that is known.
    pub node: Option<String>,
    /// That node's zone.
    pub zone: Option<String>,
    /// Whether its node was selected for it and is not ready: whatever its probe says, it is not either.
    pub node_down: bool,
}

/// What a Service comes to before health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// By address.
    pub all: BTreeMap<IpAddr, Candidate>,
    /// What must not be published, and why.
    pub refused: Vec<(IpAddr, Option<String>, Fault)>,
    /// Nodes that were selected and have no address of the Service's families.
    pub without_address: Vec<String>,
}

/// Who may be pointed at.
#[derive(Clone, Copy, Debug)]
pub enum Allowed<'a> {
    /// What lies in these.
    Cidrs(&'a [Cidr]),
    /// What is published already and nothing else: the namespace's policy cannot be read.
    AsPublished(&'a BTreeSet<IpAddr>),
}

/// Finds a Service's candidates. `cluster` is the cluster's own networks.
pub fn candidates<'n>(
    spec: &Spec,
    nodes: impl Iterator<Item = &'n View> + Clone,
    allowed: Allowed<'_>,
    cluster: &[Cidr],
) -> Candidates {
    let mut found = Candidates::default();
    let may = |address: IpAddr| match allowed {
        Allowed::Cidrs(cidrs) => reach::check(address, cidrs, cluster),
        Allowed::AsPublished(published) if published.contains(&address) => {
            // The networks that were allowed are not known; all the rest is.
            let own = Cidr::from(address);
            reach::check(address, &[own], cluster)
        }
        Allowed::AsPublished(_) => Err(Fault::NotAllowed),
    };
    match &spec.source {
        Source::Addresses(addresses) => {
            let wanted = addresses
                .iter()
                .filter(|address| spec.has_family_of(**address));
            for address in wanted {
                if let Err(fault) = may(*address) {
                    found.refused.push((*address, None, fault));
                    continue;
                }
                let node = nodes.clone().find(|node| node.addresses.contains(address));
                let candidate = Candidate {
                    node: node.map(|node| node.name.clone()),
                    zone: node.and_then(View::zone).map(str::to_owned),
                    node_down: false,
                };
                found.all.insert(*address, candidate);
            }
        }
        Source::Nodes(selector) => {
            for node in nodes.filter(|node| selector.matches(&node.labels)) {
                let mut wanted = node
                    .internal
                    .iter()
                    .filter(|address| spec.has_family_of(**address))
                    .peekable();
                if wanted.peek().is_none() {
                    found.without_address.push(node.name.clone());
                }
                for address in wanted {
                    if let Err(fault) = may(*address) {
                        found
                            .refused
                            .push((*address, Some(node.name.clone()), fault));
                        continue;
                    }
                    let candidate = Candidate {
                        node: Some(node.name.clone()),
                        zone: node.zone().map(str::to_owned),
                        node_down: !node.ready,
                    };
                    // Two nodes that say they have one address: the first by name, so that it is always the same.
                    found.all.entry(*address).or_insert(candidate);
                }
            }
        }
    }
    found
}

/// One endpoint as it is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its one address.
    pub address: IpAddr,
    /// `nodeName`
    pub node: Option<String>,
    /// `zone`
    pub zone: Option<String>,
    /// `conditions.ready`
    pub ready: bool,
    /// `conditions.serving`
    pub serving: bool,
}

/// The endpoints of a Service. `up` says whose probes pass; `last` is who was ready before.
pub fn endpoints(
    spec: &Spec,
    candidates: &BTreeMap<IpAddr, Candidate>,
    up: impl Fn(IpAddr) -> bool,
    last: &BTreeSet<IpAddr>,
) -> Vec<Endpoint> {
    let alive = candidates
        .iter()
        .filter(|(address, one)| !one.node_down && up(**address));
    let alive: BTreeSet<IpAddr> = alive.map(|(address, _)| *address).collect();
    let there = candidates.keys().copied().collect();
    let ready = health::ready(alive, last, &there, spec.fail_open);
    let endpoint = |(address, one): (&IpAddr, &Candidate)| {
        let serving = ready.contains(address);
        Endpoint {
            address: *address,
            node: one.node.clone(),
            zone: one.zone.clone(),
            // As the endpoint slice controller does it for pods (pkg/controller/endpointslice/utils.go,
            // `podToEndpoint`).
            ready: serving || spec.publish_not_ready,
            serving,
        }
    };
    candidates.iter().map(endpoint).collect()
}

#[cfg(test)]
#[path = "endpoints_tests.rs"]
mod tests;
