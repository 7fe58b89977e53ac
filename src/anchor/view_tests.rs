#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn anchor(spec: &Value, status: &Value) -> Anchor {
    let pod = json!({
        "metadata": {
            "namespace": "shop", "name": crate::anchor::name("a", "u"), "uid": "x", "resourceVersion": "1",
            "labels": {label::ROLE: label::ROLE_ANCHOR},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u", "controller": true}],
        },
        "spec": spec, "status": status,
    });
    Anchor::of(&serde_json::from_value(pod).unwrap()).unwrap()
}

fn runs(name: &str, at: &str) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0, "started": true,
        "state": {"running": {"startedAt": at}}})
}

fn waits(name: &str, reason: &str) -> Value {
    json!({"name": name, "image": "registry.example/pause:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": "m"}}})
}

#[test]
fn an_anchor_runs_once_all_of_it_does() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "linkerd-proxy"}]});
    let of = |statuses: Value| {
        anchor(
            &spec,
            &json!({"podIP": "10.0.0.7", "containerStatuses": statuses}),
        )
    };
    assert_eq!(
        of(json!([runs("a", "2026-11-21T10:00:05Z")])).status(),
        None
    );
    let proxy_waits = json!([
        runs("a", "2026-11-21T10:00:05Z"),
        waits("linkerd-proxy", "ContainerCreating")
    ]);
    assert_eq!(of(proxy_waits).status(), None);
    let all = json!([
        runs("a", "2026-11-21T10:00:05Z"),
        runs("linkerd-proxy", "2026-11-21T10:00:03Z")
    ]);
    let status = of(all).status().unwrap();
    assert_eq!(status.started, "2026-11-21T10:00:03Z".parse().unwrap());
    assert_eq!(
        (status.ip.to_string(), &*status.uid),
        ("10.0.0.7".into(), "x")
    );
}

#[test]
fn a_sidecar_among_the_init_containers_counts() {
    let spec = json!({
        "initContainers": [{"name": "linkerd-init"}, {"name": "linkerd-proxy", "restartPolicy": "Always"}],
        "containers": [{"name": "a"}],
    });
    let of = |init: Value| {
        anchor(
            &spec,
            &json!({"podIP": "10.0.0.7", "initContainerStatuses": init,
            "containerStatuses": [runs("a", "2026-11-21T10:00:05Z")]}),
        )
    };
    assert_eq!(of(json!([])).status(), None);
    let mut starting = runs("linkerd-proxy", "2026-11-21T10:00:04Z");
    starting["started"] = json!(false);
    assert_eq!(of(json!([starting])).status(), None);
    assert!(
        of(json!([runs("linkerd-proxy", "2026-11-21T10:00:04Z")]))
            .status()
            .is_some()
    );
}

#[test]
fn trouble_is_in_the_words_of_who_found_it() {
    let spec = json!({"containers": [{"name": "a"}]});
    let trouble = |status: &Value| anchor(&spec, status).trouble.map(String::from);
    let scheduled = |status: &str| json!([{"type": "PodScheduled", "status": status, "reason": "Unschedulable", "message": "0/1 nodes"}]);
    assert_eq!(
        trouble(&json!({"conditions": scheduled("False")})).unwrap(),
        "Unschedulable: 0/1 nodes"
    );
    assert_eq!(trouble(&json!({"conditions": scheduled("True")})), None);
    assert_eq!(
        trouble(&json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}))
            .unwrap(),
        "Evicted: low on memory"
    );
    let container = |reason: &str| trouble(&json!({"containerStatuses": [waits("a", reason)]}));
    assert_eq!(container("ContainerCreating"), None);
    // No flapping between the two.
    let pulling = container("ImagePullBackOff").unwrap();
    assert_eq!(
        pulling,
        "container \"a\": ImagePullBackOff (image registry.example/pause:1)"
    );
    assert_eq!(container("ErrImagePull").unwrap(), pulling);
}

#[test]
fn an_hp_pod_is_what_its_author_and_its_kubelet_say() {
    let pod = |pod: Value| Hp::of(&serde_json::from_value(pod).unwrap());
    let metadata = json!({"namespace": "shop", "name": "a", "uid": "u", "resourceVersion": "1"});
    let bare = pod(json!({"metadata": metadata, "spec": {"containers": []}})).unwrap();
    assert!(!bare.marked && bare.workload.is_none() && bare.node.is_none());
    assert_eq!(
        (bare.phase, bare.published, bare.terminating),
        (Phase::Pending, Published::Nothing, None)
    );

    let mut going = metadata.clone();
    going["deletionTimestamp"] = json!("2026-11-21T10:00:00Z");
    let spec = json!({"containers": [], "terminationGracePeriodSeconds": 45});
    assert_eq!(
        pod(json!({"metadata": going, "spec": spec}))
            .unwrap()
            .terminating,
        Some(45)
    );
    going["deletionGracePeriodSeconds"] = json!(7);
    assert_eq!(
        pod(json!({"metadata": going, "spec": spec}))
            .unwrap()
            .terminating,
        Some(7)
    );

    let mut forged = metadata.clone();
    forged["annotations"] = json!({annotation::ANCHOR_STATUS: "10.0.0.1"});
    let forged = pod(json!({"metadata": forged, "spec": {"containers": []}})).unwrap();
    assert_eq!(forged.published, Published::Unreadable);

    assert_eq!(
        pod(json!({"metadata": {"name": "a"}, "spec": {"containers": []}})),
        None
    );
}
