//! Hundreds of pods at once; `NATIVE_HOST_BURST=1000` has a thousand come, as docs/scale.md tells of.

use std::time::Instant;

use crate::instance::Instance;
use crate::invariants::{polite, rightful};
use crate::stage::{Stage, manifest};
use crate::support::proxy::Kind;
use crate::world::deployment;

/// So many, unless said otherwise. A debug build shares the machine with other tests here.
const PAIRS: u32 = 400;

#[test]
fn hundreds_of_pods_at_once() {
    let pairs = std::env::var("NATIVE_HOST_BURST").map_or(PAIRS, |pairs| pairs.parse().unwrap());
    // A pair is two pods, and a node takes 110.
    let Some(stage) = Stage::with_nodes((pairs / 50) as usize + 1) else {
        return;
    };
    stage.namespace("burst");
    let instance = Instance::start(&stage, "controller", &[]);
    instance.until_it_leads();
    let started = Instant::now();
    stage.create("burst", &manifest(&deployment("albums", pairs)));
    stage.until_settled(pairs as usize);
    let (now, highest) = instance.memory();
    let writes = instance.proxy.writes();
    let created = writes
        .iter()
        .filter(|entry| entry.call.method == "POST" && entry.status == Some(201))
        .count();
    let events = instance.proxy.log();
    let events = events
        .iter()
        .filter(|entry| entry.call.kind == Kind::Event)
        .count();
    eprintln!(
        "{pairs} pairs ready after {:?}, by {} writes and {events} events; {now} KiB resident, {highest} at most",
        started.elapsed(),
        writes.len(),
    );
    // One whose answer did not come in time was created all the same, and is found so by the next try.
    assert!(
        created <= pairs as usize,
        "{created} anchors were created for {pairs} pods: some were thrown away"
    );
    rightful(&instance.proxy.log());
    polite(&instance.proxy.log());
}
