//! Every kind of workload becomes pairs, by plain kubectl.

use crate::world::{World, bare, deployment, name, owner, uid};

#[test]
fn a_bare_pod_gets_its_anchor_and_is_ready() {
    let Some(world) = World::shared() else { return };
    world.namespace("bare");
    world.apply("bare", &bare("solo"));
    let (pods, anchors) = world.pairs("bare", 1);
    assert_eq!(owner(&anchors[0]), uid(&pods[0]));
    assert!(
        world
            .event("bare", "solo", "AnchorStarted")
            .contains("10.244.")
    );
    world.kubectl("bare", &["delete", "pod", "solo"]);
    world.pairs("bare", 0);
}

#[test]
fn a_deployment_scales_and_rolls() {
    let Some(world) = World::shared() else { return };
    world.namespace("rolls");
    world.apply("rolls", &deployment("albums", 2));
    world.pairs("rolls", 2);
    world.kubectl("rolls", &["scale", "deployment/albums", "--replicas=4"]);
    let (before, _) = world.pairs("rolls", 4);
    world.kubectl(
        "rolls",
        &[
            "set",
            "image",
            "deployment/albums",
            "albums=registry.example/albums:2",
        ],
    );
    world.kubectl(
        "rolls",
        &["rollout", "status", "deployment/albums", "--timeout=120s"],
    );
    let (after, _) = world.pairs("rolls", 4);
    assert!(
        after
            .iter()
            .all(|pod| before.iter().all(|old| name(old) != name(pod)))
    );
}
