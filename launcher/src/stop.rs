//! `stop`, the container's preStop hook: how it reaches the `run` of its container, and what it says when.
//!
//! ```text
//! stop                       run
//!  │ drain ─────────────────► no probe counts any more; the target serves on
//!  │ (--drain seconds)
//!  │ ask ───────────────────► CTRL_BREAK, WM_CLOSE
//!  │ (--grace seconds)
//!  │ kill ──────────────────► TerminateJobObject
//!  ◄──────────────────────── the mutex is free: the target is gone, the compartment left
//! ```
//!
//! Three named events and a mutex, all of which `run` makes. The events are manual-reset and only ever set, so a
//! second `stop` changes nothing that a first one began, and both return when the target is gone. The mutex is
//! owned by `run` for as long as it lives: Windows gives it up even for a process that was ended from
//! outside, so no `stop` waits for a launcher that is not there.
//!
//! Events carry no numbers, so the seconds stay with `stop`. If that is ended itself (the kubelet gives up on it at
//! the end of the grace period), hcsshim ends the whole container next.

use std::time::Duration;

use crate::command::{Stop, stop_event};
use crate::exit::Exit;
use crate::supervise::Step;

/// The names of what `run` makes for `stop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Owned by `run` while it lives.
    pub running: String,
    /// The events, for each [`Step`] in order.
    pub steps: [(Step, String); 3],
}

impl Names {
    /// For one container of one pod.
    pub fn new(pod_uid: &str, container: &str) -> Self {
        let base = stop_event(pod_uid, container);
        Self {
            running: format!("{base}.running"),
            steps: [
                (Step::Drain, base.clone()),
                (Step::Ask, format!("{base}.ask")),
                (Step::Kill, format!("{base}.kill")),
            ],
        }
    }
}

/// How long a target's end may take once it was ended, and the leaving of its compartment.
const LAST: Duration = Duration::from_secs(10);

/// The `run` of the container, seen from `stop`.
pub trait Running {
    /// Sets the event of a step.
    fn signal(&self, step: Step) -> Result<(), String>;
    /// Waits until `run` is gone, at most so long; whether it is.
    fn gone_within(&self, time: Duration) -> bool;
}

/// Stops it. Nothing, if the target ended by itself.
pub fn stop(asked: &Stop, running: &impl Running) -> Result<(), (Exit, String)> {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let plan = [
        (Step::Drain, seconds(asked.drain_seconds)),
        (Step::Ask, seconds(asked.grace_seconds)),
    ];
    let signal = |step| running.signal(step).map_err(|why| (Exit::System, why));
    for (step, time) in plan {
        signal(step)?;
        if running.gone_within(time) {
            return Ok(());
        }
    }
    signal(Step::Kill)?;
    let slow = format!(
        "the program was still there after {} s, and was ended",
        asked.grace_seconds
    );
    if running.gone_within(LAST) {
        Err((Exit::StopTimeout, slow))
    } else {
        Err((
            Exit::StopTimeout,
            format!("{slow}; its launcher is still there"),
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    struct Fake {
        now: Cell<Duration>,
        ends: Duration,
        broken: Option<Step>,
        signals: RefCell<Vec<(Duration, Step)>>,
    }

    impl Running for Fake {
        fn signal(&self, step: Step) -> Result<(), String> {
            self.signals.borrow_mut().push((self.now.get(), step));
            if self.broken == Some(step) {
                Err("SetEvent: 6".to_owned())
            } else {
                Ok(())
            }
        }

        fn gone_within(&self, time: Duration) -> bool {
            let until = self.now.get() + time;
            self.now.set(until.min(self.ends.max(self.now.get())));
            self.now.get() >= self.ends
        }
    }

    fn fake(ends: u64) -> Fake {
        Fake {
            now: Cell::default(),
            ends: Duration::from_secs(ends),
            broken: None,
            signals: RefCell::default(),
        }
    }

    const STOP: Stop = Stop {
        container: String::new(),
        drain_seconds: 5,
        grace_seconds: 28,
    };

    #[test]
    fn drains_asks_and_ends_in_time() {
        for (ends, signals, end) in [
            (3, &[(0, Step::Drain)][..], 3),
            (20, &[(0, Step::Drain), (5, Step::Ask)], 20),
            (33, &[(0, Step::Drain), (5, Step::Ask)], 33),
        ] {
            let fake = fake(ends);
            assert_eq!(stop(&STOP, &fake), Ok(()));
            let expected: Vec<_> = signals
                .iter()
                .map(|&(at, step)| (Duration::from_secs(at), step))
                .collect();
            assert_eq!(*fake.signals.borrow(), expected);
            assert_eq!(fake.now.get(), Duration::from_secs(end));
        }
    }

    #[test]
    fn a_target_that_stays_is_ended_and_told_of() {
        for (ends, why) in [
            (34, "still there after 28 s"),
            (600, "its launcher is still there"),
        ] {
            let fake = fake(ends);
            let (exit, said) = stop(&STOP, &fake).unwrap_err();
            assert_eq!(exit, Exit::StopTimeout);
            assert!(said.contains(why), "{said}");
            assert_eq!(
                fake.signals.borrow()[2],
                (Duration::from_secs(33), Step::Kill)
            );
        }
    }

    #[test]
    fn what_cannot_be_signalled_is_said() {
        let fake = Fake {
            broken: Some(Step::Ask),
            ..fake(600)
        };
        assert_eq!(
            stop(&STOP, &fake),
            Err((Exit::System, "SetEvent: 6".to_owned()))
        );
    }

    #[test]
    fn no_two_containers_share_a_name() {
        let mut all = Vec::new();
        for container in ["a", "a.ask", "a.running"] {
            let names = Names::new("6e7e", container);
            all.push(names.running);
            all.extend(names.steps.map(|(_, name)| name));
        }
        let mut distinct = all.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
    }
}
