//! What a pair needs next: pure, from the two pods as they are seen to the steps to take.
//!
//! ```text
//!  HP pod bound ---> Create ---> anchor runs ---> Publish ---> launcher starts the program
//!                                     |                                  |
//!                    HP gate  <--- its readiness        ContainersReady ---> anchor's gate
//!
//!  HP pod terminating ---> Delete (the anchor sleeps on while the program drains)
//!  HP pod gone or finished ---> Delete, cut short
//!  anchor lost ---> Replace the HP pod; where nobody would make another, Create again
//! ```
//!
//! The rules are asked again at every change of either pod and have no memory of their own, so any
//! step may fail, be done twice or be done by another instance. What ends something for good
//! ([`Assessment::wants_certainty`]) is only done if the same rules ask for it again on live reads.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

pub use super::answer::{Assessment, Note, Reason, State, Step};
use super::manifest::EXTRA_GRACE_SECONDS;
use super::rules::{CUT_SHORT_SECONDS, Rules};
use super::view::{Anchor, Condition, Hp, Published};

impl Step {
    /// Whether it must not be taken on what a watch said some time ago.
    fn wants_certainty(&self, pair: &Pair<'_>) -> bool {
        match self {
            Self::Replace(_) => true,
            Self::Create => pair.hp.is_some_and(|hp| hp.published != Published::Nothing),
            // One that is cut short already is gone, as a rule; the watch is about to say so.
            Self::Delete(_) => {
                let cut = |anchor: &Anchor| anchor.terminating == Some(CUT_SHORT_SECONDS);
                pair.hp.is_none() || pair.anchor.is_some_and(cut)
            }
            _ => false,
        }
    }
}

impl Assessment {
    /// Whether a step wants to be confirmed by live reads first.
    pub fn wants_certainty(&self, pair: &Pair<'_>) -> bool {
        self.steps.iter().any(|step| step.wants_certainty(pair))
    }
}

/// The two pods of a pair, as they were last seen.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'v> {
    /// The HP pod.
    pub hp: Option<&'v Hp>,
    /// The anchor.
    pub anchor: Option<&'v Anchor>,
    /// Why the API server last refused the anchor, if it did.
    pub refused: Option<&'v str>,
}

/// How often an HP pod is read that the watch does not show, since its label is gone.
const UNSEEN: Duration = Duration::from_secs(30);

impl Pair<'_> {
    /// Where it stands, and what to do about it.
    pub fn assess(&self, rules: &Rules, now: Timestamp) -> Assessment {
        match (self.hp, self.anchor) {
            (None, None) => Assessment::of(State::Finished),
            (None, Some(anchor)) => end(anchor, State::Ending),
            (Some(hp), None) if hp.phase.is_final() => Assessment {
                why: format!("the pod is {}", hp.phase),
                ..Assessment::of(State::Finished)
            },
            (Some(hp), Some(anchor)) if hp.phase.is_final() => end(anchor, State::Ending),
            (Some(hp), _) if hp.node.is_none() => Assessment {
                why: "the pod is not bound to a node".to_owned(),
                ..Assessment::of(State::Unscheduled)
            },
            (Some(hp), _) if !hp.marked => not_injected(hp),
            (Some(hp), None) if hp.on_host => on_host(),
            (Some(hp), Some(anchor)) if hp.on_host => end(anchor, State::OnHost),
            (Some(hp), anchor) if hp.terminating.is_some() => drain(hp, anchor),
            (Some(hp), anchor) => {
                let mut assessment = self.live(hp, anchor, rules, now);
                if hp.workload.is_none() {
                    let text = "The label that makes this pod a workload was taken off. Its anchor is \
                                kept, but changes of this pod are only seen every 30 s; put the label back.";
                    let note = Note::warning(Reason::LabelRemoved, text);
                    assessment.steps.push(Step::Say(note));
                    assessment.again = Some(assessment.again.unwrap_or(UNSEEN).min(UNSEEN));
                }
                assessment
            }
        }
    }

    /// The HP pod is bound, ours, and is to live.
    fn live(&self, hp: &Hp, anchor: Option<&Anchor>, rules: &Rules, now: Timestamp) -> Assessment {
        if let Some(loss) = loss(hp, anchor) {
            return self.lost(hp, anchor, &loss);
        }
        let Some(anchor) = anchor else {
            let mut assessment = Assessment::of(State::Pending);
            let gate = match self.refused {
                Some(refusal) => Condition::new(false, Reason::Refused.as_str(), refusal),
                None => Condition::new(false, Reason::Pending.as_str(), ""),
            };
            gate.message.as_ref().clone_into(&mut assessment.why);
            assessment.steps.push(Step::Create);
            assessment.gate(hp, gate);
            assessment.deadline(hp, None, rules, now);
            return assessment;
        };
        // One that failed before anybody was attached to it, or was deleted: the next one takes its
        // name, so it has to be gone first.
        if anchor.phase.is_final() || anchor.terminating.is_some() {
            let mut assessment = Assessment::of(State::Starting);
            let trouble = anchor
                .trouble
                .as_deref()
                .unwrap_or("was deleted before it ran");
            assessment.why = format!("anchor {}: {trouble}", anchor.id.name);
            assessment.shorten(anchor);
            assessment.gate(
                hp,
                Condition::new(false, Reason::Starting.as_str(), trouble),
            );
            assessment.deadline(hp, None, rules, now);
            return assessment;
        }
        let mut assessment = Assessment::of(State::Starting);
        if let Some(status) = anchor.status() {
            assessment.state = State::Running;
            if !matches!(&hp.published, Published::Status(known) if *known == status) {
                assessment.publish(hp, anchor, status);
            }
        } else {
            assessment.deadline(hp, Some(anchor), rules, now);
        }
        let gate = mirrored(hp, anchor);
        if assessment.why.is_empty() && !gate.holds {
            assessment.why = match &*gate.message {
                "" => format!("anchor {} starts", anchor.id.name),
                message => message.to_owned(),
            };
        }
        if gate.holds && assessment.state == State::Running {
            assessment.state = State::Ready;
        }
        assessment.anchor_gate(hp, anchor);
        assessment.gate(hp, gate);
        assessment
    }

    /// The process, if it runs, is attached to a compartment that is dead or dying.
    fn lost(&self, hp: &Hp, anchor: Option<&Anchor>, loss: &str) -> Assessment {
        let mut assessment = Assessment::of(State::Lost);
        loss.clone_into(&mut assessment.why);
        if hp.is_replaced_by_its_controller() {
            let text = format!(
                "{loss}, so the program has no network; deleting the pod for its controller to make another"
            );
            assessment
                .steps
                .push(Step::Say(Note::warning(Reason::Lost, text)));
            assessment.steps.push(Step::Replace(loss.to_owned()));
            return assessment;
        }
        let text = format!(
            "{loss}, so the program has no network; it gets a new anchor, and its launcher restarts it there"
        );
        assessment
            .steps
            .push(Step::Say(Note::warning(Reason::Lost, text)));
        match anchor {
            None => assessment.steps.push(Step::Create),
            Some(anchor) if anchor.phase.is_final() || anchor.terminating.is_some() => {
                assessment.shorten(anchor);
            }
            Some(anchor) => {
                if let Some(status) = anchor.status() {
                    assessment.publish(hp, anchor, status);
                }
            }
        }
        let reason = if self.refused.is_some() {
            Reason::Refused
        } else {
            Reason::Lost
        };
        assessment.gate(
            hp,
            Condition::new(false, reason.as_str(), self.refused.unwrap_or(loss)),
        );
        assessment
    }
}

/// How the anchor that the HP pod was told of was lost, if it was.
fn loss(hp: &Hp, anchor: Option<&Anchor>) -> Option<String> {
    let Published::Status(known) = &hp.published else {
        return None;
    };
    let Some(anchor) = anchor else {
        return Some(format!(
            "its anchor {} is gone",
            super::name(&hp.id.name, &hp.id.uid)
        ));
    };
    let name = &anchor.id.name;
    if *known.uid != *anchor.id.uid {
        // A bare pod's new one: until it runs there is nothing to publish.
        let replaced = hp.is_replaced_by_its_controller() || anchor.status().is_some();
        return replaced
            .then(|| format!("its anchor {name} was replaced by another of the same name"));
    }
    if anchor.phase.is_final() {
        let trouble = anchor.trouble.as_deref().unwrap_or_default();
        return Some(format!("its anchor {name} ended ({trouble})"));
    }
    if anchor.terminating.is_some() {
        return Some(format!("its anchor {name} was deleted"));
    }
    match anchor.ip {
        Some(ip) if ip != known.ip => Some(format!(
            "its anchor {name} has the IP {ip} now and had {} (its node restarted?)",
            known.ip
        )),
        _ => None,
    }
}

/// The HP pod's gate, from its anchor.
fn mirrored(hp: &Hp, anchor: &Anchor) -> Condition {
    let gate = |reason: Reason, message: &str| {
        Condition::new(reason == Reason::Ready, reason.as_str(), message)
    };
    if anchor.started.is_none() || anchor.ip.is_none() {
        return gate(
            Reason::Starting,
            anchor.trouble.as_deref().unwrap_or_default(),
        );
    }
    match &anchor.ready {
        Some(ready) if ready.holds => gate(Reason::Ready, ""),
        ready => {
            let own = hp.containers_ready.as_ref().filter(|own| own.holds);
            if own.is_none() {
                return gate(
                    Reason::WorkloadNotRunning,
                    "the program's own containers are not ready",
                );
            }
            match ready {
                Some(ready) if &*ready.reason == "ContainersNotReady" => gate(
                    Reason::NotReady,
                    &format!("anchor {}: {}", anchor.id.name, ready.message),
                ),
                _ => gate(Reason::NotReady, ""),
            }
        }
    }
}

fn not_injected(hp: &Hp) -> Assessment {
    Assessment {
        why: "created without the webhook, or labelled later".to_owned(),
        steps: match hp.terminating {
            None => vec![Step::Say(Note::not_injected())],
            Some(_) => Vec::new(),
        },
        ..Assessment::of(State::NotInjected)
    }
}

/// The HP pod is going down: the anchor is told at once, so that its endpoint is terminating and
/// serving, and sleeps on until the program is gone.
fn drain(hp: &Hp, anchor: Option<&Anchor>) -> Assessment {
    let mut assessment = Assessment::of(State::Draining);
    let Some(anchor) = anchor else {
        return assessment;
    };
    if anchor.phase.is_final() {
        assessment.shorten(anchor);
        return assessment;
    }
    if anchor.terminating.is_none() {
        let grace = hp.terminating.unwrap_or_default().max(0);
        let grace = grace.saturating_add(EXTRA_GRACE_SECONDS);
        assessment.steps.push(Step::Delete(grace));
        let text = format!(
            "The network (anchor {}) stands until the program has ended.",
            anchor.id.name
        );
        assessment
            .steps
            .push(Step::Say(Note::normal(Reason::Draining, text)));
    }
    assessment.anchor_gate(hp, anchor);
    assessment
}

/// Nothing runs in the anchor's network any more.
/// Nothing to do, and nothing to be seen of it but what every pod shows.
fn on_host() -> Assessment {
    Assessment {
        why: "on the host's network, without an anchor".to_owned(),
        ..Assessment::of(State::OnHost)
    }
}

fn end(anchor: &Anchor, state: State) -> Assessment {
    let mut assessment = Assessment::of(state);
    assessment.shorten(anchor);
    assessment
}

#[cfg(test)]
#[path = "pair_tests.rs"]
mod tests;
