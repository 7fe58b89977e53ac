//! What is said of an installation that is well.

use serde_json::Value;

use crate::world::World;

/// Every check, in the order in which it is told; by a URL the Service is not on the way.
const CHECKS: [&str; 24] = [
    "api-reachable",
    "api-identity",
    "api-version",
    "admission-policies-served",
    "cert-manager-served",
    "deployment-available",
    "webhook-configurations",
    "ca-bundle",
    "serving-certificate",
    "webhook-reached",
    "rbac-complete",
    "policies-in-force",
    "nodes-present",
    "nodes-ready",
    "nodes-containerd",
    "nodes-build",
    "nodes-labels",
    "controller-leads",
    "policies-valid",
    "pod-security",
    "pods-injected",
    "anchors-owned",
    "anchors-selected",
    "pairs-ready",
];

#[test]
fn a_healthy_installation_passes_every_check() {
    let Some(world) = World::alone() else { return };
    world.until_well();
    let ran = world.report();
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["apiVersion"], "cli.native-host.io/v1");
    assert_eq!(report["kind"], "CheckReport");
    assert_eq!(report["result"], "ok");
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<_> = checks
        .iter()
        .map(|one| one["check"].as_str().unwrap())
        .collect();
    assert_eq!(names, CHECKS);
    let found = |check| ran.said(check).1;
    assert!(found("webhook-reached").contains("in namespace default"));
    assert!(found("serving-certificate").contains("for 127.0.0.1, until"));
    assert!(found("deployment-available").contains("2 of 2 replicas"));
    // As a person reads it.
    let text = world.check(&[]);
    assert_eq!(text.code, 0);
    assert!(
        text.stdout
            .starts_with("kubernetes-api\n--------------\n√ the Kubernetes API can be reached\n")
    );
    assert!(
        text.stdout.ends_with("\nStatus check results are √\n"),
        "{}",
        text.stdout
    );
    let yaml = world.check(&["-o", "yaml"]).stdout;
    let yaml: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(yaml["checks"].as_array().unwrap().len(), CHECKS.len());
    // The dry run is one.
    assert_eq!(world.kubectl(&["get", "pods", "-A", "-o", "name"]), "");
}

#[test]
fn before_an_installation_only_that_is_checked() {
    let Some(world) = World::alone() else { return };
    let ran = world.check(&["--pre", "-o", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert_eq!(
        ran.odd(),
        [("cert-manager-served".to_owned(), "warning".to_owned())]
    );
    assert_eq!(ran.said("may-install").0, "ok");
    assert_eq!(ran.said("may-grant").0, "ok");
    assert_eq!(ran.said("nodes-build").0, "ok");
    assert!(!ran.stdout.contains("webhook-reached"), "{}", ran.stdout);
    // Somebody who may do nothing cannot install it.
    let nobody = world.as_user("nobody");
    let ran = world.check_with(&nobody, &["--pre", "-o", "json"]);
    assert_eq!(ran.code, 1);
    let (mark, found, _) = ran.said("may-install");
    assert_eq!(mark, "failed");
    assert!(
        found.contains("create clusterroles.rbac.authorization.k8s.io"),
        "{found}"
    );
    let (mark, found, _) = ran.said("may-grant");
    assert_eq!(mark, "failed");
    assert!(found.contains("patch pods/status"), "{found}");
}
