//! Tests of [`super`].

#![allow(clippy::unwrap_used)]

use super::*;
use crate::probe::Action;
use proptest::prelude::*;

fn probe(initial_delay: u32, period: u32, failures: u32) -> Probe {
    Probe {
        action: Action::Tcp { port: 80 },
        initial_delay,
        period,
        timeout: 1,
        failure_threshold: failures,
        success_threshold: 1,
        grace: None,
    }
}

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn failure() -> Outcome {
    Outcome::Failure("no".to_owned())
}

fn due(schedule: &Schedule) -> (Which, u64) {
    let due = schedule.due().unwrap();
    (due.which, due.at.as_secs())
}

#[test]
fn a_startup_probe_gives_threshold_times_period() {
    let mut schedule = Schedule::new(Some(probe(0, 10, 30)), Some(probe(0, 10, 3)));
    let mut verdict = Verdict::Unchanged;
    for attempt in 1..=30 {
        assert_eq!(verdict, Verdict::Unchanged);
        assert_eq!(due(&schedule), (Which::Startup, attempt * 10));
        verdict = schedule.record(seconds(attempt * 10), &failure());
    }
    let Verdict::Failed(failed) = verdict else {
        unreachable!("{verdict:?}")
    };
    assert_eq!((failed.which, failed.times), (Which::Startup, 30));
    assert_eq!(failed.which.exit(), Exit::StartupFailed);
    assert_eq!(schedule.due(), None);
}

#[test]
fn liveness_waits_for_startup() {
    let mut schedule = Schedule::new(Some(probe(5, 2, 30)), Some(probe(0, 10, 1)));
    assert_eq!(due(&schedule), (Which::Startup, 5));
    assert_eq!(schedule.record(seconds(5), &failure()), Verdict::Unchanged);
    assert_eq!(due(&schedule), (Which::Startup, 7));
    assert_eq!(
        schedule.record(seconds(7), &Outcome::Success),
        Verdict::Started
    );
    assert_eq!(due(&schedule), (Which::Liveness, 17));
    assert!(matches!(
        schedule.record(seconds(17), &failure()),
        Verdict::Failed(_)
    ));
    assert_eq!(schedule.due(), None);
}

/// `initialDelaySeconds` counts from the start of the container (`StartedAt` in `doProbe`).
#[test]
fn a_delay_counts_from_the_start_of_the_program() {
    let mut schedule = Schedule::new(Some(probe(0, 1, 30)), Some(probe(60, 10, 1)));
    schedule.record(seconds(3), &Outcome::Success);
    assert_eq!(due(&schedule), (Which::Liveness, 60));
    assert_eq!(
        due(&Schedule::new(None, Some(probe(5, 10, 3)))),
        (Which::Liveness, 10)
    );
    assert_eq!(
        due(&Schedule::new(None, Some(probe(25, 10, 3)))),
        (Which::Liveness, 25)
    );
}

#[test]
fn only_failures_in_a_row_count() {
    let mut schedule = Schedule::new(None, Some(probe(0, 1, 2)));
    let outcomes = [
        failure(),
        Outcome::Success,
        failure(),
        Outcome::Warning("elsewhere".to_owned()),
        failure(),
        // Neither ends the row nor is part of it.
        Outcome::Unknown("cut off".to_owned()),
    ];
    for outcome in outcomes {
        let now = schedule.due().unwrap().at;
        assert_eq!(schedule.record(now, &outcome), Verdict::Unchanged);
    }
    let now = schedule.due().unwrap().at;
    assert!(matches!(
        schedule.record(now, &failure()),
        Verdict::Failed(_)
    ));
}

#[test]
fn a_startup_probe_may_need_several_successes() {
    let mut startup = probe(0, 1, 3);
    startup.success_threshold = 2;
    let mut schedule = Schedule::new(Some(startup), None);
    assert_eq!(
        schedule.record(seconds(1), &Outcome::Success),
        Verdict::Unchanged
    );
    assert_eq!(
        schedule.record(seconds(2), &Outcome::Success),
        Verdict::Started
    );
    assert_eq!(schedule.due(), None);
}

#[test]
fn who_comes_late_finds_one_tick_and_then_the_beat() {
    let mut schedule = Schedule::new(None, Some(probe(0, 10, 9)));
    schedule.record(seconds(45), &failure());
    assert_eq!(due(&schedule), (Which::Liveness, 40));
    schedule.record(seconds(46), &failure());
    assert_eq!(due(&schedule), (Which::Liveness, 50));
}

/// What happens in one attempt: how late it begins and how long it takes, in milliseconds, and how it ends.
type Step = (u64, u64, u8);

fn outcome(kind: u8) -> Outcome {
    match kind {
        0 => Outcome::Success,
        1 => Outcome::Warning(String::new()),
        2 => Outcome::Unknown(String::new()),
        _ => failure(),
    }
}

fn any_probe() -> impl Strategy<Value = Probe> {
    (0_u32..40, 1_u32..12, 1_u32..5, 1_u32..4).prop_map(|(delay, period, failures, successes)| {
        Probe {
            success_threshold: successes,
            ..probe(delay, period, failures)
        }
    })
}

proptest! {
    /// The rules of `worker.go`, counted from the outside: over everything that can happen, a verdict
    /// follows from the results since the probe began, and from nothing else.
    #[test]
    fn verdicts_follow_from_the_row_of_results(
        startup in proptest::option::of(any_probe()),
        liveness in proptest::option::of(any_probe()),
        steps in proptest::collection::vec((0_u64..2000, 0_u64..30_000, 0_u8..6), 0..60),
    ) {
        let mut schedule = Schedule::new(startup.clone(), liveness.clone());
        let mut now = Duration::ZERO;
        let mut results: Vec<bool> = Vec::new();
        let mut started = startup.is_none();
        let mut last: Option<(Which, Duration)> = None;
        for step in steps {
            let (late, takes, kind): Step = step;
            let Some(due) = schedule.due() else { break };
            let (which, at, spec) = (due.which, due.at, due.probe.clone());
            // One probe at a time, and liveness only when the program has started.
            prop_assert_eq!(which == Which::Liveness, started);
            prop_assert!(at >= seconds(spec.initial_delay.into()));
            prop_assert!(at >= seconds(spec.period.into()));
            if let Some((before, time)) = last && before == which {
                // On the beat, each beat once.
                prop_assert!(at > time);
                prop_assert_eq!(at.saturating_sub(time).as_nanos() % seconds(spec.period.into()).as_nanos(), 0);
            }
            // Never more than one attempt behind.
            prop_assert!(at + seconds(spec.period.into()) > now);
            last = Some((which, at));

            now = now.max(at) + Duration::from_millis(late + takes);
            let outcome = outcome(kind);
            if !matches!(outcome, Outcome::Unknown(_)) {
                results.push(!matches!(outcome, Outcome::Failure(_)));
            }
            let newest = results.last().copied();
            let row = results.iter().rev().take_while(|&&result| Some(result) == newest).count();
            let counts = !matches!(outcome, Outcome::Unknown(_));
            let failed = counts && newest == Some(false) && row >= spec.failure_threshold as usize;
            let succeeded = counts && newest == Some(true) && row >= spec.success_threshold as usize;
            match schedule.record(now, &outcome) {
                Verdict::Failed(told) => {
                    prop_assert!(failed);
                    prop_assert_eq!(told.which, which);
                    prop_assert_eq!(schedule.due(), None);
                    prop_assert_eq!(schedule.record(now, &outcome), Verdict::Unchanged);
                }
                Verdict::Started => {
                    prop_assert!(succeeded && which == Which::Startup);
                    started = true;
                    results.clear();
                    let next = schedule.due().map(|due| due.at);
                    let wanted = liveness.as_ref().map(|probe| {
                        seconds(probe.initial_delay.into()).max(now + seconds(probe.period.into()))
                    });
                    prop_assert_eq!(next, wanted);
                }
                Verdict::Unchanged => {
                    prop_assert!(!failed);
                    prop_assert!(which == Which::Liveness || !succeeded);
                }
            }
        }
    }

    #[test]
    fn no_number_overflows(delay: u32, period: u32, failures in 1_u32.., late: u32) {
        let mut schedule = Schedule::new(None, Some(probe(delay, period, failures)));
        for _ in 0..3 {
            let Some(due) = schedule.due() else { break };
            let now = due.at + seconds(late.into());
            schedule.record(now, &failure());
        }
    }
}
