#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::plan::sheet::Refusal;

fn service(change: &Value) -> Service {
    let mut object = json!({
        "metadata": {
            "name": "albums-external", "namespace": "shop", "uid": "u",
            "labels": {label::EXTERNAL: "true"},
            "annotations": {key::ADDRESSES: "172.19.1.1"},
        },
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    });
    json_patch::merge(&mut object, change);
    serde_json::from_value(object).unwrap()
}

fn refusal(change: &Value) -> String {
    let problems = read(&service(change)).unwrap_err();
    Refusal { problems }.to_string()
}

fn annotations(all: &Value) -> Value {
    json!({"metadata": {"annotations": all}})
}

#[test]
fn the_example_of_the_contract_is_read() {
    let spec = read(&service(&annotations(
        &json!({key::PROBE: "http://:8081/health/readiness"}),
    )))
    .unwrap();
    assert!(matches!(&spec.source, Source::Addresses(all) if all.len() == 1));
    assert_eq!(spec.probe.to_string(), "http://:8081/health/readiness");
    assert_eq!(spec.pace, Pace::default());
    assert_eq!(
        (spec.pace.period.as_secs(), spec.pace.timeout.as_secs()),
        (10, 2)
    );
    assert_eq!((spec.pace.failures, spec.pace.successes), (3, 1));
    assert!(!spec.fail_open && spec.warnings.is_empty());
    let port = &spec.ports[0];
    assert_eq!(
        (port.name.as_deref(), port.protocol.as_str(), port.port),
        (Some("http"), "TCP", 8080)
    );
}

#[test]
fn every_tcp_port_is_probed_by_default() {
    let ports = json!([
        {"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 443},
        {"name": "c", "port": 53, "protocol": "UDP"}, {"name": "d", "port": 81, "targetPort": 8080},
    ]);
    let spec = read(&service(&json!({"spec": {"ports": ports}}))).unwrap();
    assert_eq!(spec.probe, Probe::Tcp(vec![443, 8080]));
    assert_eq!(spec.ports.len(), 4);
}

#[test]
fn every_number_can_be_set() {
    let spec = read(&service(&annotations(&json!({
        key::PROBE_PERIOD: "5s", key::PROBE_TIMEOUT: "1500ms", key::PROBE_FAILURES: "2", key::PROBE_SUCCESSES: "4",
        key::FAIL_OPEN: "true",
    }))))
    .unwrap();
    assert_eq!(spec.pace.period, Duration::from_secs(5));
    assert_eq!(spec.pace.timeout, Duration::from_millis(1500));
    assert_eq!(
        (spec.pace.failures, spec.pace.successes, spec.fail_open),
        (2, 4, true)
    );
}

#[test]
fn a_short_period_shortens_a_timeout_that_nobody_set() {
    let spec = read(&service(&annotations(&json!({key::PROBE_PERIOD: "1s"})))).unwrap();
    assert_eq!(spec.pace.timeout, Duration::from_secs(1));
}

#[test]
fn nodes_are_an_alternative_to_addresses() {
    let nodes = json!({key::ADDRESSES: null, key::NODES: "kubernetes.io/os=windows"});
    let spec = read(&service(&annotations(&nodes))).unwrap();
    assert!(matches!(spec.source, Source::Nodes(_)));
}

#[test]
fn what_cannot_be_is_refused_with_the_way_out() {
    for (change, expected) in [
        (
            json!({"metadata": {"labels": {label::EXTERNAL: "yes"}}}),
            "labels[native-host.io/external]: \"yes\": expected \"true\"",
        ),
        (
            json!({"metadata": {"labels": {label::WORKLOAD: "albums"}}}),
            "keep one of them",
        ),
        (
            json!({"spec": {"type": "ExternalName", "externalName": "x.y"}}),
            "spec.type: \"ExternalName\": is a name in DNS",
        ),
        (
            json!({"spec": {"selector": {"app": "albums"}}}),
            "spec.selector: Kubernetes itself would publish",
        ),
        (
            json!({"spec": {"ports": [{"port": 80, "targetPort": "http"}]}}),
            "spec.ports[0].targetPort: \"http\": a name is looked up in pods",
        ),
        (
            json!({"spec": {"ports": []}}),
            "spec.ports: expected at least one port",
        ),
        (
            json!({"spec": {"ports": [{"port": 53, "protocol": "UDP"}]}}),
            "only TCP ports are probed by default",
        ),
        (
            annotations(&json!({key::ADDRESSES: null})),
            "nothing says where its processes are",
        ),
        (annotations(&json!({key::NODES: "a=b"})), "keep one of them"),
        (
            annotations(&json!({key::ADDRESSES: "127.0.0.1"})),
            "\"127.0.0.1\": is a loopback address",
        ),
        (
            annotations(&json!({key::ADDRESSES: "169.254.169.254"})),
            "is link-local",
        ),
        (
            annotations(&json!({key::PROBE: "http://x:1/"})),
            "external-probe]: \"http://x:1/\": it names a host",
        ),
        (
            annotations(&json!({key::PROBE_PERIOD: "5s", key::PROBE_TIMEOUT: "6s"})),
            "longer than the period",
        ),
        (
            annotations(&json!({key::FAIL_OPEN: "yes"})),
            "expected \"true\" or \"false\"",
        ),
        (
            annotations(&json!({"native-host.io/external-probe-failure": "3"})),
            "did you mean native-host.io/external-probe-failures?",
        ),
        (
            annotations(&json!({"native-host.io/launcher": "cplauncher"})),
            "those of an external Service are external-addresses",
        ),
    ] {
        let said = refusal(&change);
        assert!(said.contains(expected), "{change}:\n{said}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let mut change =
        annotations(&json!({key::ADDRESSES: "x", key::PROBE: "y", key::PROBE_PERIOD: "z"}));
    change["spec"] = json!({"selector": {"a": "b"}});
    let problems = read(&service(&change)).unwrap_err();
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn what_is_odd_is_warned_of() {
    let dual = json!({"metadata": {"annotations": {key::ADDRESSES: "172.19.1.1,fd00::1"}}, "spec": {"ipFamilies": ["IPv4"]}});
    let spec = read(&service(&dual)).unwrap();
    assert!(
        spec.warnings[0].contains("fd00::1 is not published"),
        "{:?}",
        spec.warnings
    );
    assert!(
        !spec.has_family_of("fd00::1".parse().unwrap())
            && spec.has_family_of("172.19.1.1".parse().unwrap())
    );
    let headless = json!({"spec": {"clusterIP": "None"}});
    assert!(read(&service(&headless)).unwrap().warnings[0].contains("have to use 8080"));
    let early = json!({"spec": {"publishNotReadyAddresses": true}});
    assert_eq!(read(&service(&early)).unwrap().warnings.len(), 1);
}

#[test]
fn the_label_decides_who_is_external() {
    for (value, expected) in [
        (json!("true"), Asked::Yes),
        (json!("false"), Asked::No),
        (Value::Null, Asked::No),
        (json!("1"), Asked::Unclear),
    ] {
        let service = service(&json!({"metadata": {"labels": {label::EXTERNAL: value}}}));
        assert_eq!(asked(&service), expected, "{value}");
    }
}
