#![allow(clippy::unwrap_used)]

use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use super::*;
use crate::external::spec::read;
use crate::names::{external as key, label};

fn spec(annotations: &serde_json::Value, families: &[&str]) -> Spec {
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": "a", "labels": {label::EXTERNAL: "true"}, "annotations": annotations},
        "spec": {"ports": [{"port": 80}], "ipFamilies": families},
    }))
    .unwrap();
    read(&service).unwrap()
}

fn node(name: &str, addresses: &[&str], ready: bool) -> View {
    let internal: Vec<IpAddr> = addresses.iter().map(|one| one.parse().unwrap()).collect();
    View {
        name: name.into(),
        labels: [(label::OS, label::OS_WINDOWS), (label::ZONE, "a")]
            .map(|(k, v)| (k.into(), v.into()))
            .into(),
        addresses: internal.clone(),
        internal,
        ready,
        pods: Vec::new(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn cidrs(all: &[&str]) -> Vec<Cidr> {
    all.iter().map(|one| one.parse().unwrap()).collect()
}

fn windows() -> serde_json::Value {
    json!({key::NODES: "kubernetes.io/os=windows"})
}

#[test]
fn nodes_that_are_not_ready_are_published_as_such() {
    let nodes = [
        node("win-1", &["172.19.1.101"], true),
        node("win-2", &["172.19.1.102"], false),
    ];
    let spec = spec(&windows(), &["IPv4"]);
    let allowed = cidrs(&["172.19.1.0/24"]);
    let found = candidates(&spec, nodes.iter(), Allowed::Cidrs(&allowed), &[]);
    let all = endpoints(&spec, &found.all, |_| true, &BTreeSet::new());
    let states: Vec<_> = all
        .iter()
        .map(|one| (one.node.as_deref().unwrap(), one.ready, one.zone.as_deref()))
        .collect();
    assert_eq!(
        states,
        [("win-1", true, Some("a")), ("win-2", false, Some("a"))]
    );
}

#[test]
fn only_selected_nodes_count_and_only_allowed_addresses() {
    let mut linux = node("linux", &["172.19.1.100"], true);
    linux.labels.insert(label::OS.into(), "linux".into());
    let nodes = [
        linux,
        node("win-1", &["172.19.1.101", "fd00::1"], true),
        node("win-2", &["192.0.2.1"], true),
        node("win-3", &[], true),
    ];
    let spec = spec(&windows(), &["IPv4", "IPv6"]);
    let allowed = cidrs(&["172.19.1.0/24", "fd00::/64"]);
    let found = candidates(&spec, nodes.iter(), Allowed::Cidrs(&allowed), &[]);
    let there: Vec<_> = found.all.keys().copied().collect();
    assert_eq!(there, [ip("172.19.1.101"), ip("fd00::1")]);
    assert_eq!(
        found.refused,
        [(ip("192.0.2.1"), Some("win-2".into()), Fault::NotAllowed)]
    );
    assert_eq!(found.without_address, ["win-3"]);
}

#[test]
fn an_address_that_is_a_nodes_gets_its_name_and_zone() {
    let nodes = [node("win-1", &["172.19.1.101"], false)];
    let spec = spec(
        &json!({key::ADDRESSES: "172.19.1.101,172.19.1.1"}),
        &["IPv4"],
    );
    let allowed = cidrs(&["172.19.1.0/24"]);
    let found = candidates(&spec, nodes.iter(), Allowed::Cidrs(&allowed), &[]);
    let all = endpoints(&spec, &found.all, |_| true, &BTreeSet::new());
    assert_eq!(
        (all[0].address, all[0].node.as_deref()),
        (ip("172.19.1.1"), None)
    );
    // Listed by its address, it is judged by its probe alone.
    assert_eq!(
        (all[1].node.as_deref(), all[1].ready),
        (Some("win-1"), true)
    );
}

#[test]
fn with_an_invalid_policy_only_what_is_published_stays() {
    let spec = spec(
        &json!({key::ADDRESSES: "172.19.1.1,172.19.1.2,10.96.0.1"}),
        &[],
    );
    let published = BTreeSet::from([ip("172.19.1.1"), ip("10.96.0.1")]);
    let cluster = cidrs(&["10.96.0.0/12"]);
    let found = candidates(
        &spec,
        std::iter::empty(),
        Allowed::AsPublished(&published),
        &cluster,
    );
    assert_eq!(
        found.all.keys().copied().collect::<Vec<_>>(),
        [ip("172.19.1.1")]
    );
    assert_eq!(found.refused.len(), 2);
}

#[test]
fn a_family_that_the_service_has_not_is_not_published() {
    let found = |families: &[&str]| {
        let spec = spec(&json!({key::ADDRESSES: "172.19.1.1,fd00::1"}), families);
        let allowed = cidrs(&["0.0.0.0/0", "::/0"]);
        candidates(&spec, std::iter::empty(), Allowed::Cidrs(&allowed), &[])
            .all
            .len()
    };
    assert_eq!(
        [found(&["IPv4"]), found(&["IPv6"]), found(&["IPv6", "IPv4"])],
        [1, 1, 2]
    );
}

#[test]
fn what_is_all_down_stays_published() {
    let spec = spec(&json!({key::ADDRESSES: "172.19.1.1,172.19.1.2"}), &[]);
    let allowed = cidrs(&["172.19.1.0/24"]);
    let found = candidates(&spec, std::iter::empty(), Allowed::Cidrs(&allowed), &[]);
    let last = BTreeSet::from([ip("172.19.1.2")]);
    let all = endpoints(&spec, &found.all, |_| false, &last);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|one| !one.ready && !one.serving));
    let open = Spec {
        fail_open: true,
        ..spec.clone()
    };
    let all = endpoints(&open, &found.all, |_| false, &last);
    assert_eq!(
        all.iter().map(|one| one.ready).collect::<Vec<_>>(),
        [false, true]
    );
    let early = Spec {
        publish_not_ready: true,
        ..spec
    };
    let all = endpoints(&early, &found.all, |_| false, &last);
    assert!(all.iter().all(|one| one.ready && !one.serving));
}
