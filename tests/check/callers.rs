//! Who asks, and whether anybody answers.

use serde_json::Value;

use crate::free_port;
use crate::world::World;

#[test]
fn who_may_read_nothing_is_told_so_of_every_check() {
    let Some(world) = World::alone() else { return };
    let nobody = world.as_user("nobody");
    let ran = world.check_with(&nobody, &["-o", "json"]);
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{}", ran.stdout);
    assert_eq!(ran.said("api-identity").1, "as nobody");
    for check in [
        "deployment-available",
        "webhook-configurations",
        "webhook-reached",
        "rbac-complete",
        "policies-in-force",
        "nodes-present",
        "controller-leads",
        "policies-valid",
        "pods-injected",
        "anchors-owned",
        "anchors-selected",
        "pairs-ready",
    ] {
        let (mark, found, hint) = ran.said(check);
        assert_eq!(mark, "warning", "{check}");
        assert!(
            found.contains("cannot tell: Error from server (Forbidden)"),
            "{found}"
        );
        assert!(hint.contains("right that it names"), "{hint}");
    }
}

#[test]
fn a_namespaces_editor_checks_the_namespace() {
    let Some(world) = World::alone() else { return };
    world.namespace("edited", "{}", "{}");
    // The roles of users are put together by a controller, which does not run.
    world.kubectl(&[
        "create",
        "role",
        "ed",
        "-n",
        "edited",
        "--verb=get,list,create",
        "--resource=pods,services,networkpolicies,poddisruptionbudgets",
    ]);
    world.kubectl(&[
        "create",
        "rolebinding",
        "ed",
        "-n",
        "edited",
        "--role=ed",
        "--user=ed",
    ]);
    let editor = world.as_user("ed");
    let ran = world.check_with(&editor, &["-n", "edited", "-o", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    for check in [
        "webhook-reached",
        "pods-injected",
        "anchors-owned",
        "pairs-ready",
    ] {
        assert_eq!(ran.said(check).0, "ok", "{}", ran.stdout);
    }
    assert!(
        ran.said("webhook-reached")
            .1
            .contains("in namespace edited")
    );
    assert_eq!(ran.said("nodes-present").0, "warning");
    world.kubectl(&["delete", "namespace", "edited", "--wait=false"]);
}

#[test]
fn credentials_that_are_not_valid_end_it_at_once() {
    let Some(world) = World::alone() else { return };
    let mut config: Value =
        serde_json::from_str(&world.kubectl(&["config", "view", "--raw", "-o", "json"])).unwrap();
    config["users"][0]["user"] = serde_json::json!({"token": "expired"});
    let path = world.plane.folder().join("kubeconfig-expired");
    std::fs::write(&path, config.to_string()).unwrap();
    let ran = world.check_with(&path, &["-o", "json"]);
    assert_eq!(ran.code, 1);
    let (mark, found, hint) = ran.said("api-identity");
    assert_eq!(mark, "failed");
    assert!(found.contains("Unauthorized"), "{found}");
    assert!(hint.contains("log in again"), "{hint}");
    assert!(!ran.stdout.contains("api-version"), "{}", ran.stdout);
}

#[test]
fn without_an_api_server_nothing_else_is_asked() {
    let Some(world) = World::alone() else { return };
    let mut config: Value =
        serde_json::from_str(&world.kubectl(&["config", "view", "--raw", "-o", "json"])).unwrap();
    let nowhere = format!("https://127.0.0.1:{}", free_port());
    config["clusters"][0]["cluster"]["server"] = serde_json::json!(nowhere);
    let path = world.plane.folder().join("kubeconfig-nowhere");
    std::fs::write(&path, config.to_string()).unwrap();
    for kubeconfig in [&path, &world.plane.folder().join("there-is-none")] {
        let ran = world.check_with(kubeconfig, &[]);
        assert_eq!(ran.code, 1);
        assert!(
            ran.stdout.contains("× the Kubernetes API can be reached"),
            "{}",
            ran.stdout
        );
        assert!(
            ran.stdout.contains("see docs/check.md#api-reachable"),
            "{}",
            ran.stdout
        );
        assert!(!ran.stdout.contains("webhook"), "{}", ran.stdout);
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    let Some(world) = World::alone() else { return };
    for args in [&["--wait", "soon"][..], &["-o", "table"], &["albums"]] {
        let ran = world.check(args);
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.stdout.is_empty());
    }
}
