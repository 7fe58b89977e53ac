//! What counts pods and what constrains them: workloads are counted, anchors are not; and where an
//! anchor is refused, its pod says why.

use native_host::names::gate;
use serde_json::{Value, json};

use crate::manifests::yaml;
use crate::world::{World, bare, condition, deployment, name, uid};

#[test]
fn a_disruption_budget_counts_workloads_only() {
    let Some(world) = World::shared() else { return };
    let ns = "budget";
    world.namespace(ns);
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "albums"},
        "spec": {"minAvailable": "60%", "selector": {"matchLabels": {"app": "albums"}}},
    });
    world.apply(ns, &budget.to_string());
    world.apply(ns, &deployment("albums", 5));
    world.pairs(ns, 5);
    let budget = world
        .eyes
        .until(ns, "poddisruptionbudgets/albums", "is healthy", |budget| {
            budget["status"]["currentHealthy"] == 5
        });
    let counts = json!({
        "expectedPods": 5, "currentHealthy": 5, "desiredHealthy": 3, "disruptionsAllowed": 2,
    });
    for (key, count) in counts.as_object().unwrap() {
        assert_eq!(budget["status"][key], *count, "{key}");
    }
}

#[test]
fn an_autoscaler_counts_workloads_only() {
    let Some(world) = World::shared() else { return };
    let ns = "autoscaled";
    world.namespace(ns);
    world.apply(ns, &deployment("albums", 1));
    world.pairs(ns, 1);
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "albums"});
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "albums"},
        "spec": {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 5},
    });
    world.apply(ns, &scaler.to_string());
    world.pairs(ns, 3);
    let scaler = "horizontalpodautoscalers/albums";
    world.eyes.until(ns, scaler, "counts three", |scaler| {
        scaler["status"]["currentReplicas"] == 3 && scaler["status"]["desiredReplicas"] == 3
    });
    // The pods whose load it would average are those that the scale's selector selects.
    let scale = format!("/apis/apps/v1/namespaces/{ns}/deployments/albums/scale");
    let scale = world.plane.kubectl_ok(&["get", "--raw", &scale]);
    let scale: Value = serde_json::from_str(&scale).unwrap();
    let selector = format!(
        "--selector={}",
        scale["status"]["selector"].as_str().unwrap()
    );
    let selected = world.kubectl(ns, &["get", "pods", &selector, "-o", "json"]);
    let selected: Value = serde_json::from_str(&selected).unwrap();
    let mut selected: Vec<_> = selected["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(uid)
        .collect();
    let (pods, _) = world.pods(ns);
    let mut pods: Vec<_> = pods.iter().map(uid).collect();
    selected.sort_unstable();
    pods.sort_unstable();
    assert_eq!(selected, pods);
}

/// Waits until a pod says that its anchor is refused, and why; gives the pod.
fn until_refused(world: &World, ns: &str, words: &[&str]) -> Value {
    let pod = world.until_pods(ns, "a pod whose anchor is refused", |pods, _| {
        let refused =
            |pod: &&Value| condition(pod, gate::ANCHOR_READY)["reason"] == "AnchorRefused";
        pods.iter().find(refused).cloned()
    });
    let gate = condition(&pod, gate::ANCHOR_READY);
    assert_eq!(gate["status"], "False");
    let event = world.event(ns, name(&pod), "AnchorRefused");
    assert!(
        event.starts_with("The anchor cannot be created: "),
        "{event}"
    );
    for word in words {
        assert!(
            gate["message"].as_str().unwrap().contains(word),
            "{word:?}: {gate}"
        );
        assert!(event.contains(word), "{word:?}: {event}");
    }
    pod
}

#[test]
fn a_quota_that_leaves_no_room_for_the_anchor_is_said_and_can_be_raised() {
    let Some(world) = World::shared() else { return };
    let ns = "quota";
    world.namespace(ns);
    let quota = |pods: u32| {
        json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
            "spec": {"hard": {"pods": pods.to_string()}},
        })
    };
    world.apply(ns, &quota(3).to_string());
    world
        .eyes
        .until(ns, "resourcequotas/small", "is counted", |quota| {
            quota["status"]["hard"]["pods"] == "3"
        });
    world.apply(ns, &bare("first"));
    world.pairs(ns, 1);
    world.apply(ns, &bare("second"));
    let second = until_refused(world, ns, &["exceeded quota: small", "limited: pods=3"]);
    assert_eq!(name(&second), "second");
    world.apply(ns, &quota(4).to_string());
    let (pods, _) = world.pairs(ns, 2);
    assert!(
        pods.iter().any(|pod| uid(pod) == uid(&second)),
        "the same one"
    );
}

fn limits(item: &Value) -> String {
    let limits = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "house"},
        "spec": {"limits": [item]},
    });
    limits.to_string()
}

#[test]
fn the_defaults_of_a_limit_range_are_not_for_anchors() {
    let Some(world) = World::shared() else { return };
    let ns = "limits";
    world.namespace(ns);
    let own = json!({"cpu": "2", "memory": "1Gi"});
    world.apply(
        ns,
        &limits(&json!({"type": "Container", "default": own, "defaultRequest": own})),
    );
    world.apply(ns, &bare("solo"));
    let (pods, anchors) = world.pairs(ns, 1);
    let resources = |pod: &Value| pod["spec"]["containers"][0]["resources"]["requests"].clone();
    assert_eq!(resources(&pods[0]), own);
    assert_eq!(
        resources(&anchors[0]),
        json!({"cpu": "10m", "memory": "32Mi"})
    );
}

#[test]
fn a_limit_range_that_asks_for_more_than_an_anchor_needs_is_said() {
    let Some(world) = World::shared() else { return };
    let ns = "least";
    world.namespace(ns);
    let least = json!({"type": "Container", "min": {"cpu": "50m"}, "defaultRequest": {"cpu": "1"}});
    world.apply(ns, &limits(&least));
    world.apply(ns, &bare("solo"));
    until_refused(
        world,
        ns,
        &["minimum cpu usage per Container is 50m, but request is 10m"],
    );
    world.kubectl(ns, &["delete", "limitrange", "house"]);
    world.pairs(ns, 1);
}

#[test]
fn pod_security_that_only_warns_keeps_nobody_out() {
    let Some(world) = World::shared() else { return };
    let ns = "pod-security";
    world.namespace(ns);
    let level = |mode: &str, level: &str| {
        let label = format!("pod-security.kubernetes.io/{mode}={level}");
        world
            .plane
            .kubectl_ok(&["label", "namespace", ns, "--overwrite", &label]);
    };
    level("enforce", "privileged");
    level("warn", "restricted");
    level("audit", "restricted");
    world.apply(ns, &deployment("albums", 1));
    world.pairs(ns, 1);
    // Where it refuses, it refuses the HostProcess pod; what runs already goes on, anchor and all.
    level("enforce", "baseline");
    world.kubectl(ns, &["scale", "deployment/albums", "--replicas=2"]);
    let refused = world.until_pods(ns, "a refusal", |_, _| {
        let sets = world.eyes.list(ns, "replicasets");
        let failure = condition(&sets[0], "ReplicaFailure")["message"].as_str()?;
        Some(failure.to_owned())
    });
    assert!(
        refused.contains("violates PodSecurity \"baseline"),
        "{refused}"
    );
    let (pods, anchors) = world.pairs(ns, 1);
    assert_eq!(anchors.len(), pods.len());
}

#[test]
fn an_anchor_whose_image_cannot_be_had_says_so_and_comes_when_it_can() {
    let Some(world) = World::shared() else { return };
    let ns = "no-image";
    world.namespace(ns);
    world
        .kubelet
        .refuse_to_start(ns, "solo-anchor-", "ErrImagePull");
    world.apply(ns, &yaml(&bare("solo")).to_string());
    let pod = world
        .eyes
        .until(ns, "pods/solo", "says what it waits for", |pod| {
            let gate = condition(pod, gate::ANCHOR_READY);
            gate["message"]
                .as_str()
                .is_some_and(|text| text.contains("ImagePullBackOff"))
        });
    let gate = condition(&pod, gate::ANCHOR_READY);
    assert_eq!(gate["reason"], "AnchorStarting");
    let (_, anchors) = world.pods(ns);
    let image = anchors[0]["spec"]["containers"][0]["image"]
        .as_str()
        .unwrap();
    assert!(gate["message"].as_str().unwrap().contains(image), "{gate}");
    world.kubelet.allow_to_start(ns, "solo-anchor-");
    let (now, _) = world.pairs(ns, 1);
    assert_eq!(uid(&now[0]), uid(&pod));
}
