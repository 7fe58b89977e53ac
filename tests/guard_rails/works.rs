//! What must go on working beside the guard rails: the pair's whole life, the kubelet, the scheduler, the
//! garbage collector, meshes, registry mirrors, and people who do nothing wrong.

use native_host::names::{injected, policy as key};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::caller::{dry, pods};
use crate::node::{kubelet, node_of};
use crate::stage::{GUARDED, RAILS, Stage};
use crate::support::wait_until;
use crate::world::{bare, deployment, name, uid};

#[test]
fn a_pair_lives_its_whole_life() {
    let Some(stage) = Stage::shared() else { return };
    let (world, ns) = (&stage.world, "life");
    stage.namespace(ns, RAILS);
    world.apply(ns, &deployment("albums", 2));
    let (first, anchors) = world.pairs(ns, 2);
    // Rolled out anew, by the Deployment's own controllers.
    let image = "albums=registry.example/albums:2";
    world.kubectl(
        ns,
        &["set", "image", "deployment/albums", image, "--as=jane"],
    );
    world.kubectl(
        ns,
        &["rollout", "status", "deployment/albums", "--timeout=120s"],
    );
    let (second, _) = world.pairs(ns, 2);
    assert!(
        second
            .iter()
            .all(|pod| first.iter().all(|old| uid(old) != uid(pod)))
    );
    assert!(!anchors.is_empty());
    // The anchor goes, and the controller replaces the pair.
    let anchor = world.pods(ns).1.remove(0);
    stage.jane.delete(&pods(ns, name(&anchor))).unwrap();
    let lost = |pod: &Value| anchor["metadata"]["ownerReferences"][0]["uid"] == uid(pod);
    wait_until("the pair is replaced", PATIENCE, || {
        (!world.pods(ns).0.iter().any(lost)).then_some(())
    });
    world.pairs(ns, 2);
    world.kubectl(
        ns,
        &["scale", "deployment/albums", "--replicas=0", "--as=jane"],
    );
    wait_until("all is gone", PATIENCE, || {
        let (pods, anchors) = world.pods(ns);
        (pods.is_empty() && anchors.is_empty()).then_some(())
    });
}

#[test]
fn an_editor_does_what_editors_do() {
    let Some(stage) = Stage::shared() else { return };
    let (world, ns) = (&stage.world, "edited");
    stage.namespace(ns, RAILS);
    let manifest = bare("solo").replace("@/", native_host::names::PREFIX);
    let args = ["apply", "--as=jane", "-n", ns, "-f", "-"];
    let output = stage.plane.kubectl_stdin(&args, &manifest);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    world.pairs(ns, 1);
    // The image of one's own container.
    let image = "albums=registry.example/albums:2";
    world.kubectl(ns, &["set", "image", "pod/solo", image, "--as=jane"]);
    let solo = pods(ns, "solo");
    let mut done =
        vec![
        stage.jane.merge(&solo, &json!({"metadata": {
            "labels": {"team": "a", "app": "renamed"}, "annotations": {"example.com/note": "x"},
        }})),
        stage.jane.merge(&solo, &json!({"metadata": {"finalizers": ["example.com/stay"]}})),
    ];
    let applied = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "solo", "labels": {"tier": "b"}},
    });
    done.push(
        stage
            .jane
            .apply(&format!("{solo}?fieldManager=jane"), &applied),
    );
    done.push(
        stage
            .jane
            .merge(&solo, &json!({"metadata": {"finalizers": null}})),
    );
    // A plain label on an anchor is anybody's.
    let anchor = pods(ns, name(&world.pods(ns).1[0]));
    done.push(
        stage
            .jane
            .merge(&anchor, &json!({"metadata": {"labels": {"team": "a"}}})),
    );
    for answer in done {
        assert!(answer.is_ok(), "{answer:?}");
    }
    // Dependents first: the garbage collector puts finalizers on and takes them away.
    let foreground = format!("{solo}?propagationPolicy=Foreground");
    stage.jane.delete(&foreground).unwrap();
    wait_until("all is gone", PATIENCE, || {
        let (pods, anchors) = world.pods(ns);
        (pods.is_empty() && anchors.is_empty()).then_some(())
    });
}

#[test]
fn an_eviction_takes_the_pair() {
    let Some(stage) = Stage::shared() else { return };
    let (world, ns) = (&stage.world, "evicted");
    stage.namespace(ns, RAILS);
    world.apply(ns, &bare("solo"));
    world.pairs(ns, 1);
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "solo"}});
    stage
        .jane
        .post(&pods(ns, "solo/eviction"), &eviction)
        .unwrap();
    wait_until("all is gone", PATIENCE, || {
        let (pods, anchors) = world.pods(ns);
        (pods.is_empty() && anchors.is_empty()).then_some(())
    });
}

#[test]
fn a_kubelet_reports_and_ends_its_pods() {
    let Some(stage) = Stage::shared() else { return };
    let pod = stage.pod(GUARDED, "albums");
    let node = kubelet(stage, node_of(&pod));
    let restarted = json!({"status": {
        "phase": "Running", "startTime": "2026-01-01T00:00:00Z", "podIP": "10.1.1.1",
        "podIPs": [{"$patch": "replace"}, {"ip": "10.1.1.1"}],
        "containerStatuses": [{
            "name": "albums", "image": "registry.example/albums", "imageID": "", "ready": false,
            "restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {},
        }],
        "conditions": [{"type": "Ready", "status": "False"}],
    }});
    let mut anchor = dry(GUARDED, &format!("{}/status", name(&stage.anchor(GUARDED))));
    for path in [&dry(GUARDED, "albums/status"), &*anchor] {
        let mut patch = restarted.clone();
        if !path.contains("albums/status") {
            patch["status"]["containerStatuses"] = json!([]);
        }
        let answer = node.strategic(path, &patch);
        assert!(answer.is_ok(), "{path}: {answer:?}");
    }
    anchor = dry(GUARDED, name(&stage.anchor(GUARDED)));
    for path in [dry(GUARDED, "albums"), anchor] {
        let answer = node.delete(&format!("{path}&gracePeriodSeconds=0"));
        assert!(answer.is_ok(), "{path}: {answer:?}");
    }
}

/// A mesh's injector and a registry's mirror, as MutatingAdmissionPolicies of one namespace.
fn neighbours(namespace: &str) -> String {
    format!(
        r#"
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {{name: mesh}}
spec:
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
    resourceRules:
    - {{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}}
  matchConditions:
  - name: asked-for
    expression: >-
      has(object.metadata.annotations) && "linkerd.io/inject" in object.metadata.annotations &&
      object.metadata.annotations["linkerd.io/inject"] == "enabled" &&
      !object.spec.containers.exists(c, c.name == "linkerd-proxy")
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      # Lists of maps: the API server panics at a list of its typed objects here.
      expression: >-
        [JSONPatch{{op: "add", path: "/spec/containers/-", value: Object.spec.containers{{
          name: "linkerd-proxy", image: "registry.example/proxy"}}}},
        JSONPatch{{op: "add", path: "/spec/volumes", value: [{{
          "name": dyn("linkerd-identity-token"), "projected": dyn({{"sources": [{{"serviceAccountToken": {{
            "path": dyn("token"), "audience": dyn("identity.l5d.io"), "expirationSeconds": dyn(86400)}}}}]}})}}]}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {{name: mirror}}
spec:
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
    resourceRules:
    - {{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}}
  matchConditions:
  - name: elsewhere
    expression: '!object.spec.containers[0].image.startsWith("mirror.example/")'
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: >-
        [JSONPatch{{op: "replace", path: "/spec/containers/0/image",
          value: "mirror.example/" + object.spec.containers[0].image}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: mesh}}
spec: {{policyName: mesh}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: mirror}}
spec: {{policyName: mirror}}
"#
    )
}

#[test]
fn meshes_and_mirrors_work_on_pairs() {
    let Some(stage) = Stage::shared() else { return };
    let (world, ns) = (&stage.world, "meshed");
    stage.namespace(ns, &[RAILS, &[(key::MESH, "linkerd")]].concat());
    stage.plane.apply(&neighbours(ns));
    let mut meshed = crate::stage::plain("x");
    meshed["metadata"]["annotations"] = json!({"linkerd.io/inject": "enabled"});
    meshed["spec"]["automountServiceAccountToken"] = json!(false);
    wait_until("the neighbours are in force", PATIENCE, || {
        let made = stage.jane.post(&dry(ns, ""), &meshed).unwrap();
        let containers = made["spec"]["containers"].as_array()?;
        let mirrored = containers[0]["image"]
            .as_str()?
            .starts_with("mirror.example/");
        (mirrored && containers.len() == 2).then_some(())
    });
    world.apply(ns, &bare("solo"));
    let (pods, anchors) = world.pairs(ns, 1);
    let images = |pod: &Value, kind: &str| -> Vec<String> {
        let containers = pod["spec"][kind].as_array().into_iter().flatten();
        containers
            .map(|c| c["image"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        images(&pods[0], "containers"),
        ["mirror.example/registry.example/albums"]
    );
    let anchor = images(&anchors[0], "containers");
    assert!(anchor[0].starts_with("mirror.example/"), "{anchor:?}");
    assert!(
        anchor.contains(&"registry.example/proxy".to_owned()),
        "{anchor:?}"
    );
    let installer = &pods[0]["spec"]["initContainers"][0];
    assert_eq!(installer["name"], injected::LAUNCHER);
    let volumes = anchors[0]["spec"]["volumes"].as_array().unwrap();
    assert_eq!(volumes[0]["name"], "linkerd-identity-token");
}
