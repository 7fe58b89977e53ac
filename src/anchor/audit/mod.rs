//! What has gone wrong where nobody was asked: labelled pods that admission never saw, anchors that
//! belong to no pod, namespaces whose policy is invalid.
//!
//! Pure: [`Audit`] takes the metadata of a cluster's namespaces, workloads and anchors, in this order, and
//! makes [`Finding`]s of it. [`auditor`] reads and tells for the leader; `native-host check` reads for a
//! person; the rules are these.

pub mod auditor;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

pub use auditor::Auditor;

use super::pair::{Note, Reason};
use super::view::{Identity, anchor_owner};
use crate::closed_set::closed_set;
use crate::names::{annotation, label};
use crate::policy::{Mode, Namespace, Policy};

closed_set! {
    /// Kinds of finding.
    Problem {
        /// A pod has the label and not the marker.
        NotInjected = "pod-not-injected",
        /// An anchor belongs to no pod, or to one that is gone.
        Ownerless = "anchor-without-owner",
        /// None of a namespace's workloads is admitted.
        InvalidPolicy = "namespace-policy-invalid",
    }
}

impl Problem {
    /// The kind of object that has it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NotInjected | Self::Ownerless => "Pod",
            Self::InvalidPolicy => "Namespace",
        }
    }
}

/// The pods of workloads that are worth looking at: one that has finished is not created anew.
pub const UNFINISHED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// The label selector of anchors.
pub fn anchors() -> String {
    format!("{}={}", label::ROLE, label::ROLE_ANCHOR)
}

/// Between the list in which an anchor had no pod and the reads that confirm it. A pod that is deleted
/// is gone a moment before its anchor is.
pub const SETTLE: Duration = Duration::from_secs(3);
/// How long after the end of its grace period an anchor that is still there is not ending any more:
/// its kubelet does not answer.
const OVERDUE: SignedDuration = SignedDuration::from_secs(120);

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub problem: Problem,
    /// Which object has it. The namespace of a Namespace is empty.
    pub subject: Identity,
    /// What to say of it.
    pub note: Note,
}

/// An anchor that seems to belong to no pod: to be confirmed by reads of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The anchor.
    pub anchor: Identity,
    /// The name of the pod that it says it belongs to.
    pub owner: Option<String>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Audit {
    /// Namespaces whose pods are left alone because they ask for it.
    off: HashSet<String>,
    /// UIDs of the workloads' pods.
    pods: HashSet<Box<str>>,
    suspects: Vec<Suspect>,
    found: Vec<Finding>,
}

impl Audit {
    /// Takes a namespace. `flags` is what holds where it says nothing.
    pub fn namespace(&mut self, flags: &Policy, metadata: &ObjectMeta) {
        let Some(name) = metadata.name.clone() else {
            return;
        };
        match read(flags, metadata).policy {
            Ok(policy) if policy.mode == Mode::Off => {
                self.off.insert(name);
            }
            Ok(_) => {}
            Err(errors) => {
                let text = format!(
                    "The native-host policy of this namespace is invalid, so none of its workloads is admitted \
                     until it is mended: {}",
                    errors.to_string().replace('\n', "; ")
                );
                self.found.push(Finding {
                    problem: Problem::InvalidPolicy,
                    subject: identity(metadata),
                    note: Note::warning(Reason::InvalidPolicy, text),
                });
            }
        }
    }

    /// Takes a pod that has the workload label and has not finished ([`UNFINISHED`]).
    pub fn pod(&mut self, metadata: &ObjectMeta) {
        let subject = identity(metadata);
        self.pods.insert((*subject.uid).into());
        let annotations = metadata.annotations.as_ref();
        let marked = annotations.is_some_and(|all| all.contains_key(annotation::INJECTED));
        if marked || metadata.deletion_timestamp.is_some() || self.off.contains(&*subject.namespace)
        {
            return;
        }
        self.found.push(Finding {
            problem: Problem::NotInjected,
            subject,
            note: Note::not_injected(),
        });
    }

    /// Takes a pod that has the role of an anchor ([`anchors`]).
    pub fn anchor(&mut self, metadata: &ObjectMeta, now: Timestamp) {
        let owner = anchor_owner(metadata);
        if owner.is_some_and(|owner| self.pods.contains(owner.uid.as_str()))
            || is_ending(metadata, now)
        {
            return;
        }
        self.suspects.push(Suspect {
            anchor: identity(metadata),
            owner: owner.map(|owner| owner.name.clone()),
        });
    }

    /// The anchors that are to be confirmed.
    pub fn suspects(&mut self) -> Vec<Suspect> {
        std::mem::take(&mut self.suspects)
    }

    /// Takes what reads of a suspect and of the pod that it names came to.
    pub fn confirm(
        &mut self,
        suspect: Suspect,
        anchor: Option<&ObjectMeta>,
        owner: Option<&ObjectMeta>,
        now: Timestamp,
    ) {
        let Some(anchor) = anchor
            .filter(|anchor| anchor.uid.as_deref() == Some(&*suspect.anchor.uid))
            .filter(|anchor| !is_ending(anchor, now))
        else {
            return;
        };
        let named = anchor_owner(anchor);
        let uid = owner.and_then(|owner| owner.uid.as_deref());
        if named.is_some_and(|named| uid == Some(&named.uid)) {
            return;
        }
        let gone = match named {
            Some(owner) => format!("the pod that it belongs to ({}) is gone", owner.name),
            None => "it belongs to no pod".to_owned(),
        };
        let (namespace, name) = (&suspect.anchor.namespace, &suspect.anchor.name);
        let next = if anchor.deletion_timestamp.is_some() {
            format!(
                "It is deleted already, and its node does not end it. If the node is gone for good: kubectl delete \
                 pod -n {namespace} {name} --force --grace-period=0"
            )
        } else {
            format!("Nothing runs in it. Delete it: kubectl delete pod -n {namespace} {name}")
        };
        let text = format!(
            "This pod has the label of an anchor ({}), and {gone}. {next}",
            label::ROLE
        );
        self.found.push(Finding {
            problem: Problem::Ownerless,
            subject: suspect.anchor,
            note: Note::warning(Reason::Ownerless, text),
        });
    }

    /// Everything that was found.
    pub fn into_findings(self) -> Vec<Finding> {
        self.found
    }
}

/// What a Namespace says.
pub fn read(flags: &Policy, metadata: &ObjectMeta) -> Namespace {
    let labels = metadata.labels.iter().flatten();
    let annotations = metadata.annotations.iter().flatten();
    Namespace::read(
        flags,
        labels.map(|(key, value)| (key.as_str(), value.as_str())),
        annotations.map(|(key, value)| (key.as_str(), value.as_str())),
    )
}

/// Whether an anchor is on its way out, and within its time.
fn is_ending(metadata: &ObjectMeta, now: Timestamp) -> bool {
    let ends = metadata.deletion_timestamp.as_ref();
    ends.is_some_and(|ends| now.duration_since(ends.0) < OVERDUE)
}

/// What a list does not say is empty: it is only told to people.
fn identity(metadata: &ObjectMeta) -> Identity {
    let text = |text: &Option<String>| -> Arc<str> { text.as_deref().unwrap_or_default().into() };
    Identity {
        namespace: text(&metadata.namespace),
        name: text(&metadata.name),
        uid: text(&metadata.uid),
        version: metadata
            .resource_version
            .as_deref()
            .unwrap_or_default()
            .into(),
    }
}

#[cfg(test)]
mod tests;
