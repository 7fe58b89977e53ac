//! What is said of an external Service: Events, and the sentences that the webhook and the command line
//! share with them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::endpoints::{Candidates, Endpoint};
use super::reach::Fault;
use crate::anchor::pair::{Note, Reason};
use crate::names::policy;
use crate::plan::sheet::Refusal;
use crate::policy::Cidr;

/// So many addresses are named; of the rest there is a number.
const NAMED: usize = 5;

/// What changed from one set of endpoints to the next.
#[derive(Debug, Default)]
struct Change {
    down: Vec<IpAddr>,
    up: Vec<IpAddr>,
    added: Vec<IpAddr>,
    removed: Vec<IpAddr>,
}

impl Change {
    fn of(before: &BTreeMap<IpAddr, bool>, after: &[Endpoint]) -> Self {
        let mut change = Change::default();
        for endpoint in after {
            match (before.get(&endpoint.address), endpoint.serving) {
                (Some(true), false) => change.down.push(endpoint.address),
                (Some(false), true) => change.up.push(endpoint.address),
                (None, _) => change.added.push(endpoint.address),
                _ => {}
            }
        }
        let there = |address: &&IpAddr| after.iter().any(|endpoint| endpoint.address == **address);
        change.removed = before
            .keys()
            .filter(|address| !there(address))
            .copied()
            .collect();
        change
    }
}

/// Names some of a list.
pub(super) fn some<T: ToString>(all: &[T]) -> String {
    let mut named: Vec<_> = all.iter().take(NAMED).map(ToString::to_string).collect();
    if all.len() > NAMED {
        named.push(format!("{} more", all.len() - NAMED));
    }
    named.join(", ")
}

/// What there is to say of a change of what is published. `why` is why probes fail; `refused` is who may
/// not be published any more, of which [`refused_addresses`] speaks.
pub fn change(
    before: &BTreeMap<IpAddr, bool>,
    after: &[Endpoint],
    why: &BTreeMap<IpAddr, Arc<str>>,
    found: &Candidates,
    now: Timestamp,
) -> Vec<Note> {
    let change = Change::of(before, after);
    let ready = after.iter().filter(|endpoint| endpoint.serving).count();
    // The time makes it another sentence than that of the last time, which is not said again for a while.
    let tail = format!(
        "{ready} of {} ready, {}",
        after.len(),
        now.strftime("%H:%M:%SZ")
    );
    let mut notes = Vec::new();
    if !change.down.is_empty() {
        let reasons: Vec<String> = change
            .down
            .iter()
            .map(|address| {
                let node = found
                    .all
                    .get(address)
                    .filter(|one| one.node_down)
                    .and_then(|one| one.node.as_ref());
                match (node, why.get(address)) {
                    (Some(node), _) => format!("{address} (node {node} is not ready)"),
                    (None, Some(why)) => format!("{address} ({why})"),
                    (None, None) => address.to_string(),
                }
            })
            .collect();
        let text = format!("Not ready: {}. {tail}", some(&reasons));
        notes.push(Note::warning(Reason::ExternalDown, text));
    }
    if !change.up.is_empty() {
        notes.push(Note::normal(
            Reason::ExternalReady,
            format!("Ready: {}. {tail}", some(&change.up)),
        ));
    }
    if !change.added.is_empty() || !change.removed.is_empty() {
        let mut parts = Vec::new();
        if !change.added.is_empty() {
            parts.push(format!("Published: {}", some(&change.added)));
        }
        if !change.removed.is_empty() {
            parts.push(format!("Not published any more: {}", some(&change.removed)));
        }
        notes.push(Note::normal(
            Reason::ExternalChanged,
            format!("{}. {tail}", parts.join(". ")),
        ));
    }
    notes
}

/// How many addresses turned.
pub fn turned(before: &BTreeMap<IpAddr, bool>, after: &[Endpoint]) -> usize {
    let change = Change::of(before, after);
    let came_up = after
        .iter()
        .filter(|endpoint| endpoint.serving && change.added.contains(&endpoint.address));
    change.down.len() + change.up.len() + came_up.count()
}

/// The Service asks for what cannot be.
pub fn refused(refusal: &Refusal) -> Note {
    Note::warning(
        Reason::ExternalRefused,
        format!("Nothing of this external Service is published: {refusal}"),
    )
}

/// Some addresses must not be published.
pub fn refused_addresses(
    refused: &[(IpAddr, Option<String>, Fault)],
    allowed: &[Cidr],
) -> Option<String> {
    let mut of_fault: Vec<(&Fault, Vec<String>)> = Vec::new();
    for (address, node, fault) in refused {
        let named = match node {
            Some(node) => format!("{address} (node {node})"),
            None => address.to_string(),
        };
        match of_fault.iter_mut().find(|(known, _)| *known == fault) {
            Some((_, all)) => all.push(named),
            None => of_fault.push((fault, vec![named])),
        }
    }
    let sentences = of_fault
        .iter()
        .map(|(fault, named)| format!("Not published: {}: {}", some(named), fault.tell(allowed)));
    let sentences: Vec<_> = sentences.collect();
    (!sentences.is_empty()).then(|| sentences.join(". "))
}

/// The namespace's policy cannot be read.
pub fn invalid_namespace(errors: &str) -> String {
    format!(
        "The namespace's native-host policy is invalid, so {} is not known: what is published stays, \
         nothing is added, until it is mended: {errors}",
        policy::EXTERNAL_CIDRS
    )
}

/// Nodes that are selected and have no address to publish.
pub fn without_address(nodes: &[String]) -> Option<String> {
    (!nodes.is_empty()).then(|| {
        format!(
            "Not published: node {}: its status has no InternalIP of the Service's address families",
            some(nodes)
        )
    })
}

/// No node is selected.
pub fn no_node() -> String {
    format!(
        "No node has the labels that {} asks for",
        crate::names::external::NODES
    )
}

/// Other people's slices of the same Service.
pub fn foreign(slices: &[(String, Option<String>)]) -> Option<String> {
    let (first, by) = slices.first()?;
    let by = by.as_deref().map_or_else(
        || "nobody's by its label".to_owned(),
        |by| format!("managed by {by}"),
    );
    let more = if slices.len() > 1 { " and others" } else { "" };
    Some(format!(
        "EndpointSlice {first} ({by}){more} of this Service is not native-host's: its endpoints get traffic beside the probed \
         ones, dead or alive. Delete it, and an Endpoints object of the Service's name if there is one: kubectl delete \
         endpointslice {first}"
    ))
}

/// The same as an Event.
pub fn foreign_note(slices: &[(String, Option<String>)]) -> Option<Note> {
    Some(Note::warning(Reason::ForeignSlice, foreign(slices)?))
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
