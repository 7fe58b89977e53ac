//! NetworkPolicies: the pods that they hold for, and the peers that they let through.

use super::*;

#[test]
fn a_network_policy_does_not_hold_for_the_program() {
    let texts = [
        "Its podSelector selects the pods of workload albums and not their anchors.",
        "host network, where no NetworkPolicy holds",
        "Write `podSelector: {matchLabels: {@/anchor: albums}}`. If it is for other pods too, leave it as it is and annotate the workload's pods with `@/anchor-labels: app`.",
    ];
    let spec = r#"{"podSelector": {"matchLabels": {"app": "albums"}}, "policyTypes": ["Ingress"]}"#;
    told(Kind::NetworkPolicy, spec, &shop(), &texts);
    for expression in [
        r#"{"key": "app", "operator": "In", "values": ["albums", "sales"]}"#,
        r#"{"key": "app", "operator": "Exists"}"#,
        r#"{"key": "@/role", "operator": "DoesNotExist"}"#,
    ] {
        let spec = format!(r#"{{"podSelector": {{"matchExpressions": [{expression}]}}}}"#);
        told(Kind::NetworkPolicy, &spec, &shop(), &["workload albums"]);
    }
}

#[test]
fn network_policies_that_are_fine() {
    for spec in [
        r#"{"podSelector": {}}"#,
        r#"{"podSelector": {"matchLabels": {"@/anchor": "albums"}}}"#,
        r#"{"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["sales"]}]}}"#,
        r#"{"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["albums"]}]}}"#,
        r#"{"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}"#,
    ] {
        fine(Kind::NetworkPolicy, spec, &shop());
    }
}

/// A policy for databases that lets some peers in.
fn lets_in(from: &str) -> String {
    format!(
        r#"{{"podSelector": {{"matchLabels": {{"app": "db"}}}}, "policyTypes": ["Ingress"], "ingress": {from}}}"#
    )
}

#[test]
fn a_network_policy_does_not_let_the_program_through() {
    let spec = lets_in(
        r#"[{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, {"from": [{"podSelector": {"matchLabels": {"app": "albums"}}}]}]"#,
    );
    let texts = [
        "ingress[1].from[0] selects the pods of workload albums and not their anchors, from which the program's connections come",
        "Write `ingress[1].from[0].podSelector: {matchLabels: {@/anchor: albums}}`.",
    ];
    told(Kind::NetworkPolicy, &spec, &shop(), &texts);
    let egress = r#"{"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "albums"}}}]}]}"#;
    told(
        Kind::NetworkPolicy,
        egress,
        &shop(),
        &["egress[0].to[0]", "to which connections to the program go"],
    );
    // It says that it is not about this direction.
    fine(
        Kind::NetworkPolicy,
        &egress.replace(r#"["Egress"]"#, r#"["Ingress"]"#),
        &shop(),
    );
}

#[test]
fn peers_that_let_the_anchors_in_too() {
    let albums = r#"{"podSelector": {"matchLabels": {"app": "albums"}}}"#;
    let anchors = r#"{"podSelector": {"matchLabels": {"@/anchor": "albums"}}}"#;
    for rules in [
        format!(r#"[{{"from": [{albums}, {anchors}]}}]"#),
        format!(r#"[{{"from": [{albums}]}}, {{"from": [{anchors}]}}]"#),
        format!(r#"[{{"from": [{albums}], "ports": [{{"port": 80}}]}}, {{"from": [{anchors}]}}]"#),
        format!(r#"[{{"from": [{albums}]}}, {{}}]"#),
        format!(r#"[{{"from": [{albums}, {{"podSelector": {{}}}}]}}]"#),
        format!(r#"[{{"from": [{albums}, {{"namespaceSelector": {{}}}}]}}]"#),
        r#"[{"from": [{"namespaceSelector": {}}]}]"#.to_owned(),
        r"[{}]".to_owned(),
    ] {
        fine(Kind::NetworkPolicy, &lets_in(&rules), &shop());
    }
    // On another port than the anchors.
    let rules = format!(
        r#"[{{"from": [{albums}], "ports": [{{"port": 80}}]}}, {{"from": [{anchors}], "ports": [{{"port": 443}}]}}]"#
    );
    told(
        Kind::NetworkPolicy,
        &lets_in(&rules),
        &shop(),
        &["ingress[0].from[0]"],
    );
}

#[test]
fn peers_of_other_namespaces() {
    let spec = lets_in(
        r#"[{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}, "podSelector": {"matchLabels": {"app": "albums"}}}]}]"#,
    );
    let elsewhere = find(Kind::NetworkPolicy, &object("db", &spec), &shop());
    assert!(elsewhere.unwrap().what.contains("ingress[0].from[0]"));
    let wrong = spec.replace(r#""shop""#, r#""music""#);
    assert_eq!(
        find(Kind::NetworkPolicy, &object("db", &wrong), &shop()),
        None
    );
    let own = lets_in(r#"[{"from": [{"podSelector": {"matchLabels": {"app": "albums"}}}]}]"#);
    assert_eq!(
        find(Kind::NetworkPolicy, &object("db", &own), &shop()),
        None
    );
}

#[test]
fn a_selector_that_leaves_anchors_out_is_told_without_that() {
    let mut workloads = shop();
    add(
        &mut workloads,
        "shop",
        "sales",
        &json!({"app": "sales"}),
        &json!({}),
    );
    let spec = r#"{"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}, {"key": "@/role", "operator": "DoesNotExist"}]}}"#;
    let texts = [
        "`@/anchor-labels: app`",
        "`podSelector: {matchExpressions: [{key: app, operator: Exists}]}`",
    ];
    told(Kind::NetworkPolicy, spec, &workloads, &texts);
}

#[test]
fn a_rule_may_name_several_workloads_of_which_one_is_let_in() {
    let mut workloads = shop();
    add(
        &mut workloads,
        "shop",
        "sales",
        &json!({"app": "sales"}),
        &json!({}),
    );
    let rules = r#"[{"from": [{"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}, {"podSelector": {"matchLabels": {"@/anchor": "albums"}}}]}]"#;
    told(
        Kind::NetworkPolicy,
        &lets_in(rules),
        &workloads,
        &["ingress[0].from[0]", "workload sales "],
    );
}
