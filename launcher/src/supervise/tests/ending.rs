//! While the target runs.

use super::super::*;
use super::stage::*;
use crate::probing::Which;

#[test]
fn another_anchor_ends_the_target_at_once() {
    for (from, to) in [
        ("10.244.1.7", "10.244.1.9"),
        ("10:00:00", "10:00:05"),
        ("a-b", "c-d"),
    ] {
        let mut stage = stage([]);
        // Before the new status, one that is being written: that is no other anchor.
        stage.status.push((seconds(20), Some(String::new())));
        stage.status.push((seconds(21), Some("{".to_owned())));
        stage.status.push((seconds(25), None));
        stage
            .status
            .push((seconds(30), Some(STATUS.replace(from, to))));
        let log = through_the_middle(&["end", "end", "leave"]);
        let end = ends(
            &run(),
            stage,
            Exit::AnchorChanged,
            "the anchor was 10.244.1.7 (uid a-b",
            &log,
        );
        assert_eq!(end, seconds(30));
    }
}

#[test]
fn a_failed_probe_asks_first_and_ends_after_the_grace() {
    for (which, exit, own, pods, after) in [
        (Which::Liveness, Exit::LivenessFailed, None, Some(12), 12),
        (Which::Liveness, Exit::LivenessFailed, Some(4), Some(12), 4),
        (Which::Startup, Exit::StartupFailed, None, None, 30),
        (Which::Startup, Exit::StartupFailed, Some(0), Some(12), 0),
    ] {
        let mut run = run();
        run.grace_seconds = pods;
        let stage = stage([(50, failed(which, "http status 503", own))]);
        let log = through_the_middle(&["ask", "end", "end", "leave"]);
        let end = ends(&run, stage, exit, "http status 503", &log);
        assert_eq!(end, seconds(50 + after));
    }
}

#[test]
fn a_failed_probe_is_the_reason_even_if_the_target_then_ends_well() {
    let failed = failed(Which::Liveness, "no answer", None);
    let stage = stage([(50, failed.clone()), (51, failed), (52, Signal::Exited(0))]);
    let log = through_the_middle(&["ask", "end", "leave"]);
    let end = ends(&run(), stage, Exit::LivenessFailed, "no answer", &log);
    assert_eq!(end, seconds(52));
}

#[test]
fn a_probe_that_would_go_elsewhere_ends_the_target() {
    let stage = stage([(5, Signal::ProbeAstray("thread in compartment 1".to_owned()))]);
    let log = through_the_middle(&["end", "end", "leave"]);
    ends(
        &run(),
        stage,
        Exit::CompartmentRefused,
        "thread in compartment 1",
        &log,
    );
}

#[test]
fn a_stop_drains_asks_and_waits_for_the_target() {
    let failed = failed(Which::Liveness, "it is stopping", None);
    let mut stage = stage([
        (10, Signal::Stop(Step::Drain)),
        (12, failed.clone()),
        (15, Signal::Stop(Step::Ask)),
        (16, failed),
        (17, Signal::Stop(Step::Ask)),
        (500, Signal::Exited(0)),
    ]);
    assert_eq!(supervise(&run(), &mut stage), End::Target(0));
    assert_eq!(
        *stage.log.borrow(),
        through_the_middle(&["ask", "end", "leave"])
    );
}

#[test]
fn a_stop_that_has_waited_long_enough_ends_the_target() {
    let stage = stage([
        (10, Signal::Stop(Step::Drain)),
        (15, Signal::Stop(Step::Ask)),
        (45, Signal::Stop(Step::Kill)),
    ]);
    let log = through_the_middle(&["ask", "end", "end", "leave"]);
    ends(&run(), stage, Exit::StopTimeout, "still there", &log);
}

#[test]
fn a_shutdown_leaves_three_and_a_half_seconds() {
    let (closing, asking) = (Signal::Closing, Signal::Stop(Step::Ask));
    // Who was asked before may have had more time. Who was not is not asked: every process is told of a shutdown,
    // and a second event makes many a program give up at once.
    for (first, again, asked, began) in [
        (closing.clone(), closing.clone(), false, 10),
        (asking.clone(), closing.clone(), true, 11),
        (closing, asking, false, 10),
        (Signal::Interrupted, Signal::Closing, true, 10),
    ] {
        let stage = stage([(10, first), (11, again)]);
        let mut after = vec!["ask", "end", "end", "leave"];
        after.drain(..usize::from(!asked));
        let log = through_the_middle(&after);
        let end = ends(&run(), stage, Exit::StopTimeout, "still there", &log);
        assert_eq!(end, seconds(began) + Duration::from_millis(3500));
    }
    let mut quick = stage([(10, Signal::Closing), (12, Signal::Exited(7))]);
    assert_eq!(supervise(&run(), &mut quick), End::Target(7));
}
