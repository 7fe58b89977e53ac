//! What `native-host adopt` prints, from manifests and from the cluster, on a real API server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use native_host::names::label;

use super::{World, linkerd, stderr};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/adopt")
        .join(name)
}

fn adopt(world: &World, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_native-host"))
        .arg("adopt")
        .args(arguments)
        .env_clear()
        .env("KUBECONFIG", world.plane.kubeconfig())
        .output()
        .unwrap()
}

/// `kubectl apply`, strictly, in a namespace of its own.
fn apply(world: &World, namespace: &str, text: &str) -> Output {
    let args = ["apply", "--validate=strict", "-f", "-", "-n", namespace];
    world.plane.kubectl_stdin(&args, text)
}

#[test]
fn everything_that_is_printed_is_taken_by_the_api_server() {
    let Some(world) = World::shared() else {
        return;
    };
    linkerd::kinds(world.plane);
    for name in ["k2s", "shop", "apps"] {
        world.namespace(name, &[], &[]);
    }
    // A dry run of the Namespace leaves no trace; and what is said to be done before is done.
    let cidrs = [
        ("licences", "172.19.1.1/32,172.19.1.2/32,10.96.211.0/24"),
        ("elsewhere", "10.0.0.9/32"),
    ];
    for (name, allowed) in cidrs {
        world.namespace(name, &[("@/external-cidrs", allowed)], &[]);
    }
    for entry in std::fs::read_dir(fixture("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".out.yaml") || name.starts_with("what-cannot-be") {
            continue;
        }
        // As it stands there, comments and all, but for the Service range; objects keep the namespaces that they name.
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("172.21.1.", "10.96.211.");
        let args = ["apply", "--validate=strict", "--dry-run=server", "-f", "-"];
        let output = world.plane.kubectl_stdin(&args, &text);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
    }
}

#[test]
fn what_somebody_applied_is_adopted_from_the_cluster_and_then_runs_as_pairs() {
    let Some(world) = World::shared() else {
        return;
    };
    let namespace = "by-hand";
    world.namespace(namespace, &[], &[]);
    let text = std::fs::read_to_string(fixture("through-cmd.in.yaml")).unwrap();
    // The test's control plane has a Service range, and nodes, of its own.
    let text = text
        .replace("172.21.1.99", "10.96.211.99")
        .replace("    pool: imaging\n", "")
        // Without a kubelet an old pod never ends.
        .replace("  strategy: {type: Recreate}\n", "")
        .replace("        - default\n", "        - by-hand\n")
        .replace(
            "serviceAccountName: pictures",
            "serviceAccountName: default",
        );
    let output = apply(world, namespace, &text);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = adopt(world, &["-n", namespace]);
    let said = stderr(&output);
    let adopted = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("kubectl delete pod pictures-anchor -n by-hand"),
        "{said}"
    );
    assert!(
        adopted.contains("native-host.io/workload: pictures"),
        "{adopted}"
    );
    // It is as it was applied: nothing of what the API server adds is in it.
    for word in [
        "resourceVersion",
        "creationTimestamp",
        "terminationMessagePath",
        "status:",
    ] {
        assert!(!adopted.contains(word), "{word}: {adopted}");
    }
    let output = apply(world, namespace, &adopted);
    assert!(output.status.success(), "{adopted}\n{}", stderr(&output));
    let selector = format!("{}=pictures", label::WORKLOAD);
    let pods = world.bound(namespace, &selector, 1);
    let container = &pods[0]["spec"]["containers"][0];
    let args: Vec<&str> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert!(
        args.ends_with(&[
            "--",
            r"C:\apps\pictures.exe",
            "--config",
            r"C:\apps\config\prod.json"
        ]),
        "{args:?}"
    );
    assert_eq!(
        container["command"][0],
        r"C:\native-host\bin\native-host-launcher.exe"
    );
    // A second time there is nothing left but what it said to delete.
    let output = adopt(world, &["-n", namespace]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
}
