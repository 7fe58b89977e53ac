//! Sentences about an external Service.

use k8s_openapi::api::core::v1::{Event, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;

use super::admission::Read;
use super::event::{latest, sentence};
use super::finding::{Explanation, Findings, Topic};
use crate::external::look::{Look, look};
use crate::external::reach;
use crate::external::spec::{Asked, Source, Spec, asked};
use crate::names::{external, label, policy};
use crate::policy::{Cidr, Namespace};

/// So many addresses are gone through one by one.
const MOST: usize = 20;

/// What was read about it.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) service: Service,
    pub(super) namespace: Read<Namespace>,
    /// All that carry its name.
    pub(super) slices: Read<Vec<EndpointSlice>>,
    pub(super) events: Read<Vec<Event>>,
}

/// Everything about it.
pub(super) fn explain(facts: &Facts, now: Timestamp) -> Explanation {
    let metadata = &facts.service.metadata;
    let (name, namespace) = (
        metadata.name.clone().unwrap_or_default(),
        metadata.namespace.clone().unwrap_or_default(),
    );
    let mut findings = Findings::default();
    if asked(&facts.service) == Asked::No {
        findings.error(
            Topic::Label,
            format!("It does not carry the label {}, so native-host does nothing with it", label::EXTERNAL),
            format!(
                "For processes that Kubernetes does not run, label it {}: \"true\"; for a workload's anchors, select {}: NAME",
                label::EXTERNAL,
                label::ANCHOR
            ),
        );
    } else {
        findings.ok(
            Topic::Label,
            format!("It is an external Service ({})", label::EXTERNAL),
        );
        let none = Vec::new();
        let slices = match &facts.slices {
            Ok(slices) => slices,
            Err(error) => {
                findings.warning(
                    Topic::Endpoints,
                    format!("Its EndpointSlices cannot be read, so what is published is not known: {error}"),
                    "Ask for the right to list endpointslices.discovery.k8s.io",
                );
                &none
            }
        };
        let look = look(&facts.service, slices);
        allowed(&namespace, facts, &look, &mut findings);
        wanted(&look, &mut findings);
        if facts.slices.is_ok() {
            published(&look, &mut findings);
        }
        events(facts, now, &mut findings);
    }
    Explanation {
        kind: "Service",
        namespace,
        name,
        state: None,
        findings: findings.0,
    }
}

/// What its namespace lets it point at.
fn allowed(name: &str, facts: &Facts, look: &Look, findings: &mut Findings) {
    let namespace = match &facts.namespace {
        Ok(namespace) => namespace,
        Err(error) => {
            findings.warning(
                Topic::Namespace,
                format!("Namespace {name} cannot be read, so what it allows is not known: {error}"),
                "Ask for the right to get namespaces, or have somebody who has it run this",
            );
            return;
        }
    };
    let cidrs = match &namespace.policy {
        Ok(policy) => &policy.external_cidrs,
        Err(errors) => {
            let errors = errors.to_string().replace('\n', "; ");
            findings.error(
                Topic::Namespace,
                format!("The native-host policy of namespace {name} is invalid: what is published stays, and nothing is added: {errors}"),
                format!("kubectl edit namespace {name}"),
            );
            return;
        }
    };
    if cidrs.is_empty() {
        findings.error(
            Topic::Namespace,
            format!("Namespace {name} allows no external addresses"),
            format!(
                "Have a cluster administrator annotate it with {}, if this command was given the flags that the controller runs with",
                policy::EXTERNAL_CIDRS
            ),
        );
        return;
    }
    let networks: Vec<_> = cidrs.iter().map(Cidr::to_string).collect();
    findings.ok(
        Topic::Namespace,
        format!("Namespace {name} lets it point at {}", networks.join(", ")),
    );
    if let Ok(Spec {
        source: Source::Addresses(addresses),
        ..
    }) = &look.spec
    {
        for address in addresses {
            if let Err(fault) = reach::check(*address, cidrs, &[]) {
                findings.error(
                    Topic::Endpoints,
                    format!("{address} {}", fault.tell(cidrs)),
                    format!(
                        "Change {}, or have the namespace's networks changed",
                        external::ADDRESSES
                    ),
                );
            }
        }
    }
}

/// What it asks for.
fn wanted(look: &Look, findings: &mut Findings) {
    let spec = match &look.spec {
        Ok(spec) => spec,
        Err(problems) => {
            for problem in problems {
                findings.error(
                    Topic::Endpoints,
                    problem.to_string(),
                    "Nothing of it is published until that is changed",
                );
            }
            return;
        }
    };
    for warning in &spec.warnings {
        findings.warning(
            Topic::Endpoints,
            warning.clone(),
            "Change it, if it is not meant so",
        );
    }
    let whom = match &spec.source {
        Source::Addresses(all) => format!("{} addresses are asked", all.len()),
        Source::Nodes(selector) => format!("the nodes that {selector} selects are asked"),
    };
    findings.info(
        Topic::Readiness,
        format!(
            "{}: {}, every {} ms, for at most {} ms; not ready after {} failures, ready after {} successes",
            spec.probe,
            whom,
            spec.pace.period.as_millis(),
            spec.pace.timeout.as_millis(),
            spec.pace.failures,
            spec.pace.successes
        ),
    );
}

/// What is published.
fn published(look: &Look, findings: &mut Findings) {
    if look.endpoints.is_empty() && look.spec.is_ok() {
        findings.error(
            Topic::Endpoints,
            "Nothing of it is published",
            "See its Events below; if there are none, no controller leads: native-host check",
        );
    } else if !look.missing.is_empty() {
        let missing: Vec<_> = look
            .missing
            .iter()
            .take(MOST)
            .map(ToString::to_string)
            .collect();
        findings.error(
            Topic::Endpoints,
            format!("Not published: {}", missing.join(", ")),
            "They may lie in the cluster's own networks; the Events below say it",
        );
    }
    let ready = look.endpoints.iter().filter(|one| one.serving).count();
    if ready > 0 {
        findings.ok(
            Topic::Endpoints,
            format!("{ready} of {} addresses are ready", look.endpoints.len()),
        );
    }
    for endpoint in look.endpoints.iter().filter(|one| !one.serving).take(MOST) {
        let node = endpoint
            .node
            .as_ref()
            .map_or(String::new(), |node| format!(" (node {node})"));
        findings.error(
            Topic::Endpoints,
            format!("{}{node} is not ready", endpoint.address),
            "Does the process listen there, and not on localhost? Does a firewall, or a NetworkPolicy of native-host itself, keep \
             the controller from it? Is its node Ready? The Events below have the probe's own words",
        );
    }
    if let Some(foreign) = &look.foreign {
        findings.warning(Topic::Endpoints, foreign.clone(), "Delete it");
    }
}

fn events(facts: &Facts, now: Timestamp, findings: &mut Findings) {
    if let Err(error) = &facts.events {
        findings.warning(
            Topic::Event,
            format!("Its Events, where the probes' own words stand, cannot be read: {error}"),
            "Ask for the right to list events",
        );
    }
    for event in latest(facts.events.as_ref(), |event| {
        event.type_.as_deref() == Some("Warning")
    }) {
        findings.info(Topic::Event, sentence("Service", event, now));
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
