//! Probing a running program, on one thread, until a probe fails or the program is gone.

use std::time::Duration;

use super::schedule::{Failed, Schedule, Verdict, Which};
use super::{Due, Outcome};

/// Time, as far as probing needs it.
pub trait Clock {
    /// How long ago the program was started.
    fn now(&self) -> Duration;

    /// Waits until a moment; `false`, and at once, if there is nothing left to probe: the program ended, or is
    /// being stopped. (A pod that is being deleted is not probed any more, `doProbe` in worker.go.)
    fn wait_until(&self, at: Duration) -> bool;
}

/// Probes until a probe has failed for good, or there is nothing to probe any more.
///
/// `attempt` makes one attempt. `said` hears what is worth a line: that the program has started, and every
/// attempt that did not simply succeed.
pub fn watch(
    mut schedule: Schedule,
    clock: &dyn Clock,
    attempt: &mut dyn FnMut(&Due<'_>) -> Outcome,
    said: &mut dyn FnMut(Which, &Outcome, &Verdict),
) -> Option<Failed> {
    loop {
        let due = schedule.due()?;
        if !clock.wait_until(due.at) {
            return None;
        }
        let which = due.which;
        let outcome = attempt(&due);
        // What failed because the program was stopped meanwhile is no news.
        let now = clock.now();
        if !clock.wait_until(now) {
            return None;
        }
        let verdict = schedule.record(now, &outcome);
        if outcome != Outcome::Success || verdict != Verdict::Unchanged {
            said(which, &outcome, &verdict);
        }
        if let Verdict::Failed(failed) = verdict {
            return Some(failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Action, Probe};
    use std::cell::Cell;

    /// Time that stands still unless somebody waits, until the end.
    struct Hours {
        now: Cell<Duration>,
        end: Duration,
    }

    impl Clock for Hours {
        fn now(&self) -> Duration {
            self.now.get()
        }

        fn wait_until(&self, at: Duration) -> bool {
            self.now.set(self.now.get().max(at));
            self.now.get() < self.end
        }
    }

    fn probe() -> Probe {
        Probe {
            action: Action::Tcp { port: 80 },
            initial_delay: 0,
            period: 10,
            timeout: 1,
            failure_threshold: 3,
            success_threshold: 1,
            grace: Some(7),
        }
    }

    fn clock(end: u64) -> Hours {
        Hours {
            now: Cell::default(),
            end: Duration::from_secs(end),
        }
    }

    #[test]
    fn a_program_that_fails_is_told_of_and_given_up() {
        let mut heard = Vec::new();
        let mut left = 4;
        let failed = watch(
            Schedule::new(Some(probe()), Some(probe())),
            &clock(3600),
            &mut |_| {
                left -= 1;
                if left > 0 {
                    Outcome::Success
                } else {
                    Outcome::Failure(format!("no {left}"))
                }
            },
            &mut |which, outcome, verdict| heard.push((which, outcome.clone(), verdict.clone())),
        );
        let failed = failed.unwrap_or_else(|| unreachable!("it fails from the fourth attempt on"));
        assert_eq!((failed.which, failed.times), (Which::Liveness, 3));
        assert_eq!((failed.why.as_str(), failed.grace), ("no -2", Some(7)));
        let words: Vec<_> = heard.iter().map(|(which, ..)| which.word()).collect();
        assert_eq!(words, ["startup", "liveness", "liveness", "liveness"]);
        assert_eq!(heard[0].2, Verdict::Started);
    }

    #[test]
    fn it_ends_with_the_program() {
        let mut attempts = 0;
        let mut attempt = |_: &Due<'_>| {
            attempts += 1;
            Outcome::Failure(String::new())
        };
        let schedule = Schedule::new(None, Some(probe()));
        assert_eq!(
            watch(schedule, &clock(25), &mut attempt, &mut |_, _, _| {}),
            None
        );
        assert_eq!(attempts, 2);
    }

    #[test]
    fn a_failure_of_a_program_that_is_gone_by_then_is_none() {
        let clock = clock(15);
        let mut probe = probe();
        probe.failure_threshold = 1;
        let mut attempt = |_: &Due<'_>| {
            clock.now.set(Duration::from_secs(16));
            Outcome::Failure("connection reset".to_owned())
        };
        let mut said = |_: Which, _: &Outcome, _: &Verdict| unreachable!("nobody asks any more");
        let schedule = Schedule::new(None, Some(probe));
        assert_eq!(watch(schedule, &clock, &mut attempt, &mut said), None);
    }

    #[test]
    fn without_probes_there_is_nothing_to_do() {
        let mut attempt = |_: &Due<'_>| unreachable!("nothing is due");
        let schedule = Schedule::new(None, None);
        assert_eq!(
            watch(schedule, &clock(1), &mut attempt, &mut |_, _, _| {}),
            None
        );
    }
}
