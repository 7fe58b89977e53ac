//! Nodes that are gone for good. Of all tests the slowest, so that it had better begin first: tests are
//! begun in the order of their names.

use crate::manifests::Pool;
use crate::nodes::node;
use crate::world::{World, deployment};

#[test]
fn the_pairs_of_a_lost_node_come_back_on_another() {
    let Some(world) = World::shared() else { return };
    let ns = "lost-node";
    world.namespace(ns);
    let pool = Pool::new(world, ns, 1, 20);
    pool.apply(ns, &deployment("albums", 2));
    let (before, old) = world.pairs(ns, 2);
    world.kubelet.pause(&pool.nodes[0]);
    world.plane.kubectl_ok(&["delete", "node", &pool.nodes[0]]);
    pool.add(2, 20);
    // The pod garbage collector waits 40 s, to be sure (`quarantineTime`, pkg/controller/podgc).
    for pod in before.iter().chain(&old) {
        world.until_gone(ns, pod);
    }
    let (after, _) = world.pairs(ns, 2);
    assert!(after.iter().all(|pod| node(pod) == format!("{ns}-2")));
}
