#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::names::external as key;

fn service(addresses: &str) -> Service {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": "albums", "labels": {label::EXTERNAL: "true"},
            "annotations": {key::ADDRESSES: addresses}},
        "spec": {"ports": [{"port": 80, "targetPort": 8080}]},
    }))
    .unwrap()
}

fn slice(name: &str, by: Option<&str>, endpoints: &[(&str, bool)]) -> EndpointSlice {
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|(address, ready)| json!({"addresses": [address], "conditions": {"ready": ready, "serving": ready, "terminating": false}}))
        .collect();
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": name, "uid": name, "resourceVersion": "1",
            "labels": {label::SERVICE_NAME: "albums", label::SLICE_MANAGED_BY: by}},
        "addressType": "IPv4", "endpoints": endpoints,
    }))
    .unwrap()
}

#[test]
fn a_row_says_what_is_ready_and_what_is_not() {
    let ours = slice(
        "a",
        Some(label::SLICE_MANAGED_BY_US),
        &[("172.19.1.2", false), ("172.19.1.1", true)],
    );
    let row = Row::of(&service("172.19.1.1,172.19.1.2,172.19.1.3"), &[ours]);
    assert_eq!(
        (row.ready, row.addresses.len(), row.probe.as_str()),
        (1, 2, "tcp://:8080")
    );
    assert_eq!(row.addresses[0].ip.to_string(), "172.19.1.1");
    assert_eq!(row.why, "not published: 172.19.1.3; not ready: 172.19.1.2");
    let well = slice(
        "a",
        Some(label::SLICE_MANAGED_BY_US),
        &[("172.19.1.1", true)],
    );
    assert_eq!(Row::of(&service("172.19.1.1"), &[well]).why, "");
}

#[test]
fn other_peoples_endpoints_are_not_counted_but_spoken_of() {
    let row = Row::of(
        &service("172.19.1.1"),
        &[slice("by-hand", Some("me"), &[("172.19.1.1", true)])],
    );
    assert_eq!(row.ready, 0);
    assert!(
        row.why.starts_with(
            "nothing is published; its Events say why; EndpointSlice by-hand (managed by me)"
        ),
        "{}",
        row.why
    );
}

#[test]
fn what_cannot_be_read_is_said_in_its_own_words() {
    let row = Row::of(&service("x"), &[]);
    assert!(
        row.why.starts_with(
            "nothing is published: metadata.annotations[native-host.io/external-addresses]: \"x\""
        ),
        "{}",
        row.why
    );
}

#[test]
fn each_service_has_its_own_slices() {
    let other = {
        let mut other = service("172.19.1.1");
        other.metadata.name = Some("aaa".into());
        other
    };
    let slices = vec![slice(
        "a",
        Some(label::SLICE_MANAGED_BY_US),
        &[("172.19.1.1", true)],
    )];
    let rows = rows(&[service("172.19.1.1"), other], slices);
    let names: Vec<_> = rows
        .iter()
        .map(|row| (row.name.as_str(), row.ready))
        .collect();
    assert_eq!(names, [("aaa", 0), ("albums", 1)]);
}
