//! One admission review: decoded in two stages, answered without IO.

use crate::plan::reason::{Outcome, Reason};

/// Which endpoint a review came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// `/mutate`
    Mutate,
    /// `/validate`
    Validate,
    /// `/validate-templates`
    ValidateTemplates,
}

/// What to send back, and what to say about it.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status: 200 whenever the review could be answered at all.
    pub status: u16,
    /// The `AdmissionReview` to send (JSON), or a line of text where there is no review to answer.
    pub body: Vec<u8>,
    /// How it ended.
    pub outcome: Outcome,
    /// The rule that decided.
    pub reason: Reason,
    /// The object's namespace, as the request says.
    pub namespace: String,
    /// The object's name, or its `generateName`.
    pub name: String,
    /// The object's kind, e.g. `Pod`.
    pub kind: String,
    /// The sentence for the log, where something was refused.
    pub message: Option<String>,
    /// Whether the request was a dry run.
    pub dry_run: bool,
}
