//! Nodes that are cordoned, tainted, full, drained; and pods that push others out.

use std::time::Duration;

use native_host::names::gate;
use serde_json::{Value, json};

use crate::look::{Sighting, is_anchor};
use crate::manifests::{Pool, pod_spec, programs_of, yaml};
use crate::support::kubelet::Program;
use crate::world::{World, bare, condition, deployment, name, owner, terminating, uid, workload};

pub fn node(pod: &Value) -> &str {
    pod["spec"]["nodeName"].as_str().unwrap_or_default()
}

fn taint(world: &World, node: &str, taint: &str) {
    world.plane.kubectl_ok(&["taint", "node", node, taint]);
}

#[test]
fn a_daemonset_has_a_pair_on_each_node_that_comes() {
    let Some(world) = World::shared() else { return };
    let ns = "daemons";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 2, 20);
    let head = "selector: {matchLabels: {app: agent}}";
    pool.apply(ns, &workload("DaemonSet", "apps/v1", "agent", head));
    let (pods, _) = world.pairs(ns, 2);
    let mut on: Vec<_> = pods.iter().map(node).collect();
    on.sort_unstable();
    assert_eq!(on, pool.nodes);
    pool.add(3, 20);
    world.pairs(ns, 3);
    let image = "albums=registry.example/albums:2";
    world.kubectl(ns, &["set", "image", "daemonset/agent", image]);
    world.rolled_out(ns, "daemonset/agent");
    world.pairs(ns, 3);
}

#[test]
fn a_node_cordoned_before_the_anchor_is_made_strands_nobody() {
    let Some(world) = World::shared() else { return };
    let ns = "cordoned";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 1, 20);
    world.plane.kubectl_ok(&["cordon", &pool.nodes[0]]);
    // As one that was bound a moment before.
    let mut pod = pool.pin(&bare("solo"));
    pod["spec"]["nodeName"] = pool.nodes[0].as_str().into();
    world.apply(ns, &pod.to_string());
    world.pairs(ns, 1);
}

#[test]
fn a_taint_that_schedules_nothing_leaves_pairs_alone() {
    let Some(world) = World::shared() else { return };
    let ns = "tainted";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 1, 20);
    pool.apply(ns, &deployment("albums", 1));
    let (pods, anchors) = world.pairs(ns, 1);
    taint(world, &pool.nodes[0], "test.example/busy=1:NoSchedule");
    // A new anchor is made there still, for a pod that is there already.
    let mut pod = pool.pin(&bare("solo"));
    pod["spec"]["nodeName"] = pool.nodes[0].as_str().into();
    world.apply(ns, &pod.to_string());
    let (now, with) = world.pairs(ns, 2);
    assert!(now.iter().any(|pod| uid(pod) == uid(&pods[0])));
    assert!(with.iter().any(|anchor| uid(anchor) == uid(&anchors[0])));
}

#[test]
fn a_taint_that_evicts_takes_pairs_whole_and_spares_who_tolerates_it() {
    let Some(world) = World::shared() else { return };
    let ns = "evicting";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 1, 20);
    pool.apply(ns, &deployment("albums", 1));
    let mut tolerant = pool.pin(&bare("solo"));
    let tolerations = tolerant["spec"]["tolerations"].as_array_mut().unwrap();
    tolerations
        .push(json!({"key": "test.example/ill", "effect": "NoExecute", "operator": "Exists"}));
    world.apply(ns, &tolerant.to_string());
    let (before, _) = world.pairs(ns, 2);
    taint(world, &pool.nodes[0], "test.example/ill=1:NoExecute");
    let evicted = before.iter().find(|pod| name(pod) != "solo").unwrap();
    world.until_gone(ns, evicted);
    // The next one finds no node; the tolerant one still has its anchor.
    let left = world.until_pods(ns, "only the tolerant pair bound", |pods, anchors| {
        let bound: Vec<_> = pods.iter().filter(|pod| !node(pod).is_empty()).collect();
        (pods.len() == 2 && bound.len() == 1 && anchors.len() == 1).then(|| bound[0].clone())
    });
    assert_eq!(name(&left), "solo");
    taint(world, &pool.nodes[0], "test.example/ill-");
    let (after, _) = world.pairs(ns, 2);
    let solo =
        |pods: &[Value]| uid(pods.iter().find(|pod| name(pod) == "solo").unwrap()).to_owned();
    assert_eq!(solo(&after), solo(&before));
    assert!(
        world
            .events(ns, "solo")
            .iter()
            .all(|(reason, _)| reason != "AnchorLost")
    );
}

#[test]
fn a_pod_on_a_node_too_full_for_its_anchor_says_so_and_waits() {
    let Some(world) = World::shared() else { return };
    let ns = "full";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 1, 1);
    pool.apply(ns, &bare("solo"));
    let pod = world
        .eyes
        .until(ns, "pods/solo", "says what it waits for", |pod| {
            let gate = condition(pod, gate::ANCHOR_READY);
            gate["message"]
                .as_str()
                .is_some_and(|text| text.contains("Too many pods"))
        });
    let gate = condition(&pod, gate::ANCHOR_READY);
    assert_eq!(
        (&gate["status"], &gate["reason"]),
        (&json!("False"), &json!("AnchorStarting"))
    );
    let more = json!({"status": {"allocatable": {"pods": "2"}, "capacity": {"pods": "2"}}});
    let patch = [
        "patch",
        "node",
        &pool.nodes[0],
        "--subresource=status",
        "-p",
        &more.to_string(),
    ];
    world.plane.kubectl_ok(&patch);
    let (now, _) = world.pairs(ns, 1);
    assert_eq!(uid(&now[0]), uid(&pod));
}

#[test]
fn a_pod_of_higher_priority_gets_its_pair_in_the_place_of_another() {
    let Some(world) = World::shared() else { return };
    let ns = "preempted";
    world.namespace(ns);
    for (class, value) in [("pairs-low", 10), ("pairs-high", 1000)] {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": class}, "value": value});
        world.plane.apply(&class.to_string());
    }
    // Room for one pair.
    let pool = Pool::new(world, ns, 1, 2);
    let mut low = pool.pin(&deployment("albums", 1));
    pod_spec(&mut low)["priorityClassName"] = "pairs-low".into();
    world.apply(ns, &low.to_string());
    let (pods, anchors) = world.pairs(ns, 1);
    assert_eq!(anchors[0]["spec"]["priority"], 10);
    let mut high = pool.pin(&bare("urgent"));
    high["spec"]["priorityClassName"] = "pairs-high".into();
    world.apply(ns, &high.to_string());
    world.until_gone(ns, &pods[0]);
    world.until_pods(
        ns,
        "the urgent pair ready, the other waiting",
        |pods, anchors| {
            let urgent = pods.iter().find(|pod| name(pod) == "urgent")?;
            let anchor = anchors.iter().find(|anchor| owner(anchor) == uid(urgent))?;
            let waits = pods
                .iter()
                .any(|pod| node(pod).is_empty() && !terminating(pod));
            (crate::world::whole(urgent, anchor) && waits && anchors.len() == 1).then_some(())
        },
    );
    world.kubectl(ns, &["delete", "pod", "urgent"]);
    world.pairs(ns, 1);
}

const BUDGET: &str = r"
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: albums}
spec: {maxUnavailable: 0, selector: {matchLabels: {'@/workload': albums}}}
";

/// `kubectl drain`, and whether it ended well.
fn drain(world: &World, node: &str, timeout: &str) -> Result<(), String> {
    let timeout = format!("--timeout={timeout}");
    let args = [
        "drain",
        node,
        "--delete-emptydir-data",
        "--ignore-daemonsets",
        &timeout,
    ];
    let output = world.plane.kubectl(&args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or(said)
}

/// Whoever took an anchor down took its HP pod down before.
fn anchors_went_last(sightings: &[Sighting]) {
    let mut going = std::collections::HashSet::new();
    for Sighting { gone, pod } in sightings {
        if !*gone && !terminating(pod) {
            continue;
        }
        if is_anchor(pod) {
            assert!(going.contains(owner(pod)), "{} went first", name(pod));
        } else {
            going.insert(uid(pod).to_owned());
        }
    }
}

#[test]
fn a_drain_moves_pairs_whole_to_another_node() {
    let Some(world) = World::shared() else { return };
    let ns = "drained";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 2, 20);
    let slow = Program::that_stops_in(Duration::from_secs(2));
    world.kubelet.program(programs_of(ns, ""), slow);
    pool.apply(ns, &deployment("albums", 3));
    let (pods, _) = world.pairs(ns, 3);
    let from = node(&pods[0]);
    let watch = world.eyes.watch(ns);
    assert_eq!(drain(world, from, "100s"), Ok(()));
    let (after, anchors) = world.pairs(ns, 3);
    assert!(after.iter().chain(&anchors).all(|pod| node(pod) != from));
    anchors_went_last(&watch.sightings());
}

#[test]
fn a_drain_waits_for_the_budget_of_the_pods_and_anchors_wait_with_them() {
    let Some(world) = World::shared() else { return };
    let ns = "budgeted";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 2, 20);
    pool.apply(ns, &deployment("albums", 2));
    world.apply(ns, BUDGET);
    let (pods, anchors) = world.pairs(ns, 2);
    world
        .eyes
        .until(ns, "poddisruptionbudgets/albums", "is kept", |budget| {
            budget["status"]["currentHealthy"] == 2
        });
    let from = node(&pods[0]);
    let watch = world.eyes.watch(ns);
    let refused = drain(world, from, "4s").unwrap_err();
    assert!(refused.contains("Cannot evict pod as it would violate the pod's disruption budget"));
    for pod in pods.iter().chain(&anchors) {
        assert!(!terminating(&world.again(ns, pod)), "{}", name(pod));
    }
    let one = r#"{"spec":{"maxUnavailable":1}}"#;
    world.kubectl(
        ns,
        &[
            "patch",
            "poddisruptionbudget",
            "albums",
            "--type=merge",
            "-p",
            one,
        ],
    );
    assert_eq!(drain(world, from, "100s"), Ok(()));
    let (after, _) = world.pairs(ns, 2);
    assert!(after.iter().all(|pod| node(pod) != from));
    anchors_went_last(&watch.sightings());
}

#[test]
fn a_drain_leaves_the_pairs_of_a_daemonset() {
    let Some(world) = World::shared() else { return };
    let ns = "drained-daemons";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 1, 20);
    let head = "selector: {matchLabels: {app: agent}}";
    pool.apply(ns, &workload("DaemonSet", "apps/v1", "agent", head));
    let (pods, anchors) = world.pairs(ns, 1);
    assert_eq!(drain(world, &pool.nodes[0], "60s"), Ok(()));
    let (after, with) = world.pairs(ns, 1);
    assert_eq!(
        (uid(&after[0]), uid(&with[0])),
        (uid(&pods[0]), uid(&anchors[0]))
    );
}

#[test]
fn required_anti_affinity_and_topology_spread_see_workloads_only() {
    let Some(world) = World::shared() else { return };
    let ns = "spread";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 3, 20);
    let mut apart = pool.pin(&deployment("albums", 3));
    apart["spec"]["strategy"] = json!({"type": "Recreate"});
    let app = json!({"matchLabels": {"app": "albums"}});
    let host = "kubernetes.io/hostname";
    let spec = pod_spec(&mut apart);
    spec["affinity"] = json!({"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": app, "topologyKey": host}],
    }});
    spec["topologySpreadConstraints"] = json!([{
        "maxSkew": 1, "topologyKey": host, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": app,
    }]);
    world.apply(ns, &apart.to_string());
    let (pods, _) = world.pairs(ns, 3);
    let mut on: Vec<_> = pods.iter().map(node).collect();
    on.sort_unstable();
    assert_eq!(on, pool.nodes);
    // One more has no node left, and so no anchor.
    world.kubectl(ns, &["scale", "deployment/albums", "--replicas=4"]);
    let anchors = world.until_pods(ns, "one that no node takes", |pods, anchors| {
        let refused = |pod: &&Value| condition(pod, "PodScheduled")["reason"] == "Unschedulable";
        pods.iter().find(refused).map(|_| anchors.len())
    });
    assert_eq!(anchors, 3);
    let mut free = yaml(&apart.to_string());
    pod_spec(&mut free)["affinity"] = json!({});
    free["spec"]["replicas"] = 6.into();
    world.apply(ns, &free.to_string());
    // Two on each.
    let (pods, _) = world.pairs(ns, 6);
    for one in &pool.nodes {
        assert_eq!(pods.iter().filter(|pod| node(pod) == one).count(), 2);
    }
}
