//! What each kind misses, and what to write instead. Every selector that is told is tried out: written
//! into the object, nothing is missed any more.

#![allow(clippy::unwrap_used)]

mod budgets;
mod network_policies;

use serde_json::{Value, json};

use super::*;
use crate::names::{PREFIX, annotation, label, policy};

/// A namespace `shop` with the workload `albums`, and more where a test needs it.
fn shop() -> Workloads {
    let mut workloads = Workloads::default();
    add(
        &mut workloads,
        "shop",
        "albums",
        &json!({"app": "albums"}),
        &json!({}),
    );
    workloads
}

fn add(workloads: &mut Workloads, namespace: &str, workload: &str, labels: &Value, copied: &Value) {
    let mut labels = labels.clone();
    labels[label::WORKLOAD] = workload.into();
    let spec = json!({"version": 1, "image": "pause", "labels": copied,
        "containers": [{"name": "albums"}]});
    let metadata = json!({"name": "pod", "namespace": namespace, "labels": labels,
        "annotations": {annotation::ANCHOR_SPEC: spec.to_string()}});
    workloads.add(&serde_json::from_value(metadata).unwrap());
    let name = "kubernetes.io/metadata.name".to_owned();
    workloads.set_labels(namespace, [(name, namespace.to_owned())].into());
}

/// An object; `@/` is our prefix.
fn object(namespace: &str, spec: &str) -> DynamicObject {
    let spec: Value = serde_json::from_str(&spec.replace("@/", PREFIX)).unwrap();
    let metadata = json!({"name": "albums", "namespace": namespace});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn missed(kind: Kind, spec: &str, workloads: &Workloads) -> Option<String> {
    let miss = find(kind, &object("shop", spec), workloads)?;
    Some(miss.to_string().replace(PREFIX, "@/"))
}

#[track_caller]
fn fine(kind: Kind, spec: &str, workloads: &Workloads) {
    assert_eq!(missed(kind, spec, workloads), None, "{kind} {spec}");
}

/// It is missed, it is said so, and what is said to write helps.
#[track_caller]
fn told(kind: Kind, spec: &str, workloads: &Workloads, texts: &[&str]) {
    let said = missed(kind, spec, workloads).unwrap();
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in: {said}");
    }
    assert!(said.len() < 1024, "an Event would be cut: {said}");
    // One of the two ways, where there are two.
    for said in said.split("If it is for other pods too") {
        let (spec, workloads) = obeyed(spec, said, workloads);
        fine(kind, &spec, &workloads);
    }
}

/// What becomes of a spec and of the workloads if one does as one is told.
fn obeyed(spec: &str, said: &str, workloads: &Workloads) -> (String, Workloads) {
    let mut spec: Value = serde_json::from_str(spec).unwrap();
    let mut copied: Vec<String> = Vec::new();
    // What is in backticks.
    for written in said.replace("@/", PREFIX).split('`').skip(1).step_by(2) {
        let (field, value) = written.split_once(": ").unwrap();
        let value: Value = serde_saphyr::from_str(value).unwrap();
        if field == policy::ANCHOR_LABELS {
            let keys = value.as_str().unwrap().split(',');
            copied = keys.map(str::to_owned).collect();
            continue;
        }
        let path = field.replace(['.', '['], "/").replace(']', "");
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", &path));
        let parent = if parent.is_empty() {
            String::new()
        } else {
            format!("/{parent}")
        };
        spec.pointer_mut(&parent).unwrap()[last] = value;
    }
    let mut relabelled = Workloads::default();
    for (namespace, of) in workloads.namespaces() {
        for (workload, pair) in of.pairs() {
            let labels = json!(pair.pod);
            let mut anchor = json!(pair.anchor);
            for key in &copied {
                anchor[key.as_str()] = labels[key.as_str()].clone();
            }
            add(&mut relabelled, namespace, workload, &labels, &anchor);
        }
    }
    (spec.to_string(), relabelled)
}

#[test]
fn a_service_publishes_the_nodes() {
    let said = missed(Kind::Service, r#"{"selector": {"app": "albums"}}"#, &shop());
    assert_eq!(
        said.unwrap(),
        "It selects the pods of workload albums, which are on the host network: its endpoints are the nodes' addresses, where the program does not listen. The program's address is its anchor's. Write `selector: {@/anchor: albums}`."
    );
}

#[test]
fn services_that_are_fine() {
    for spec in [
        r#"{"selector": {"@/anchor": "albums"}}"#,
        r#"{"selector": {"app": "sales"}}"#,
        r#"{"selector": {"app": "albums", "tier": "web"}}"#,
        r#"{"selector": {}}"#,
        r"{}",
        r#"{"type": "ExternalName", "externalName": "x.example", "selector": {"app": "albums"}}"#,
    ] {
        fine(Kind::Service, spec, &shop());
    }
    let elsewhere = object("music", r#"{"selector": {"app": "albums"}}"#);
    assert_eq!(find(Kind::Service, &elsewhere, &shop()), None);
}

#[test]
fn a_service_of_pods_and_anchors_publishes_both() {
    let mut workloads = Workloads::default();
    let labels = json!({"app": "albums"});
    add(&mut workloads, "shop", "albums", &labels, &labels);
    let texts = [
        "beside their anchors",
        "`selector: {app: albums, @/role: anchor}`",
    ];
    told(
        Kind::Service,
        r#"{"selector": {"app": "albums"}}"#,
        &workloads,
        &texts,
    );
    fine(
        Kind::Service,
        r#"{"selector": {"app": "albums", "@/role": "anchor"}}"#,
        &workloads,
    );
}

#[test]
fn a_part_of_a_workload_keeps_its_selector() {
    let mut workloads = Workloads::default();
    for pod in ["albums-0", "albums-1"] {
        let labels = json!({"app": "albums", "pod": pod});
        add(&mut workloads, "shop", "albums", &labels, &json!({}));
    }
    let spec = r#"{"selector": {"@/workload": "albums", "pod": "albums-0"}}"#;
    let texts = [
        "`@/anchor-labels: pod`",
        "`selector: {@/anchor: albums, pod: albums-0, @/role: anchor}`",
    ];
    told(Kind::Service, spec, &workloads, &texts);
    let policy = r#"{"podSelector": {"matchLabels": {"pod": "albums-0"}}}"#;
    let texts = [
        "`@/anchor-labels: pod`",
        "`podSelector: {matchLabels: {pod: albums-0}}`",
    ];
    told(Kind::NetworkPolicy, policy, &workloads, &texts);
    // All of it needs no copied labels.
    let all = r#"{"selector": {"app": "albums"}}"#;
    told(
        Kind::Service,
        all,
        &workloads,
        &["`selector: {@/anchor: albums}`"],
    );
}

#[test]
fn a_selector_by_our_own_label_is_for_no_other_pods() {
    let spec = r#"{"selector": {"matchLabels": {"app": "albums", "@/workload": "albums"}}}"#;
    told(Kind::PodMonitor, spec, &shop(), &["Write `selector"]);
    let said = missed(Kind::PodMonitor, spec, &shop()).unwrap();
    assert!(!said.contains("other pods"), "{said}");
}

#[test]
fn several_workloads_at_once() {
    let mut workloads = Workloads::default();
    for name in ["a", "b", "c", "d", "e", "f"] {
        add(
            &mut workloads,
            "shop",
            name,
            &json!({"tier": "web"}),
            &json!({}),
        );
    }
    let spec = r#"{"selector": {"tier": "web"}}"#;
    let texts = [
        "workloads a, b, c, d and 2 more",
        "`@/anchor-labels: tier`",
        "`selector: {tier: web, @/role: anchor}`",
    ];
    told(Kind::Service, spec, &workloads, &texts);
    let of_two = r#"{"podSelector": {"matchExpressions": [{"key": "@/workload", "operator": "In", "values": ["a", "b"]}]}}"#;
    let texts = [
        "workloads a, b and",
        "`podSelector: {matchExpressions: [{key: @/anchor, operator: In, values: [a, b]}]}`",
    ];
    told(Kind::Server, of_two, &workloads, &texts);
}

#[test]
fn a_server_holds_for_no_traffic() {
    let spec = r#"{"port": "http", "podSelector": {"matchLabels": {"app": "albums"}}}"#;
    let texts = [
        "The mesh's proxy is in the anchor",
        "Write `podSelector: {matchLabels: {@/anchor: albums}}`.",
    ];
    told(Kind::Server, spec, &shop(), &texts);
    for spec in [
        r#"{"port": 80, "podSelector": {"matchLabels": {"@/anchor": "albums"}}}"#,
        r#"{"port": 80, "podSelector": {}}"#,
        r#"{"port": 80, "externalWorkloadSelector": {"matchLabels": {"app": "albums"}}}"#,
    ] {
        fine(Kind::Server, spec, &shop());
    }
}

#[test]
fn a_pod_monitor_scrapes_nothing() {
    let spec = r#"{"selector": {"matchLabels": {"app": "albums"}}}"#;
    let texts = [
        "nothing of it is scraped",
        "Write `selector: {matchLabels: {@/anchor: albums}}`.",
    ];
    told(Kind::PodMonitor, spec, &shop(), &texts);
    fine(Kind::PodMonitor, r#"{"selector": {}}"#, &shop());
    fine(
        Kind::PodMonitor,
        r#"{"selector": {"matchLabels": {"@/anchor": "albums"}}}"#,
        &shop(),
    );
}

#[test]
fn a_pod_monitor_looks_into_other_namespaces() {
    let find = |from: &str| {
        let spec = format!(
            r#"{{"selector": {{"matchLabels": {{"app": "albums"}}}}, "namespaceSelector": {from}}}"#
        );
        find(Kind::PodMonitor, &object("monitoring", &spec), &shop())
    };
    assert!(find(r#"{"any": true}"#).is_some());
    assert!(find(r#"{"matchNames": ["web", "shop"]}"#).is_some());
    assert!(find(r#"{"matchNames": ["web"]}"#).is_none());
    assert!(find(r#"{"matchNames": []}"#).is_none());
    assert!(find(r"{}").is_none());
}

#[test]
fn pods_without_an_anchor_to_be_are_no_workload() {
    let mut workloads = Workloads::default();
    for annotations in [json!({}), json!({annotation::ANCHOR_SPEC: "nonsense"})] {
        let metadata = json!({"name": "pod", "namespace": "shop", "annotations": annotations,
            "labels": {label::WORKLOAD: "albums", "app": "albums"}});
        workloads.add(&serde_json::from_value(metadata).unwrap());
    }
    assert!(workloads.is_empty());
}

#[test]
fn a_thousand_replicas_are_not_all_kept() {
    let mut workloads = Workloads::default();
    for pod in 0..1000 {
        let labels = json!({"app": "albums", "pod": format!("albums-{pod}")});
        add(&mut workloads, "shop", "albums", &labels, &json!({}));
    }
    assert_eq!(workloads.namespace("shop").unwrap().pairs().count(), 100);
}

#[test]
fn what_is_no_selector_selects_nothing() {
    for selector in [
        r#"{"matchExpressions": [{"key": "app", "operator": "Like", "values": ["a"]}]}"#,
        r#"{"matchLabels": ["app"]}"#,
        r#""app=albums""#,
    ] {
        let spec = format!(r#"{{"podSelector": {selector}, "selector": {selector}}}"#);
        for kind in Kind::ALL {
            fine(*kind, &spec, &shop());
        }
    }
}

#[test]
fn values_that_yaml_would_take_for_something_else_are_quoted() {
    let mut workloads = Workloads::default();
    for name in ["true", "007"] {
        add(
            &mut workloads,
            "shop",
            name,
            &json!({"app": "albums", "v": name}),
            &json!({}),
        );
        let spec = format!(r#"{{"podSelector": {{"matchLabels": {{"v": "{name}"}}}}}}"#);
        let text = format!(r#"{{matchLabels: {{@/anchor: "{name}"}}}}"#);
        told(Kind::Server, &spec, &workloads, &[&text]);
    }
}

#[test]
fn a_generation_is_what_the_author_changed() {
    let of = |kind, object: &DynamicObject| generation(kind, object);
    let service = object(
        "shop",
        r#"{"selector": {"app": "albums"}, "clusterIP": "10.0.0.1"}"#,
    );
    let mut same = object(
        "shop",
        r#"{"selector": {"app": "albums"}, "clusterIP": "10.0.0.2"}"#,
    );
    same.metadata.resource_version = Some("9".into());
    assert_eq!(of(Kind::Service, &service), of(Kind::Service, &same));
    let other = object("shop", r#"{"selector": {"app": "sales"}}"#);
    assert_ne!(of(Kind::Service, &service), of(Kind::Service, &other));
    let mut first = object("shop", r#"{"podSelector": {}}"#);
    let mut second = first.clone();
    first.metadata.generation = Some(1);
    second.metadata.generation = Some(2);
    assert_ne!(of(Kind::Server, &first), of(Kind::Server, &second));
}
