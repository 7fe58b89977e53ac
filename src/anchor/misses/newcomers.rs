//! Tells the finder that a workload has come that was not there before, so that its author hears
//! within a second or two what misses its anchors.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// So many workloads are remembered; with more, all are forgotten, which costs a needless look.
const REMEMBERED: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub struct Newcomers {
    /// Hashes of namespace and workload: eight bytes for each.
    seen: Mutex<HashSet<u64>>,
    came: Notify,
}

impl Newcomers {
    /// A pod of a workload was seen.
    pub fn saw(&self, namespace: &str, workload: &str) {
        let mut hasher = DefaultHasher::new();
        (namespace, workload).hash(&mut hasher);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        if seen.insert(hasher.finish()) {
            self.came.notify_one();
        }
    }

    /// Waits until a workload comes; at once if one came since the last time.
    pub async fn wait(&self) {
        self.came.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn only_the_first_pod_of_a_workload_is_news() {
        let newcomers = Newcomers::default();
        assert!(newcomers.wait().now_or_never().is_none());
        newcomers.saw("shop", "albums");
        newcomers.saw("shop", "sales");
        assert!(newcomers.wait().now_or_never().is_some(), "both at once");
        newcomers.saw("shop", "albums");
        assert!(newcomers.wait().now_or_never().is_none());
        newcomers.saw("music", "albums");
        assert!(newcomers.wait().now_or_never().is_some());
    }
}
