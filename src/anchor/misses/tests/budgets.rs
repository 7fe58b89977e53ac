//! PodDisruptionBudgets, which are the other way round.

use super::*;

#[test]
fn a_budget_with_anchors_cannot_be_computed() {
    let texts = [
        "It selects the anchors of workload albums.",
        "DisruptionAllowed False, SyncFailed",
    ];
    for number in [
        r#""maxUnavailable": 1"#,
        r#""maxUnavailable": "50%""#,
        r#""minAvailable": "50%""#,
    ] {
        let spec = format!(r#"{{"selector": {{}}, {number}}}"#);
        told(Kind::PodDisruptionBudget, &spec, &shop(), &texts);
    }
    let write = "Write `selector: {matchExpressions: [{key: @/role, operator: DoesNotExist}]}`.";
    told(
        Kind::PodDisruptionBudget,
        r#"{"selector": {}, "maxUnavailable": 1}"#,
        &shop(),
        &[write],
    );
}

#[test]
fn a_budget_with_a_whole_number_counts_each_replica_twice() {
    let mut workloads = Workloads::default();
    let labels = json!({"app": "albums"});
    add(&mut workloads, "shop", "albums", &labels, &labels);
    let spec = r#"{"selector": {"matchLabels": {"app": "albums"}}, "minAvailable": 2}"#;
    let texts = [
        "counts twice towards minAvailable: 2",
        "Write `selector: {matchLabels: {app: albums}, matchExpressions: [{key: @/role, operator: DoesNotExist}]}`.",
    ];
    told(Kind::PodDisruptionBudget, spec, &workloads, &texts);
}

#[test]
fn a_budget_of_anchors_alone() {
    let spec = r#"{"selector": {"matchLabels": {"@/anchor": "albums"}}, "minAvailable": 2}"#;
    let texts = [
        "protects nothing",
        "Write `selector: {matchLabels: {@/workload: albums}}`.",
    ];
    told(Kind::PodDisruptionBudget, spec, &shop(), &texts);
}

#[test]
fn budgets_that_are_right() {
    for selector in [
        r#"{"matchLabels": {"app": "albums"}}"#,
        r#"{"matchLabels": {"@/workload": "albums"}}"#,
        r#"{"matchExpressions": [{"key": "@/role", "operator": "DoesNotExist"}]}"#,
        r#"{"matchLabels": {"app": "sales"}}"#,
        "null",
    ] {
        let spec = format!(r#"{{"selector": {selector}, "maxUnavailable": 1}}"#);
        fine(Kind::PodDisruptionBudget, &spec, &shop());
    }
}
