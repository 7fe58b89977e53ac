//! `/evict`: an anchor is not evicted from under a pod that still runs.
//!
//! ```text
//! name -- of an anchor's form? -- GET it: an anchor? -- GET its pod -- rules::decide
//!          no: allowed             no: allowed
//! ```
//!
//! Without it an eviction of the anchor would get round the disruption budgets of its pod: the
//! pod is cut off and replaced, though nobody asked its budget. The webhook's failurePolicy is
//! Ignore, and so is ours: a pair that cannot be read in time must not hold up a drain.
//!
//! Both pods are read live, on every replica, leader or not: an eviction is rare, and what a watch
//! said a moment ago is not what a budget may be judged by.

mod pods;
mod rules;

use std::time::Duration;

use tokio::sync::Semaphore;

pub use pods::Pods;
pub use rules::PodView;

use super::answer::{Denial, Details, Verdict};
use super::review::Eviction;
use crate::anchor;
use crate::plan::reason::{Outcome, Reason};
use rules::EvictAnswer;

/// For both reads: well within the webhook's two seconds (deploy/base/webhooks.yaml), so that the
/// person who evicts reads a warning, and not only the API server's log does.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Evictions looked at at a time. A quarter of the reviews that may be in progress
/// ([`Limits::in_flight`](super::limits::Limits)): a slow API server and a drained rack must
/// not take the places of pods that are to be injected.
const AT_A_TIME: usize = 64;

/// Why a pair could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// Nobody is there to ask.
    #[error("this native-host runs with --no-cluster")]
    NoCluster,
    /// No answer in time.
    #[error("the API server did not answer within {} ms", TIMEOUT.as_millis())]
    Late,
    /// The API server could not be asked, or refused.
    #[error("reading pod {pod} failed: {cause}")]
    Failed {
        /// The pod.
        pod: String,
        /// What went wrong.
        cause: String,
    },
}

/// Where the pods of pairs are read.
pub trait PairLookup: Send + Sync + 'static {
    /// The pod as it is now; `None` where there is none.
    fn pod(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<PodView>, Unread>> + Send;
}

/// Reviews of evictions.
#[derive(Debug)]
pub struct Evictions<L> {
    pods: Option<L>,
    places: Semaphore,
}

impl<L: PairLookup> Evictions<L> {
    /// Without `pods` every eviction is let pass, and said so.
    pub fn new(pods: Option<L>) -> Self {
        Evictions {
            pods,
            places: Semaphore::new(AT_A_TIME),
        }
    }

    /// Decides about the eviction of one pod, and changes nothing.
    pub(super) async fn review(&self, eviction: Eviction<'_>) -> Verdict {
        let Eviction {
            namespace, name, ..
        } = eviction;
        // The webhook's matchCondition says the same; a configuration may have lost it.
        if !anchor::is_name(name) {
            return Verdict::allow(Outcome::Skipped, Reason::NotAnAnchor);
        }
        let Some(pods) = &self.pods else {
            return unread(name, &Unread::NoCluster);
        };
        let Ok(_place) = self.places.try_acquire() else {
            return busy();
        };
        match tokio::time::timeout(TIMEOUT, look(pods, namespace, name)).await {
            Ok(Ok((EvictAnswer::PairRunning, owner))) if eviction.dry_run => {
                in_earnest(name, &owner)
            }
            Ok(Ok((answer, owner))) => verdict(answer, name, &owner),
            Ok(Err(error)) => unread(name, &error),
            Err(_) => unread(name, &Unread::Late),
        }
    }
}

/// Reads the pair and decides; gives the name of the anchor's pod too.
async fn look(
    pods: &impl PairLookup,
    namespace: &str,
    name: &str,
) -> Result<(EvictAnswer, String), Unread> {
    let Some(anchor) = pods.pod(namespace, name).await? else {
        return Ok((EvictAnswer::NotAnAnchor, String::new()));
    };
    let Some(owner) = anchor.anchors_owner() else {
        return Ok((EvictAnswer::NotAnAnchor, String::new()));
    };
    let hp = pods.pod(namespace, &owner.name).await?;
    Ok((rules::decide(&anchor, hp.as_ref()), owner.name.clone()))
}

/// What a person, and a program that evicts, is told.
fn verdict(answer: EvictAnswer, name: &str, owner: &str) -> Verdict {
    match answer {
        EvictAnswer::NotAnAnchor => Verdict::allow(Outcome::Skipped, Reason::NotAnAnchor),
        EvictAnswer::PairEnding => Verdict::allow(Outcome::Allowed, Reason::PairEnding),
        EvictAnswer::PairRunning => Verdict::deny(
            Reason::PairRunning,
            Denial {
                message: format!(
                    "{name} is the anchor of pod {owner}, which still runs, and the two go together. \
                     Evict {owner} instead, within its own disruption budgets; the anchor \
                     follows by itself. kubectl drain evicts both, and gets here once {owner} is \
                     going"
                ),
                reason: "TooManyRequests",
                code: 429,
                // As where a budget is used up (`checkAndDecrement`, pkg/registry/core/pod/storage/
                // eviction.go): the cause tells it from an overloaded API server, and without
                // retryAfterSeconds, since client-go would obey it ten times and kubectl
                // would say nothing for all that time (rest/with_retry.go).
                details: Some(Details::Cause {
                    reason: "DisruptionBudget",
                    message: format!("The pod {owner} still needs its anchor"),
                }),
            },
        ),
        // `kubectl drain` leaves DaemonSets' pods, and takes an anchor, owned by a Pod, for none of
        // them. NotFound is what it skips without an error (`evictPods`, kubectl/pkg/drain).
        EvictAnswer::OfDaemonSet => Verdict::deny(
            Reason::OfDaemonSet,
            Denial {
                message: format!(
                    "{name} is the anchor of pod {owner}, which belongs to a DaemonSet and stays with \
                     its node, so there is nothing to evict. To have it replaced delete {owner}"
                ),
                reason: "NotFound",
                code: 404,
                details: None,
            },
        ),
    }
}

/// A dry run of a drain asks until it is told yes, as a drain does (`evictPods`, kubectl/pkg/drain);
/// but in a dry run the pod never goes, and it would ask for ever. The drain itself passes.
fn in_earnest(name: &str, owner: &str) -> Verdict {
    let warning = format!(
        "{name} is the anchor of pod {owner}, which still runs: in earnest its eviction is refused \
         until {owner} is going"
    );
    Verdict::allow(Outcome::Allowed, Reason::PairRunning).with_warnings(vec![warning])
}

fn unread(name: &str, error: &Unread) -> Verdict {
    let warning = format!(
        "native-host let the eviction of anchor {name} pass without knowing whether its pod still \
         runs: {error}"
    );
    Verdict::allow(Outcome::Error, Reason::PairUnavailable).with_warnings(vec![warning])
}

fn busy() -> Verdict {
    Verdict::deny(
        Reason::Busy,
        Denial {
            message: format!(
                "{AT_A_TIME} evictions of anchors are being looked at; try again in a second"
            ),
            reason: "TooManyRequests",
            code: 429,
            details: Some(Details::RetryAfter(1)),
        },
    )
}

#[cfg(test)]
mod tests;
