//! Anchors that do not start in time, by deadlines that a test can wait for; and a control plane of
//! their own, since the others' pairs are not to be judged by these.

use std::sync::OnceLock;

use native_host::names::gate;
use serde_json::{Value, json};

use crate::manifests::Pool;
use crate::support::tools;
use crate::support::{ControlPlane, Options, skip_or_fail};
use crate::world::{World, bare, condition, deployment, name, terminating, uid};

const DEADLINE: &str = "--anchor-deadline=3s";
const REPLACE: &str = "--replace-after=8s";

/// The world with short deadlines.
fn hasty() -> Option<&'static World> {
    static WORLD: OnceLock<World> = OnceLock::new();
    if let Err(reason) = tools::folder() {
        skip_or_fail(&reason);
        return None;
    }
    Some(WORLD.get_or_init(|| {
        let plane = Box::leak(Box::new(ControlPlane::start(&Options::default())));
        World::on(plane, &[DEADLINE, REPLACE])
    }))
}

/// What the Warning about an overdue anchor says.
fn overdue(world: &World, ns: &str, pod: &str, words: &[&str]) {
    let said = world.event(ns, pod, "AnchorNotStarting");
    for word in words
        .iter()
        .chain(&["The network does not stand after 3 s: "])
    {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

#[test]
fn an_anchor_without_its_image_is_told_of_and_its_pod_replaced() {
    let Some(world) = hasty() else { return };
    let ns = "no-image";
    world.namespace(ns);
    // Only anchors: what the name of a pod goes on with is not known.
    world.kubelet.refuse_to_start(ns, "", "ErrImagePull");
    world.apply(ns, &deployment("albums", 1));
    let first = world.until_pods(ns, "a pod", |pods, _| pods.first().cloned());
    overdue(world, ns, name(&first), &["ImagePullBackOff", "(image "]);
    world.until_gone(ns, &first);
    let said = world.event(ns, name(&first), "PairReplaced");
    assert!(
        said.contains("its anchor did not start") && said.contains("ImagePullBackOff"),
        "{said}"
    );
    world.kubelet.allow_to_start(ns, "");
    world.pairs(ns, 1);
}

#[test]
fn a_bare_pod_waits_for_its_anchor_for_ever() {
    let Some(world) = hasty() else { return };
    let ns = "full";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 1, 1);
    pool.apply(ns, &bare("solo"));
    overdue(world, ns, "solo", &["Unschedulable", "Too many pods"]);
    let pod = world.eyes.see(ns, "pods/solo").unwrap();
    // Past the second deadline, too: nobody would make it anew.
    std::thread::sleep(std::time::Duration::from_secs(9));
    let now = world.again(ns, &pod);
    assert!(!terminating(&now));
    let gate = condition(&now, gate::ANCHOR_READY);
    assert_eq!(gate["reason"], "AnchorStarting");
    assert!(
        gate["message"].as_str().unwrap().contains("Too many pods"),
        "{gate}"
    );
}

#[test]
fn an_anchor_that_is_refused_is_overdue_too() {
    let Some(world) = hasty() else { return };
    let ns = "quota";
    world.namespace(ns);
    let quota = |pods: &str| {
        let quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
            "spec": {"hard": {"pods": pods}},
        });
        world.apply(ns, &quota.to_string());
        world
            .eyes
            .until(ns, "resourcequotas/small", "is counted", |quota| {
                quota["status"]["hard"]["pods"] == pods
            });
    };
    quota("1");
    world.apply(ns, &deployment("albums", 1));
    let first = world.until_pods(ns, "a pod", |pods, _| pods.first().cloned());
    overdue(world, ns, name(&first), &["exceeded quota: small"]);
    world.until_gone(ns, &first);
    // The next one is refused as well, and is given twice the time.
    let second = world.until_pods(ns, "the next pod", |pods, _| {
        pods.iter().find(|pod| uid(pod) != uid(&first)).cloned()
    });
    overdue(world, ns, name(&second), &["exceeded quota: small"]);
    quota("2");
    let (pods, _): (Vec<Value>, _) = world.pairs(ns, 1);
    assert!(!terminating(&pods[0]));
}
