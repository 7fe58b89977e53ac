//! One row of `status`: where a pair stands, by the controller's own rules.
//!
//! Since when it stands there, by state:
//!
//! | state | since |
//! |---|---|
//! | Unscheduled | the scheduler first said no, or the pod was created |
//! | Pending | the HP pod was bound |
//! | Starting | the anchor was created, or went down again |
//! | Stuck | the deadline passed |
//! | Running | the anchor's containers ran, or its readiness was lost |
//! | Ready | the anchor became ready |
//! | Draining | the HP pod's deletion was asked for |
//! | Ending, Finished | the program ended, or the anchor's deletion was asked for |
//! | Lost | the anchor's end, or that of the HP pod's readiness |
//! | NotInjected | the HP pod was created |

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use super::seen::{AnchorSeen, HpSeen};
use crate::anchor::pair::{Assessment, Pair, Reason, State};
use crate::anchor::rules::Rules;
use crate::anchor::view::{Hp, Published};

/// A pair, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Row {
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) workload: Option<String>,
    pub(in crate::cli) pod: PodPart,
    pub(in crate::cli) anchor: Option<AnchorPart>,
    #[serde(serialize_with = "name")]
    pub(in crate::cli) state: State,
    pub(in crate::cli) since: Option<Timestamp>,
    /// What it waits for; empty where all is well.
    pub(in crate::cli) why: String,
}

/// The HP pod's part. Of one that is gone, only what its anchor knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct PodPart {
    pub(in crate::cli) name: String,
    pub(in crate::cli) uid: String,
    pub(in crate::cli) node: Option<String>,
    pub(in crate::cli) phase: Option<&'static str>,
    pub(in crate::cli) restarts: i32,
    /// The marker's value.
    pub(in crate::cli) injected: Option<String>,
    /// The IP that its launcher was told of.
    pub(in crate::cli) published_ip: Option<IpAddr>,
}

/// The anchor's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct AnchorPart {
    pub(in crate::cli) name: String,
    pub(in crate::cli) uid: String,
    pub(in crate::cli) node: Option<String>,
    pub(in crate::cli) phase: &'static str,
    pub(in crate::cli) ip: Option<IpAddr>,
}

// The signature that serde calls.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn name<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}

/// What the controller's rules say of a pair. The refusal that the controller has in mind is read
/// from the gate, where it wrote it.
pub(in crate::cli) fn assess(
    hp: Option<&HpSeen>,
    anchor: Option<&AnchorSeen>,
    rules: &Rules,
    now: Timestamp,
) -> Assessment {
    let gate = hp.and_then(|hp| hp.view.gate.as_ref());
    let refused = gate.filter(|gate| &*gate.reason == Reason::Refused.as_str());
    let pair = Pair {
        hp: hp.map(|hp| &hp.view),
        anchor: anchor.map(|anchor| &anchor.view),
        refused: refused.map(|gate| &*gate.message),
    };
    pair.assess(rules, now)
}

impl Row {
    /// The row of a pair, and when time alone will change it. At least one pod has to be there.
    pub(in crate::cli) fn of(
        hp: Option<&HpSeen>,
        anchor: Option<&AnchorSeen>,
        rules: &Rules,
        now: Timestamp,
    ) -> Option<(Self, Option<Duration>)> {
        let id = hp.map(|hp| &hp.view.id);
        let namespace = &id.or(anchor.map(|anchor| &anchor.view.id))?.namespace;
        let assessment = assess(hp, anchor, rules, now);
        let (state, mut why) = (assessment.state, assessment.why);
        if state == State::Unscheduled
            && let Some(scheduler) = hp.and_then(|hp| hp.unscheduled.as_ref())
        {
            why.clone_from(scheduler);
        }
        let workload = hp.and_then(|hp| hp.view.workload.as_deref());
        let workload = workload.or(anchor.and_then(|anchor| anchor.workload.as_deref()));
        let row = Row {
            namespace: namespace.to_string(),
            workload: workload.map(str::to_owned),
            pod: match (hp, anchor) {
                (Some(hp), _) => PodPart::of(hp),
                (None, Some(anchor)) => PodPart {
                    name: anchor.view.owner.to_string(),
                    uid: anchor.view.owner_uid.to_string(),
                    node: anchor.node.clone(),
                    ..PodPart::default()
                },
                (None, None) => PodPart::default(),
            },
            anchor: anchor.map(AnchorPart::of),
            state,
            since: since(state, hp, anchor, rules),
            why,
        };
        Some((row, assessment.again))
    }

    /// Whether somebody who gives this name means this pair.
    pub(in crate::cli) fn answers_to(&self, name: &str) -> bool {
        self.pod.name == name
            || self.workload.as_deref() == Some(name)
            || self
                .anchor
                .as_ref()
                .is_some_and(|anchor| anchor.name == name)
    }

    /// The same pair once its HP pod is gone, and its anchor is gone or nobody's concern.
    pub(in crate::cli) fn gone(&self, why: &str, now: Timestamp) -> Self {
        Row {
            anchor: None,
            state: State::Finished,
            since: Some(now),
            why: why.to_owned(),
            ..self.clone()
        }
    }

    /// By namespace, workload and pod.
    pub(in crate::cli) fn order(&self) -> impl Ord + use<> {
        (
            self.namespace.clone(),
            self.workload.clone(),
            self.pod.name.clone(),
        )
    }
}

fn owned(text: Option<&Arc<str>>) -> Option<String> {
    text.map(ToString::to_string)
}

impl PodPart {
    fn of(hp: &HpSeen) -> Self {
        PodPart {
            name: hp.view.id.name.to_string(),
            uid: hp.view.id.uid.to_string(),
            node: owned(hp.view.node.as_ref()),
            phase: Some(hp.view.phase.as_str()),
            restarts: hp.restarts,
            injected: hp.injected.clone(),
            published_ip: match &hp.view.published {
                Published::Status(status) => Some(status.ip),
                Published::Nothing | Published::Unreadable => None,
            },
        }
    }
}

impl AnchorPart {
    fn of(anchor: &AnchorSeen) -> Self {
        AnchorPart {
            name: anchor.view.id.name.to_string(),
            uid: anchor.view.id.uid.to_string(),
            node: anchor.node.clone(),
            phase: anchor.view.phase.as_str(),
            ip: anchor.view.ip,
        }
    }
}

/// See the module.
fn since(
    state: State,
    hp: Option<&HpSeen>,
    anchor: Option<&AnchorSeen>,
    rules: &Rules,
) -> Option<Timestamp> {
    let bound = hp.map(|hp| hp.view.bound);
    let created = hp.and_then(|hp| hp.times.created);
    let times = anchor.map(|anchor| &anchor.times);
    match state {
        State::Unscheduled => hp?.times.unscheduled.or(created),
        State::Pending | State::OnHost => bound,
        State::Starting => down_again(&hp?.view, anchor).or(times?.created),
        State::Stuck => {
            let waits = down_again(&hp?.view, anchor).or(bound)?;
            let deadline = SignedDuration::try_from(rules.start_deadline).ok()?;
            waits.checked_add(deadline).ok()
        }
        State::Running => {
            let anchor = anchor?;
            let ready = anchor.view.ready.as_ref();
            let lost = anchor
                .times
                .ready
                .filter(|_| ready.is_some_and(|ready| !ready.holds));
            anchor.view.started.max(lost)
        }
        State::Ready => times?.ready,
        State::Draining => hp?.times.deleted,
        State::Ending | State::Finished => hp
            .and_then(|hp| hp.times.finished)
            .or(times.and_then(|times| times.deleted)),
        State::Lost => {
            let ended = times.and_then(|times| times.finished.or(times.deleted));
            let gate = hp?.view.gate.as_ref().filter(|gate| !gate.holds);
            ended.or(hp?.times.gate.filter(|_| gate.is_some()))
        }
        State::NotInjected => created,
    }
}

/// Since when an anchor is down that once ran, as the controller counts its deadline.
fn down_again(hp: &Hp, anchor: Option<&AnchorSeen>) -> Option<Timestamp> {
    let down = anchor?.view.down_since?;
    (hp.published != Published::Nothing).then(|| hp.bound.max(down))
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
