//! One admission review: decoded in two stages, answered without IO.
//!
//! First the envelope, so that the `uid` survives whatever is wrong with the object; then the
//! object, as far as rules name it. Nothing is copied but what the answer says.

use super::answer::{self, Answer, Verdict};
use super::{external, namespaces_kind, services, templates};
use crate::json::{Cursor, Error};
use crate::names::{annotation, label};
use crate::plan::pod::Pod;
use crate::plan::reason::{Outcome, Reason};
use crate::plan::sheet::{Refusal, Root};
use crate::plan::{self, Decision};
use crate::policy::{Namespace, Policy};
use std::borrow::Cow;

/// Which endpoint a review came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// `/mutate`
    Mutate,
    /// `/validate`
    Validate,
    /// `/validate-templates`
    ValidateTemplates,
    /// `/evict`
    Evict,
}

impl Door {
    /// Every door.
    pub const ALL: [Self; 4] = [
        Self::Mutate,
        Self::Validate,
        Self::ValidateTemplates,
        Self::Evict,
    ];

    /// Its path on the server.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Mutate => "/mutate",
            Self::Validate => "/validate",
            Self::ValidateTemplates => "/validate-templates",
            Self::Evict => "/evict",
        }
    }

    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
            Self::ValidateTemplates => "validate-templates",
            Self::Evict => "evict",
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

/// The object under review.
#[derive(Debug)]
pub(super) enum Object<'a> {
    /// A pod, read while the envelope was.
    Pod(Box<Pod<'a>>),
    /// Anything else, not yet read.
    Raw(&'a str),
    /// `null`, as on DELETE.
    None,
}

/// A pod that is to be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Eviction<'r> {
    pub(super) namespace: &'r str,
    pub(super) name: &'r str,
    pub(super) dry_run: bool,
}

/// One admission review.
#[derive(Debug)]
pub struct Review<'a> {
    pub(super) door: Door,
    uid: Cow<'a, str>,
    pub(super) group: Cow<'a, str>,
    pub(super) kind: Cow<'a, str>,
    operation: Cow<'a, str>,
    sub_resource: Cow<'a, str>,
    namespace: Cow<'a, str>,
    name: Cow<'a, str>,
    dry_run: bool,
    pub(super) object: Object<'a>,
    malformed: Option<Error>,
}

impl<'a> Review<'a> {
    /// Reads a review's envelope. What is no review at all is answered with status 400.
    #[allow(
        clippy::result_large_err,
        reason = "the answer is moved once for each request, and a box would only be unboxed"
    )]
    pub fn parse(door: Door, body: &'a [u8]) -> Result<Self, Answer> {
        let mut review = Self {
            door,
            uid: Cow::Borrowed(""),
            group: Cow::Borrowed(""),
            kind: Cow::Borrowed(""),
            operation: Cow::Borrowed(""),
            sub_resource: Cow::Borrowed(""),
            namespace: Cow::Borrowed(""),
            name: Cow::Borrowed(""),
            dry_run: false,
            object: Object::None,
            malformed: None,
        };
        let Ok(body) = simdutf8::basic::from_utf8(body) else {
            return Err(answer::not_a_review("the body is not UTF-8"));
        };
        match review.read(body) {
            Ok(()) if review.uid.is_empty() => Err(answer::not_a_review(
                "request.uid is missing: this is no AdmissionReview with a request",
            )),
            Ok(()) => Ok(review),
            Err(error) if review.uid.is_empty() => Err(answer::not_a_review(&format!(
                "the body is no AdmissionReview: {error}"
            ))),
            Err(error) => {
                review.malformed.get_or_insert(error);
                Ok(review)
            }
        }
    }

    fn read(&mut self, body: &'a str) -> Result<(), Error> {
        let mut cursor = Cursor::new(body);
        cursor.object(|key, value| {
            match key {
                "request" => value.object(|key, value| self.read_member(key, value))?,
                "apiVersion" => {
                    if value.string()? != answer::API_VERSION {
                        return Err(Error {
                            at: 0,
                            expected: "apiVersion admission.k8s.io/v1",
                        });
                    }
                }
                _ => value.skip()?,
            }
            Ok(())
        })?;
        cursor.end()
    }

    fn read_member(&mut self, key: &str, value: &mut Cursor<'a>) -> Result<(), Error> {
        match key {
            "uid" => self.uid = value.string()?,
            "kind" => value.object(|key, value| {
                match key {
                    "group" => self.group = value.string()?,
                    "kind" => self.kind = value.string()?,
                    _ => value.skip()?,
                }
                Ok(())
            })?,
            "operation" => self.operation = value.string()?,
            "subResource" => self.sub_resource = value.string()?,
            "namespace" => self.namespace = value.string()?,
            "name" => self.name = value.string()?,
            "dryRun" => self.dry_run = value.bool_or_null()? == Some(true),
            "object" => self.read_object(value)?,
            _ => value.skip()?,
        }
        Ok(())
    }

    /// A pod is read on the way, which saves a second pass; the API server writes `kind` first.
    fn read_object(&mut self, value: &mut Cursor<'a>) -> Result<(), Error> {
        if value.null()? {
            return Ok(());
        }
        if self.is_core("Pod") {
            let mut ahead = value.clone();
            match Pod::read(&mut ahead) {
                Ok(pod) => {
                    *value = ahead;
                    self.object = Object::Pod(Box::new(pod));
                    return Ok(());
                }
                Err(error) => self.malformed = Some(error),
            }
        }
        self.object = Object::Raw(value.raw()?);
        Ok(())
    }

    fn is_core(&self, kind: &str) -> bool {
        self.group.is_empty() && self.kind == kind
    }

    /// The namespace whose policy is asked for; `None` where none is needed.
    pub fn namespace(&self) -> Option<&str> {
        if self.namespace.is_empty() || self.is_core("Namespace") {
            return None;
        }
        Some(&self.namespace)
    }

    /// The pod that is to be evicted; `None` where the review asks something else, or cannot be
    /// read.
    pub(super) fn eviction(&self) -> Option<Eviction<'_>> {
        let evicts = self.malformed.is_none()
            && self.operation == "CREATE"
            && self.sub_resource == "eviction"
            && self.group == "policy"
            && self.kind == "Eviction";
        evicts.then(|| Eviction {
            namespace: &self.namespace,
            name: &self.name,
            dry_run: self.dry_run || self.with_dry_delete_options().unwrap_or(false),
        })
    }

    /// Whether an Eviction's own options ask for a dry run. The API server heeds them, but does not
    /// say so in `request.dryRun` (`propagateDryRun`, pkg/registry/core/pod/storage/eviction.go).
    fn with_dry_delete_options(&self) -> Result<bool, Error> {
        let Object::Raw(raw) = self.object else {
            return Ok(false);
        };
        let mut dry_run = false;
        Cursor::new(raw).object(|key, value| match key {
            "deleteOptions" => value.object(|key, value| match key {
                "dryRun" => value.strings().map(|asked| dry_run = !asked.is_empty()),
                _ => value.skip(),
            }),
            _ => value.skip(),
        })?;
        Ok(dry_run)
    }

    /// Decides what needs no IO: all but evictions, and who may use an account. `defaults` is the policy of a namespace
    /// without annotations; `namespace` that of [`Review::namespace`], not looked at where that is
    /// `None`.
    pub fn answer(self, namespace: Result<&Namespace, Unavailable>, defaults: &Policy) -> Answer {
        self.conclude(self.verdict(namespace, defaults))
    }

    /// The same before it is written out.
    pub(super) fn verdict(
        &self,
        namespace: Result<&Namespace, Unavailable>,
        defaults: &Policy,
    ) -> Verdict {
        match &self.malformed {
            Some(error) => Verdict::reject(&Refusal::one(
                Reason::Malformed,
                "request.object",
                format!("{error}; the object is not of the shape that Kubernetes gives it"),
            )),
            None => self.decide(namespace, defaults),
        }
    }

    /// The answer that a verdict makes.
    pub(super) fn conclude(&self, verdict: Verdict) -> Answer {
        let name = match &self.object {
            Object::Pod(pod) if self.name.is_empty() => pod.display_name(),
            _ => &self.name,
        };
        Answer::new(
            &self.uid,
            verdict,
            &self.namespace,
            name,
            &self.kind,
            self.dry_run,
        )
    }

    fn decide(&self, namespace: Result<&Namespace, Unavailable>, defaults: &Policy) -> Verdict {
        if !self.sub_resource.is_empty() {
            return Verdict::allow(Outcome::Skipped, Reason::NotHandled);
        }
        let created = self.operation == "CREATE";
        let written = created || self.operation == "UPDATE";
        if self.door == Door::Validate && self.is_core("Namespace") && written {
            return self.with_raw(|raw| namespaces_kind::review(raw, defaults));
        }
        let handled = match self.door {
            Door::Mutate | Door::Validate => {
                (self.is_core("Pod") && created) || (self.is_core("Service") && written)
            }
            Door::ValidateTemplates => {
                written && templates::root(&self.group, &self.kind).is_some()
            }
            Door::Evict => false,
        };
        if !handled {
            return Verdict::allow(Outcome::Skipped, Reason::NotHandled);
        }
        let namespace = match namespace {
            Ok(namespace) => namespace,
            Err(unavailable) => return Verdict::unavailable(&unavailable),
        };
        match (self.door, &self.object) {
            (Door::Mutate, Object::Pod(pod)) => mutate(pod, namespace),
            (Door::Validate, Object::Pod(pod)) => validate(pod, namespace),
            (Door::Mutate, _) if self.is_core("Service") => {
                self.with_raw(|raw| services::review(raw, namespace))
            }
            (Door::Validate, _) if self.is_core("Service") => {
                self.with_raw(|raw| Ok(external::review(raw, namespace)))
            }
            (Door::ValidateTemplates, _) => {
                self.with_raw(|raw| templates::review(&self.group, &self.kind, raw, namespace))
            }
            // A pod whose kind stood behind it.
            _ => self.with_raw(|raw| {
                let pod = Pod::read(&mut Cursor::new(raw))?;
                Ok(match self.door {
                    Door::Mutate => mutate(&pod, namespace),
                    _ => validate(&pod, namespace),
                })
            }),
        }
    }

    fn with_raw(&self, review: impl FnOnce(&str) -> Result<Verdict, Error>) -> Verdict {
        let Object::Raw(raw) = self.object else {
            return Verdict::allow(Outcome::Skipped, Reason::NotHandled);
        };
        review(raw).unwrap_or_else(|error| {
            Verdict::reject(&Refusal::one(
                Reason::Malformed,
                "request.object",
                error.to_string(),
            ))
        })
    }
}

/// `/mutate` for a pod.
fn mutate(pod: &Pod<'_>, namespace: &Namespace) -> Verdict {
    let policy = match policy(pod, namespace) {
        Ok(policy) => policy,
        Err(verdict) => return *verdict,
    };
    let planned = plan::plan(pod, policy, Root::POD);
    let verdict = match planned.decision {
        Decision::Inject(patch, _) => Verdict::patch(patch),
        Decision::Unchanged(_) => Verdict::allow(Outcome::Unchanged, Reason::None),
        Decision::Skip(reason) => Verdict::allow(Outcome::Skipped, reason),
        Decision::Reject(refusal) => Verdict::reject(&refusal),
    };
    verdict.with_warnings(planned.warnings)
}

/// `/validate` for a pod: nothing may be left to do. Its warnings were given by `/mutate`.
fn validate(pod: &Pod<'_>, namespace: &Namespace) -> Verdict {
    let policy = match policy(pod, namespace) {
        Ok(policy) => policy,
        Err(verdict) => return *verdict,
    };
    match plan::plan(pod, policy, Root::POD).decision {
        Decision::Unchanged(_) => Verdict::allow(Outcome::Allowed, Reason::None),
        Decision::Skip(reason) => Verdict::allow(Outcome::Skipped, reason),
        Decision::Reject(refusal) => Verdict::reject(&refusal),
        Decision::Inject(..) if pod.annotation(annotation::INJECTED).is_some() => {
            // All that injection does to a pod that has its marker.
            Verdict::reject(&Refusal::one(
                Reason::Invariant,
                format!("metadata.annotations[{}]", annotation::ANCHOR_STATUS),
                "only native-host's controller writes it, once the anchor runs; another webhook \
                 has put it into the pod: look at the MutatingWebhookConfigurations",
            ))
        }
        Decision::Inject(..) => Verdict::reject(&Refusal::one(
            Reason::Invariant,
            format!("metadata.annotations[{}]", annotation::INJECTED),
            "the pod is labelled as a native-host workload, but was not injected: the mutating \
             webhook did not see it, or another webhook undid its work. Look at the \
             MutatingWebhookConfigurations, and apply again",
        )),
    }
}

/// The namespace's policy, if the pod is ours at all.
fn policy<'n>(pod: &Pod<'_>, namespace: &'n Namespace) -> Result<&'n Policy, Box<Verdict>> {
    if pod.labels.get(label::WORKLOAD).is_none() {
        let verdict = Verdict::allow(Outcome::Skipped, Reason::NotLabelled);
        return Err(Box::new(verdict));
    }
    let errors = |errors| Box::new(Verdict::bad_namespace(errors));
    namespace.policy.as_ref().map_err(errors)
}
