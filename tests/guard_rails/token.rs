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

/// The same pod with one member as somebody would like it.
fn with(pod: &Value, pointer: &str, value: Value) -> Value {
    let mut pod = pod.clone();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    pod.pointer_mut(parent).unwrap()[member] = value;
    pod
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
    let says = "creates anchors and no other pods";
    doors.shut_by("a pod", rail::CONTROLLER, says, answer);

    let owners = "/metadata/ownerReferences";
    let another = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y"});
    let nobody = json!("00000000-0000-0000-0000-000000000000");
    let bare = json!({label::ROLE: label::ROLE_ANCHOR});
    for (what, pod) in [
        ("no owner", with(&good, owners, json!([]))),
        (
            "two owners",
            with(
                &good,
                owners,
                json!([good["metadata"]["ownerReferences"][0], another]),
            ),
        ),
        (
            "another's owner",
            with(&good, &format!("{owners}/0/uid"), nobody),
        ),
        ("no labels but one", with(&good, "/metadata/labels", bare)),
    ] {
        let says = "metadata.ownerReferences: an anchor belongs to one pod";
        doors.shut_by(
            what,
            rail::CONTROLLER,
            says,
            thief.post(&dry(FREE, ""), &pod),
        );
    }
}

#[test]
fn what_a_stolen_token_makes_is_an_ordinary_windows_pod() {
    let Some(stage) = Stage::shared() else { return };
    let thief = stage.thief();
    let good = anchor(stage, FREE);
    let on_host = with(&good, "/spec/hostNetwork", json!(true));
    let options = json!({"windowsOptions": {
        "hostProcess": true, "runAsUserName": r"NT AUTHORITY\SYSTEM",
    }});
    let mut doors = Doors::default();
    for (what, pod) in [
        ("Linux", with(&good, "/spec/os", json!({"name": "linux"}))),
        ("any system", with(&good, "/spec/os", Value::Null)),
        (
            "past the scheduler",
            with(&good, "/spec/nodeName", json!("win-1")),
        ),
        (
            "HostProcess",
            with(&on_host, "/spec/securityContext", options),
        ),
        ("the host's network", on_host),
    ] {
        let says = "spec: an anchor is an ordinary Windows pod";
        doors.shut_by(
            what,
            rail::CONTROLLER,
            says,
            thief.post(&dry(FREE, ""), &pod),
        );
    }
}

#[test]
fn what_a_stolen_token_makes_reads_neither_secrets_nor_the_node() {
    let Some(stage) = Stage::shared() else { return };
    let thief = stage.thief();
    let good = anchor(stage, FREE);
    let mut doors = Doors::default();
    for source in [
        json!({"hostPath": {"path": r"C:\"}}),
        json!({"secret": {"secretName": "x"}}),
        json!({"persistentVolumeClaim": {"claimName": "x"}}),
        json!({"csi": {"driver": "secrets-store.csi.k8s.io"}}),
        json!({"projected": {"sources": [{"secret": {"name": "x"}}]}}),
        json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}),
    ] {
        let mut volume = source.clone();
        volume["name"] = json!("v");
        let pod = with(&good, "/spec/volumes", json!([volume]));
        let answer = thief.post(&dry(FREE, ""), &pod);
        let says = "spec.volumes[v]: an anchor has volumes of the kinds";
        doors.shut_by(&source.to_string(), rail::CONTROLLER, says, answer);
    }
    // What the API server itself mounts then.
    let token = with(&good, "/spec/automountServiceAccountToken", json!(true));
    let answer = thief.post(&dry(FREE, ""), &token);
    let says = "spec.volumes[kube-api-access-";
    doors.shut_by("the ServiceAccount's token", rail::CONTROLLER, says, answer);
    let key = json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}]);
    let all = json!([{"secretRef": {"name": "x"}}]);
    for (what, pod) in [
        ("a variable", with(&good, "/spec/containers/0/env", key)),
        ("variables", with(&good, "/spec/containers/0/envFrom", all)),
    ] {
        let says = "spec.containers: an anchor reads no Secret";
        doors.shut_by(
            what,
            rail::CONTROLLER,
            says,
            thief.post(&dry(FREE, ""), &pod),
        );
    }
    // What a mesh puts into an anchor.
    let mesh = json!([
        {"name": "identity", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "audience": "identity.l5d.io"}},
        ]}},
        {"name": "certificates", "emptyDir": {"medium": "Memory"}},
        {"name": "podinfo", "downwardAPI": {"items": []}},
        {"name": "roots", "configMap": {"name": "roots"}},
    ]);
    let made = thief.post(&dry(FREE, ""), &with(&good, "/spec/volumes", mesh));
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
        // Of several fields any may be named: podIP, podIPs.
        let says = format!("status.{what}");
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
