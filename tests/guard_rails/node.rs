//! A node that somebody has taken over: its kubelet's identity, by which it may write the status of its own
//! pods, and delete them.

use native_host::names::{admission_policy as rail, annotation, gate, injected, label};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::caller::{Caller, Doors, dry};
use crate::stage::{FREE, GUARDED, Stage, by_hand, plain};
use crate::support::wait_until;
use crate::world::name;

/// The identity of a node's kubelet.
pub fn kubelet(stage: &Stage, node: &str) -> Caller {
    let user = format!("system:node:{node}");
    let caller = Caller::named(stage.plane, &user, &["system:nodes"]);
    // The node authorizer hears of nodes and pods by a watch.
    wait_until("the node is known", PATIENCE, || {
        caller.get(&format!("/api/v1/nodes/{node}")).ok()
    });
    caller
}

pub fn node_of(pod: &Value) -> &str {
    pod["spec"]["nodeName"].as_str().unwrap()
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"status": {"conditions": [{"type": kind, "status": status, "reason": "Forged"}]}})
}

#[test]
fn a_nodes_kubelet_writes_its_own_status_and_nothing_of_ours() {
    let Some(stage) = Stage::shared() else { return };
    let mut doors = Doors::default();
    let pod = stage.pod(GUARDED, "albums");
    let anchor = stage.anchor(GUARDED);
    let node = kubelet(stage, node_of(&pod));
    let status = dry(GUARDED, "albums/status");
    let anchors_status = dry(GUARDED, &format!("{}/status", name(&anchor)));
    // What it may, so that the rest is refused for what it is.
    let ready = condition("ContainersReady", "False");
    for path in [&status, &anchors_status] {
        let answer = node.strategic(path, &ready);
        assert!(answer.is_ok(), "{path}: {answer:?}");
    }

    let forged = json!({"metadata": {"annotations": {annotation::ANCHOR_STATUS: "{}"}}});
    let says = format!("metadata.annotations[{}]", annotation::ANCHOR_STATUS);
    let answer = node.strategic(&status, &forged);
    doors.shut_by("another anchor's address", rail::WORKLOADS, &says, answer);
    let says = format!("status.conditions[{}]", gate::ANCHOR_READY);
    let answer = node.strategic(&status, &condition(gate::ANCHOR_READY, "Unknown"));
    doors.shut_by("the pod's gate", rail::WORKLOADS, &says, answer);
    let gone =
        json!({"status": {"conditions": [{"$patch": "delete", "type": gate::ANCHOR_READY}]}});
    let answer = node.strategic(&status, &gone);
    doors.shut_by("the pod's gate away", rail::WORKLOADS, &says, answer);
    let says = format!("status.conditions[{}]", gate::WORKLOAD_RUNNING);
    let answer = node.strategic(
        &anchors_status,
        &condition(gate::WORKLOAD_RUNNING, "Unknown"),
    );
    doors.shut_by("the anchor's gate", rail::ANCHORS, &says, answer);

    // What Kubernetes itself keeps a node from, on which these rails lean.
    let image =
        json!({"spec": {"initContainers": [{"name": injected::LAUNCHER, "image": "mine"}]}});
    let answer = node.strategic(&dry(GUARDED, "albums"), &image);
    doors.shut("an image", &["cannot patch resource \"pods\""], answer);
    let relabelled = json!({"metadata": {"labels": {label::WORKLOAD: "other"}}});
    let answer = node.strategic(&status, &relabelled);
    doors.shut(
        "a label",
        &["cannot update labels through pod status"],
        answer,
    );
    let other = ["win-1", "win-2"]
        .into_iter()
        .find(|other| *other != node_of(&pod));
    let other = kubelet(stage, other.unwrap());
    let answer = other.strategic(&status, &ready);
    doors.shut(
        "another node's pod",
        &["spec.nodeName set to itself"],
        answer,
    );
}

#[test]
fn a_node_makes_no_anchors_and_no_host_process_beside_guard_rails() {
    let Some(stage) = Stage::shared() else { return };
    let mut doors = Doors::default();
    let node = kubelet(stage, "win-1");
    let own = node.get("/api/v1/nodes/win-1").unwrap();
    // A mirror of a static pod is the one pod that a kubelet may create (plugin/pkg/admission/
    // noderestriction/admission.go).
    let mirror = |mut pod: Value| {
        pod["spec"]["nodeName"] = json!("win-1");
        pod["spec"].as_object_mut().unwrap().remove("schedulerName");
        pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "Node", "name": "win-1", "uid": own["metadata"]["uid"],
            "controller": true,
        }]);
        pod
    };
    let made = node.post(&dry(FREE, ""), &mirror(plain("static-win-1")));
    assert!(made.is_ok(), "an ordinary mirror pod: {made:?}");
    let mut anchor = plain("static-win-1");
    anchor["metadata"]["labels"] = json!({label::ANCHOR: "albums"});
    let answer = node.post(&dry(FREE, ""), &mirror(anchor));
    doors.shut_by(
        "an endpoint of albums",
        rail::ANCHORS,
        label::ANCHOR,
        answer,
    );
    let answer = node.post(&dry(GUARDED, ""), &mirror(by_hand("static-win-1")));
    doors.shut_by("HostProcess", rail::HOST_PROCESS, "guard rails", answer);
}
