//! Who may use an account: where a namespace says `authorize: serviceaccount`, a pod's ServiceAccount needs the
//! verb `use` on every account that the pod's containers run as, as windows-gmsa asks for its
//! credential specs.
//!
//! ```text
//! /validate says "allowed" -- RunAs::asked -- Answers -- not known? -- SubjectAccessReview
//!                              no: allowed     known for seconds
//! ```
//!
//! After all mutation, so that the account that is judged is the one that it will be; of a template what its
//! pods will be. The right is granted by a Role in the pod's namespace:
//! `accounts.native-host.io`, named as [`Account::right_name`](crate::windows::account::Account::right_name)
//! says. What could not be asked is refused: a guard rail that opens when it is pulled at is none.

mod answers;
mod cluster;

use std::time::Duration;

use super::answer::{Denial, Verdict};
use super::review::{Door, Object, Review};
use super::templates;
use crate::json::Cursor;
use crate::names::{policy as key, right};
use crate::plan::accounts;
use crate::plan::pod::Pod;
use crate::plan::reason::Reason;
use crate::plan::sheet::{Refusal, Root, Sheet};
use crate::policy::{Authorize, Mode, Namespace, Policy};
use crate::windows::account::Account;
use answers::Answers;

pub use cluster::Cluster;

/// For all questions of one review: well within the webhooks' timeouts of 5 and 2 s
/// (deploy/base/webhooks.yaml), so that the person reads why.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// The ServiceAccount of a pod that names none (`DefaultServiceAccountName`,
/// plugin/pkg/admission/serviceaccount/admission.go).
const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// One right that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Where it has to be granted.
    pub namespace: String,
    /// Whose it has to be.
    pub service_account: String,
    /// The account's name in RBAC.
    pub account: String,
}

/// Why a right could not be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// Nobody is there to ask.
    #[error("this native-host runs with --no-cluster")]
    NoCluster,
    /// No answer in time.
    #[error("the API server did not answer within {} ms", TIMEOUT.as_millis())]
    Late,
    /// The API server could not be asked, or refused.
    #[error("{0}")]
    Failed(String),
}

/// Who is asked.
pub trait Authorizer: Send + Sync + 'static {
    /// Whether the right is granted.
    fn is_granted(&self, question: &Question)
    -> impl Future<Output = Result<bool, Unasked>> + Send;
}

/// Who runs as what, of one pod or template.
#[derive(Debug)]
pub(super) struct RunAs {
    service_account: String,
    accounts: Vec<Account>,
    root: Root,
    mode: Mode,
}

impl RunAs {
    /// What has to be asked about a review; `None` where the namespace asks nobody.
    pub(super) fn asked(review: &Review<'_>, namespace: &Namespace) -> Option<Self> {
        let policy = namespace.policy.as_ref().ok()?;
        if policy.authorize == Authorize::None {
            return None;
        }
        match (review.door, &review.object) {
            (Door::Validate, Object::Pod(pod)) => Some(Self::of(pod, policy, Root::POD)),
            (Door::Validate, Object::Raw(raw)) => {
                let pod = Pod::read(&mut Cursor::new(raw)).ok()?;
                Some(Self::of(&pod, policy, Root::POD))
            }
            (Door::ValidateTemplates, Object::Raw(raw)) => {
                let read = templates::pod(&review.group, &review.kind, raw);
                let (pod, root) = read.ok()??;
                Some(Self::of(&pod, policy, root))
            }
            _ => None,
        }
    }

    fn of(pod: &Pod<'_>, policy: &Policy, root: Root) -> Self {
        let name = pod.spec.service_account.as_deref();
        Self {
            service_account: name.unwrap_or(DEFAULT_SERVICE_ACCOUNT).to_owned(),
            accounts: accounts(pod, policy),
            root,
            mode: policy.mode,
        }
    }

    fn field(&self) -> String {
        format!("{}spec.serviceAccountName", self.root.field)
    }
}

/// What the offline command says instead: it asks nobody.
pub(super) fn not_asked(pod: &Pod<'_>, policy: &Policy, root: Root) -> Option<String> {
    if policy.authorize == Authorize::None || policy.mode == Mode::Off {
        return None;
    }
    let run_as = RunAs::of(pod, policy, root);
    let names: Vec<_> = run_as.accounts.iter().map(Account::right_name).collect();
    Some(format!(
        "{}: {:?}: not asked here: the cluster admits the pod only if this ServiceAccount has the verb {} on \
         {}.{} named {} (annotation {})",
        run_as.field(),
        run_as.service_account,
        right::USE,
        right::ACCOUNTS,
        right::GROUP,
        names.join(" and "),
        key::AUTHORIZE
    ))
}

/// The rights of ServiceAccounts to accounts.
#[derive(Debug)]
pub struct Rights<A> {
    authorizer: Option<A>,
    answers: Answers,
}

impl<A: Authorizer> Rights<A> {
    /// Without `authorizer` nothing can be asked, so everything that has to be is refused.
    pub fn new(authorizer: Option<A>) -> Self {
        Rights {
            authorizer,
            answers: Answers::default(),
        }
    }

    /// Adds to a verdict that allows what the rights say.
    pub(super) async fn review(&self, verdict: Verdict, namespace: &str, run_as: RunAs) -> Verdict {
        let asked = self.ask_all(namespace, &run_as);
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(denied)) if denied.is_empty() => verdict,
            Ok(Ok(denied)) => refuse(verdict, &run_as, &denied),
            Ok(Err(error)) => unasked(verdict, &run_as, &error),
            Err(_) => unasked(verdict, &run_as, &Unasked::Late),
        }
    }

    /// The accounts that may not be used.
    async fn ask_all<'r>(
        &self,
        namespace: &str,
        run_as: &'r RunAs,
    ) -> Result<Vec<&'r Account>, Unasked> {
        let authorizer = self.authorizer.as_ref().ok_or(Unasked::NoCluster)?;
        let mut denied = Vec::new();
        for account in &run_as.accounts {
            let question = Question {
                namespace: namespace.to_owned(),
                service_account: run_as.service_account.clone(),
                account: account.right_name(),
            };
            if !self.answers.get(authorizer, question).await? {
                denied.push(account);
            }
        }
        Ok(denied)
    }
}

fn refuse(mut verdict: Verdict, run_as: &RunAs, denied: &[&Account]) -> Verdict {
    let mut sheet = Sheet::new(run_as.root);
    for account in denied {
        sheet.forbid(
            Reason::Authorization,
            run_as.field(),
            run_as.service_account.clone(),
            format!(
                "this ServiceAccount may not use the account {}: a Role in the namespace must grant it the verb \
                 {} on {}.{} named '{}' (annotation {}); have one granted, or choose another ServiceAccount or \
                 runAsUserName",
                account.as_str(),
                right::USE,
                right::ACCOUNTS,
                right::GROUP,
                account.right_name(),
                key::AUTHORIZE
            ),
        );
    }
    let problems = sheet.problems;
    if run_as.mode != Mode::Warn && run_as.root == Root::POD {
        let warnings = std::mem::take(&mut verdict.warnings);
        return Verdict::reject(&Refusal { problems }).with_warnings(warnings);
    }
    let said = problems.iter().map(|problem| {
        if run_as.mode == Mode::Warn {
            format!("{problem} (let pass, since mode is warn)")
        } else {
            format!("pods will be refused: {problem}")
        }
    });
    warn(verdict, Reason::Authorization, said)
}

fn unasked(mut verdict: Verdict, run_as: &RunAs, error: &Unasked) -> Verdict {
    let message = format!(
        "{}: {:?}: whether this ServiceAccount may use the pod's account could not be asked: {error}; try again \
         (annotation {})",
        run_as.field(),
        run_as.service_account,
        key::AUTHORIZE
    );
    if run_as.mode == Mode::Warn || run_as.root != Root::POD {
        let said = std::iter::once(message);
        return warn(verdict, Reason::AuthorizationUnavailable, said);
    }
    let warnings = std::mem::take(&mut verdict.warnings);
    Verdict::deny(
        Reason::AuthorizationUnavailable,
        Denial {
            message,
            reason: "ServiceUnavailable",
            code: 503,
            details: None,
        },
    )
    .with_warnings(warnings)
}

/// Before the others, of which only so many are sent.
fn warn(mut verdict: Verdict, reason: Reason, said: impl Iterator<Item = String>) -> Verdict {
    let warnings = said.chain(std::mem::take(&mut verdict.warnings)).collect();
    verdict.reason = reason;
    verdict.with_warnings(warnings)
}

#[cfg(test)]
mod tests;
