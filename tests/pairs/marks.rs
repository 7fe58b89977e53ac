//! Labels, markers and names that are missing, forged or taken: what is not ours is never touched.

use native_host::anchor;
use native_host::names::{annotation, gate, label, policy};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::look::QUIET;
use crate::manifests::{Pool, yaml};
use crate::support::wait_until;
use crate::world::{World, bare, condition, is, name, uid};

/// A namespace in which the webhook lets every pod pass as it is.
fn unguarded(world: &World, ns: &str) {
    world.namespace(ns);
    let off = format!("{}=off", policy::MODE);
    world.plane.kubectl_ok(&["annotate", "namespace", ns, &off]);
    wait_until("the webhook knows that it is off", PATIENCE, || {
        let create = [
            "create",
            "--dry-run=server",
            "-o",
            "json",
            "-n",
            ns,
            "-f",
            "-",
        ];
        let probe = yaml(&bare("probe").replace("@/", native_host::names::PREFIX)).to_string();
        let output = world.plane.kubectl_stdin(&create, &probe);
        let pod: Value = serde_json::from_slice(&output.stdout).ok()?;
        pod["metadata"]["annotations"][annotation::INJECTED]
            .is_null()
            .then_some(())
    });
}

/// A labelled pod as a user, and no webhook, made it.
fn raw(ns: &str, world: &World, annotations: &Value) {
    let mut pod = yaml(&bare("solo"));
    pod["metadata"]["annotations"] = annotations.clone();
    let taint = json!({"kubernetes.io/os": "windows"});
    pod["spec"]["nodeSelector"] = taint;
    world.apply(ns, &pod.to_string());
}

/// The versions of all pods of a namespace stay what they are for a while.
fn nobody_is_touched(world: &World, ns: &str) {
    let versions = || {
        let (pods, anchors) = world.pods(ns);
        let version = |pod: &Value| pod["metadata"]["resourceVersion"].clone();
        pods.iter().chain(&anchors).map(version).collect::<Vec<_>>()
    };
    world.until_pods(ns, "all containers run", |pods, anchors| {
        let mut all = pods.iter().chain(anchors);
        all.all(|pod| is(pod, "ContainersReady")).then_some(())
    });
    let before = versions();
    std::thread::sleep(QUIET);
    assert_eq!(versions(), before);
}

#[test]
fn a_pod_whose_label_is_taken_off_keeps_its_anchor_and_is_warned_of() {
    let Some(world) = World::shared() else { return };
    let ns = "unlabelled";
    world.namespace(ns);
    world.apply(ns, &bare("solo"));
    let (pods, anchors) = world.pairs(ns, 1);
    let remove = format!("{}-", label::WORKLOAD);
    world.kubectl(ns, &["label", "pod", "solo", &remove]);
    let said = world.event(ns, "solo", "WorkloadLabelRemoved");
    for word in ["anchor is kept", "every 30 s", "put the label back"] {
        assert!(said.contains(word), "{said}");
    }
    nobody_is_touched(world, ns);
    let (now, with) = world.pairs(ns, 1);
    assert_eq!(
        (uid(&now[0]), uid(&with[0])),
        (uid(&pods[0]), uid(&anchors[0]))
    );
    // Nor does the anchor outlive the pod.
    world.kubectl(ns, &["delete", "pod", "solo"]);
    world.pairs(ns, 0);
}

#[test]
fn a_labelled_pod_that_was_not_injected_is_left_alone_and_warned_of() {
    let Some(world) = World::shared() else { return };
    let ns = "not-injected";
    unguarded(world, ns);
    raw(ns, world, &Value::Null);
    let said = world.event(ns, "solo", "NotInjected");
    for word in [
        "without the webhook",
        "left alone",
        "Delete it to have it created anew",
    ] {
        assert!(said.contains(word), "{said}");
    }
    let running = |pod: &Value| pod["status"]["phase"] == "Running";
    let pod = world.eyes.until(ns, "pods/solo", "runs", running);
    assert!(condition(&pod, gate::ANCHOR_READY).is_null());
    nobody_is_touched(world, ns);
    let (pods, anchors) = world.pods(ns);
    assert_eq!((pods.len(), anchors.len()), (1, 0));
}

/// A pod that has our marker and this spec of an anchor.
fn forged(ns: &'static str, spec: &Value, words: &[&str]) {
    marked(ns, "v1", spec, words);
}

fn marked(ns: &'static str, marker: &str, spec: &Value, words: &[&str]) {
    let Some(world) = World::shared() else { return };
    unguarded(world, ns);
    let mut annotations = json!({annotation::INJECTED: marker});
    if !spec.is_null() {
        annotations[annotation::ANCHOR_SPEC] = spec.clone();
    }
    raw(ns, world, &annotations);
    let said = world.event(ns, "solo", "AnchorRefused");
    for word in words
        .iter()
        .chain(&["delete the pod to have it created anew"])
    {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
    let pod = world.eyes.until(ns, "pods/solo", "says it", |pod| {
        condition(pod, gate::ANCHOR_READY)["reason"] == "AnchorRefused"
    });
    let gate = condition(&pod, gate::ANCHOR_READY);
    assert!(said.contains(gate["message"].as_str().unwrap()), "{gate}");
    nobody_is_touched(world, ns);
    assert!(world.pods(ns).1.is_empty());
}

#[test]
fn a_marker_without_a_spec_makes_no_anchor() {
    forged(
        "no-spec",
        &Value::Null,
        &[annotation::ANCHOR_SPEC, "is missing"],
    );
}

#[test]
fn an_unreadable_spec_makes_no_anchor() {
    forged(
        "bad-spec",
        &json!("{\"image\": 5}"),
        &[annotation::ANCHOR_SPEC],
    );
}

#[test]
fn a_spec_that_asks_for_more_than_an_anchor_may_have_makes_none() {
    let spec = json!({
        "image": "registry.example/pause", "containers": [], "hostNetwork": true,
        "volumes": [{"name": "c", "hostPath": {"path": "C:\\"}}],
    });
    forged(
        "greedy-spec",
        &json!(spec.to_string()),
        &[annotation::ANCHOR_SPEC],
    );
}

#[test]
fn a_spec_of_a_newer_version_makes_no_anchor() {
    let spec = json!({"version": 2, "image": "registry.example/pause", "pods": [{"name": "a"}]});
    forged(
        "newer-spec",
        &json!(spec.to_string()),
        &[annotation::ANCHOR_SPEC, "version 2", "knows version 1 only"],
    );
}

#[test]
fn a_pod_that_a_newer_contract_made_gets_no_anchor() {
    let spec = json!({"version": 1, "image": "registry.example/pause", "containers": []});
    marked(
        "newer-marker",
        "v2",
        &json!(spec.to_string()),
        &[annotation::INJECTED, "v2", "another version of native-host"],
    );
}

#[test]
fn a_name_that_is_taken_is_said_and_used_once_it_is_free() {
    let Some(world) = World::shared() else { return };
    let ns = "taken";
    world.namespace(ns);
    // No node yet, so that somebody can be faster.
    let pool = Pool::new(world, ns, 0, 0);
    pool.apply(ns, &bare("solo"));
    let pod = world.eyes.see(ns, "pods/solo").unwrap();
    let taken = anchor::name("solo", uid(&pod));
    let squatter = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": taken, "labels": {label::ROLE: label::ROLE_ANCHOR, label::ANCHOR_FOR: uid(&pod)}},
        "spec": {"containers": [{"name": "c", "image": "registry.example/c"}]},
    });
    world.apply(ns, &squatter.to_string());
    let squatter = world.eyes.see(ns, &format!("pods/{taken}")).unwrap();
    pool.add(1, 20);
    let said = world.event(ns, "solo", "AnchorRefused");
    for word in [
        taken.as_str(),
        "is not this pod's anchor",
        "delete or rename it",
    ] {
        assert!(said.contains(word), "{said}");
    }
    let gate = world.eyes.until(ns, "pods/solo", "says it", |pod| {
        condition(pod, gate::ANCHOR_READY)["reason"] == "AnchorRefused"
    });
    assert!(crate::world::published(&gate).is_null());
    world.again(ns, &squatter);
    world.kubectl(ns, &["delete", "pod", &taken]);
    let (now, anchors) = world.pairs(ns, 1);
    assert_eq!(
        (uid(&now[0]), name(&anchors[0])),
        (uid(&pod), taken.as_str())
    );
}

#[test]
fn what_only_looks_like_an_anchor_is_ignored() {
    let Some(world) = World::shared() else { return };
    let ns = "lookalikes";
    world.namespace(ns);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}});
    world.apply(ns, &map.to_string());
    let map = world.kubectl(
        ns,
        &["get", "configmap", "map", "-o", "jsonpath={.metadata.uid}"],
    );
    world.apply(ns, &bare("solo"));
    let (pods, anchors) = world.pairs(ns, 1);
    let fake = |name: &str, owner: Value| {
        let fake = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "ownerReferences": owner,
                "labels": {
                    label::ROLE: label::ROLE_ANCHOR, label::ANCHOR_FOR: uid(&pods[0]),
                    label::ANCHOR: "other",
                },
            },
            "spec": {"containers": [{"name": "c", "image": "registry.example/c"}]},
        });
        world.apply(ns, &fake.to_string());
        world
            .eyes
            .until(ns, &format!("pods/{name}"), "runs", |pod| {
                pod["status"]["phase"] == "Running"
            })
    };
    let owner = |version: &str, kind: &str, name: &str, uid: &str| json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true}]);
    let fakes = [
        fake("nobodys", json!([])),
        fake("maps", owner("v1", "ConfigMap", "map", &map)),
        // Of the pod, but not by the name that its anchor has.
        fake("cuckoo", owner("v1", "Pod", "solo", uid(&pods[0]))),
    ];
    nobody_is_touched(world, ns);
    for fake in &fakes {
        assert!(condition(&world.again(ns, fake), gate::WORKLOAD_RUNNING).is_null());
    }
    assert_eq!(
        world.again(ns, &pods[0])["metadata"]["annotations"],
        pods[0]["metadata"]["annotations"]
    );
    world.again(ns, &anchors[0]);
}
