//! The words in which the rules of a pair answer: where it stands, what to do, what to tell.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::rules::{CUT_SHORT_SECONDS, Rules, SHORT_GRACE_SECONDS};
use super::status::AnchorStatus;
use super::view::{Anchor, Condition, Hp, Published};
use crate::closed_set::closed_set;

closed_set! {
    /// Where a pair stands.
    State {
        /// The HP pod is not bound to a node yet.
        Unscheduled = "Unscheduled",
        /// The HP pod waits for its anchor to be created.
        Pending = "Pending",
        /// The anchor does not run yet.
        Starting = "Starting",
        /// The anchor does not run, and is past its deadline.
        Stuck = "Stuck",
        /// The network stands; the program does not serve yet.
        Running = "Running",
        /// The program serves.
        Ready = "Ready",
        /// The HP pod is going down; its network stands until it is gone.
        Draining = "Draining",
        /// The HP pod is gone or finished; the anchor is going.
        Ending = "Ending",
        /// The HP pod has finished, and the anchor is gone.
        Finished = "Finished",
        /// The anchor is gone or is going, and took the program's network with it.
        Lost = "Lost",
        /// The HP pod is on the host's network, and has no anchor.
        OnHost = "OnHost",
        /// The HP pod has the label and not the marker: admission did not make it what it is.
        NotInjected = "NotInjected",
    }
}

closed_set! {
    /// Reasons of our conditions and Events, in Kubernetes' spelling.
    Reason {
        /// The anchor was created.
        Created = "AnchorCreated",
        /// The API server refuses the anchor.
        Refused = "AnchorRefused",
        /// There is no anchor yet.
        Pending = "AnchorPending",
        /// The anchor's containers do not all run.
        Starting = "AnchorStarting",
        /// The anchor is past its deadline.
        NotStarting = "AnchorNotStarting",
        /// The network stands.
        Started = "AnchorStarted",
        /// The anchor is ready, and its endpoint serves.
        Ready = "AnchorReady",
        /// The anchor's probe fails.
        NotReady = "AnchorNotReady",
        /// The HP pod's own containers are not ready.
        WorkloadNotRunning = "WorkloadNotRunning",
        /// The anchor is gone, failed, or has another IP.
        Lost = "AnchorLost",
        /// The HP pod is deleted for its controller to make another one.
        Replaced = "PairReplaced",
        /// The network stands on while the program drains.
        Draining = "PairDraining",
        /// Labelled, but not injected.
        NotInjected = "NotInjected",
        /// The workload label was taken off a live pod.
        LabelRemoved = "WorkloadLabelRemoved",
        /// An object selects the workload's labels and so misses the anchors.
        MissesAnchors = "MissesAnchors",
        /// An anchor belongs to no pod.
        Ownerless = "AnchorWithoutOwner",
        /// None of a namespace's workloads is admitted.
        InvalidPolicy = "InvalidPolicy",
        /// An external Service, or an address of it, is not published.
        ExternalRefused = "ExternalRefused",
        /// Addresses of an external Service are ready.
        ExternalReady = "ExternalReady",
        /// Addresses of an external Service are not ready any more.
        ExternalDown = "ExternalDown",
        /// Addresses of an external Service came or went.
        ExternalChanged = "ExternalChanged",
        /// An EndpointSlice of an external Service is somebody else's.
        ForeignSlice = "ForeignEndpointSlice",
    }
}

/// Something to tell the person who looks at the HP pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Why.
    pub reason: Reason,
    /// Whether it is a Warning.
    pub warning: bool,
    /// The sentence.
    pub text: String,
}

impl Note {
    /// A Normal one.
    pub fn normal(reason: Reason, text: impl Into<String>) -> Self {
        let text = text.into();
        Note {
            reason,
            warning: false,
            text,
        }
    }

    /// The Warning on a pod that has the label and not the marker.
    pub fn not_injected() -> Self {
        Note::warning(
            Reason::NotInjected,
            "This pod has the label of a native-host workload, but was created without the webhook, or \
             was labelled later. It is left alone: it has no network of its own. Delete it to have it \
             created anew.",
        )
    }

    /// A Warning.
    pub fn warning(reason: Reason, text: impl Into<String>) -> Self {
        let text = text.into();
        Note {
            reason,
            warning: true,
            text,
        }
    }
}

/// One step; the views say of which pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Create the anchor.
    Create,
    /// Delete the anchor, with this grace period in seconds.
    Delete(i64),
    /// Write the anchor's status onto the HP pod.
    Publish(AnchorStatus),
    /// Set the HP pod's readiness gate.
    HpGate(Condition),
    /// Set the anchor's readiness gate.
    AnchorGate(Condition),
    /// Mark the HP pod as disrupted and delete it; the text says why.
    Replace(String),
    /// Tell it.
    Say(Note),
}

/// Where a pair stands, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// Where it stands.
    pub state: State,
    /// What it waits for, for a person; empty where all is well.
    pub why: String,
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// When time alone will change the answer.
    pub again: Option<Duration>,
}

impl Assessment {
    pub(super) fn of(state: State) -> Self {
        Assessment {
            state,
            why: String::new(),
            steps: Vec::new(),
            again: None,
        }
    }

    /// Has an anchor end that nobody needs any more.
    pub(super) fn shorten(&mut self, anchor: &Anchor) {
        match anchor.terminating {
            None => self.steps.push(Step::Delete(SHORT_GRACE_SECONDS)),
            Some(grace) if grace > SHORT_GRACE_SECONDS => {
                self.steps.push(Step::Delete(CUT_SHORT_SECONDS));
            }
            // Such a delete has two halves in the API server. One that was broken off between them, as
            // its client died, left the anchor so, and only another delete takes it away
            // (`BeforeDelete` in apiserver/pkg/registry/rest/delete.go).
            Some(CUT_SHORT_SECONDS) => self.steps.push(Step::Delete(CUT_SHORT_SECONDS)),
            // It ends in a moment by itself.
            Some(_) => {}
        }
    }

    pub(super) fn publish(&mut self, hp: &Hp, anchor: &Anchor, status: AnchorStatus) {
        if hp.published == Published::Nothing {
            let text = format!(
                "The network stands: {}, of anchor {}.",
                status.ip, anchor.id.name
            );
            self.steps.push(Step::Publish(status));
            self.steps
                .push(Step::Say(Note::normal(Reason::Started, text)));
        } else {
            self.steps.push(Step::Publish(status));
        }
    }

    /// Sets the HP pod's gate, if that changes anything that anybody reads: a gate that is not there
    /// is not ready either.
    pub(super) fn gate(&mut self, hp: &Hp, gate: Condition) {
        let unsaid = hp.gate.is_none() && !gate.holds && gate.message.is_empty();
        if !unsaid && hp.gate.as_ref() != Some(&gate) {
            self.steps.push(Step::HpGate(gate));
        }
    }

    /// Mirrors the HP pod's `ContainersReady` into the anchor's gate.
    pub(super) fn anchor_gate(&mut self, hp: &Hp, anchor: &Anchor) {
        let Some(gate) = &hp.containers_ready else {
            return;
        };
        let unsaid = anchor.gate.is_none() && !gate.holds;
        if !unsaid && anchor.gate.as_ref() != Some(gate) {
            self.steps.push(Step::AnchorGate(gate.clone()));
        }
    }

    /// What is overdue is said; past a second deadline the pair is replaced.
    pub(super) fn deadline(
        &mut self,
        hp: &Hp,
        anchor: Option<&Anchor>,
        rules: &Rules,
        now: Timestamp,
    ) {
        let since = match anchor.and_then(|anchor| anchor.down_since) {
            Some(down) if hp.published != Published::Nothing => hp.bound.max(down),
            _ => hp.bound,
        };
        let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        if age < rules.start_deadline {
            self.again = Some(rules.start_deadline.saturating_sub(age));
            return;
        }
        self.state = State::Stuck;
        let cause = match (self.why.as_str(), anchor) {
            ("", Some(anchor)) => format!(
                "anchor {}: {}",
                anchor.id.name,
                anchor
                    .trouble
                    .as_deref()
                    .unwrap_or("its containers do not run")
            ),
            ("", None) => "it has no anchor".to_owned(),
            (why, _) => why.to_owned(),
        };
        let text = format!(
            "The network does not stand after {} s: {cause}",
            rules.start_deadline.as_secs()
        );
        self.steps
            .push(Step::Say(Note::warning(Reason::NotStarting, text)));
        if !hp.is_replaced_by_its_controller() {
            return;
        }
        if age < rules.replace_deadline {
            self.again = Some(rules.replace_deadline.saturating_sub(age));
        } else {
            self.steps
                .push(Step::Replace(format!("its anchor did not start: {cause}")));
        }
    }
}
