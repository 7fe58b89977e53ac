//! What a namespace allows may change later, and the controller's own token is held to it.

use native_host::names::label;
use serde_json::json;

use crate::PATIENCE;
use crate::process::Process;
use crate::support::wait_until;
use crate::world::{World, quick, service};

#[test]
fn what_is_allowed_no_longer_is_taken_out() {
    let Some(world) = World::shared() else { return };
    let (namespace, name) = ("rails", "albums");
    world.namespace_with(namespace, "10.245.4.0/25, 10.245.4.128/25");
    let _processes = [Process::start("10.245.4.1"), Process::start("10.245.4.201")];
    world.apply(
        namespace,
        &service(name, &quick("10.245.4.1,10.245.4.201"), ""),
    );
    world.until_ready(namespace, name, &["10.245.4.1", "10.245.4.201"]);

    world.namespace_with(namespace, "10.245.4.0/25");
    world.until_published(namespace, name, &["10.245.4.1"]);
    let said = world.event(namespace, name, "ExternalRefused", "10.245.4.201");
    assert!(said.contains("10.245.4.0/25"), "{said}");

    // A policy that cannot be read takes nothing away and adds nothing.
    world.namespace_with(namespace, "everything");
    world.event(namespace, name, "ExternalRefused", "policy is invalid");
    world.until_published(namespace, name, &["10.245.4.1"]);
    world.namespace_with(namespace, "10.245.4.0/24");
    world.until_ready(namespace, name, &["10.245.4.1", "10.245.4.201"]);

    world.namespace_with(namespace, "192.0.2.0/24");
    world.until_published(namespace, name, &[]);
    assert!(world.slices(namespace, name).is_empty());
}

#[test]
fn a_service_that_came_past_the_webhook_is_checked_again() {
    let Some(world) = World::shared() else { return };
    let (namespace, name) = ("rails-past", "albums");
    world.namespace(namespace);
    // The webhook's objectSelector is on the label: an API server that cannot reach it refuses; here it is
    // passed by an administrator who takes the pods' network for the process's.
    world.node(
        "past",
        &["10.245.5.1", "fd00:245::51"],
        "True",
        &json!({"role": "past"}),
    );
    world.node("pods", &["10.244.5.1"], "True", &json!({"role": "past"}));
    let nodes = [
        ("external-nodes", "role=past"),
        ("external-probe-period", "1s"),
    ];
    world.apply(namespace, &service(name, &nodes, ""));
    world.until_published(namespace, name, &["10.245.5.1"]);
    let said = world.event(namespace, name, "ExternalRefused", "10.244.5.1 (node pods)");
    assert!(said.contains("the cluster's own"), "{said}");
    world.kubectl("default", &["delete", "node", "past", "pods"]);
    world.until_published(namespace, name, &[]);
}

#[test]
fn the_controllers_token_writes_its_own_slices_and_no_others() {
    let Some(world) = World::shared() else { return };
    let namespace = "rails-token";
    world.namespace(namespace);
    world.apply(namespace, &service("albums", &quick("10.245.6.1"), ""));
    world.until_published(namespace, "albums", &["10.245.6.1"]);
    let uid = world.kubectl(
        namespace,
        &["get", "service", "albums", "-o", "jsonpath={.metadata.uid}"],
    );
    let slice = |change: &serde_json::Value| {
        let mut slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "forged", "namespace": namespace,
                "labels": {label::SLICE_MANAGED_BY: label::SLICE_MANAGED_BY_US, label::SERVICE_NAME: "albums"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "albums", "uid": uid, "controller": true}]},
            "endpoints": [{"addresses": ["10.245.6.2"], "conditions": {"ready": true}}], "ports": [{"port": 8080}],
        });
        json_patch::merge(&mut slice, change);
        slice.to_string()
    };
    let token = world.plane.program_kubeconfig("token", None);
    let create = |manifest: &str| {
        let config = format!("--kubeconfig={}", token.display());
        let output = world.plane.kubectl_stdin(
            &[&config, "create", "--dry-run=server", "-f", "-"],
            manifest,
        );
        String::from_utf8(output.stderr).unwrap()
    };
    // The policy takes a moment to be in force.
    wait_until("the policy is in force", PATIENCE, || {
        let said = create(&slice(
            &json!({"metadata": {"labels": {label::SLICE_MANAGED_BY: null}}}),
        ));
        said.contains("EndpointSlices of native-host.io and no others")
            .then_some(())
    });
    for (change, expected) in [
        (
            json!({"metadata": {"labels": {label::SLICE_MANAGED_BY: "me"}}}),
            "writes EndpointSlices of native-host.io",
        ),
        (
            json!({"metadata": {"ownerReferences": null}}),
            "belongs to one Service",
        ),
        (
            json!({"metadata": {"labels": {label::SERVICE_NAME: "other"}}}),
            "belongs to one Service",
        ),
        (
            json!({"endpoints": [{"addresses": ["10.245.6.2"], "targetRef": {"kind": "Pod", "name": "x"}}]}),
            "names no pod",
        ),
        (
            json!({"endpoints": [{"addresses": ["192.0.2.1"]}]}),
            "192.0.2.1 lies in none of the networks",
        ),
        (
            json!({"addressType": "FQDN", "endpoints": [{"addresses": ["x.example"]}]}),
            "holds addresses only",
        ),
    ] {
        let said = create(&slice(&change));
        assert!(said.contains(expected), "{change}: {said}");
    }
    assert_eq!(create(&slice(&json!({}))), "");
}
