//! `examples/zero-trust` and `native-host policy` against Linkerd's own CustomResourceDefinitions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::{PATIENCE, World, stderr};
use crate::support::{ControlPlane, wait_until};

const KINDS: [(&str, &str); 5] = [
    ("v1beta3", "Server"),
    ("v1beta3", "HTTPRoute"),
    ("v1alpha1", "AuthorizationPolicy"),
    ("v1alpha1", "MeshTLSAuthentication"),
    ("v1alpha1", "NetworkAuthentication"),
];

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Applies a file of the checkout, strictly, once the API server knows its kinds.
fn apply(plane: &ControlPlane, path: &str) {
    let path = file(path);
    let args = ["apply", "--validate=strict", "-f", path.to_str().unwrap()];
    wait_until(&format!("{} is applied", path.display()), PATIENCE, || {
        let output = plane.kubectl(&args);
        let said = stderr(&output);
        if said.contains("no matches for kind")
            || said.contains("could not find the requested resource")
        {
            return None;
        }
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("Warning"), "{said}");
        Some(())
    });
}

/// Has the API server know Linkerd's kinds.
pub fn kinds(plane: &ControlPlane) {
    apply(plane, "tests/fixtures/crds/linkerd-policy.yaml");
    wait_until("Linkerd's kinds are served", PATIENCE, || {
        let output = plane.kubectl(&["get", "servers,httproutes.policy.linkerd.io", "-A"]);
        output.status.success().then_some(())
    });
}

/// `native-host policy albums`, of the cluster.
fn policy(plane: &ControlPlane, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_native-host"))
        .args(["policy", "albums", "-n", "shop", "--kubeconfig"])
        .arg(plane.kubeconfig())
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

/// The names of what there is, with its kind.
fn present(plane: &ControlPlane) -> BTreeSet<String> {
    let kinds: Vec<_> = KINDS
        .iter()
        .map(|(_, kind)| format!("{}.policy.linkerd.io", kind.to_lowercase()))
        .collect();
    let list = plane.get(&[&kinds.join(","), "-n", "shop"]);
    let name = |one: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        format!("{} {}", text(&one["kind"]), text(&one["metadata"]["name"]))
    };
    list["items"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn the_zero_trust_example_is_applied_and_rules_come_and_go() {
    let Some(world) = World::shared() else {
        return;
    };
    let plane = world.plane;
    kinds(plane);
    for name in ["workload", "client", "policy"] {
        apply(plane, &format!("examples/zero-trust/{name}.yaml"));
    }
    let pods = world.bound("shop", "app=albums", 3);
    assert!(pods.iter().all(|pod| pod["spec"]["hostNetwork"] == true));
    let example = present(plane);
    assert_eq!(
        example
            .iter()
            .filter(|one| one.starts_with("Server "))
            .count(),
        2
    );

    // The cluster says the same as the manifests, but for the nodes, which it knows.
    let output = policy(
        plane,
        &["--allow", "GET /albums-win/* from frontend", "-o", "json"],
    );
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = list["items"].as_array().unwrap();
    let of = |one: &&Value| one["kind"] == "NetworkAuthentication";
    let networks = &items.iter().find(of).unwrap()["spec"]["networks"];
    assert!(
        networks
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["cidr"] == "127.0.0.1/32"),
        "{networks}"
    );

    // One more rule, then none: what is not given any more is pruned.
    let prune: Vec<String> = KINDS
        .iter()
        .map(|(version, kind)| format!("--prune-allowlist=policy.linkerd.io/{version}/{kind}"))
        .collect();
    let put = |rules: &[&str]| {
        let rules: Vec<&str> = rules.iter().flat_map(|rule| ["--allow", rule]).collect();
        let text = policy(plane, &rules).stdout;
        let mut args = vec!["apply", "--validate=strict", "-f", "-", "--prune", "-l"];
        args.push("native-host.io/workload=albums,app.kubernetes.io/managed-by=native-host-policy");
        args.extend(prune.iter().map(String::as_str));
        let output = plane.kubectl_stdin(&args, &String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{}", stderr(&output));
        present(plane)
    };
    let more = put(&[
        "GET /albums-win/* from frontend",
        "POST,PUT /albums-win/1 on http from music/*, *, 10.0.0.0/8",
        "tcp on health from monitoring/prometheus",
    ]);
    assert!(
        more.contains("HTTPRoute albums-http.post.albums-win.1"),
        "{more:?}"
    );
    assert!(
        more.contains("AuthorizationPolicy albums-http.put.albums-win.1.networks"),
        "{more:?}"
    );
    let again = put(&["GET /albums-win/* from frontend"]);
    assert_eq!(again, example);
    let none = put(&[]);
    assert!(
        none.iter().all(|one| !one.contains("albums-http.")),
        "{none:?}"
    );
    assert!(none.contains("Server albums-http"), "{none:?}");
}
