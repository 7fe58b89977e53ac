//! What a Namespace says to native-host.

use crate::names::{PREFIX, label};

use super::Policy;
use super::error::{Errors, Kind, Place, PolicyError, PolicyErrors};
use super::keys::Key;

/// One Namespace, as far as its pods' admission needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    /// Its policy, over the flags'. An invalid one refuses pods; it is never replaced by a default.
    pub policy: Result<Policy, PolicyErrors>,
    /// The Pod Security level that it enforces, where it says one.
    pub pod_security: Option<PodSecurityLevel>,
}

/// A level of the Pod Security Standards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodSecurityLevel {
    /// Everything is allowed, HostProcess too.
    Privileged,
    /// No HostProcess.
    Baseline,
    /// No HostProcess.
    Restricted,
}

impl PodSecurityLevel {
    /// What Pod Security makes of the label's value: what it does not know is `restricted`
    /// (`k8s.io/pod-security-admission/api/helpers.go`, `ParseLevel`).
    fn of_label(value: &str) -> Self {
        match value {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            _ => Self::Restricted,
        }
    }

    /// The name in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

impl std::fmt::Display for PodSecurityLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Namespace {
    /// Reads a Namespace's labels and annotations over the flags' policy.
    pub fn read<'s>(
        flags: &Policy,
        labels: impl Iterator<Item = (&'s str, &'s str)>,
        annotations: impl Iterator<Item = (&'s str, &'s str)>,
    ) -> Self {
        let mut errors = Errors::default();
        let mut pod_security = None;
        for (name, value) in labels {
            if name == label::POD_SECURITY_ENFORCE {
                pod_security = Some(PodSecurityLevel::of_label(value));
            } else if name.starts_with(PREFIX) && Key::find(name).is_some() {
                // Ignored, it would be a guard rail that someone believes in.
                errors.push(|| PolicyError {
                    place: Place::NamespaceLabel,
                    key: name.to_owned(),
                    kind: Kind::Misplaced,
                    message: "policy is read from annotations; move it to metadata.annotations"
                        .into(),
                });
            }
        }
        let mut policy = flags.clone();
        policy.read(Place::Namespace, annotations, &mut errors);
        Self {
            policy: errors.or(policy),
            pod_security,
        }
    }
}
