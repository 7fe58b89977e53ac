//! Two instances, and all that can befall the one that leads: killed, stopped, frozen with a write on
//! its way, told to go; and the Lease itself taken away.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::PATIENCE;
use crate::admin;
use crate::instance::{Instance, LEASE_SECONDS};
use crate::invariants::{path, polite, rightful};
use crate::stage::{Stage, is_anchor, lease_path, manifest};
use crate::support::proxy::{Call, Kind, Moment, Verdict};
use crate::support::wait_until;
use crate::world::{bare, deployment, name, owner, terminating, uid};

const NAMESPACE: &str = "leaders";

/// What the tests of leaders share: who leads, and what is there.
struct Scene {
    stage: Stage,
    leader: Instance,
    other: Instance,
    replicas: u32,
}

impl Scene {
    fn start() -> Option<Self> {
        let stage = Stage::start()?;
        stage.namespace(NAMESPACE);
        let leader = Instance::start(&stage, "controller-a", &[]);
        leader.until_it_leads();
        let other = Instance::start(&stage, "controller-b", &[]);
        stage.create(NAMESPACE, &manifest(&deployment("albums", 4)));
        stage.create(NAMESPACE, &manifest(&bare("solo")));
        let scene = Scene {
            stage,
            leader,
            other,
            replicas: 4,
        };
        scene.settle();
        Some(scene)
    }

    fn settle(&self) -> Vec<Value> {
        self.stage.until_settled(self.replicas as usize + 1)
    }

    fn scale(&mut self, replicas: u32) {
        self.replicas = replicas;
        let path = admin::apps(NAMESPACE, "deployments", "albums");
        let patch = json!({"spec": {"replicas": replicas}});
        self.stage.admin.merge(&path, &patch).unwrap();
    }

    /// The other one leads; gives how long that took.
    fn taken_over(&mut self) -> Duration {
        let started = Instant::now();
        self.other.until_it_leads();
        std::mem::swap(&mut self.leader, &mut self.other);
        started.elapsed()
    }

    /// A pair whose name begins so, and that nobody has deleted.
    fn pair(&self, prefix: &str) -> (Value, Value) {
        wait_until("a live pair", PATIENCE, || {
            let pods = self.stage.look()?;
            let lives = |pod: &&Value| name(pod).starts_with(prefix) && !terminating(pod);
            let mut anchors = pods.iter().filter(lives).filter(|pod| is_anchor(pod));
            anchors.find_map(|anchor| {
                let mut hps = pods.iter().filter(lives);
                let hp = hps.find(|hp| uid(hp) == owner(anchor))?;
                Some((hp.clone(), anchor.clone()))
            })
        })
    }
}

#[test]
fn leaders_come_and_go() {
    let Some(mut scene) = Scene::start() else {
        return;
    };

    // Killed, while there is something to do.
    scene.leader.process().kill();
    scene.scale(6);
    let (_, anchor) = scene.pair("solo");
    scene.stage.admin.delete(&path(&anchor)).unwrap();
    let took = scene.taken_over();
    eprintln!(
        "a leader was killed: the other led after {took:?}; the Lease lasts {LEASE_SECONDS} s"
    );
    scene.settle();
    scene.other.begin();

    // Stopped for longer than its Lease, and continued while pairs come and go.
    scene.leader.process().signal("STOP");
    scene.scale(3);
    let took = scene.taken_over();
    eprintln!("a leader was stopped: the other led after {took:?}");
    scene.scale(7);
    scene.other.process().signal("CONT");
    let (_, anchor) = scene.pair("albums");
    scene.stage.admin.delete(&path(&anchor)).unwrap();
    scene.settle();
    wait_until("the old leader knows", PATIENCE, || {
        (scene.other.metric("native_host_leader") == Some(0.0)).then_some(())
    });
    assert!(scene.leader.leads());

    // Cut off: it leads no longer when the other one does.
    scene.leader.proxy.refuse();
    scene.scale(5);
    let (mut both, cut_off) = (0, Instant::now());
    wait_until("the other leads", PATIENCE, || {
        // Asked before and after, so that both did at one moment.
        let before = scene.leader.leads();
        let other = scene.other.leads();
        both += usize::from(before && other && scene.leader.leads());
        (other && !before).then_some(())
    });
    eprintln!(
        "a leader was cut off: the other led after {:?}; {both} looks saw both lead",
        cut_off.elapsed()
    );
    assert_eq!(both, 0, "two led at once");
    std::mem::swap(&mut scene.leader, &mut scene.other);
    scene.other.proxy.restore();
    scene.settle();

    // Told to go: the Lease is free at once.
    scene.leader.terminate();
    let took = scene.taken_over();
    eprintln!("a leader was told to go: the other led after {took:?}");
    scene.other.begin();
    scene.scale(4);
    scene.settle();

    // The Lease is deleted: there is another one, and somebody leads.
    scene.stage.admin.delete(&lease_path()).unwrap();
    wait_until("there is a Lease again", PATIENCE, || {
        let lease = scene.stage.admin.get(&lease_path()).ok()?;
        lease["spec"]["holderIdentity"].as_str().map(drop)
    });
    scene.scale(5);
    scene.settle();

    for instance in [&scene.leader, &scene.other] {
        rightful(&instance.proxy.log());
        polite(&instance.proxy.log());
    }
}

/// Whether a write is of a kind.
type Which = fn(&Call) -> bool;

/// Holds the first write of a kind on its way to the API server, and stops the process that made it:
/// it has passed the fence.
fn hold(instance: &Instance, which: Which) -> (Receiver<()>, Sender<()>) {
    let (held, is_held) = channel();
    let (go, gone) = channel::<()>();
    let (process, gone, once) = (instance.process(), Mutex::new(gone), AtomicBool::new(true));
    instance.proxy.on_call(move |moment, call| {
        let now = moment == Moment::Before && call.kind == Kind::Write && which(call);
        if now && once.swap(false, Ordering::SeqCst) {
            process.signal("STOP");
            held.send(()).unwrap();
            // The proxy waits too, and so all that comes after it.
            let _ = gone.lock().unwrap().recv();
        }
        Verdict::Pass
    });
    (is_held, go)
}

fn creates(call: &Call) -> bool {
    call.method == "POST"
}

fn publishes(call: &Call) -> bool {
    call.method == "PATCH" && call.json()["metadata"]["annotations"].is_object()
}

fn sets_a_gate(call: &Call) -> bool {
    call.method == "PATCH" && call.path.ends_with("/status")
}

fn ends_an_anchor(call: &Call) -> bool {
    call.method == "DELETE" && call.path.contains("-anchor-")
}

fn replaces(call: &Call) -> bool {
    call.method == "DELETE" && !call.path.contains("-anchor-")
}

#[test]
fn a_write_that_passed_the_fence_and_comes_late_does_no_harm() {
    let Some(mut scene) = Scene::start() else {
        return;
    };
    let rounds: [(&str, Which, &[u16]); 5] = [
        // Nobody's by now: accepted, and taken away again.
        ("create", creates, &[201]),
        ("publish", publishes, &[409, 404]),
        ("gate", sets_a_gate, &[409, 404]),
        ("delete", ends_an_anchor, &[409, 404]),
        ("replace", replaces, &[409, 404]),
    ];
    for (what, which, answers) in rounds {
        scene.leader.proxy.clear_log();
        let (held, go) = hold(&scene.leader, which);
        let (hp, anchor) = scene.pair("albums");
        match what {
            "create" => scene.scale(scene.replicas + 1),
            "delete" => drop(scene.stage.admin.delete(&path(&hp)).unwrap()),
            "replace" => drop(scene.stage.admin.delete(&path(&anchor)).unwrap()),
            _ => {
                let (_, anchor) = scene.pair("solo");
                scene.stage.kubelet.new_ip(NAMESPACE, name(&anchor));
            }
        }
        held.recv_timeout(PATIENCE).unwrap();
        let started = Instant::now();
        scene.taken_over();
        if what == "create" {
            // The pod that the write is for goes, whole as it is by now.
            scene.settle();
            let pods = scene.stage.look().unwrap();
            let newest = pods.iter().filter(|pod| !is_anchor(pod)).max_by_key(|pod| {
                pod["metadata"]["creationTimestamp"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            });
            scene
                .stage
                .admin
                .force_delete(&path(newest.unwrap()))
                .unwrap();
        }
        scene.settle();
        go.send(()).unwrap();
        let late = wait_until("the late write is answered", PATIENCE, || {
            let log = scene.other.proxy.log().into_iter();
            let mut writes =
                log.filter(|entry| entry.call.kind == Kind::Write && which(&entry.call));
            writes.next_back()
        });
        scene.other.process().signal("CONT");
        eprintln!("late by {:?}: {late}", started.elapsed());
        assert!(answers.contains(&late.status.unwrap()), "{late}");
        scene.settle();
        wait_until("the old leader knows", PATIENCE, || {
            (scene.other.metric("native_host_leader") == Some(0.0)).then_some(())
        });
        scene.settle();
    }
}

#[test]
fn killed_at_its_leases_and_events() {
    let Some(mut scene) = Scene::start() else {
        return;
    };
    scene.other.terminate();
    let kinds = [
        (Kind::Lease, Moment::Before, 1),
        (Kind::Lease, Moment::After, 1),
        (Kind::Lease, Moment::After, 2),
        (Kind::Event, Moment::Before, 1),
        (Kind::Event, Moment::After, 1),
    ];
    for (kind, moment, nth) in kinds {
        if kind == Kind::Lease {
            // The first ones of a life are those by which it takes the Lease.
            scene.leader.terminate();
        }
        let (process, left) = (scene.leader.process(), Mutex::new(nth));
        scene.leader.proxy.on_call(move |when, call| {
            if call.kind == kind && when == moment {
                let mut left = left.lock().unwrap();
                *left -= 1;
                if *left == 0 {
                    process.kill();
                    return Verdict::Cut;
                }
            }
            Verdict::Pass
        });
        if kind == Kind::Lease {
            scene.leader.begin();
        }
        scene.scale(if scene.replicas == 4 { 6 } else { 4 });
        wait_until("it is killed", PATIENCE, || {
            scene.leader.is_killed().then_some(())
        });
        scene.leader.begin();
        scene.settle();
        eprintln!("killed {moment:?} {kind:?} {nth}: whole again");
    }
    rightful(&scene.leader.proxy.log());
    polite(&scene.leader.proxy.log());
}
