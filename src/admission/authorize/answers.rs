//! Answers, kept for seconds: a rollout asks the same question for every pod.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::{Authorizer, Question, Unasked};

/// How long a yes holds: so long may a right that was taken away still be used.
pub(super) const YES: Duration = Duration::from_secs(10);
/// How long a no holds: so long does who was just granted a right wait.
pub(super) const NO: Duration = Duration::from_secs(2);
/// Answers kept at a time; one takes about 200 bytes.
pub(super) const MOST: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Answers {
    known: Mutex<HashMap<Question, Arc<Answer>>>,
}

/// Empty until the first who asked has been told; the others who ask meanwhile wait for that.
type Answer = OnceCell<(bool, Instant)>;

fn is_old(answer: &Answer) -> bool {
    answer.get().is_some_and(|(granted, at)| {
        let holds = if *granted { YES } else { NO };
        at.elapsed() >= holds
    })
}

impl Answers {
    /// What is known, or what `authorizer` says. An error is not kept.
    pub(super) async fn get(
        &self,
        authorizer: &impl Authorizer,
        question: Question,
    ) -> Result<bool, Unasked> {
        let answer = self.slot(&question);
        let told = answer.get_or_try_init(|| async {
            let granted = authorizer.is_granted(&question).await?;
            Ok((granted, Instant::now()))
        });
        told.await.map(|(granted, _)| *granted)
    }

    /// How many are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.lock().map_or(0, |known| known.len())
    }

    fn slot(&self, question: &Question) -> Arc<Answer> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known.get(question).filter(|answer| !is_old(answer)) {
            return Arc::clone(answer);
        }
        if known.len() >= MOST {
            known.retain(|_, answer| !is_old(answer));
            if known.len() >= MOST {
                known.clear();
            }
        }
        let answer = Arc::new(Answer::new());
        known.insert(question.clone(), Arc::clone(&answer));
        answer
    }
}
