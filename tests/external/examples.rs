//! `examples/external`, as users copy it; and what the command line says of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::PATIENCE;
use crate::process::Process;
use crate::support::wait_until;
use crate::world::{World, quick, service, windows};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/external")
        .join(name)
}

/// The program as the administrator; gives its output.
fn native_host(world: &World, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_native-host"))
        .args(args)
        .env_clear()
        .env("HOME", world.plane.folder())
        .env("KUBECONFIG", world.plane.kubeconfig())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_file_is_applied_and_published() {
    let Some(world) = World::shared() else { return };
    let namespace = "albums-external";
    for file in ["namespace.yaml", "service.yaml", "nodes.yaml"] {
        let file = example(file);
        let args = [
            "apply",
            "--validate=strict",
            "-n",
            namespace,
            "-f",
            file.to_str().unwrap(),
        ];
        let output = world.plane.kubectl(&args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && stderr.is_empty(),
            "{}: {stderr}",
            file.display()
        );
    }
    let files = std::fs::read_dir(example("")).unwrap().count();
    assert_eq!(files, 3, "every file of the folder is applied here");
    world.until_published(namespace, "albums-external", &["172.19.1.1"]);
    // Nobody listens there.
    assert!(world.ready(namespace, "albums-external").is_empty());
    world.node("example", &["172.19.1.77"], "True", &windows());
    wait_until("the node's agent is published", PATIENCE, || {
        let all = world.endpoints(namespace, "agents");
        all.contains_key(&"172.19.1.77".parse().unwrap())
            .then_some(())
    });
    world.kubectl("default", &["delete", "node", "example"]);
}

#[test]
fn the_command_line_shows_and_explains() {
    let Some(world) = World::shared() else { return };
    let namespace = "examples-cli";
    world.namespace(namespace);
    let _process = Process::start("10.245.60.1");
    let manifest = service("albums", &quick("10.245.60.1,10.245.60.2"), "");
    world.apply(namespace, &manifest);
    world.until_ready(namespace, "albums", &["10.245.60.1"]);
    world.event(namespace, "albums", "ExternalChanged", "10.245.60.2");

    let table = native_host(world, &["status", "-n", namespace]);
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("EXTERNAL"), "{table}");
    let line = lines.next().unwrap();
    assert!(
        line.contains("1/2") && line.contains("not ready: 10.245.60.2"),
        "{table}"
    );
    let document: Value = serde_json::from_str(&native_host(
        world,
        &["status", "albums", "-n", namespace, "-o", "json"],
    ))
    .unwrap();
    assert_eq!(document["externalServices"][0]["ready"], 1);
    assert_eq!(
        document["externalServices"][0]["addresses"][1]["ip"],
        "10.245.60.2"
    );
    assert_eq!(document["items"].as_array().map(Vec::len), Some(0));

    let cidrs = "--external-cidrs=10.245.0.0/16";
    for name in ["service/albums", "albums"] {
        let text = native_host(world, &["explain", name, "-n", namespace, cidrs]);
        assert!(
            text.contains("1 of 2 addresses are ready")
                && text.contains("10.245.60.2 is not ready"),
            "{text}"
        );
    }

    // What `inject --anchors` prints without a cluster is what the controller wrote with one, but for what
    // only a cluster knows.
    let file = world.plane.folder().join("albums-external.yaml");
    std::fs::write(&file, manifest.replace("@/", native_host::names::PREFIX)).unwrap();
    let args = [
        "inject",
        "-f",
        file.to_str().unwrap(),
        "--anchors",
        cidrs,
        "-o",
        "json",
    ];
    let list: Value = serde_json::from_str(&native_host(world, &args)).unwrap();
    let offline = &list["items"][1];
    let online = &world.slices(namespace, "albums")[0];
    for field in ["addressType", "ports"] {
        assert_eq!(offline[field], online[field], "{field}");
    }
    assert_eq!(offline["metadata"]["labels"], online["metadata"]["labels"]);
    let addresses = |slice: &Value| -> Vec<Value> {
        slice["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["addresses"].clone())
            .collect()
    };
    assert_eq!(addresses(offline), addresses(online));
}
