//! The way to the API server is gone for a while, or shaky, or slow.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::PATIENCE;
use crate::admin;
use crate::instance::Instance;
use crate::invariants::{path, polite, rightful};
use crate::stage::{Stage, is_anchor, manifest};
use crate::support::proxy::{Gone, Kind, Moment, Verdict};
use crate::support::wait_until;
use crate::world::{bare, deployment, name, owner, uid};

const NAMESPACE: &str = "outages";
/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(30);

/// Some workloads, up, and an instance that leads.
fn start(flags: &[&str]) -> Option<(Stage, Instance)> {
    let stage = Stage::start()?;
    stage.namespace(NAMESPACE);
    let instance = Instance::start(&stage, "controller", flags);
    instance.until_it_leads();
    stage.create(NAMESPACE, &manifest(&deployment("albums", 4)));
    stage.create(NAMESPACE, &manifest(&bare("solo")));
    stage.until_settled(5);
    Some((stage, instance))
}

fn scale(stage: &Stage, replicas: u32) {
    let path = admin::apps(NAMESPACE, "deployments", "albums");
    let patch = json!({"spec": {"replicas": replicas}});
    wait_until("scaled", PATIENCE, || stage.admin.merge(&path, &patch).ok());
}

/// The anchors whose names begin so.
fn anchors(stage: &Stage, prefix: &str) -> Vec<Value> {
    let mut pods = stage.look().unwrap();
    pods.retain(|pod| is_anchor(pod) && name(pod).starts_with(prefix));
    pods
}

/// Changes of every kind behind the program's back; gives how many pairs there are then.
fn change_everything(stage: &Stage, round: u32) -> usize {
    let albums = anchors(stage, "albums");
    // An HP pod and its anchor go for good, so that no event will tell.
    let (first, second) = (&albums[0], &albums[1]);
    let pods = stage.look().unwrap();
    let hp = pods.iter().find(|pod| uid(pod) == owner(first)).unwrap();
    stage.admin.force_delete(&path(hp)).unwrap();
    // An anchor goes for good.
    stage.admin.force_delete(&path(second)).unwrap();
    stage
        .kubelet
        .new_ip(NAMESPACE, name(&anchors(stage, "solo")[0]));
    stage.create(NAMESPACE, &manifest(&bare(&format!("late-{round}"))));
    let replicas = if round.is_multiple_of(2) { 6 } else { 3 };
    scale(stage, replicas);
    replicas as usize + 2 + round as usize
}

#[test]
fn away_for_half_a_minute_and_watches_cut() {
    let Some((mut stage, instance)) = start(&[]) else {
        return;
    };

    // Cut in the middle, and expired in both ways.
    instance.proxy.cut_watches();
    let count = change_everything(&stage, 0);
    stage.until_settled(count);
    for (round, how) in [(1, Gone::Event), (2, Gone::Status)] {
        instance.proxy.expire_watches(4, how);
        instance.proxy.cut_watches();
        let count = change_everything(&stage, round);
        stage.until_settled(count);
        eprintln!("watches expired by {how:?}: whole again");
    }

    // For this client only: everybody else goes on.
    let refused = Instant::now();
    instance.proxy.refuse();
    let count = change_everything(&stage, 3);
    wait_until("it leads no longer", PATIENCE, || {
        (instance.metric("native_host_leader") == Some(0.0)).then_some(())
    });
    eprintln!("cut off: led no longer after {:?}", refused.elapsed());
    wait_until("it was away for long", PATIENCE, || {
        (refused.elapsed() > AWAY).then_some(())
    });
    let restored = Instant::now();
    instance.proxy.restore();
    stage.until_settled(count);
    eprintln!(
        "cut off for {AWAY:?}: whole again {:?} after",
        restored.elapsed()
    );

    // For everybody.
    let stopped = Instant::now();
    stage.plane.stop_apiserver();
    wait_until("it was away for long", PATIENCE, || {
        (stopped.elapsed() > AWAY).then_some(())
    });
    stage.plane.start_apiserver().unwrap();
    let started = Instant::now();
    let count = change_everything(&stage, 4);
    stage.until_settled(count);
    eprintln!(
        "the API server stopped for {AWAY:?}: whole again {:?} after",
        started.elapsed()
    );
    polite(&instance.proxy.log());
}

#[test]
fn conflicts_failures_and_delays_at_every_write() {
    let Some((stage, instance)) = start(&[]) else {
        return;
    };

    instance.proxy.conflict_first(true);
    let count = change_everything(&stage, 0);
    stage.until_settled(count);
    let conflicts = instance
        .proxy
        .writes()
        .iter()
        .filter(|entry| entry.status == Some(409))
        .count();
    eprintln!("{conflicts} conflicts: whole again");
    assert!(conflicts > 5);
    instance.proxy.conflict_first(false);

    // Every third write fails, before or after it is done.
    let seen = Mutex::new(0_usize);
    instance.proxy.on_call(move |_, call| {
        if call.kind != Kind::Write {
            return Verdict::Pass;
        }
        let mut seen = seen.lock().unwrap();
        *seen += 1;
        let codes = [429, 500, 503, 504];
        match *seen % 6 {
            0 => Verdict::Cut,
            3 => Verdict::Answer(codes[*seen / 6 % codes.len()]),
            _ => Verdict::Pass,
        }
    });
    let count = change_everything(&stage, 1);
    stage.until_settled(count);
    eprintln!("failures: whole again");

    // Slow: each call takes its time.
    instance.proxy.on_call(|moment, call| {
        if moment == Moment::Before && call.kind != Kind::Watch {
            std::thread::sleep(Duration::from_millis(30));
        }
        Verdict::Pass
    });
    let count = change_everything(&stage, 2);
    stage.until_settled(count);
    eprintln!("slow: whole again");
    rightful(&instance.proxy.log());
    polite(&instance.proxy.log());
}
