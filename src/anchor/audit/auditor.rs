//! Audits the cluster while this instance leads, and tells.
//!
//! ```text
//!  metadata of namespaces, workloads, anchors --> Audit --> Event on the object, log, gauge
//! ```
//!
//! On start, then every few minutes. Nothing is watched and no object is kept; what was said is
//! remembered by the object's UID for as long as it holds, and a new leader says it once more.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client};

use super::{Audit, Finding, Problem, SETTLE, UNFINISHED, anchors};
use crate::anchor::events::Events;
use crate::anchor::limits::jittered;
use crate::anchor::metrics::{Metrics, Request};
use crate::anchor::misses::pages::{ListError, Pages, asked};
use crate::cluster::{Chain, is_plain};
use crate::names::label;
use crate::policy::Policy;

/// How often all is looked through.
pub const INTERVAL: Duration = Duration::from_secs(300);
/// Between the begin of leadership and the first look: the pairs go first.
const START: Duration = Duration::from_secs(5);
/// Between two Events: fewer than the controller may say ([`Events`]).
const PACE: Duration = Duration::from_millis(200);
/// So many are told at a look. All are counted, and the rest is told the next time.
const TOLD: usize = 100;

/// See the module.
pub struct Auditor {
    client: Client,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
    flags: Arc<Policy>,
    interval: Duration,
    /// What was said of whom: a hash of the sentence by problem and UID.
    said: HashMap<(Problem, Arc<str>), u64>,
}

impl std::fmt::Debug for Auditor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auditor").finish_non_exhaustive()
    }
}

impl Auditor {
    /// Does nothing until it is run. `flags` is what holds where a Namespace says nothing.
    pub fn new(
        client: Client,
        events: Arc<Events>,
        metrics: Arc<Metrics>,
        flags: Arc<Policy>,
        interval: Duration,
    ) -> Self {
        Auditor {
            client,
            events,
            metrics,
            flags,
            interval,
            said: HashMap::new(),
        }
    }

    /// Looks again and again, for as long as it is polled.
    pub async fn run(mut self) {
        let _gauges = Gauges(Arc::clone(&self.metrics));
        tokio::time::sleep(START).await;
        loop {
            match self.look().await {
                Ok(findings) => self.tell(findings).await,
                // What was found the last time stands.
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "cannot audit the cluster; trying again later");
                }
            }
            tokio::time::sleep(jittered(self.interval)).await;
        }
    }

    /// Looks through the cluster once.
    async fn look(&self) -> Result<Vec<Finding>, ListError> {
        let mut audit = Audit::default();
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let mut pages = Pages::new(namespaces, ListParams::default(), &self.metrics);
        while let Some(page) = pages.next_metadata().await? {
            for namespace in page {
                audit.namespace(&self.flags, &namespace);
            }
        }
        let pods: Api<Pod> = Api::all(self.client.clone());
        let workloads = ListParams::default()
            .labels(label::WORKLOAD)
            .fields(UNFINISHED);
        let mut pages = Pages::new(pods.clone(), workloads, &self.metrics);
        while let Some(page) = pages.next_metadata().await? {
            for pod in page {
                audit.pod(&pod);
            }
            // The pairs have the same thread, and go first.
            tokio::task::yield_now().await;
        }
        let mut pages = Pages::new(
            pods,
            ListParams::default().labels(&anchors()),
            &self.metrics,
        );
        while let Some(page) = pages.next_metadata().await? {
            let now = Timestamp::now();
            for pod in page {
                audit.anchor(&pod, now);
            }
            tokio::task::yield_now().await;
        }
        let suspects = audit.suspects();
        if !suspects.is_empty() {
            tokio::time::sleep(SETTLE).await;
        }
        for suspect in suspects {
            let namespace = &suspect.anchor.namespace;
            let anchor = self.read(namespace, &suspect.anchor.name).await?;
            let owner = match &suspect.owner {
                Some(name) => self.read(namespace, name).await?,
                None => None,
            };
            audit.confirm(suspect, anchor.as_ref(), owner.as_ref(), Timestamp::now());
        }
        Ok(audit.into_findings())
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Option<ObjectMeta>, ListError> {
        // Anybody may write any name into an ownerReference, and none but these is a pod's.
        if !is_plain(name) {
            return Ok(None);
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let question = pods.get_metadata_opt(name);
        let found = asked(&self.metrics, Request::Read, question).await?;
        Ok(found.map(|pod| pod.metadata))
    }

    /// Counts all, and says what is new.
    async fn tell(&mut self, findings: Vec<Finding>) {
        for &problem in Problem::ALL {
            let count = findings.iter().filter(|one| one.problem == problem).count();
            self.metrics
                .set_audit(problem, i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut before = std::mem::take(&mut self.said);
        let mut told = 0;
        for finding in findings {
            let key = (finding.problem, Arc::clone(&finding.subject.uid));
            let mut hasher = DefaultHasher::new();
            finding.note.text.hash(&mut hasher);
            let text = hasher.finish();
            if before.remove(&key) != Some(text) {
                if told == TOLD {
                    continue;
                }
                told += 1;
                let kind = finding.problem.kind();
                self.events
                    .tell(kind, "v1", &finding.subject, &finding.note);
                tokio::time::sleep(PACE).await;
            }
            self.said.insert(key, text);
        }
    }
}

/// Only the leader counts: at zero again once it leads no longer.
struct Gauges(Arc<Metrics>);

impl Drop for Gauges {
    fn drop(&mut self) {
        for &problem in Problem::ALL {
            self.0.set_audit(problem, 0);
        }
    }
}

#[cfg(test)]
#[path = "auditor_tests.rs"]
mod tests;
