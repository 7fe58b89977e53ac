//! Pods that come back: from a backup, from `native-host inject`, with a marker that lies.

use std::io::Write as _;
use std::process::{Command, Stdio};

use native_host::names::{annotation, webhook};
use native_host::plan::MARKER;
use serde_json::{Value, json};

use super::{World, is_injected, pod, stderr};

/// A stored pod as backup tools keep it: without what its server gave it.
fn stripped(mut pod: Value) -> Value {
    pod.as_object_mut().unwrap().remove("status");
    let metadata = pod["metadata"].as_object_mut().unwrap();
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
        "namespace",
    ] {
        metadata.remove(field);
    }
    // What `kubectl apply` keeps for itself, and `kubectl create` brings up to date.
    let annotations = metadata["annotations"].as_object_mut().unwrap();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    pod["spec"].as_object_mut().unwrap().remove("nodeName");
    pod
}

fn albums(world: &World, namespace: &str) -> Value {
    world.plane.get(&["pod", "albums", "-n", namespace])
}

/// How `/mutate` and `/validate` decided about a namespace's pods.
fn assert_outcomes(world: &World, namespace: &str, expected: &[(&str, &str)]) {
    let decisions = world.program.decisions(namespace, expected.len());
    let pods = decisions.iter().filter(|line| line["kind"] == "Pod");
    let text = |line: &'_ Value, field: &str| line[field].as_str().unwrap().to_owned();
    let found: Vec<_> = pods
        .map(|line| (text(line, "door"), text(line, "outcome")))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(door, outcome)| ((*door).to_owned(), (*outcome).to_owned()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_pod_from_a_backup_comes_back_as_it_was_but_for_its_anchor_s_status() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("backup", &[], &[]);
    world.namespace("restored", &[], &[]);
    world.apply_ok("backup", &pod());
    // As the controller would publish it.
    let status = format!("{}={{\"ip\":\"10.1.2.3\"}}", annotation::ANCHOR_STATUS);
    world
        .plane
        .kubectl_ok(&["annotate", "pod", "albums", "-n", "backup", &status]);
    let kept = stripped(albums(world, "backup"));
    assert!(kept["metadata"]["annotations"][annotation::ANCHOR_STATUS].is_string());

    let args = ["create", "-n", "restored", "-f", "-"];
    let output = world.plane.kubectl_stdin(&args, &kept.to_string());
    assert!(output.status.success(), "{}", stderr(&output));
    let restored = stripped(albums(world, "restored"));
    let mut expected = kept;
    let annotations = expected["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.remove(annotation::ANCHOR_STATUS);
    assert_eq!(restored, expected);

    // Once more without it: nothing is left to do.
    world.plane.kubectl_ok(&[
        "delete",
        "pod",
        "albums",
        "-n",
        "restored",
        "--force",
        "--grace-period=0",
    ]);
    let output = world.plane.kubectl_stdin(&args, &restored.to_string());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_outcomes(
        world,
        "restored",
        &[
            ("mutate", "injected"),
            ("validate", "allowed"),
            ("mutate", "unchanged"),
            ("validate", "allowed"),
        ],
    );
}

#[test]
fn what_the_offline_command_made_passes_unchanged() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("offline", &[], &[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_native-host"))
        .args(["inject", "-n", "offline", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(super::named(super::POD).as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let injected = String::from_utf8(output.stdout).unwrap();
    assert!(injected.contains(annotation::INJECTED), "{injected}");

    let args = ["apply", "--validate=strict", "-n", "offline", "-f", "-"];
    let output = world.plane.kubectl_stdin(&args, &injected);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "no warnings");
    assert_outcomes(
        world,
        "offline",
        &[("mutate", "unchanged"), ("validate", "allowed")],
    );
    // And it is what the webhook makes by itself.
    world.namespace("online", &[], &[]);
    world.apply_ok("online", &pod());
    let (offline, online) = (albums(world, "offline"), albums(world, "online"));
    for container in ["containers", "initContainers"] {
        let plain = |pod: &Value| -> Value {
            let mut list = pod["spec"][container].clone();
            // The token's volume has a name of its own in each pod.
            list[0].as_object_mut().unwrap().remove("volumeMounts");
            list
        };
        assert_eq!(plain(&offline), plain(&online));
    }
}

#[test]
fn a_forged_marker_is_refused() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("genuine", &[], &[]);
    world.namespace("forged", &[], &[]);
    world.apply_ok("genuine", &pod());
    let genuine = stripped(albums(world, "genuine"));

    let mut cases = Vec::new();
    let mut bare = pod();
    bare["metadata"]["annotations"] = json!({annotation::INJECTED: MARKER});
    cases.push(("a marker alone", bare, annotation::ANCHOR_SPEC));
    let mut forge = |what, at: &str, value: Value, says| {
        let mut pod = genuine.clone();
        *pod.pointer_mut(at).expect(at) = value;
        cases.push((what, pod, says));
    };
    let spec = format!(
        "/metadata/annotations/{}",
        annotation::ANCHOR_SPEC.replace('/', "~1")
    );
    let other = genuine["metadata"]["annotations"][annotation::ANCHOR_SPEC]
        .as_str()
        .unwrap();
    let other = json!(other.replacen("pause", "mine", 1));
    forge(
        "another anchor",
        &spec,
        other,
        "the namespace's policy makes another anchor of this pod",
    );
    forge(
        "another launcher image",
        "/spec/initContainers/0/image",
        json!("registry.example/mine"),
        "spec.initContainers[0].image",
    );
    forge(
        "another launcher command",
        "/spec/initContainers/0/command",
        json!([r"C:\mine.exe"]),
        "spec.initContainers[0].command",
    );
    forge(
        "unwrapped again",
        "/spec/containers/0/command",
        json!([r"C:\mine.exe"]),
        "spec.containers[0].command",
    );
    forge(
        "out of HostProcess",
        "/spec/containers/0/securityContext",
        json!({}),
        "spec.containers[0].securityContext.windowsOptions.hostProcess",
    );
    forge(
        "other variables",
        "/spec/containers/0/env/0/valueFrom/fieldRef/fieldPath",
        json!("metadata.name"),
        "spec.containers[0].env[0].name",
    );
    forge(
        "its gate removed",
        "/spec/readinessGates",
        json!([]),
        "spec.readinessGates",
    );

    for (what, pod, says) in cases {
        let output = world
            .plane
            .kubectl_stdin(&["create", "-n", "forged", "-f", "-"], &pod.to_string());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        let denied = format!(
            "admission webhook \"{}\" denied the request: ",
            webhook::PODS
        );
        assert!(
            said.contains(&denied) && said.contains(says),
            "{what}: {said}"
        );
    }
    let args = ["create", "-n", "forged", "-f", "-"];
    assert!(
        world
            .plane
            .kubectl_stdin(&args, &genuine.to_string())
            .status
            .success(),
        "the genuine one"
    );
    assert!(is_injected(&albums(world, "forged")));
}
