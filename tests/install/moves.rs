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
const MANY: usize = 100;
/// For how long a replica is frozen.
const FROZEN: Duration = Duration::from_secs(20);

/// The cluster, and what is asked of it.
struct Scene {
    plane: ControlPlane,
    service: Service,
    recipe: Recipe,
}

impl Scene {
    fn start() -> Option<Self> {
        let plane = ControlPlane::start_or_skip(&Options::default())?;
        let overlay = path("deploy/overlays/self-signed");
        let objects = build(&plane, &overlay);
        apply(&plane, &overlay);
        Some(Scene {
            plane,
            service: Service::start(&objects),
            recipe: Recipe::of(&objects),
        })
    }

    /// Another replica, ready.
    fn replica(&self, name: &'static str) -> Instance {
        let plane = &self.plane;
        let instance = Instance::start(plane, name, &self.recipe, plane.folder(), MORE);
        self.service.add(&instance);
        instance
    }

    /// From now on the API server asks.
    fn put_in_force(&self) {
        wait_until("both configurations know the CA", PATIENCE, || {
            let all = configurations(&self.plane);
            let known = |one| bundles(one).iter().all(|bundle| !bundle.is_empty());
            all.iter().all(known).then_some(())
        });
        point_at(&self.plane, [self.service.port, self.service.port]);
        make_namespace(&self.plane, "moves");
        wait_until("the webhooks are asked", PATIENCE, || {
            injected(&self.plane, "moves")
        });
    }

    fn stream(&self) -> Stream {
        let stream = Stream::start(&self.plane, "moves", &[]);
        many(&stream);
        stream
    }

    /// Nothing fails any more.
    fn all_is_well(&self, when: &str) {
        self.stream().end(when);
    }
}

/// Waits until that many more were created.
fn many(stream: &Stream) {
    let until = stream.created() + MANY;
    wait_until("many more creates", PATIENCE, || {
        (stream.created() >= until).then_some(())
    });
}

#[test]
fn no_create_fails_that_need_not_while_everything_moves() {
    let Some(mut scene) = Scene::start() else {
        return;
    };
    let replicas = ["moves-a", "moves-b"].map(|name| scene.replica(name));
    scene.put_in_force();
    let [kept, lost] = rolled_out_anew(&scene, replicas);
    one_is_killed(&scene, lost);
    let _another = scene.replica("moves-e");
    one_is_frozen(&scene, &kept);

    // The API server crashes: it cannot be asked, and as soon as it can be, it asks the webhooks.
    let under_way = scene.stream();
    scene.plane.restart_apiserver();
    many(&under_way);
    let failures = under_way.failures("the API server was away");
    told(&failures);
    for failure in &failures {
        assert!(
            !failure.contains("without having been injected"),
            "{failure}"
        );
    }
    scene.all_is_well("the API server is back");
}

/// As `kubectl rollout restart` does it: a new one is ready before an old one goes.
fn rolled_out_anew(scene: &Scene, old: [Instance; 2]) -> [Instance; 2] {
    let under_way = scene.stream();
    let mut names = ["moves-c", "moves-d"].into_iter();
    let new = old.map(|old| {
        let new = scene.replica(names.next().unwrap());
        scene.service.remove(old.https);
        old.signal("TERM");
        old.until_it_ends();
        many(&under_way);
        new
    });
    under_way.end("a rolling restart");
    new
}

/// What was on its way to it fails, and nothing after that.
fn one_is_killed(scene: &Scene, lost: Instance) {
    let under_way = scene.stream();
    let (https, killed) = (lost.https, Instant::now());
    lost.signal("KILL");
    lost.until_it_ends();
    scene.service.remove(https);
    println!(
        "killed, and no endpoint any more after {:?}",
        killed.elapsed()
    );
    many(&under_way);
    told(&under_way.failures("a replica was killed"));
    scene.all_is_well("after it was killed");
}

/// It accepts and never answers. Until it is no endpoint any more, whatever reaches it waits for the webhook's timeout
/// and fails.
fn one_is_frozen(scene: &Scene, frozen: &Instance) {
    let under_way = scene.stream();
    let since = Instant::now();
    frozen.signal("STOP");
    wait_until("the frozen one is no endpoint", PATIENCE, || {
        (scene.service.ready() == 1).then_some(())
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
    // Each of the two clients has one request under way at a time, by two webhooks; each of these waits for 5 s, and finds it
    // again only while it is an endpoint.
    assert!(failures.len() <= 12, "{}", failures.len());
    scene.all_is_well("later, while it is frozen");
    frozen.signal("CONT");
    wait_until("it is an endpoint again", PATIENCE, || {
        (scene.service.ready() == 2).then_some(())
    });
    scene.all_is_well("thawed");
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
