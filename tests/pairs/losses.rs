//! Anchors that are lost, and the network of their programs with them.

use std::time::Duration;

use serde_json::Value;

use crate::PATIENCE;
use crate::manifests::{Pool, programs_of};
use crate::support::kubelet::Program;
use crate::support::wait_until;
use crate::world::{World, bare, condition, deployment, is, name, published, uid};

/// The last of our Events about a pod that lost its anchor, which has to hold some words.
fn said(world: &World, ns: &str, pod: &str, reason: &str, words: &[&str]) {
    let said = world.event(ns, pod, reason);
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

/// A Deployment's pod whose anchor is lost goes with the mark of a disruption, and comes anew.
fn is_replaced(ns: &'static str, lose: impl FnOnce(&World, &str), words: &[&str]) {
    let Some(world) = World::shared() else { return };
    world.namespace(ns);
    let slow = Program::that_stops_in(Duration::from_secs(2));
    world.kubelet.program(programs_of(ns, ""), slow);
    world.apply(ns, &deployment("albums", 1));
    let (pods, anchors) = world.pairs(ns, 1);
    lose(world, name(&anchors[0]));
    let marked = world.until_terminating(ns, &pods[0]);
    assert!(is(&marked, "DisruptionTarget"));
    let mark = condition(&marked, "DisruptionTarget");
    assert_eq!(mark["reason"], "AnchorLost");
    assert!(mark["lastTransitionTime"].is_string(), "{mark}");
    let (again, anew) = world.pairs(ns, 1);
    assert_ne!(uid(&again[0]), uid(&pods[0]));
    assert_ne!(uid(&anew[0]), uid(&anchors[0]));
    let old = name(&pods[0]);
    said(
        world,
        ns,
        old,
        "AnchorLost",
        &[name(&anchors[0]), "no network", "for its controller"],
    );
    said(world, ns, old, "AnchorLost", words);
    said(world, ns, old, "PairReplaced", words);
}

/// A bare pod whose anchor is lost gets another, or another IP, and its program starts there.
fn is_mended(ns: &'static str, lose: impl FnOnce(&World, &str), words: &[&str]) -> [Value; 2] {
    let world = World::shared().unwrap();
    world.namespace(ns);
    world.apply(ns, &bare("solo"));
    let (pods, anchors) = world.pairs(ns, 1);
    lose(world, name(&anchors[0]));
    let restarted = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"] == 1;
    world.eyes.until(ns, "pods/solo", "is restarted", restarted);
    let (again, mut anew) = world.pairs(ns, 1);
    assert_eq!(uid(&again[0]), uid(&pods[0]));
    assert_ne!(published(&again[0]), published(&pods[0]));
    said(
        world,
        ns,
        "solo",
        "AnchorLost",
        &[name(&anchors[0]), "no network", "restarts it"],
    );
    said(world, ns, "solo", "AnchorLost", words);
    [anchors[0].clone(), anew.remove(0)]
}

fn delete(ns: &'static str) -> impl FnOnce(&World, &str) {
    move |world, anchor| {
        world.kubectl(ns, &["delete", "pod", anchor, "--wait=false"]);
    }
}

/// What is said is that it "was deleted" or "is gone": the API server shows it terminating for a
/// moment even so.
fn delete_by_force(ns: &'static str) -> impl FnOnce(&World, &str) {
    move |world, anchor| {
        world.kubectl(
            ns,
            &["delete", "pod", anchor, "--force", "--grace-period=0"],
        );
    }
}

#[test]
fn a_pod_whose_anchor_is_deleted_is_replaced() {
    let ns = "lost-deleted";
    is_replaced(ns, delete(ns), &["was deleted"]);
}

#[test]
fn a_pod_whose_anchor_is_gone_at_once_is_replaced() {
    let ns = "lost-forced";
    is_replaced(ns, delete_by_force(ns), &[]);
}

#[test]
fn a_pod_whose_anchor_the_kubelet_evicts_is_replaced() {
    let ns = "lost-evicted";
    let evict = |world: &World, anchor: &str| world.kubelet.evict_locally(ns, anchor);
    is_replaced(ns, evict, &["ended", "Evicted", "low on resource: memory"]);
}

#[test]
fn a_pod_whose_anchor_has_another_ip_is_replaced() {
    let ns = "lost-ip";
    let change = |world: &World, anchor: &str| world.kubelet.new_ip(ns, anchor);
    is_replaced(ns, change, &["has the IP 10.244.", "and had 10.244."]);
}

#[test]
fn a_bare_pod_whose_anchor_is_deleted_gets_another() {
    if World::shared().is_some() {
        let ns = "bare-deleted";
        let [old, new] = is_mended(ns, delete(ns), &["was deleted"]);
        assert_ne!(uid(&old), uid(&new));
        // The same pod has always the same anchor's name.
        assert_eq!(name(&old), name(&new));
    }
}

#[test]
fn a_bare_pod_whose_anchor_is_gone_at_once_gets_another() {
    if World::shared().is_some() {
        let ns = "bare-forced";
        let [old, new] = is_mended(ns, delete_by_force(ns), &[]);
        assert_ne!(uid(&old), uid(&new));
    }
}

#[test]
fn a_bare_pod_whose_anchor_the_kubelet_evicts_gets_another() {
    if World::shared().is_some() {
        let ns = "bare-evicted";
        let evict = |world: &World, anchor: &str| world.kubelet.evict_locally(ns, anchor);
        let [old, new] = is_mended(ns, evict, &["ended", "Evicted"]);
        assert_ne!(uid(&old), uid(&new));
    }
}

#[test]
fn a_bare_pod_whose_anchor_has_another_ip_is_told_of_it() {
    if World::shared().is_some() {
        let ns = "bare-ip";
        let change = |world: &World, anchor: &str| world.kubelet.new_ip(ns, anchor);
        let [old, new] = is_mended(ns, change, &["has the IP 10.244."]);
        assert_eq!(uid(&old), uid(&new), "it is the same one");
        assert_ne!(old["status"]["podIP"], new["status"]["podIP"]);
    }
}

#[test]
fn pairs_are_whole_again_after_their_node_was_rebooted() {
    let Some(world) = World::shared() else { return };
    let ns = "reboot";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 1, 20);
    pool.apply(ns, &deployment("albums", 2));
    pool.apply(ns, &bare("solo"));
    let (before, old) = world.pairs(ns, 3);
    world.kubelet.reboot(&pool.nodes[0]);
    let ip = |anchor: &Value| anchor["status"]["podIP"].clone();
    let stale: Vec<_> = old.iter().map(ip).collect();
    wait_until("the pairs have other IPs", PATIENCE, || {
        let (_, anchors) = world.pairs(ns, 3);
        anchors
            .iter()
            .all(|one| !stale.contains(&ip(one)))
            .then_some(())
    });
    let (after, _) = world.pairs(ns, 3);
    for pod in &before {
        let kept = after.iter().any(|now| uid(now) == uid(pod));
        assert_eq!(kept, name(pod) == "solo", "{}", name(pod));
        said(
            world,
            ns,
            name(pod),
            "AnchorLost",
            &["has the IP", "its node restarted?"],
        );
    }
}
