//! `probe http|tcp`: one attempt from a process of its own, for plain cplauncher, under which liveness and startup
//! are exec probes.
//!
//! What containerd starts for an exec probe is no part of cplauncher's work: it is on the host's network. So this
//! reads the anchor's status, finds its compartment as `run` does, moves its own thread there, and only then
//! connects. A probe that cannot get there fails. It never asks somebody else in the program's place.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::Outcome;
use crate::command::ProbeCommand;
use crate::compartment::Found;
use crate::exit::Exit;
use crate::probe::Action;
use crate::report::{Circumstances, line};
use crate::status::{Reader, Reading};
use crate::timestamp::Timestamp;

/// How long until a status that is not there is looked for again: it is being swapped, or does not come at all.
const PAUSE: Duration = Duration::from_millis(50);

/// The node, as far as one probe looks at it.
pub trait Place {
    /// Time that only goes forward, from any point on.
    fn now(&self) -> Duration;
    /// Waits so long.
    fn pause(&self, time: Duration);
    /// When the node booted.
    fn booted(&self) -> Timestamp;
    /// What the status file holds.
    fn status(&self) -> io::Result<Vec<u8>>;
    /// The compartment of an IP.
    fn find(&self, ip: IpAddr) -> Result<Found, String>;
    /// Moves this thread into a compartment, and makes sure that it is there.
    fn enter(&self, compartment: u32) -> Result<(), String>;
    /// Makes one attempt, on this thread.
    fn attempt(&self, action: &Action, ip: IpAddr, timeout: Duration) -> Outcome;
}

/// How `probe` ended: what is to be said, if anything, and what to exit with if it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The program is well; a redirect that is not followed is worth a line.
    Well(Option<String>),
    /// It is not, or could not be asked: the structured line.
    Failed(Exit, String),
}

/// Probes once, all within the command's time-out.
pub fn probe(command: &ProbeCommand, place: &impl Place) -> Answer {
    let start = place.now();
    let mut known = Circumstances::default();
    match attempt(command, place, start, &mut known) {
        Ok(warning) => Answer::Well(warning),
        Err((exit, why)) => {
            known.after = place.now().saturating_sub(start);
            Answer::Failed(exit, line(exit, &known, &why))
        }
    }
}

fn attempt(
    command: &ProbeCommand,
    place: &impl Place,
    start: Duration,
    known: &mut Circumstances,
) -> Result<Option<String>, (Exit, String)> {
    let deadline = start + Duration::from_secs(command.timeout_seconds.into());
    let ip = anchor(place, deadline, known)?;
    let found = place
        .find(ip)
        .map_err(|why| (Exit::CompartmentNotFound, why))?;
    known.compartment = Some(found.compartment);
    known.by = Some(found.way);
    let refused = |why| (Exit::CompartmentRefused, why);
    place.enter(found.compartment).map_err(refused)?;
    let left = deadline.saturating_sub(place.now());
    match place.attempt(&command.action, ip, left) {
        Outcome::Success => Ok(None),
        Outcome::Warning(why) => Ok(Some(why)),
        // An exec probe cannot say that it has no result; what cannot be read is not well.
        Outcome::Failure(why) | Outcome::Unknown(why) => Err((Exit::ProbeFailed, why)),
    }
}

/// The anchor's IP, waited for while its file is being swapped.
fn anchor(
    place: &impl Place,
    deadline: Duration,
    known: &mut Circumstances,
) -> Result<IpAddr, (Exit, String)> {
    let mut reader = Reader::default();
    loop {
        let now = place.now();
        let why = match reader.judge(&place.status(), now) {
            Reading::Anchor(anchor) => {
                known.anchor = Some(anchor.uid.clone());
                known.ip = Some(anchor.ip);
                let booted = place.booted();
                if anchor.started >= booted {
                    return Ok(anchor.ip);
                }
                format!(
                    "the anchor started at {}, before the node's last boot at {booted}: its IP may be another pod's",
                    anchor.started
                )
            }
            Reading::Wrong(why) => return Err((Exit::AnchorStatus, why)),
            Reading::NotYet(why) => why,
        };
        if now + PAUSE >= deadline {
            return Err((Exit::AnchorTimeout, why));
        }
        place.pause(PAUSE);
    }
}

#[cfg(test)]
#[path = "outside_tests.rs"]
mod tests;
