//! The manifests of `deploy/`, and the commands that people apply them with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use native_host::names::webhook;
use serde_json::{Value, json};

use crate::support::ControlPlane;

/// A file or folder of the repository.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What kustomize makes of an overlay (a folder of the repository, or one made by [`overlay`]).
pub fn build(plane: &ControlPlane, overlay: &Path) -> Vec<Value> {
    let text = plane.kubectl_ok(&["kustomize", overlay.to_str().unwrap()]);
    serde_saphyr::from_multiple(&text).unwrap()
}

/// A kustomization in a folder of its own; `@/` is the repository, by a relative path since kustomize takes no other.
pub fn overlay(plane: &ControlPlane, name: &str, kustomization: &str) -> PathBuf {
    let folder = plane.folder().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let folder = folder.canonicalize().unwrap();
    let up = "../".repeat(folder.components().count() - 1);
    let repository = path("").canonicalize().unwrap();
    let repository = format!("{up}{}", repository.strip_prefix("/").unwrap().display());
    let text = kustomization.replace('@', &repository);
    std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
    folder
}

/// The one object of a kind and name.
pub fn object<'v>(objects: &'v [Value], kind: &str, name: &str) -> &'v Value {
    let mut found = objects
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let object = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    assert_eq!(found.next(), None, "two of {kind} {name}");
    object
}

/// `kubectl apply -k`, which has to succeed without a warning.
pub fn apply(plane: &ControlPlane, overlay: &Path) {
    apply_with(plane, overlay, &[]);
}

/// The same with more flags.
pub fn apply_with(plane: &ControlPlane, overlay: &Path, flags: &[&str]) {
    let overlay = overlay.to_str().unwrap();
    let args = [&["apply", "--validate=strict", "-k", overlay], flags].concat();
    let output = plane.kubectl(&args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "apply -k {overlay}: {stderr}");
    // kubectl asks kustomize for its own order, and says so where a kustomization asks for another
    // (`kustomize/v5/commands/build/build.go`).
    let warnings = stderr
        .lines()
        .filter(|line| !line.contains("Sorting order is set both in"));
    assert_eq!(
        warnings.count(),
        0,
        "warnings of apply -k {overlay}: {stderr}"
    );
}

/// `kubectl diff -k` finds nothing.
pub fn assert_no_diff(plane: &ControlPlane, overlay: &Path) {
    let overlay = overlay.to_str().unwrap();
    let output = plane.kubectl(&["diff", "-k", overlay]);
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "diff -k {overlay}: {}",
        said.concat()
    );
}

/// `kubectl delete -k`, which has to succeed and waits until all is gone. What is in the namespace may go with it before
/// kubectl comes to it.
pub fn uninstall(plane: &ControlPlane, overlay: &Path) {
    let overlay = overlay.to_str().unwrap();
    plane.kubectl_ok(&["delete", "-k", overlay, "--ignore-not-found"]);
}

/// Every object of the cluster that is in no namespace, but for those that belong to others.
pub fn cluster_objects(plane: &ControlPlane) -> BTreeSet<String> {
    let kinds = [
        "api-resources",
        "--namespaced=false",
        "--verbs=list,delete",
        "-o=name",
    ];
    let kinds = plane.kubectl_ok(&kinds);
    let kinds: Vec<&str> = kinds.lines().collect();
    let all = plane.kubectl_ok(&["get", &kinds.join(","), "-o=name"]);
    let other = |line: &&str| !line.starts_with("certificatesigningrequest");
    all.lines().filter(other).map(str::to_owned).collect()
}

/// The two webhook configurations as they are in the cluster.
pub fn configurations(plane: &ControlPlane) -> [Value; 2] {
    [
        ["mutatingwebhookconfiguration", webhook::MUTATING],
        ["validatingwebhookconfiguration", webhook::VALIDATING],
    ]
    .map(|args| plane.get(&args))
}

/// The `caBundle` of every webhook of a configuration.
pub fn bundles(configuration: &Value) -> Vec<&str> {
    let webhooks = configuration["webhooks"].as_array().unwrap().iter();
    webhooks
        .map(|webhook| {
            webhook["clientConfig"]["caBundle"]
                .as_str()
                .unwrap_or_default()
        })
        .collect()
}

/// Points both configurations at processes on this machine. All but the address stays, `caBundle` too.
pub fn point_at(plane: &ControlPlane, ports: [u16; 2]) {
    for (configuration, port) in configurations(plane).iter().zip(ports) {
        let webhooks = configuration["webhooks"].as_array().unwrap();
        let mut patch = Vec::new();
        for (index, webhook) in webhooks.iter().enumerate() {
            let Some(path) = webhook["clientConfig"]["service"]["path"].as_str() else {
                continue;
            };
            let at = format!("/webhooks/{index}/clientConfig");
            let url = format!("https://127.0.0.1:{port}{path}");
            patch.extend([
                json!({"op": "remove", "path": format!("{at}/service")}),
                json!({"op": "add", "path": format!("{at}/url"), "value": url}),
            ]);
        }
        plane.kubectl_ok(&[
            "patch",
            configuration["kind"].as_str().unwrap(),
            configuration["metadata"]["name"].as_str().unwrap(),
            "--type=json",
            "-p",
            &json!(patch).to_string(),
        ]);
    }
}
