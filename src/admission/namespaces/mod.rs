//! The namespaces' policies, ready when a review needs one.
//!
//! ```text
//! watch (cluster) --\
//!                    > Index: name -> policy --> get(name) --miss--> the API server, once
//! file (no cluster) -/
//! ```
//!
//! Only the parsed policy is kept: a namespace costs some hundred bytes, whatever its object
//! carries. What the index holds stays in force while the API server is away.

mod cluster;
mod file;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

pub(super) use cluster::Chain;
pub use cluster::Cluster;
pub use file::{File, FileError};

use super::metrics::Metrics;
use super::review::Unavailable;
use crate::policy::{Namespace, Policy};

type Known = HashMap<String, Arc<Namespace>>;

/// How long a policy that was replaced is remembered: longer than an API server takes from a pod's
/// mutating webhook to its validating one (ours have `timeoutSeconds: 5`, deploy/base/webhooks.yaml).
const OVERLAP: Duration = Duration::from_secs(15);

/// How many of those: enough for who edits namespaces by script, and a bound.
const MOST_REPLACED: usize = 256;

/// Name to policy, as far as anybody said. Synchronous, and holds no client.
#[derive(Debug)]
pub struct Index {
    flags: Policy,
    known: RwLock<Known>,
    /// What was replaced, the newest first.
    replaced: Mutex<VecDeque<(Instant, String, Arc<Namespace>)>>,
    synced: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Index {
    /// Empty. `flags` is what holds where a Namespace says nothing.
    pub fn new(flags: Policy, metrics: Arc<Metrics>) -> Self {
        Index {
            flags,
            known: RwLock::default(),
            replaced: Mutex::default(),
            synced: AtomicBool::new(false),
            metrics,
        }
    }

    /// Whether it has once held everything that there was.
    pub fn synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// The policy of a namespace.
    pub fn get(&self, name: &str) -> Option<Arc<Namespace>> {
        self.read().get(name).cloned()
    }

    /// Reads a Namespace's policy over the flags'.
    fn parse<'s>(
        &self,
        name: &str,
        labels: impl Iterator<Item = (&'s str, &'s str)>,
        annotations: impl Iterator<Item = (&'s str, &'s str)>,
    ) -> Arc<Namespace> {
        let namespace = Namespace::read(&self.flags, labels, annotations);
        // Said again only when the text has changed: a watch repeats itself.
        if let Err(errors) = &namespace.policy
            && self.get(name).is_none_or(|known| *known != namespace)
        {
            tracing::warn!(
                namespace = name,
                "its policy is invalid, its pods are refused: {errors}"
            );
        }
        Arc::new(namespace)
    }

    fn insert(&self, name: String, namespace: Arc<Namespace>) {
        // Remembered first, so that a review finds the one that it was made by at any moment.
        if let Some(before) = self.get(&name).filter(|before| *before != namespace) {
            let mut replaced = self.replaced();
            replaced.push_front((Instant::now(), name.clone(), before));
            replaced.truncate(MOST_REPLACED);
        }
        self.write().insert(name, namespace);
        self.count();
    }

    /// The policies of a namespace that were replaced a moment ago, the newest first.
    fn before(&self, name: &str) -> Vec<Arc<Namespace>> {
        let mut replaced = self.replaced();
        replaced.retain(|(when, ..)| when.elapsed() < OVERLAP);
        let of_it = replaced.iter().filter(|(_, of, _)| of == name);
        of_it.map(|(.., policy)| Arc::clone(policy)).collect()
    }

    fn replaced(&self) -> std::sync::MutexGuard<'_, VecDeque<(Instant, String, Arc<Namespace>)>> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For what was asked in between: a watch that has said something since knows better.
    fn insert_if_unknown(&self, name: String, namespace: Arc<Namespace>) {
        self.write().entry(name).or_insert(namespace);
        self.count();
    }

    fn remove(&self, name: &str) {
        self.write().remove(name);
        self.count();
    }

    fn replace(&self, all: Known) {
        *self.write() = all;
        self.synced.store(true, Ordering::Release);
        self.count();
    }

    fn count(&self) {
        let known = self.read();
        let invalid = known.values().filter(|n| n.policy.is_err()).count();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.namespaces.set(gauge(known.len()));
        self.metrics.namespaces_invalid.set(gauge(invalid));
    }

    /// Each change is one operation on the map: no panic leaves it half done.
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where policies come from.
#[derive(Debug)]
pub enum Namespaces {
    /// From the API server.
    Cluster(Box<Cluster>),
    /// From a file; a namespace that is not in it has the flags' policy.
    File(File),
}

impl Namespaces {
    /// The policy of a namespace; waits only where it was never seen.
    ///
    /// # Errors
    /// If there is no such namespace, or the API server does not answer in time.
    pub async fn get(&self, name: &str) -> Result<Arc<Namespace>, Unavailable> {
        match self {
            Namespaces::Cluster(cluster) => match cluster.index().get(name) {
                Some(known) => Ok(known),
                None => cluster.ask(name).await,
            },
            Namespaces::File(file) => Ok(file.get(name)),
        }
    }

    /// The other policies by which a pod that comes to the validating webhook may rightly have
    /// been mutated: those that were replaced since, and what the API server says if the watch has
    /// not brought it yet, though another replica's has.
    pub(super) async fn neighbours(&self, name: &str) -> Vec<Arc<Namespace>> {
        let Namespaces::Cluster(cluster) = self else {
            return Vec::new();
        };
        let mut others = cluster.index().before(name);
        others.extend(cluster.ask(name).await);
        others
    }

    /// An error as long as the first list is not complete.
    ///
    /// # Errors
    /// What to look at.
    pub fn ready(&self) -> Result<(), String> {
        match self {
            Namespaces::File(_) => Ok(()),
            Namespaces::Cluster(cluster) if cluster.index().synced() => Ok(()),
            Namespaces::Cluster(_) => Err(
                "the namespaces are not listed yet; is the API server reachable, and may this \
                 ServiceAccount list and watch namespaces?"
                    .into(),
            ),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::names::policy;

    fn index() -> Index {
        Index::new(Policy::builtin(), Arc::new(Metrics::new().unwrap()))
    }

    #[test]
    fn counts_what_it_knows_and_what_of_it_is_invalid() {
        let index = index();
        let none = std::iter::empty;
        let good = index.parse("good", none(), none());
        let bad = index.parse("bad", none(), [(policy::MODE, "sometimes")].into_iter());
        index.insert("good".into(), good);
        index.insert("bad".into(), bad);
        assert!(!index.synced());
        assert_eq!(index.metrics.namespaces.get(), 2);
        assert_eq!(index.metrics.namespaces_invalid.get(), 1);
        index.remove("bad");
        assert_eq!(index.metrics.namespaces.get(), 1);
        assert_eq!(index.metrics.namespaces_invalid.get(), 0);
    }

    #[test]
    fn remembers_what_was_replaced_and_only_that() {
        let index = index();
        let parse = |mode: &'static str| {
            index.parse("a", std::iter::empty(), [(policy::MODE, mode)].into_iter())
        };
        let (enforce, warn) = (parse("enforce"), parse("warn"));
        index.insert("a".into(), Arc::clone(&enforce));
        assert!(
            index.before("a").is_empty(),
            "the first one replaced nothing"
        );
        index.insert("a".into(), parse("enforce"));
        assert!(index.before("a").is_empty(), "the watch repeated itself");
        index.insert("a".into(), Arc::clone(&warn));
        index.insert("a".into(), parse("off"));
        assert_eq!(index.before("a"), [warn, enforce]);
        assert!(index.before("b").is_empty());
        for n in 0..=MOST_REPLACED {
            index.insert("a".into(), parse(["warn", "off"][n % 2]));
        }
        assert_eq!(index.before("a").len(), MOST_REPLACED);
    }

    #[test]
    fn a_list_replaces_everything() {
        let index = index();
        let none = std::iter::empty;
        index.insert("gone".into(), index.parse("gone", none(), none()));
        let here = index.parse("here", none(), none());
        index.replace(Known::from([("here".into(), here)]));
        assert!(index.synced());
        assert!(index.get("gone").is_none());
        assert!(index.get("here").is_some());
    }

    #[test]
    fn what_was_asked_does_not_undo_what_the_watch_said() {
        let index = index();
        let none = std::iter::empty;
        let off = index.parse("a", none(), [(policy::MODE, "off")].into_iter());
        index.insert("a".into(), Arc::clone(&off));
        index.insert_if_unknown("a".into(), index.parse("a", none(), none()));
        assert_eq!(index.get("a").unwrap(), off);
    }
}
