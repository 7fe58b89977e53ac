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

impl Door {
    /// Every door.
    pub const ALL: [Self; 3] = [Self::Mutate, Self::Validate, Self::ValidateTemplates];

    /// Its path on the server.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Mutate => "/mutate",
            Self::Validate => "/validate",
            Self::ValidateTemplates => "/validate-templates",
        }
    }

    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
            Self::ValidateTemplates => "validate-templates",
        }
    }
}

/// Why a namespace's policy cannot be had right now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The API server says that there is no such namespace.
    #[error("there is no namespace {0}")]
    NotFound(String),
    /// The API server could not be asked.
    #[error("the policy of namespace {namespace} could not be read: {cause}; try again")]
    Failed {
        /// The namespace.
        namespace: String,
        /// What went wrong.
        cause: String,
    },
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
