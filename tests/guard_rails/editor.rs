//! Who has `edit` in a namespace, and wants more of its nodes than the namespace allows.

use native_host::names::{
    PREFIX, admission_policy as rail, annotation, injected, label, policy as key,
};
use serde_json::{Value, json};

use crate::caller::{Caller, Doors, dry, passes};
use crate::stage::{FREE, GUARDED, RAILS, Stage, by_hand, node_binding, plain};
use crate::world::name;

fn labels(labels: &Value) -> Value {
    json!({"metadata": {"labels": labels}})
}

fn annotations(annotations: &Value) -> Value {
    json!({"metadata": {"annotations": annotations}})
}

#[test]
fn what_native_host_wrote_into_a_pod_stays_as_it_is() {
    let Some(stage) = Stage::shared() else { return };
    let mut doors = Doors::default();
    for namespace in [GUARDED, FREE] {
        let pod = dry(namespace, "albums");
        for (key, value) in [
            (label::WORKLOAD, Value::Null),
            (label::WORKLOAD, json!("other")),
            (&format!("{PREFIX}of-their-own"), json!("x")),
        ] {
            let says = format!("metadata.labels[{key}]: ");
            let answer = stage.jane.merge(&pod, &labels(&json!({key: value})));
            doors.shut_by(&format!("{key}: {value}"), rail::WORKLOADS, &says, answer);
        }
        // Two policies are against this one, and either may say so first.
        let role = labels(&json!({label::ROLE: label::ROLE_ANCHOR}));
        let says = format!("metadata.labels[{}]: \"anchor\": ", label::ROLE);
        doors.shut(
            "a workload's anchor",
            &[&says],
            stage.jane.merge(&pod, &role),
        );
        for (key, value) in [
            (annotation::ANCHOR_STATUS, json!(r#"{"ip":"10.0.0.1"}"#)),
            (annotation::ANCHOR_STATUS, Value::Null),
            (annotation::ANCHOR_SPEC, json!("{}")),
            (annotation::INJECTED, Value::Null),
            (key::RUN_AS, json!("Administrator")),
        ] {
            let says = format!("metadata.annotations[{key}]: ");
            let answer = stage.jane.merge(&pod, &annotations(&json!({key: value})));
            doors.shut_by(&format!("{key}: {value}"), rail::WORKLOADS, &says, answer);
        }
        let image = json!({"spec": {"initContainers": [
            {"name": injected::LAUNCHER, "image": "registry.example/mine"},
        ]}});
        doors.shut_by(
            "the image that SYSTEM runs",
            rail::WORKLOADS,
            r#"spec.initContainers[native-host-launcher].image: "registry.example/mine": "#,
            stage.jane.strategic(&pod, &image),
        );
        // All at once, and by another way to write.
        let all = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "albums", "annotations": {annotation::ANCHOR_STATUS: "{}"}},
        });
        let applied = stage
            .jane
            .apply(&format!("{pod}&fieldManager=jane&force=true"), &all);
        doors.shut_by(
            "server-side apply",
            rail::WORKLOADS,
            annotation::ANCHOR_STATUS,
            applied,
        );
    }
}

#[test]
fn a_pod_that_was_not_injected_does_not_become_a_workload() {
    let Some(stage) = Stage::shared() else { return };
    let mut doors = Doors::default();
    let label = labels(&json!({label::WORKLOAD: "plain"}));
    doors.shut_by(
        "labelled later",
        rail::WORKLOADS,
        "delete the pod and create it anew",
        stage.jane.merge(&dry(FREE, "plain"), &label),
    );
}

#[test]
fn nobody_but_the_controller_makes_or_changes_an_anchor() {
    let Some(stage) = Stage::shared() else { return };
    let mut doors = Doors::default();
    let replica_sets = "system:serviceaccount:kube-system:replicaset-controller";
    let replica_sets = Caller::named(stage.plane, replica_sets, &[]);
    for key in label::RESERVED {
        let says = format!("metadata.labels[{key}]: \"anchor\": these labels mark an anchor");
        let mut pod = plain("x");
        pod["metadata"]["labels"][key] = json!("anchor");
        for (who, caller) in [
            ("an editor", &stage.jane),
            ("a template", &replica_sets),
            ("an administrator", &stage.admin),
        ] {
            let answer = caller.post(&dry(FREE, ""), &pod);
            doors.shut_by(&format!("{who} makes {key}"), rail::ANCHORS, &says, answer);
        }
        let label = labels(&json!({key: "anchor"}));
        let answer = stage.jane.merge(&dry(FREE, "plain"), &label);
        doors.shut_by(&format!("{key} is added"), rail::ANCHORS, &says, answer);
    }
    let anchor = stage.anchor(FREE);
    let path = dry(FREE, name(&anchor));
    for key in label::RESERVED {
        for value in [Value::Null, json!("other")] {
            let says = format!("metadata.labels[{key}]: ");
            let answer = stage.jane.merge(&path, &labels(&json!({key: value})));
            doors.shut_by(
                &format!("{key}: {value} on an anchor"),
                rail::ANCHORS,
                &says,
                answer,
            );
        }
    }
    let container = &anchor["spec"]["containers"][0]["name"];
    let image =
        json!({"spec": {"containers": [{"name": container, "image": "registry.example/mine"}]}});
    doors.shut_by(
        "the image of an anchor",
        rail::ANCHORS,
        "spec.containers[].image: the images of an anchor stay",
        stage.jane.strategic(&path, &image),
    );
}

#[test]
fn a_binding_puts_nothing_of_ours_onto_its_pod() {
    let Some(stage) = Stage::shared() else { return };
    let mut doors = Doors::default();
    let scheduler = Caller::named(stage.plane, "system:kube-scheduler", &[]);
    let forged = json!({annotation::ANCHOR_STATUS: "{}"});
    let binding = node_binding("plain", &forged);
    let says = format!("\"{}\": a Binding may not put", annotation::ANCHOR_STATUS);
    let answer = scheduler.post(&dry(FREE, "plain/binding"), &binding);
    doors.shut_by("an annotation", rail::BINDINGS, &says, answer);
    let legacy = format!("/api/v1/namespaces/{FREE}/bindings?dryRun=All");
    let answer = stage.admin.post(&legacy, &binding);
    doors.shut_by("by the older resource", rail::BINDINGS, &says, answer);
    let mut binding = node_binding("plain", &json!({}));
    binding["metadata"]["labels"] = json!({label::WORKLOAD: "plain"});
    let answer = scheduler.post(&dry(FREE, "plain/binding"), &binding);
    doors.shut_by("a label", rail::BINDINGS, label::WORKLOAD, answer);
    let plain = node_binding("plain", &json!({"example.com/zone": "a"}));
    scheduler.post(&dry(FREE, "plain/binding"), &plain).unwrap();
}

/// HostProcess pods without native-host, each way to write one.
fn by_hands() -> [(&'static str, Value); 3] {
    let of_pod = by_hand("x");
    let options =
        json!({"windowsOptions": {"hostProcess": true, "runAsUserName": r"NT AUTHORITY\SYSTEM"}});
    let mut of_container = plain("x");
    of_container["spec"]["hostNetwork"] = json!(true);
    of_container["spec"]["containers"][0]["securityContext"] = options;
    let mut of_init = of_container.clone();
    of_init["spec"]["initContainers"] = json!([of_container["spec"]["containers"][0]]);
    of_init["spec"]["initContainers"][0]["name"] = json!("first");
    [
        ("pod", of_pod),
        ("container", of_container),
        ("init container", of_init),
    ]
}

#[test]
fn host_process_pods_go_by_the_guard_rails_or_not_at_all() {
    let Some(stage) = Stage::shared() else { return };
    let mut doors = Doors::default();
    let jobs = "system:serviceaccount:kube-system:job-controller";
    let jobs = Caller::named(stage.plane, jobs, &[]);
    let says = format!("guard rails for what runs on its nodes (annotation {PREFIX}allowed-");
    for (level, pod) in by_hands() {
        for (who, caller) in [("an editor", &stage.jane), ("a Job", &jobs)] {
            let answer = caller.post(&dry(GUARDED, ""), &pod);
            doors.shut_by(
                &format!("{who}, {level}"),
                rail::HOST_PROCESS,
                &says,
                answer,
            );
            let free = caller.post(&dry(FREE, ""), &pod);
            assert!(
                free.is_ok(),
                "{who}, {level}, without guard rails: {free:?}"
            );
        }
    }
    let mut marked = by_hand("x");
    marked["metadata"]["annotations"] = json!({annotation::INJECTED: "v1"});
    let answer = stage.jane.post(&dry(GUARDED, ""), &marked);
    doors.shut_by(
        "the marker alone",
        rail::HOST_PROCESS,
        label::WORKLOAD,
        answer,
    );
    // With the label it comes to the webhook, which knows the rails.
    let mut labelled = by_hand("x");
    labelled["metadata"]["labels"][label::WORKLOAD] = json!("x");
    labelled["spec"]["containers"][0]["command"] = json!([r"C:\tools\x.exe"]);
    let answer = stage.jane.post(&dry(GUARDED, ""), &labelled);
    let says = [native_host::names::webhook::PODS, r"allows only C:\apps\*"];
    doors.shut("with the label", &says, answer);
}

#[test]
fn every_rail_guards_and_the_mode_says_whether() {
    let Some(stage) = Stage::shared() else { return };
    let one = |key, value| vec![(key, value)];
    let cases = [
        ("rail-users", one(key::ALLOWED_USERS, "Administrator"), true),
        (
            "rail-programs",
            one(key::ALLOWED_EXECUTABLES, r"C:\apps\*"),
            true,
        ),
        (
            "rail-launchers",
            one(key::ALLOWED_LAUNCHERS, "native-host"),
            true,
        ),
        (
            "rail-authorize",
            one(key::AUTHORIZE, "serviceaccount"),
            true,
        ),
        ("rail-none", one(key::AUTHORIZE, "none"), false),
        ("rail-other", one(key::DRAIN_SECONDS, "3"), false),
        ("rail-warn", [RAILS, &[(key::MODE, "warn")]].concat(), false),
        ("rail-off", [RAILS, &[(key::MODE, "off")]].concat(), false),
    ];
    for (ns, policy, guards) in cases {
        stage.namespace(ns, &policy);
        // The API server's own view of the namespace may be a moment old.
        let what = format!("{ns} guards: {guards}");
        crate::support::wait_until(&what, crate::PATIENCE, || {
            let answer = stage.jane.post(&dry(ns, ""), &by_hand("x"));
            (answer.is_err() == guards).then_some(())
        });
    }
    passes(
        "an ordinary pod",
        &stage.jane.post(&dry(GUARDED, ""), &plain("x")),
    );
}
