//! How pairs end: together, and the network last.

use std::time::{Duration, Instant};

use native_host::names::{gate, label};
use serde_json::{Value, json};

use crate::look::Record;
use crate::manifests::{programs_of, service, yaml};
use crate::support::kubelet::Program;
use crate::world::{World, bare, condition, deployment, terminating, uid};

/// How soon after its HP pod an anchor is gone, on a machine that has much to do: no sleep is waited
/// for, of which the shortest here takes 43 s.
const SOON: Duration = Duration::from_secs(20);

/// Its launcher serves on for a while when it is told to stop (the preStop), and its program takes a
/// second to end.
fn drains_for(world: &World, ns: &str, seconds: u64) {
    let program = Program {
        pre_stop: Duration::from_secs(seconds - 1),
        ..Program::that_stops_in(Duration::from_secs(1))
    };
    world.kubelet.program(programs_of(ns, ""), program);
}

/// Waits for the end of an HP pod, then for that of its anchor, which is soon.
fn end_together(world: &World, ns: &str, pod: &Value, anchor: &Value) {
    world.until_gone(ns, pod);
    let gone = Instant::now();
    world.until_gone(ns, anchor);
    assert!(gone.elapsed() < SOON, "{:?}", gone.elapsed());
}

/// What an endpoint was said to be, in order: it serves to the end, and never is nothing at all
/// while it is there.
fn course(record: &Record, ip: &Value) -> Vec<&'static str> {
    let states = record.states();
    let mut course: Vec<_> = states
        .iter()
        .map(|state| {
            let one = state.iter().find(|one| one.ip == *ip);
            match one.map(|one| (one.ready, one.serving, one.terminating)) {
                None => "gone",
                Some((true, true, false)) => "ready",
                Some((false, true, true)) => "draining",
                Some((false, false, true)) => "ending",
                Some(_) => "neither",
            }
        })
        .collect();
    course.dedup();
    course
}

#[test]
fn a_pod_that_goes_down_serves_until_its_program_has_ended() {
    let Some(world) = World::shared() else { return };
    let ns = "drains";
    world.namespace(ns);
    drains_for(world, ns, 4);
    world.apply(ns, &service("solo", "solo"));
    world.apply(ns, &bare("solo"));
    let (pods, anchors) = world.pairs(ns, 1);
    let (pod, anchor) = (&pods[0], &anchors[0]);
    let record = world.eyes.follow(ns, "solo");
    record.until_ready(1);

    world.delete(ns, pod);
    record.until("are draining", |state| {
        state.len() == 1 && state[0].serving && state[0].terminating
    });
    // That was at once: the program has not ended, nor will soon.
    let going = world.again(ns, pod);
    assert!(terminating(&going) && going["status"]["phase"] == "Running");
    let said = world.event(ns, "solo", "PairDraining");
    assert!(
        said.contains("stands until the program has ended"),
        "{said}"
    );
    end_together(world, ns, pod, anchor);
    record.until("are none", <[_]>::is_empty);
    let course = course(&record, &anchor["status"]["podIP"]);
    assert_eq!(course[..2], ["ready", "draining"], "{course:?}");
    assert!(!course.contains(&"neither"), "{course:?}");
    assert_eq!(course.last(), Some(&"gone"));
}

#[test]
fn the_last_replica_scaled_down_serves_until_its_program_has_ended() {
    let Some(world) = World::shared() else { return };
    let ns = "scaled-down";
    world.namespace(ns);
    drains_for(world, ns, 3);
    world.apply(ns, &service("albums", "albums"));
    world.apply(ns, &deployment("albums", 2));
    let (pods, anchors) = world.pairs(ns, 2);
    let record = world.eyes.follow(ns, "albums");
    record.until_ready(2);
    world.kubectl(ns, &["scale", "deployment/albums", "--replicas=0"]);
    record.until("are both draining", |state| {
        state.len() == 2 && state.iter().all(|one| one.serving && one.terminating)
    });
    for pod in &pods {
        assert_eq!(world.again(ns, pod)["status"]["phase"], "Running");
    }
    for (pod, anchor) in pods.iter().zip(&anchors) {
        end_together(world, ns, pod, anchor);
        let course = course(&record, &anchor["status"]["podIP"]);
        assert_eq!(course[..2], ["ready", "draining"], "{course:?}");
        assert!(!course.contains(&"neither"), "{course:?}");
    }
    world.pairs(ns, 0);
}

#[test]
fn an_anchor_goes_with_a_pod_that_is_deleted_by_force() {
    let Some(world) = World::shared() else { return };
    let ns = "forced";
    world.namespace(ns);
    world.apply(ns, &deployment("albums", 4));
    let (pods, anchors) = world.pairs(ns, 4);
    // The garbage collector deletes the anchors as well, each a moment before or after we do.
    let force = [
        "delete",
        "pod",
        "-l",
        "app=albums",
        "--force",
        "--grace-period=0",
    ];
    world.kubectl(ns, &force);
    for (pod, anchor) in pods.iter().zip(&anchors) {
        end_together(world, ns, pod, anchor);
    }
    let (now, _) = world.pairs(ns, 4);
    assert!(
        now.iter()
            .all(|new| pods.iter().all(|old| uid(new) != uid(old)))
    );
}

/// A bare pod whose program ends with a code and is not started again.
fn ends(ns: &'static str, code: i32, phase: &str) {
    let Some(world) = World::shared() else { return };
    world.namespace(ns);
    let mut pod = yaml(&bare("solo"));
    pod["spec"]["restartPolicy"] = "Never".into();
    world.apply(ns, &pod.to_string());
    world.pairs(ns, 1);
    world.kubelet.exit(ns, "solo", "albums", code);
    world.until_no_anchors(ns);
    let pod = world.eyes.see(ns, "pods/solo").unwrap();
    assert!(pod["status"]["phase"] == phase && !terminating(&pod));
    // It stays without one, and goes without one.
    world.kubectl(ns, &["delete", "pod", "solo"]);
    world.until_gone(ns, &pod);
    let reasons = world
        .events(ns, "solo")
        .into_iter()
        .map(|(reason, _)| reason);
    let reasons: Vec<_> = reasons.filter(|reason| reason == "AnchorCreated").collect();
    assert_eq!(reasons.len(), 1);
}

#[test]
fn an_anchor_goes_with_a_pod_that_succeeded() {
    ends("succeeded", 0, "Succeeded");
}

#[test]
fn an_anchor_goes_with_a_pod_that_failed() {
    ends("failed", 9, "Failed");
}

#[test]
fn foreground_deletion_of_the_owner_drains_every_pair() {
    let Some(world) = World::shared() else { return };
    let ns = "foreground";
    world.namespace(ns);
    drains_for(world, ns, 3);
    world.apply(ns, &service("albums", "albums"));
    world.apply(ns, &deployment("albums", 2));
    let (pods, anchors) = world.pairs(ns, 2);
    let record = world.eyes.follow(ns, "albums");
    record.until_ready(2);
    let delete = [
        "delete",
        "deployment/albums",
        "--cascade=foreground",
        "--wait=false",
    ];
    world.kubectl(ns, &delete);
    for (pod, anchor) in pods.iter().zip(&anchors) {
        world.until_terminating(ns, anchor);
        assert_eq!(world.again(ns, pod)["status"]["phase"], "Running");
    }
    for (pod, anchor) in pods.iter().zip(&anchors) {
        end_together(world, ns, pod, anchor);
        let course = course(&record, &anchor["status"]["podIP"]);
        assert_eq!(course[..2], ["ready", "draining"], "{course:?}");
        assert!(!course.contains(&"neither"), "{course:?}");
    }
    world.eyes.until_gone(ns, "deployments/albums");
}

#[test]
fn foreground_deletion_of_a_pod_waits_for_its_program_only() {
    let Some(world) = World::shared() else { return };
    let ns = "foreground-pod";
    world.namespace(ns);
    drains_for(world, ns, 2);
    world.apply(ns, &bare("solo"));
    let (pods, anchors) = world.pairs(ns, 1);
    let delete = [
        "delete",
        "pod",
        "solo",
        "--cascade=foreground",
        "--wait=false",
    ];
    world.kubectl(ns, &delete);
    world.until_terminating(ns, &anchors[0]);
    assert_eq!(world.again(ns, &pods[0])["status"]["phase"], "Running");
    end_together(world, ns, &pods[0], &anchors[0]);
}

#[test]
fn a_namespace_that_is_deleted_takes_its_pairs_along() {
    let Some(world) = World::shared() else { return };
    let ns = "taken-along";
    world.namespace(ns);
    world.apply(ns, &deployment("albums", 2));
    world.pairs(ns, 2);
    let delete = ["delete", "namespace", ns, "--wait=false"];
    world.plane.kubectl_ok(&delete);
    let started = Instant::now();
    world.until_pods(ns, "no pod", |pods, anchors| {
        (pods.is_empty() && anchors.is_empty()).then_some(())
    });
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    // Its controller looks again only after half of the longest grace period that it saw
    // (`syncNamespaceFromKey`, pkg/controller/namespace/namespace_controller.go).
    world.eyes.until_gone("", &format!("namespaces/{ns}"));
}

#[test]
fn nothing_is_written_about_a_pair_that_is_well() {
    let Some(world) = World::shared() else { return };
    let ns = "quiet";
    world.namespace(ns);
    world.apply(ns, &deployment("albums", 3));
    let settled = || {
        let (pods, anchors) = world.pairs(ns, 3);
        let version = |pod: &Value| pod["metadata"]["resourceVersion"].clone();
        pods.iter().chain(&anchors).map(version).collect::<Vec<_>>()
    };
    let before = settled();
    std::thread::sleep(crate::look::QUIET);
    assert_eq!(settled(), before);
    // Our Events, too: each was said once.
    let (pods, _) = world.pods(ns);
    for event in world.eyes.list(ns, "events") {
        let ours = event["reportingComponent"] == native_host::names::REPORTER;
        let many = event["series"]["count"].as_u64().unwrap_or_default() > 1;
        assert!(!(ours && many), "{event:#}");
    }
    for pod in &pods {
        assert_eq!(condition(pod, gate::ANCHOR_READY)["reason"], "AnchorReady");
        assert_eq!(pod["metadata"]["labels"][label::ROLE], json!(null));
    }
}
