//! The response to a review, as JSON, and what logs and metrics say of it.

use super::review::Unavailable;
use crate::json::{Patch, quote};
use crate::plan::reason::{Outcome, Reason};
use crate::plan::sheet::{MOST_SAID, Refusal};
use crate::policy::PolicyErrors;
use base64::Engine as _;
use base64::engine::Simd;
use base64::engine::general_purpose::PAD;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// Detects once what the processor offers: plain code would take a third of a review's time.
static BASE64: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD));

/// The only version of `AdmissionReview` that there is (since Kubernetes 1.16).
pub(super) const API_VERSION: &str = "admission.k8s.io/v1";

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
    /// The sentence for the log, where something was refused or went wrong.
    pub message: Option<String>,
    /// Whether the request was a dry run.
    pub dry_run: bool,
}

/// What a refusal says in its `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// For the person who typed the YAML.
    pub message: String,
    /// `status.reason`, as `metav1.StatusReason`.
    pub reason: &'static str,
    /// `status.code`, as HTTP.
    pub code: u16,
    /// `status.details`. The API server passes code, reason and details on as they are, and puts
    /// only the webhook's name before the message (`ToStatusErr`,
    /// k8s.io/apiserver/pkg/admission/plugin/webhook/errors/statuserror.go).
    pub details: Option<Details>,
}

/// More of a refusal, for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Details {
    /// The one member of `causes`: a `metav1.StatusCause`.
    Cause {
        /// `reason`, as `metav1.CauseType`.
        reason: &'static str,
        /// For a person.
        message: String,
    },
    /// `retryAfterSeconds`: the API server makes a `Retry-After` of it (`ErrorNegotiated`,
    /// k8s.io/apiserver/pkg/endpoints/handlers/responsewriters), which client-go obeys unseen.
    RetryAfter(u8),
}

impl Denial {
    /// What a refusal says: `Forbidden` where only the namespace's policy stands against it.
    pub fn of(refusal: &Refusal) -> Self {
        let (reason, code) = if refusal.is_forbidden() {
            ("Forbidden", 403)
        } else {
            ("Invalid", 422)
        };
        Self {
            message: refusal.to_string(),
            reason,
            code,
            details: None,
        }
    }
}

/// A decision about one object.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) reason: Reason,
    pub(super) patch: Option<Patch>,
    pub(super) denial: Option<Denial>,
    pub(super) warnings: Vec<String>,
}

impl Verdict {
    pub(super) const fn allow(outcome: Outcome, reason: Reason) -> Self {
        Self {
            outcome,
            reason,
            patch: None,
            denial: None,
            warnings: Vec::new(),
        }
    }

    pub(super) fn patch(patch: Patch) -> Self {
        Self {
            patch: Some(patch),
            ..Self::allow(Outcome::Injected, Reason::None)
        }
    }

    pub(super) fn reject(refusal: &Refusal) -> Self {
        Self::deny(refusal.reason(), Denial::of(refusal))
    }

    pub(super) fn deny(reason: Reason, denial: Denial) -> Self {
        Self {
            denial: Some(denial),
            ..Self::allow(Outcome::Rejected, reason)
        }
    }

    /// The namespace's own policy cannot be read, so nothing is known of what it allows.
    pub(super) fn bad_namespace(errors: &PolicyErrors) -> Self {
        let message = bad_namespace(errors);
        Self::deny(
            Reason::NamespacePolicy,
            Denial {
                message,
                reason: "Forbidden",
                code: 403,
                details: None,
            },
        )
    }

    pub(super) fn unavailable(unavailable: &Unavailable) -> Self {
        let (reason, code) = match unavailable {
            Unavailable::NotFound(_) => ("NotFound", 404),
            Unavailable::Failed { .. } => ("ServiceUnavailable", 503),
        };
        let message = unavailable.to_string();
        Self::deny(
            Reason::PolicyUnavailable,
            Denial {
                message,
                reason,
                code,
                details: None,
            },
        )
    }

    pub(super) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings = said(warnings);
        self
    }
}

/// Warnings as they are sent. The API server drops one with a control character in it, and cuts
/// what is long (`NewWarningHeader`, k8s.io/apimachinery/pkg/util/net).
pub(super) fn said(mut warnings: Vec<String>) -> Vec<String> {
    let more = warnings.len().saturating_sub(MOST_SAID);
    warnings.truncate(MOST_SAID);
    if more > 0 {
        warnings.push(format!("and {more} more warnings"));
    }
    for warning in &mut warnings {
        if warning.contains(char::is_control) {
            *warning = warning.replace(char::is_control, " ");
        }
    }
    warnings
}

/// What a pod's author is told of a namespace whose policy is invalid.
pub(super) fn bad_namespace(errors: &PolicyErrors) -> String {
    format!(
        "the namespace's native-host policy is invalid, so none of its workloads is admitted \
         until it is mended: {}",
        errors.to_string().replace('\n', "; ")
    )
}

/// What is no review gets no review back.
pub(super) fn not_a_review(text: &str) -> Answer {
    Answer {
        status: 400,
        body: format!("{text}\n").into_bytes(),
        outcome: Outcome::Error,
        reason: Reason::Malformed,
        namespace: String::new(),
        name: String::new(),
        kind: String::new(),
        message: Some(text.to_owned()),
        dry_run: false,
    }
}

impl Answer {
    pub(super) fn new(
        uid: &str,
        verdict: Verdict,
        namespace: &str,
        name: &str,
        kind: &str,
        dry_run: bool,
    ) -> Self {
        let failed = (verdict.outcome == Outcome::Error).then(|| verdict.warnings.first());
        let denied = verdict.denial.as_ref().map(|denial| &denial.message);
        Self {
            status: 200,
            outcome: verdict.outcome,
            reason: verdict.reason,
            message: denied.or(failed.flatten()).cloned(),
            body: body(uid, verdict).into_bytes(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            kind: kind.to_owned(),
            dry_run,
        }
    }

    /// A refusal of a review that could not be answered because of a fault in this program.
    pub fn internal(uid: &str) -> Self {
        let denial = Denial {
            message: "native-host could not answer this review because of a fault of its own; its \
                      log says more. Other objects are not affected"
                .to_owned(),
            reason: "InternalError",
            code: 500,
            details: None,
        };
        let verdict = Verdict {
            outcome: Outcome::Error,
            ..Verdict::deny(Reason::Internal, denial)
        };
        Self::new(uid, verdict, "", "", "", false)
    }
}

fn body(uid: &str, verdict: Verdict) -> String {
    let patch = verdict.patch.map(Patch::into_json);
    let size = 256 + patch.as_ref().map_or(0, |patch| patch.len() * 4 / 3 + 4);
    let mut out = String::with_capacity(size);
    let _ = write!(
        out,
        r#"{{"apiVersion":"{API_VERSION}","kind":"AdmissionReview","response":{{"uid":"#
    );
    quote(uid, &mut out);
    let _ = write!(out, r#","allowed":{}"#, verdict.denial.is_none());
    if let Some(patch) = patch {
        out.push_str(r#","patchType":"JSONPatch","patch":""#);
        out.push_str(&BASE64.encode(patch));
        out.push('"');
    }
    if let Some(denial) = verdict.denial {
        out.push_str(r#","status":{"status":"Failure","message":"#);
        quote(&denial.message, &mut out);
        let _ = write!(
            out,
            r#","reason":"{}","code":{}"#,
            denial.reason, denial.code
        );
        match denial.details {
            None => {}
            Some(Details::Cause { reason, message }) => {
                let _ = write!(
                    out,
                    r#","details":{{"causes":[{{"reason":"{reason}","message":"#
                );
                quote(&message, &mut out);
                out.push_str("}]}");
            }
            Some(Details::RetryAfter(seconds)) => {
                let _ = write!(out, r#","details":{{"retryAfterSeconds":{seconds}}}"#);
            }
        }
        out.push('}');
    }
    for (i, warning) in verdict.warnings.iter().enumerate() {
        out.push_str(if i == 0 { r#","warnings":["# } else { "," });
        quote(warning, &mut out);
    }
    if !verdict.warnings.is_empty() {
        out.push(']');
    }
    out.push_str("}}");
    out
}
