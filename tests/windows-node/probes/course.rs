//! When a probe is made, and what a row of results means: `doProbe` of `pkg/kubelet/prober/worker.go`.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Probe;

use super::{Kind, Outcome, Seen, State, seconds};

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Probe,
    /// Nothing, until the next time.
    Wait,
    /// Nothing any more.
    Stop,
}

/// Where a worker stands.
#[derive(Debug)]
pub struct Course {
    kind: Kind,
    initial_delay: Duration,
    successes: u32,
    failures: u32,
    id: Option<String>,
    last: Option<Outcome>,
    row: u32,
    on_hold: bool,
}

impl Course {
    /// Before the container's first run.
    pub fn new(kind: Kind, probe: &Probe) -> Self {
        let threshold = |number: Option<i32>, default| {
            number
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(default)
                .max(1)
        };
        Self {
            kind,
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            successes: threshold(probe.success_threshold, 1),
            failures: threshold(probe.failure_threshold, 3),
            id: None,
            last: None,
            row: 0,
            on_hold: false,
        }
    }

    /// Which probe.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The run of the container that it is about.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What to do, and what is to be known at once.
    pub fn step(&mut self, seen: &Seen, now: Instant) -> (Step, Option<Outcome>) {
        if seen.over {
            return (Step::Stop, None);
        }
        let Some(id) = &seen.id else {
            return (Step::Wait, None);
        };
        let mut outcome = None;
        if self.id.as_ref() != Some(id) {
            self.id = Some(id.clone());
            self.on_hold = false;
            // Until it is known better: alive, and not ready.
            outcome = Some(match self.kind {
                Kind::Readiness => Outcome::Failure,
                Kind::Liveness => Outcome::Success,
                Kind::Startup => Outcome::Unknown,
            });
        }
        if self.on_hold {
            return (Step::Wait, outcome);
        }
        let since = match seen.state {
            State::Running(since) => since,
            State::Waiting | State::Terminated { again: true } => {
                return (Step::Wait, Some(Outcome::Failure));
            }
            State::Terminated { again: false } => return (Step::Stop, Some(Outcome::Failure)),
        };
        if seen.terminating && self.kind != Kind::Readiness {
            return (Step::Stop, Some(Outcome::Success));
        }
        if now.saturating_duration_since(since) < self.initial_delay {
            return (Step::Wait, outcome);
        }
        // Startup goes on until the container has started, and all else begins then.
        if seen.started == (self.kind == Kind::Startup) {
            return (Step::Wait, outcome);
        }
        (Step::Probe, outcome)
    }

    /// What a probe found. Gives what is known now, once the row is long enough.
    ///
    /// A row goes on from one run of a container to the next, as in the kubelet, unless it ended in the
    /// container being killed.
    pub fn outcome(&mut self, outcome: Outcome) -> Option<Outcome> {
        if self.last == Some(outcome) {
            self.row += 1;
        } else {
            self.last = Some(outcome);
            self.row = 1;
        }
        let enough = match outcome {
            Outcome::Success => self.row >= self.successes,
            Outcome::Failure => self.row >= self.failures,
            Outcome::Unknown => true,
        };
        if !enough {
            return None;
        }
        let killed = self.kind == Kind::Liveness && outcome == Outcome::Failure;
        if killed || self.kind == Kind::Startup {
            self.on_hold = true;
            self.row = 0;
        }
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Failure, Success, Unknown};
    use serde_json::{Value, json};

    fn course(kind: Kind, probe: &Value) -> Course {
        Course::new(kind, &serde_json::from_value(probe.clone()).unwrap())
    }

    fn running(id: &str, since: Instant) -> Seen {
        Seen {
            id: Some(id.into()),
            state: State::Running(since),
            started: true,
            ..Seen::default()
        }
    }

    fn results(course: &mut Course, outcomes: &[Outcome]) -> Vec<Option<Outcome>> {
        outcomes
            .iter()
            .map(|outcome| course.outcome(*outcome))
            .collect()
    }

    #[test]
    fn a_run_begins_as_alive_not_ready_and_not_known_to_have_started() {
        let now = Instant::now();
        for (kind, begins) in [
            (Kind::Liveness, Success),
            (Kind::Readiness, Failure),
            (Kind::Startup, Unknown),
        ] {
            let mut course = course(kind, &json!({}));
            assert_eq!(course.step(&Seen::default(), now), (Step::Wait, None));
            let seen = Seen {
                started: kind != Kind::Startup,
                ..running("a", now)
            };
            assert_eq!(course.step(&seen, now), (Step::Probe, Some(begins)));
            assert_eq!(course.step(&seen, now), (Step::Probe, None));
        }
    }

    #[test]
    fn startup_goes_before_the_others() {
        let now = Instant::now();
        for kind in Kind::ALL {
            for started in [false, true] {
                let mut course = course(kind, &json!({}));
                let seen = Seen {
                    started,
                    ..running("a", now)
                };
                let probes = started != (kind == Kind::Startup);
                let step = if probes { Step::Probe } else { Step::Wait };
                assert_eq!(course.step(&seen, now).0, step, "{kind} {started}");
            }
        }
    }

    #[test]
    fn nothing_is_probed_before_the_initial_delay() {
        let now = Instant::now();
        let mut course = course(Kind::Liveness, &json!({"initialDelaySeconds": 5}));
        let seen = running("a", now);
        let after = |ms| now + Duration::from_millis(ms);
        assert_eq!(course.step(&seen, after(4999)).0, Step::Wait);
        assert_eq!(course.step(&seen, after(5000)).0, Step::Probe);
    }

    #[test]
    fn a_row_has_to_be_as_long_as_its_threshold() {
        let probe = json!({"failureThreshold": 3, "successThreshold": 2});
        let mut course = course(Kind::Readiness, &probe);
        assert_eq!(
            results(
                &mut course,
                &[Failure, Failure, Success, Failure, Failure, Failure]
            ),
            [None, None, None, None, None, Some(Failure)]
        );
        assert_eq!(
            results(&mut course, &[Failure, Success, Success]),
            [Some(Failure), None, Some(Success)]
        );
    }

    #[test]
    fn liveness_that_failed_waits_for_a_new_run() {
        let now = Instant::now();
        let mut course = course(Kind::Liveness, &json!({"failureThreshold": 2}));
        course.step(&running("a", now), now);
        assert_eq!(
            results(&mut course, &[Failure, Failure]),
            [None, Some(Failure)]
        );
        assert_eq!(course.step(&running("a", now), now), (Step::Wait, None));
        assert_eq!(
            course.step(&running("b", now), now),
            (Step::Probe, Some(Success))
        );
        assert_eq!(
            results(&mut course, &[Failure, Failure]),
            [None, Some(Failure)]
        );
    }

    #[test]
    fn startup_is_decided_once_a_run() {
        let now = Instant::now();
        let starting = |id| Seen {
            started: false,
            ..running(id, now)
        };
        let mut course = course(Kind::Startup, &json!({"failureThreshold": 30}));
        course.step(&starting("a"), now);
        assert_eq!(
            results(&mut course, &[Failure, Success]),
            [None, Some(Success)]
        );
        assert_eq!(course.step(&starting("a"), now), (Step::Wait, None));
        assert_eq!(
            course.step(&starting("b"), now),
            (Step::Probe, Some(Unknown))
        );
    }

    #[test]
    fn a_container_that_has_ended_is_not_ready() {
        let now = Instant::now();
        let mut course = course(Kind::Readiness, &json!({}));
        let mut seen = running("a", now);
        course.step(&seen, now);
        seen.state = State::Terminated { again: true };
        assert_eq!(course.step(&seen, now), (Step::Wait, Some(Failure)));
        seen.state = State::Terminated { again: false };
        assert_eq!(course.step(&seen, now), (Step::Stop, Some(Failure)));
        seen.over = true;
        assert_eq!(course.step(&seen, now), (Step::Stop, None));
    }

    #[test]
    fn only_readiness_is_probed_while_the_pod_goes() {
        let now = Instant::now();
        for (kind, expected) in [
            (Kind::Liveness, (Step::Stop, Some(Success))),
            (Kind::Startup, (Step::Stop, Some(Success))),
            (Kind::Readiness, (Step::Probe, Some(Failure))),
        ] {
            let mut course = course(kind, &json!({}));
            let seen = Seen {
                terminating: true,
                ..running("a", now)
            };
            assert_eq!(course.step(&seen, now), expected, "{kind}");
        }
    }
}
