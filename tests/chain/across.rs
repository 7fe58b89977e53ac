//! No request is lost while everything moves that an operator moves.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::load::report::pairs::of_timings;
use crate::load::{Load, Plan};
use crate::world::World;
use crate::{PATIENCE, albums, wait_until};

/// How many requests it takes at least.
const ENOUGH: usize = 20_000;
const NAMESPACE: &str = "across";

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn no_request_fails_while_everything_moves() {
    let world = World::get();
    world.namespace(NAMESPACE, "load");
    let (mut deployment, service) = albums::example(2);
    albums::drains_for_slow_answers(&mut deployment);
    // So that a drain leaves one, as it would in production.
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "albums"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "albums"}}}});
    world.apply(NAMESPACE, &[deployment, service, budget]);
    world.pairs(NAMESPACE, 2);

    let load = Load::start(&Plan {
        rate: 250.0,
        ..Plan::new(world.plane.kubeconfig(), NAMESPACE, "albums")
    });
    wait_until("the first answers", PATIENCE, || {
        (load.count().0 > 500).then_some(())
    });

    load.mark("rolling update");
    roll(world, "1");
    load.mark("scaled to 6");
    scale(world, 6);
    load.mark("scaled to 2");
    scale(world, 2);
    load.mark("win-1 drained");
    drain(world);
    load.mark("controller restarted in a rolling update");
    begin_to_roll(world, "2");
    world.restart_controller();
    world.rolled_out(NAMESPACE, "albums");
    load.mark("webhook restarted in a rolling update");
    begin_to_roll(world, "3");
    world.restart_webhook();
    world.rolled_out(NAMESPACE, "albums");
    world.pairs(NAMESPACE, 2);
    load.mark("enough");
    wait_until("enough requests", PATIENCE, || {
        (load.count().0 >= ENOUGH).then_some(())
    });

    let mut report = load.stop();
    report.pairs = world
        .nodes
        .iter()
        .flat_map(|node| of_timings(&node.timings()))
        .collect();
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chain.html");
    std::fs::write(&page, report.page()).unwrap();
    let sums = report.summary();
    let failures: Vec<String> = report
        .failures()
        .iter()
        .map(|one| format!("{one:?}"))
        .collect();
    assert!(
        failures.is_empty(),
        "{sums:?}, see {}\n{}",
        page.display(),
        failures.join("\n")
    );
    assert!(
        sums.requests >= ENOUGH && sums.slow > 100 && sums.endpoints > 8,
        "{sums:?}"
    );
    println!("{sums:?}; the page: {}", page.display());
}

/// Every pod is replaced.
fn roll(world: &World, version: &str) {
    begin_to_roll(world, version);
    world.rolled_out(NAMESPACE, "albums");
}

fn begin_to_roll(world: &World, version: &str) {
    let instance = format!("INSTANCE={version}");
    world.kubectl(NAMESPACE, &["set", "env", "deployment/albums", &instance]);
    // At least one has come by then.
    std::thread::sleep(Duration::from_millis(500));
}

fn scale(world: &World, replicas: usize) {
    let replicas_flag = format!("--replicas={replicas}");
    world.kubectl(NAMESPACE, &["scale", "deployment/albums", &replicas_flag]);
    world.rolled_out(NAMESPACE, "albums");
    world.pairs(NAMESPACE, replicas);
}

/// As an operator drains a node; it gets its pods back only when something else moves.
fn drain(world: &World) {
    let limit = format!("--timeout={}s", PATIENCE.as_secs());
    let drain = [
        "drain",
        "win-1",
        "--delete-emptydir-data",
        "--ignore-daemonsets",
        &limit,
    ];
    world.plane.kubectl_ok(&drain);
    world.pairs(NAMESPACE, 2);
    world.plane.kubectl_ok(&["uncordon", "win-1"]);
}
