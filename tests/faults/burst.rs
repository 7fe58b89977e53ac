//! A thousand pods at once.

use std::time::Instant;

use crate::instance::Instance;
use crate::invariants::{polite, rightful};
use crate::stage::{Stage, manifest};
use crate::support::proxy::Kind;
use crate::world::deployment;

const PAIRS: u32 = 1000;

#[test]
fn a_thousand_pods_at_once() {
    // A pair is two pods.
    let Some(stage) = Stage::with_nodes(20) else {
        return;
    };
    stage.namespace("burst");
    let instance = Instance::start(&stage, "controller", &[]);
    instance.until_it_leads();
    let started = Instant::now();
    stage.create("burst", &manifest(&deployment("albums", PAIRS)));
    stage.until_settled(PAIRS as usize);
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
        "{PAIRS} pairs ready after {:?}, by {} writes and {events} events; {now} KiB resident, {highest} at most",
        started.elapsed(),
        writes.len(),
    );
    // One whose answer did not come in time was created all the same, and is found so by the next try.
    assert!(
        created <= PAIRS as usize,
        "{created} anchors were created for {PAIRS} pods: some were thrown away"
    );
    rightful(&instance.proxy.log());
    polite(&instance.proxy.log());
}
