//! What the controller's audit finds too: each is told by `check`, a gauge and an Event.

use native_host::names::{annotation, label, policy};
use serde_json::json;

use crate::PATIENCE;
use crate::support::wait_until;
use crate::world::World;

const POD: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: solo, namespace: NAMESPACE, labels: {app: solo, '@/workload': solo}}
spec:
  containers:
  - name: solo
    image: registry.example/solo
    command: ['C:\apps\solo.exe']
    ports: [{name: http, containerPort: 8080}]
";

fn pod(namespace: &str) -> String {
    POD.replace("NAMESPACE", namespace)
}

#[test]
fn a_policy_that_is_invalid() {
    let Some(world) = World::alone() else { return };
    world.namespace("odd", "{'@/mode': sometimes}", "{}");
    let hint = world.until_failed("policies-valid", "odd: ");
    assert!(hint.contains("docs/policy.md"), "{hint}");
    world.until_audited("namespace-policy-invalid", 1);
    let said = world.event("default", "odd", "InvalidPolicy");
    assert!(
        said.contains("mode") && said.contains("sometimes"),
        "{said}"
    );
    world.namespace("odd", "{'@/mode': warn}", "{}");
    world.until_audited("namespace-policy-invalid", 0);
    world.until_well();
}

#[test]
fn a_labelled_pod_that_was_not_injected() {
    let Some(world) = World::alone() else { return };
    world.namespace("passed", "{'@/mode': 'off'}", "{}");
    wait_until("it is left alone", PATIENCE, || {
        let name = ["pod", "solo", "-n", "passed", "--ignore-not-found"];
        world.kubectl(&[&["delete"], &name[..], &["--grace-period=0", "--force"]].concat());
        world.apply(&pod("passed"));
        let pod = world.plane.get(&name[..4]);
        pod["metadata"]["annotations"][annotation::INJECTED]
            .is_null()
            .then_some(())
    });
    // On purpose, while the namespace says so.
    assert_eq!(world.report().said("pods-injected").0, "ok");
    world.kubectl(&[
        "annotate",
        "namespace",
        "passed",
        &format!("{}-", policy::MODE),
    ]);
    let hint = world.until_failed("pods-injected", "pod passed/solo");
    assert!(hint.contains("kubectl delete pod"), "{hint}");
    world.until_audited("pod-not-injected", 1);
    let said = world.event("passed", "solo", "NotInjected");
    assert!(said.contains("Delete it"), "{said}");
    let elsewhere = world.check(&["-n", "default", "-o", "json"]);
    assert_eq!(elsewhere.said("pods-injected").0, "ok", "another namespace");
    world.kubectl(&[
        "delete",
        "pod",
        "solo",
        "-n",
        "passed",
        "--grace-period=0",
        "--force",
    ]);
    world.until_audited("pod-not-injected", 0);
    world.until_well();
}

#[test]
fn an_anchor_without_an_owner() {
    let Some(world) = World::alone() else { return };
    world.namespace("orphans", "{}", "{}");
    // Nobody but the controller makes one, as long as the guard rail is there.
    world.kubectl(&[
        "delete",
        "validatingadmissionpolicy",
        "anchors.native-host.io",
    ]);
    let orphan = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "left", "namespace": "orphans", "labels": {label::ROLE: label::ROLE_ANCHOR}},
        "spec": {"containers": [{"name": "pause", "image": "pause"}]}});
    wait_until("the guard rail is gone", PATIENCE, || {
        let output = world
            .plane
            .kubectl_stdin(&["create", "-f", "-"], &orphan.to_string());
        output.status.success().then_some(())
    });
    world.guard_rails();
    let ran = world.report();
    let (mark, found, hint) = ran.said("anchors-owned");
    assert_eq!((ran.code, &*mark), (0, "warning"));
    assert!(
        found.contains("orphans/left") && found.contains("belongs to no pod"),
        "{found}"
    );
    assert!(!hint.is_empty());
    world.until_audited("anchor-without-owner", 1);
    let said = world.event("orphans", "left", "AnchorWithoutOwner");
    assert!(
        said.contains("kubectl delete pod -n orphans left"),
        "{said}"
    );
    world.kubectl(&[
        "delete",
        "pod",
        "left",
        "-n",
        "orphans",
        "--grace-period=0",
        "--force",
    ]);
    world.until_audited("anchor-without-owner", 0);
    world.until_well();
}

#[test]
fn what_misses_the_anchors_and_pairs_that_are_not_ready_are_warnings() {
    let Some(world) = World::alone() else { return };
    world.namespace("shop", "{}", "{}");
    world.apply(&pod("shop"));
    let service = "{apiVersion: v1, kind: Service, metadata: {name: wrong, namespace: shop}, spec: {selector: {app: \
                   solo}, ports: [{port: 80}]}}";
    world.apply(service);
    let ran = world.report();
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let (mark, found, _) = ran.said("anchors-selected");
    assert_eq!(mark, "warning");
    assert!(
        found.contains("Service shop/wrong: ")
            && found.contains(&format!("{}: solo", label::ANCHOR)),
        "{found}"
    );
    let (mark, found, hint) = ran.said("pairs-ready");
    assert_eq!(
        (&*mark, &*found),
        ("warning", "1 of 1 pairs are Unscheduled")
    );
    assert!(hint.contains("native-host status"), "{hint}");
    world.kubectl(&["delete", "service", "wrong", "-n", "shop"]);
    world.kubectl(&[
        "delete",
        "pod",
        "solo",
        "-n",
        "shop",
        "--grace-period=0",
        "--force",
    ]);
    world.until_well();
}
