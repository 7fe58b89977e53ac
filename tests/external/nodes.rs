//! Addresses that are nodes': they come, go and turn NotReady.

use serde_json::json;

use crate::process::Process;
use crate::world::{QUICK, World, service, windows};

#[test]
fn addresses_follow_the_nodes() {
    let Some(world) = World::shared() else { return };
    let (namespace, name) = ("nodes", "agents");
    world.namespace(namespace);
    let mut labels = windows();
    labels["pool"] = json!("agents");
    labels["topology.kubernetes.io/zone"] = json!("a");
    world.node("agent-1", &["10.245.20.1"], "True", &labels);
    world.node("agent-2", &["10.245.20.2"], "True", &labels);
    world.node(
        "linux",
        &["10.245.20.9"],
        "True",
        &json!({"pool": "agents", "kubernetes.io/os": "linux"}),
    );
    let _agents = ["10.245.20.1", "10.245.20.2", "10.245.20.3", "10.245.20.9"].map(Process::start);
    let annotations = [
        &QUICK[..],
        &[(
            "external-nodes",
            "kubernetes.io/os=windows,pool in (agents)",
        )],
    ]
    .concat();
    world.apply(namespace, &service(name, &annotations, ""));
    world.until_ready(namespace, name, &["10.245.20.1", "10.245.20.2"]);
    let seen = &world.endpoints(namespace, name)[&"10.245.20.1".parse().unwrap()];
    assert_eq!(
        (seen.node.as_deref(), seen.zone.as_deref()),
        (Some("agent-1"), Some("a"))
    );

    // Its process answers on, and its node is not heard of.
    world.node("agent-1", &["10.245.20.1"], "Unknown", &labels);
    world.until_ready(namespace, name, &["10.245.20.2"]);
    world.until_published(namespace, name, &["10.245.20.1", "10.245.20.2"]);
    world.event(
        namespace,
        name,
        "ExternalDown",
        "10.245.20.1 (node agent-1 is not ready)",
    );
    world.node("agent-1", &["10.245.20.1"], "True", &labels);
    world.until_ready(namespace, name, &["10.245.20.1", "10.245.20.2"]);

    world.node("agent-3", &["10.245.20.3"], "True", &labels);
    world.until_ready(
        namespace,
        name,
        &["10.245.20.1", "10.245.20.2", "10.245.20.3"],
    );
    world.kubectl("default", &["delete", "node", "agent-1"]);
    world.until_published(namespace, name, &["10.245.20.2", "10.245.20.3"]);
    // One that is labelled otherwise is another's.
    world.node(
        "agent-2",
        &["10.245.20.2"],
        "True",
        &json!({"pool": "none"}),
    );
    world.until_published(namespace, name, &["10.245.20.3"]);
    world.kubectl(
        "default",
        &["delete", "node", "agent-2", "agent-3", "linux"],
    );
    world.event(namespace, name, "ExternalRefused", "No node has the labels");
}
