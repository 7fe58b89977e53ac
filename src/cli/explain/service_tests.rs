#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::cli::explain::finding::Severity;
use crate::policy::Policy;

fn facts(change: &Value, cidrs: &str, slices: Read<Vec<EndpointSlice>>) -> Facts {
    let mut service = json!({
        "metadata": {"name": "albums", "namespace": "shop", "labels": {label::EXTERNAL: "true"},
            "annotations": {external::ADDRESSES: "172.19.1.1,172.19.1.2"}},
        "spec": {"ports": [{"port": 80, "targetPort": 8080}]},
    });
    json_patch::merge(&mut service, change);
    let annotations = [(policy::EXTERNAL_CIDRS, cidrs)];
    let annotations = annotations
        .into_iter()
        .filter(|(_, cidrs)| !cidrs.is_empty());
    Facts {
        service: serde_json::from_value(service).unwrap(),
        namespace: Ok(Namespace::read(&Policy::builtin(), std::iter::empty(), annotations)),
        slices,
        events: Ok(vec![serde_json::from_value(json!({
            "metadata": {"name": "e", "creationTimestamp": "2026-11-21T10:00:00Z"}, "involvedObject": {}, "type": "Warning",
            "reason": "ExternalDown", "message": "Not ready: 172.19.1.2 (port 8080: connection refused).",
        }))
        .unwrap()]),
    }
}

fn slice(endpoints: &[(&str, bool)]) -> EndpointSlice {
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|(ip, ready)| json!({"addresses": [ip], "conditions": {"ready": ready, "serving": ready, "terminating": false}}))
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": "a", "uid": "u", "resourceVersion": "1",
            "labels": {label::SLICE_MANAGED_BY: label::SLICE_MANAGED_BY_US, label::SERVICE_NAME: "albums"}},
        "addressType": "IPv4", "endpoints": endpoints,
    }))
    .unwrap()
}

fn said(facts: &Facts) -> Vec<(Severity, String)> {
    let explanation = explain(facts, "2026-11-21T10:05:00Z".parse().unwrap());
    explanation
        .findings
        .into_iter()
        .map(|one| (one.severity, one.text))
        .collect()
}

fn says(facts: &Facts, severity: Severity, words: &str) {
    let said = said(facts);
    assert!(
        said.iter()
            .any(|(s, text)| *s == severity && text.contains(words)),
        "{words}: {said:?}"
    );
}

#[test]
fn one_that_is_down_is_told_with_the_probes_own_words() {
    let facts = facts(
        &json!({}),
        "172.19.1.0/24",
        Ok(vec![slice(&[("172.19.1.1", true), ("172.19.1.2", false)])]),
    );
    says(&facts, Severity::Ok, "lets it point at 172.19.1.0/24");
    says(
        &facts,
        Severity::Info,
        "tcp://:8080: 2 addresses are asked, every 10000 ms",
    );
    says(&facts, Severity::Ok, "1 of 2 addresses are ready");
    says(&facts, Severity::Error, "172.19.1.2 is not ready");
    says(&facts, Severity::Info, "connection refused");
}

#[test]
fn all_is_well_without_an_error() {
    let facts = facts(
        &json!({}),
        "172.19.1.0/24",
        Ok(vec![slice(&[("172.19.1.1", true), ("172.19.1.2", true)])]),
    );
    assert!(
        said(&facts)
            .iter()
            .all(|(severity, _)| matches!(severity, Severity::Ok | Severity::Info)),
        "{:?}",
        said(&facts)
    );
}

#[test]
fn what_the_namespace_does_not_allow_is_the_reason() {
    says(
        &facts(&json!({}), "", Ok(Vec::new())),
        Severity::Error,
        "allows no external addresses",
    );
    let one = facts(
        &json!({}),
        "172.19.1.1/32",
        Ok(vec![slice(&[("172.19.1.1", true)])]),
    );
    says(
        &one,
        Severity::Error,
        "172.19.1.2 lies in none of the networks",
    );
    says(&one, Severity::Error, "Not published: 172.19.1.2");
    says(
        &facts(&json!({}), "everything", Ok(Vec::new())),
        Severity::Error,
        "is invalid",
    );
}

#[test]
fn what_is_wrong_with_it_is_said_as_at_apply() {
    let facts = facts(
        &json!({"spec": {"selector": {"a": "b"}}}),
        "172.19.1.0/24",
        Ok(Vec::new()),
    );
    says(
        &facts,
        Severity::Error,
        "spec.selector: Kubernetes itself would publish",
    );
}

#[test]
fn an_ordinary_service_is_told_to_be_one() {
    let facts = facts(&json!({"metadata": {"labels": null}}), "", Ok(Vec::new()));
    assert_eq!(said(&facts).len(), 1);
    says(
        &facts,
        Severity::Error,
        "does not carry the label native-host.io/external",
    );
}

#[test]
fn what_may_not_be_read_is_named() {
    let mut facts = facts(&json!({}), "172.19.1.0/24", Err("no rights".into()));
    facts.namespace = Err("none either".into());
    facts.events = Err("nor these".into());
    says(&facts, Severity::Warning, "EndpointSlices cannot be read");
    says(&facts, Severity::Warning, "what it allows is not known");
    says(&facts, Severity::Warning, "Its Events");
}
