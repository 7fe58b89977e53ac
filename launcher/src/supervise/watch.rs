//! While the target runs: whatever ends it first.

use std::time::Duration;

use super::{Failure, Job, Machine, Signal, Step};
use crate::exit::Exit;
use crate::probing::Failed;
use crate::run::Run;
use crate::status::{Anchor, Reader, Reading};

/// How often the anchor's status is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// What is left of the 5 seconds after which hcsshim ends every process: the compartment still has to be left.
const CLOSING: Duration = Duration::from_millis(3500);
/// `terminationGracePeriodSeconds` where nothing says it, as in Kubernetes.
const GRACE: u32 = 30;

/// The target was asked to end.
struct Asked {
    /// When it is ended, at the latest; none: when `stop` says so.
    latest: Option<Duration>,
    /// What the launcher ends with, if not with the target's code.
    failure: Option<Failure>,
}

/// Waits for the target's end, or brings it about. Gives the target's exit code.
pub(super) fn watch<M: Machine>(
    run: &Run,
    machine: &mut M,
    anchor: &Anchor,
    job: &M::Job,
) -> Result<u32, Failure> {
    let mut reader = Reader::default();
    let mut look = machine.now();
    let mut draining = false;
    let mut asked: Option<Asked> = None;
    loop {
        let now = machine.now();
        if now >= look {
            look = now + LOOK;
            // What cannot be read now is no other anchor.
            if let Reading::Anchor(other) = reader.judge(&machine.status(), now)
                && other != *anchor
            {
                job.end();
                let why = format!("the anchor was {anchor} and is now {other}");
                return Err((Exit::AnchorChanged, why));
            }
        }
        let latest = asked.as_ref().and_then(|asked| asked.latest);
        if latest.is_some_and(|latest| now >= latest) {
            job.end();
            let failure = asked.and_then(|asked| asked.failure);
            return Err(failure.unwrap_or_else(too_slow));
        }
        let until = latest.map_or(look, |latest| latest.min(look));
        let signal = machine.next(until);
        let now = machine.now();
        match signal {
            None => {}
            Some(Signal::Exited(code)) => {
                return match asked.and_then(|asked| asked.failure) {
                    None => Ok(code),
                    Some(failure) => Err(failure),
                };
            }
            Some(Signal::Stop(Step::Drain)) => draining = true,
            Some(Signal::Stop(Step::Ask)) => ask(&mut asked, job, None, None),
            Some(Signal::Stop(Step::Kill)) => {
                job.end();
                return Err(too_slow());
            }
            // The target knows. To be asked again would tell many a program to give up at once.
            Some(Signal::Closing) => limit(&mut asked, Some(now + CLOSING), None),
            Some(Signal::Interrupted) => ask(&mut asked, job, Some(now + CLOSING), None),
            // As for the kubelet, no probe counts in what is being stopped.
            Some(Signal::ProbeFailed(..) | Signal::ProbeAstray(_))
                if draining || asked.is_some() => {}
            Some(Signal::ProbeFailed(failed)) => {
                let grace = failed.grace.or(run.grace_seconds).unwrap_or(GRACE);
                let latest = now + Duration::from_secs(grace.into());
                let failure = (failed.which.exit(), words(&failed));
                ask(&mut asked, job, Some(latest), Some(failure));
            }
            Some(Signal::ProbeAstray(why)) => {
                job.end();
                return Err((Exit::CompartmentRefused, why));
            }
        }
    }
}

/// Asks the target to end, if it does not know yet.
fn ask<J: Job>(
    asked: &mut Option<Asked>,
    job: &J,
    latest: Option<Duration>,
    failure: Option<Failure>,
) {
    if asked.is_none() {
        job.ask();
    }
    limit(asked, latest, failure);
}

/// Sets until when it has time. Who sets that again may shorten it; the first reason stays.
fn limit(asked: &mut Option<Asked>, latest: Option<Duration>, failure: Option<Failure>) {
    match asked {
        None => *asked = Some(Asked { latest, failure }),
        Some(before) => {
            before.latest = match (before.latest, latest) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
    }
}

fn too_slow() -> Failure {
    let why =
        "the program was still there at the end of the time that it had to stop, and was ended";
    (Exit::StopTimeout, why.to_owned())
}

fn words(failed: &Failed) -> String {
    let (probe, times, why) = (failed.which.word(), failed.times, &failed.why);
    format!("the {probe} probe failed, {times} in a row; the last: {why}")
}
