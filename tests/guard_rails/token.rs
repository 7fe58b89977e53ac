//! Who holds the token of native-host's ServiceAccount.

use k8s_openapi::api::core::v1::Pod;
use native_host::anchor::{Owner, manifest};
use native_host::names::{admission_policy as rail, annotation, gate, injected, label};
use native_host::plan::anchor_spec::AnchorSpec;
use serde_json::{Value, json};

use crate::caller::{Doors, dry, pods};
use crate::stage::{FREE, GUARDED, Stage, plain};
use crate::world::name;

/// An anchor as the controller would make it, of the pod `albums`, under another name.
fn anchor(stage: &Stage, namespace: &str) -> Value {
    let pod: Pod = serde_json::from_value(stage.pod(namespace, "albums")).unwrap();
    let annotations = pod.metadata.annotations.as_ref().unwrap();
    let spec = AnchorSpec::parse(&annotations[annotation::ANCHOR_SPEC]).unwrap();
    let owner = Owner {
        name: "albums",
        uid: pod.metadata.uid.as_deref().unwrap(),
        node: "win-1",
    };
    let mut anchor = serde_json::to_value(manifest(&pod, owner, &spec)).unwrap();
    anchor["metadata"]["name"] = json!("albums-anchor-00000000");
    anchor
}

#[test]
fn a_stolen_token_makes_anchors_and_no_other_pods() {
    let Some(stage) = Stage::shared() else { return };
    let thief = stage.thief();
    let good = anchor(stage, FREE);
    let made = thief.post(&dry(FREE, ""), &good);
    assert!(made.is_ok(), "an anchor: {made:?}");
    let mut doors = Doors::default();
    let answer = thief.post(&dry(FREE, ""), &plain("x"));
    doors.shut_by(
        "a pod",
        rail::CONTROLLER,
        "creates anchors and no other pods",
        answer,
    );

    let secret = json!({"name": "v", "secret": {"secretName": "x"}});
    let token = |audience: Value| {
        json!({"name": "v", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "audience": audience}},
        ]}})
    };
    let from_secret =
        json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}]);
    let owners = json!([good["metadata"]["ownerReferences"][0], {
        "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y",
    }]);
    let cases: [(&str, &str, Value, &str); 16] = [
        (
            "no owner",
            "/metadata/ownerReferences",
            json!([]),
            "metadata.ownerReferences",
        ),
        (
            "two owners",
            "/metadata/ownerReferences",
            owners,
            "metadata.ownerReferences",
        ),
        (
            "another pod's",
            "/metadata/ownerReferences/0/uid",
            json!("00000000-0000-0000-0000-000000000000"),
            "metadata.ownerReferences",
        ),
        (
            "Linux",
            "/spec/os",
            json!({"name": "linux"}),
            "spec: an anchor is an ordinary Windows pod",
        ),
        (
            "any system",
            "/spec/os",
            Value::Null,
            "spec: an anchor is an ordinary Windows pod",
        ),
        (
            "the host's network",
            "/spec/hostNetwork",
            json!(true),
            "spec: an anchor is an ordinary",
        ),
        (
            "past the scheduler",
            "/spec/nodeName",
            json!("win-1"),
            "spec: an anchor is an ordinary",
        ),
        (
            "the node's files",
            "/spec/volumes",
            json!([{"name": "v", "hostPath": {"path": r"C:\"}}]),
            "spec.volumes[v]",
        ),
        (
            "a Secret",
            "/spec/volumes",
            json!([secret]),
            "spec.volumes[v]",
        ),
        (
            "a projected Secret",
            "/spec/volumes",
            json!([{"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}}]),
            "spec.volumes[v]",
        ),
        (
            "a claim",
            "/spec/volumes",
            json!([{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]),
            "spec.volumes[v]",
        ),
        (
            "a token",
            "/spec/volumes",
            json!([token(Value::Null)]),
            "spec.volumes[v]",
        ),
        (
            "a Secret's variable",
            "/spec/containers/0/env",
            from_secret,
            "an anchor reads no Secret",
        ),
        (
            "a Secret's variables",
            "/spec/containers/0/envFrom",
            json!([{"secretRef": {"name": "x"}}]),
            "an anchor reads no Secret",
        ),
        (
            "the token of the ServiceAccount",
            "/spec/automountServiceAccountToken",
            json!(true),
            // What the API server itself mounts then.
            "spec.volumes[kube-api-access-",
        ),
        (
            "not an anchor's labels",
            "/metadata/labels",
            json!({label::ROLE: label::ROLE_ANCHOR}),
            "metadata.ownerReferences",
        ),
    ];
    for (what, pointer, value, says) in cases {
        let mut pod = good.clone();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[member] = value;
        let answer = thief.post(&dry(FREE, ""), &pod);
        doors.shut_by(what, rail::CONTROLLER, says, answer);
    }
    let mut host_process = good.clone();
    host_process["spec"]["hostNetwork"] = json!(true);
    host_process["spec"]["securityContext"] = json!({"windowsOptions": {
        "hostProcess": true, "runAsUserName": r"NT AUTHORITY\SYSTEM",
    }});
    let answer = thief.post(&dry(FREE, ""), &host_process);
    let says = "spec: an anchor is an ordinary Windows pod";
    doors.shut_by("HostProcess", rail::CONTROLLER, says, answer);
    // What a mesh puts into an anchor.
    let mut meshed = good;
    meshed["spec"]["volumes"] = json!([
        {"name": "identity", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "audience": "identity.l5d.io"}},
        ]}},
        {"name": "certificates", "emptyDir": {"medium": "Memory"}},
        {"name": "podinfo", "downwardAPI": {"items": []}},
        {"name": "roots", "configMap": {"name": "roots"}},
    ]);
    let made = thief.post(&dry(FREE, ""), &meshed);
    assert!(made.is_ok(), "a meshed anchor: {made:?}");
}

#[test]
fn a_stolen_token_changes_of_pods_what_the_controller_changes() {
    let Some(stage) = Stage::shared() else { return };
    let thief = stage.thief();
    let mut doors = Doors::default();
    let anchor = stage.anchor(GUARDED);
    let (pod, pause) = (dry(GUARDED, "albums"), dry(GUARDED, name(&anchor)));
    let image = |kind: &str, name: &str| json!({"spec": {kind: [{"name": name, "image": "registry.example/mine"}]}});
    let spec =
        "spec: native-host's ServiceAccount changes neither the spec of a pod nor its labels";
    let pause_container = anchor["spec"]["containers"][0]["name"].as_str().unwrap();
    for (what, path, patch) in [
        (
            "the launcher",
            &pod,
            image("initContainers", injected::LAUNCHER),
        ),
        ("the program", &pod, image("containers", "albums")),
        (
            "the pause container",
            &pause,
            image("containers", pause_container),
        ),
        (
            "a label",
            &pod,
            json!({"metadata": {"labels": {"app": "other"}}}),
        ),
        (
            "a finalizer",
            &pod,
            json!({"metadata": {"finalizers": ["example.com/stay"]}}),
        ),
        (
            "an owner",
            &pause,
            json!({"metadata": {"ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"},
            ]}}),
        ),
    ] {
        let answer = thief.strategic(path, &patch);
        doors.shut_by(what, rail::CONTROLLER, spec, answer);
    }
    for key in [
        annotation::INJECTED,
        annotation::ANCHOR_SPEC,
        "example.com/of-the-authors",
    ] {
        let patch = json!({"metadata": {"annotations": {key: "x"}}});
        let says = format!("metadata.annotations[{key}]: of a pod's annotations");
        let answer = thief.merge(&pod, &patch);
        doors.shut_by(key, rail::CONTROLLER, &says, answer);
    }
    let status = |namespace: &str, name: &str| dry(namespace, &format!("{name}/status"));
    for (what, patch) in [
        ("phase", json!({"phase": "Succeeded"})),
        (
            "podIP",
            json!({"podIP": "10.9.9.9", "podIPs": [{"$patch": "replace"}, {"ip": "10.9.9.9"}]}),
        ),
        (
            "Ready",
            json!({"conditions": [{"type": "Ready", "status": "Unknown"}]}),
        ),
    ] {
        let says = format!("status.{what}: of a pod's status");
        let answer = thief.strategic(&status(GUARDED, "albums"), &json!({"status": patch}));
        doors.shut_by(what, rail::CONTROLLER, &says, answer);
    }
    // What the controller does, so what a thief may too.
    let published = json!({"metadata": {"annotations": {annotation::ANCHOR_STATUS: "{}"}}});
    let gate = |kind| json!({"status": {"conditions": [{"type": kind, "status": "Unknown"}]}});
    for answer in [
        thief.merge(&pod, &published),
        thief.strategic(&status(GUARDED, "albums"), &gate(gate::ANCHOR_READY)),
        thief.strategic(&status(GUARDED, "albums"), &gate("DisruptionTarget")),
        thief.strategic(
            &status(GUARDED, name(&anchor)),
            &gate(gate::WORKLOAD_RUNNING),
        ),
        thief.delete(&pod),
        thief.delete(&pause),
    ] {
        assert!(answer.is_ok(), "{answer:?}");
    }
}

#[test]
fn a_stolen_token_leaves_other_pods_alone() {
    let Some(stage) = Stage::shared() else { return };
    let thief = stage.thief();
    let mut doors = Doors::default();
    let says = "changes and deletes anchors and workloads of native-host only";
    let plain = dry(FREE, "plain");
    let status = dry(FREE, "plain/status");
    let annotated = json!({"metadata": {"annotations": {annotation::ANCHOR_STATUS: "{}"}}});
    let disrupted =
        json!({"status": {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}});
    for (what, answer) in [
        ("an annotation", thief.merge(&plain, &annotated)),
        ("a condition", thief.strategic(&status, &disrupted)),
        ("the pod", thief.delete(&plain)),
    ] {
        doors.shut_by(what, rail::CONTROLLER, says, answer);
    }
}

#[test]
fn a_stolen_token_has_no_other_rights() {
    let Some(stage) = Stage::shared() else { return };
    let thief = stage.thief();
    let mut doors = Doors::default();
    let deployment = format!("/apis/apps/v1/namespaces/{FREE}/deployments");
    for (what, answer) in [
        ("Secrets", thief.get("/api/v1/secrets")),
        ("a Secret", thief.get("/api/v1/namespaces/native-host/secrets/native-host-tls")),
        ("exec", thief.post(&pods(FREE, "albums/exec?command=cmd"), &Value::Null)),
        ("a node", thief.merge("/api/v1/nodes/win-1", &json!({}))),
        ("a namespace's policy", thief.merge("/api/v1/namespaces/meadow", &json!({}))),
        ("Deployments", thief.post(&deployment, &json!({}))),
        ("all pods at once", thief.delete(&dry(FREE, ""))),
        ("a token", thief.post("/api/v1/namespaces/kube-system/serviceaccounts/default/token", &json!({}))),
        (
            "its policies",
            thief.delete("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/controller.native-host.io"),
        ),
    ] {
        doors.shut(what, &[" cannot "], answer);
    }
}
