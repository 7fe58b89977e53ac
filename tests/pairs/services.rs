//! What clients of a Service see of its pairs, state by state of its EndpointSlice.

use std::collections::HashSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use native_host::anchor;
use native_host::names::gate;
use serde_json::Value;

use crate::look::{Endpoint, Record};
use crate::manifests::{anchors_of, service, yaml};
use crate::support::kubelet::Program;
use crate::world::{World, condition, deployment, name, uid, workload};

/// Every state had so many endpoints that take new requests.
fn never_fewer_than(count: usize, record: &Record) {
    let states = record.states();
    for state in &states {
        let ready = state.iter().filter(|one| one.ready).count();
        assert!(ready >= count, "{ready} ready: {state:#?}");
    }
}

fn is_drained(endpoint: &Endpoint) -> bool {
    endpoint.terminating && endpoint.serving && !endpoint.ready
}

#[test]
fn a_rolling_update_and_its_rollback_keep_every_replica_serving() {
    let Some(world) = World::shared() else { return };
    let ns = "rolling";
    world.namespace(ns);
    // Long enough that whoever does not wait for the anchor is found out.
    let warms_up = Program {
        ready_after: Some(Duration::from_millis(1500)),
        ..Program::default()
    };
    world.kubelet.program(anchors_of(ns, ""), warms_up);
    world.apply(ns, &service("albums", "albums"));
    world.apply(ns, &deployment("albums", 3));
    let (first, _) = world.pairs(ns, 3);
    let record = world.eyes.follow(ns, "albums");
    let before = record.until_ready(3);

    let image = "albums=registry.example/albums:2";
    world.kubectl(ns, &["set", "image", "deployment/albums", image]);
    world.rolled_out(ns, "deployment/albums");
    world.pairs(ns, 3);
    never_fewer_than(3, &record);
    let old: HashSet<_> = before.iter().map(|one| &one.ip).collect();
    let after = record.until("are three others", |state| {
        state.len() == 3 && state.iter().all(|one| one.ready && !old.contains(&one.ip))
    });
    // None of the old ones went without having drained.
    let states = record.states();
    for one in &before {
        let drained = |state: &Vec<Endpoint>| state.iter().any(|e| e.ip == one.ip && is_drained(e));
        assert!(states.iter().any(drained), "{one:?}\n{states:#?}");
    }

    world.kubectl(ns, &["rollout", "undo", "deployment/albums"]);
    world.rolled_out(ns, "deployment/albums");
    let (last, _) = world.pairs(ns, 3);
    never_fewer_than(3, &record);
    record.until("are three others again", |state| {
        state.len() == 3 && state.iter().all(|one| one.ready && !after.contains(one))
    });
    let image = |pods: &[Value]| pods[0]["spec"]["containers"][0]["image"].clone();
    assert_eq!(image(&first), image(&last));
}

#[test]
fn an_update_that_never_becomes_ready_leaves_the_old_pairs_serving() {
    let Some(world) = World::shared() else { return };
    let ns = "broken-update";
    world.namespace(ns);
    world.apply(ns, &service("albums", "albums"));
    world.apply(ns, &deployment("albums", 2));
    let (pods, _) = world.pairs(ns, 2);
    let record = world.eyes.follow(ns, "albums");
    let before = record.until_ready(2);

    let old: HashSet<String> = pods
        .iter()
        .map(|pod| anchor::name(name(pod), uid(pod)))
        .collect();
    let (kept, anchors) = (old.clone(), anchors_of(ns, "albums"));
    let fresh = move |pod: &Pod, container: &str| {
        anchors(pod, container) && !kept.contains(pod.metadata.name.as_ref().unwrap())
    };
    world.kubelet.program(fresh, Program::never_ready());
    let image = "albums=registry.example/albums:broken";
    world.kubectl(ns, &["set", "image", "deployment/albums", image]);
    let fresh = world.until_pods(ns, "a new pod that is not ready", |pods, _| {
        let fresh = pods.iter().find(|pod| {
            let (running, gate) = (pod["status"]["phase"] == "Running", gate_of(pod));
            running && gate["status"] == "False" && gate["reason"] == "AnchorNotReady"
        });
        fresh.cloned()
    });
    // It has its network, and says what is missing.
    let gate = gate_of(&fresh);
    let said = gate["message"].as_str().unwrap();
    assert!(said.contains("unready status: [albums]"), "{said}");
    let given_up = ["rollout", "status", "deployment/albums", "--timeout=2s"];
    let given_up = world.plane.kubectl(&[&given_up[..], &["-n", ns]].concat());
    assert!(!given_up.status.success());
    never_fewer_than(2, &record);
    for one in before {
        assert!(old.contains(&one.pod) && record.states().pop().is_none_or(|s| s.contains(&one)));
    }

    world.kubectl(ns, &["rollout", "undo", "deployment/albums"]);
    world.rolled_out(ns, "deployment/albums");
    let (now, _) = world.pairs(ns, 2);
    let names = |pods: &[Value]| pods.iter().map(uid_of).collect::<HashSet<_>>();
    assert_eq!(names(&now), names(&pods));
    never_fewer_than(2, &record);
}

fn uid_of(pod: &Value) -> String {
    uid(pod).to_owned()
}

fn gate_of(pod: &Value) -> &Value {
    condition(pod, gate::ANCHOR_READY)
}

#[test]
fn a_program_that_crashes_is_out_of_the_endpoints_until_it_runs_again() {
    let Some(world) = World::shared() else { return };
    let ns = "crashes";
    world.namespace(ns);
    world.apply(ns, &service("albums", "albums"));
    world.apply(ns, &deployment("albums", 1));
    let (pods, _) = world.pairs(ns, 1);
    let record = world.eyes.follow(ns, "albums");
    record.until_ready(1);
    // The second end waits for the kubelet's backoff.
    let pod = name(&pods[0]);
    world.kubelet.exit(ns, pod, "albums", 3);
    world
        .eyes
        .until(ns, &format!("pods/{pod}"), "is restarted", |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"] == 1
        });
    world.kubelet.exit(ns, pod, "albums", 3);
    record.until("are not ready", |state| {
        state.iter().all(|one| !one.ready && !one.serving)
    });
    record.until_ready(1);
    let (again, _) = world.pairs(ns, 1);
    assert_eq!(uid(&again[0]), uid(&pods[0]), "the kubelet restarts it");
}

#[test]
fn the_name_of_a_statefulset_pod_is_its_anchors_ip() {
    let Some(world) = World::shared() else { return };
    let ns = "stateful";
    world.namespace(ns);
    let mut headless = yaml(&service("tracks", "tracks"));
    headless["spec"]["clusterIP"] = "None".into();
    world.apply(ns, &headless.to_string());
    let head = "serviceName: tracks\n  replicas: 2\n  selector: {matchLabels: {app: tracks}}";
    world.apply(ns, &workload("StatefulSet", "apps/v1", "tracks", head));
    let (pods, anchors) = world.pairs(ns, 2);
    let record = world.eyes.follow(ns, "tracks");
    record.until_ready(2);
    let resolves = |record: &Record, pod: &Value, anchor: &Value| {
        let ip = anchor["status"]["podIP"].as_str().unwrap();
        record.until(&format!("resolve {} to {ip}", name(pod)), |state| {
            let mut named = state.iter().filter(|one| one.hostname == name(pod));
            named.next().is_some_and(|one| one.ip == ip && one.ready) && named.next().is_none()
        });
    };
    for (pod, anchor) in pods.iter().zip(&anchors) {
        resolves(&record, pod, anchor);
    }
    assert_eq!(name(&pods[0]), "tracks-0");

    world.kubectl(ns, &["delete", "pod", "tracks-0"]);
    let (again, anew) = world.pairs(ns, 2);
    assert_eq!(name(&again[0]), "tracks-0");
    assert_ne!(uid(&again[0]), uid(&pods[0]));
    assert_ne!(name(&anew[0]), name(&anchors[0]));
    resolves(&record, &again[0], &anew[0]);
    assert_eq!(uid(&again[1]), uid(&pods[1]), "the other one stays");
}
