//! Labelled pods are created without a pause while the program's replicas are exchanged, killed and frozen,
//! and while the API server goes. docs/operations.md has the figures, and says where each failure comes from.

use std::time::{Duration, Instant};

use crate::certificates::{injected, make_namespace};
use crate::deploy::{apply, build, bundles, configurations, path, point_at};
use crate::instance::{Instance, Recipe};
use crate::service::Service;
use crate::stream::Stream;
use crate::support::{ControlPlane, Options};
use crate::{PATIENCE, wait_until};

/// Without a cluster's network the address that is called is this one.
const MORE: &[&str] = &["--self-signed-name=127.0.0.1"];
/// How many creates show that things are as they were.
const MANY: usize = 200;
/// For how long a replica is frozen.
const FROZEN: Duration = Duration::from_secs(20);

#[test]
fn no_create_fails_that_need_not_while_everything_moves() {
    let Some(mut plane) = ControlPlane::start_or_skip(&Options::default()) else {
        return;
    };
    let overlay = path("deploy/overlays/self-signed");
    let objects = build(&plane, &overlay);
    let recipe = Recipe::of(&objects);
    let service = Service::start(&objects);
    apply(&plane, &overlay);
    let begin = |plane: &ControlPlane, name| {
        let instance = Instance::start(plane, name, &recipe, plane.folder(), MORE);
        service.add(&instance);
        instance
    };
    let [a, b] = ["moves-a", "moves-b"].map(|name| begin(&plane, name));
    wait_until("both configurations know the CA", PATIENCE, || {
        let all = configurations(&plane);
        let known = all
            .iter()
            .all(|one| bundles(one).iter().all(|bundle| !bundle.is_empty()));
        known.then_some(())
    });
    point_at(&plane, [service.port, service.port]);
    make_namespace(&plane, "moves");
    wait_until("the webhooks are asked", PATIENCE, || {
        injected(&plane, "moves")
    });
    let stream = |plane: &ControlPlane| Stream::start(plane, "moves", &[]);
    let many = |stream: &Stream| {
        let until = stream.created() + MANY;
        wait_until("many more creates", PATIENCE, || {
            (stream.created() >= until).then_some(())
        });
    };

    // kubectl rollout restart: a new one is ready before an old one goes.
    let under_way = stream(&plane);
    let mut running = Vec::new();
    for (old, new) in [(a, "moves-c"), (b, "moves-d")] {
        running.push(begin(&plane, new));
        service.remove(old.https);
        old.signal("TERM");
        old.until_it_ends();
        many(&under_way);
    }
    under_way.end("a rolling restart");

    // Killed: what was on its way to it fails, nothing after that.
    let d = running.pop().unwrap();
    let under_way = stream(&plane);
    many(&under_way);
    let (https, killed) = (d.https, Instant::now());
    d.signal("KILL");
    d.until_it_ends();
    service.remove(https);
    println!(
        "killed, and no endpoint any more after {:?}",
        killed.elapsed()
    );
    many(&under_way);
    let failures = under_way.failures("a replica was killed");
    told(&failures);
    let under_way = stream(&plane);
    many(&under_way);
    under_way.end("after it was killed");
    running.push(begin(&plane, "moves-e"));

    // Frozen: it accepts and never answers. Until it is no endpoint any more, whatever reaches it waits for the webhook's
    // timeout and fails.
    let frozen = &running[0];
    let under_way = stream(&plane);
    many(&under_way);
    let since = Instant::now();
    frozen.signal("STOP");
    wait_until("the frozen one is no endpoint", PATIENCE, || {
        (service.ready() == 1).then_some(())
    });
    println!(
        "frozen, and no endpoint any more after {:?}",
        since.elapsed()
    );
    wait_until("it was frozen for long", PATIENCE, || {
        (since.elapsed() > FROZEN).then_some(())
    });
    many(&under_way);
    let failures = under_way.failures("a replica was frozen");
    told(&failures);
    let under_way = stream(&plane);
    many(&under_way);
    under_way.end("later, while it is frozen");
    frozen.signal("CONT");
    wait_until("it is an endpoint again", PATIENCE, || {
        (service.ready() == 2).then_some(())
    });
    let under_way = stream(&plane);
    many(&under_way);
    under_way.end("thawed");

    // The API server crashes: it cannot be asked, and as soon as it can be, it asks the webhooks.
    let under_way = stream(&plane);
    many(&under_way);
    plane.restart_apiserver();
    many(&under_way);
    let failures = under_way.failures("the API server was away");
    told(&failures);
    for failure in &failures {
        assert!(
            !failure.contains("without having been injected"),
            "{failure}"
        );
    }
    let under_way = stream(&plane);
    many(&under_way);
    under_way.end("the API server is back");
}

/// Prints each kind of failure once, and how often it was.
fn told(failures: &[String]) {
    let mut kinds = std::collections::BTreeMap::<&str, usize>::new();
    for failure in failures {
        *kinds.entry(failure).or_default() += 1;
    }
    for (failure, times) in kinds {
        println!("  {times} times: {failure}");
    }
}
