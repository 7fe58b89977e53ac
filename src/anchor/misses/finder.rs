//! Looks through the cluster for what misses anchors, while this instance leads, and tells.
//!
//! ```text
//!  metadata of HP pods --> workloads --.
//!  Services, policies, ... in pages ----+--> find --> Event on the object, log, gauge
//! ```
//!
//! Nothing is watched and no object is kept: a cluster has many more Services than it has workloads of
//! ours. It lists in pages, every few minutes, and a second after a workload came that was not there
//! before. What was said is remembered by the object's UID and generation; a new leader says it once
//! more.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, GroupVersionKind, ListParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use tokio::time::Instant;

use super::memory::Memory;
use super::pages::{ListError, Pages, timed};
use super::{Kind, Newcomers, Workloads, find, generation};
use crate::anchor::events::Events;
use crate::anchor::limits::jittered;
use crate::anchor::metrics::Metrics;
use crate::anchor::pair::{Note, Reason};
use crate::anchor::view::Identity;
use crate::cluster::Chain;
use crate::names::label;

/// How often all is looked through, where nothing new comes.
pub const INTERVAL: Duration = Duration::from_secs(300);
/// Between a new workload and the look at it: others come with it, and its Service after it.
const SETTLE: Duration = Duration::from_secs(1);
/// Looking takes at most this part of the time, however many workloads come.
const SHARE: u32 = 10;
/// With more namespaces than this that have workloads, one list of the cluster is cheaper.
const NAMESPACES: usize = 16;
/// Between two Events: fewer than the controller may say (`Events`).
const PACE: Duration = Duration::from_millis(200);

/// See the module.
pub struct Finder {
    client: Client,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
    newcomers: Arc<Newcomers>,
    interval: Duration,
    memory: Memory,
}

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finder").finish_non_exhaustive()
    }
}

/// What a look through one kind came to.
#[derive(Default)]
struct Seen {
    /// How many objects miss anchors.
    misses: i64,
    /// The UIDs of those that were spoken of, now or before.
    told: HashSet<Arc<str>>,
}

impl Finder {
    /// Does nothing until it is run.
    pub fn new(
        client: Client,
        events: Arc<Events>,
        metrics: Arc<Metrics>,
        newcomers: Arc<Newcomers>,
        interval: Duration,
    ) -> Self {
        Finder {
            client,
            events,
            metrics,
            newcomers,
            interval,
            memory: Memory::default(),
        }
    }

    /// Looks again and again, for as long as it is polled.
    pub async fn run(mut self) {
        let _gauges = Gauges(Arc::clone(&self.metrics));
        loop {
            tokio::time::sleep(SETTLE).await;
            let started = Instant::now();
            if let Err(error) = self.look().await {
                tracing::warn!(error = %Chain(&error), "cannot look for what misses anchors; trying again later");
            }
            tokio::time::sleep(started.elapsed() * (SHARE - 1)).await;
            tokio::select! {
                () = tokio::time::sleep(jittered(self.interval)) => {}
                () = self.newcomers.wait() => {}
            }
        }
    }

    /// Looks through the cluster once.
    async fn look(&mut self) -> Result<(), ListError> {
        let workloads = self.workloads().await?;
        let groups = if workloads.is_empty() {
            BTreeMap::new()
        } else {
            self.groups().await?
        };
        for &kind in Kind::ALL {
            match self.look_at(kind, &groups, &workloads).await {
                Ok(seen) => {
                    self.memory.listed(kind, &seen.told, |namespace| {
                        workloads.namespace(namespace).is_some()
                    });
                    self.metrics.set_misses(kind, seen.misses);
                }
                // What was found the last time stands.
                Err(error) => self.failed(kind, &error),
            }
        }
        Ok(())
    }

    fn failed(&mut self, kind: Kind, error: &ListError) {
        if !error.is_forbidden() || self.memory.is_first_refusal(kind) {
            tracing::warn!(
                kind = %kind,
                error = %Chain(error),
                "cannot list what may miss anchors; trying again later"
            );
        }
    }

    /// The workloads of the cluster, from the metadata of their pods.
    async fn workloads(&self) -> Result<Workloads, ListError> {
        let mut workloads = Workloads::default();
        let pods: Api<Pod> = Api::all(self.client.clone());
        let labelled = ListParams::default().labels(label::WORKLOAD);
        let mut pods = Pages::new(pods, labelled, &self.metrics);
        while let Some(page) = pods.next_metadata().await? {
            for pod in page {
                workloads.add(&pod);
            }
        }
        if workloads.is_empty() {
            return Ok(workloads);
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let mut namespaces = Pages::new(namespaces, ListParams::default(), &self.metrics);
        while let Some(page) = namespaces.next_metadata().await? {
            for namespace in page {
                let ObjectMeta { name, labels, .. } = namespace;
                workloads.set_labels(&name.unwrap_or_default(), labels.unwrap_or_default());
            }
        }
        Ok(workloads)
    }

    /// The versions of each API group that is there, the preferred one first.
    async fn groups(&self) -> Result<BTreeMap<String, Vec<String>>, ListError> {
        let answer = timed(&self.metrics, self.client.list_api_groups()).await?;
        let groups = answer.groups.into_iter().map(|group| {
            let mut versions: Vec<_> = group.versions.into_iter().map(|v| v.version).collect();
            let preferred = group.preferred_version.map(|v| v.version);
            versions.sort_by_key(|version| Some(version) != preferred.as_ref());
            (group.name, versions)
        });
        Ok(groups.collect())
    }

    /// Looks through one kind, in the namespaces that matter.
    async fn look_at(
        &mut self,
        kind: Kind,
        groups: &BTreeMap<String, Vec<String>>,
        workloads: &Workloads,
    ) -> Result<Seen, ListError> {
        let names = workloads.names();
        let scopes = if workloads.is_empty() {
            Vec::new()
        } else if kind.reaches_out() || names.len() > NAMESPACES {
            vec![None]
        } else {
            names.map(Some).collect()
        };
        let versions = match kind.version() {
            Some(version) => vec![version.to_owned()],
            None => groups.get(kind.group()).cloned().unwrap_or_default(),
        };
        for version in versions {
            let version = GroupVersionKind::gvk(kind.group(), &version, kind.as_str());
            let resource = ApiResource::from_gvk_with_plural(&version, kind.plural());
            match self.look_into(kind, &resource, &scopes, workloads).await {
                // This version of the group has other kinds only.
                Err(error) if error.is_not_found() => {}
                answer => return answer,
            }
        }
        Ok(Seen::default())
    }

    /// Looks through one kind in some namespaces, `None` being all.
    async fn look_into(
        &mut self,
        kind: Kind,
        resource: &ApiResource,
        scopes: &[Option<&str>],
        workloads: &Workloads,
    ) -> Result<Seen, ListError> {
        let mut seen = Seen::default();
        for scope in scopes {
            let client = self.client.clone();
            let api: Api<DynamicObject> = match scope {
                Some(namespace) => Api::namespaced_with(client, namespace, resource),
                None => Api::all_with(client, resource),
            };
            let metrics = Arc::clone(&self.metrics);
            let mut pages = Pages::new(api, ListParams::default(), &metrics);
            while let Some(page) = pages.next().await? {
                for object in page {
                    self.judge(kind, resource, &object, workloads, &mut seen)
                        .await;
                    // The pairs have the same thread, and go first.
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(seen)
    }

    /// Says it of one object, if it is to be said.
    async fn judge(
        &mut self,
        kind: Kind,
        resource: &ApiResource,
        object: &DynamicObject,
        workloads: &Workloads,
        seen: &mut Seen,
    ) {
        let Some(id) = identity(&object.metadata) else {
            return;
        };
        if let Some(miss) = find(kind, object, workloads) {
            seen.misses += 1;
            if self.memory.is_news(kind, &id, generation(kind, object)) {
                let note = Note::warning(Reason::MissesAnchors, miss.to_string());
                let (kind, version) = (kind.as_str(), &resource.api_version);
                self.events.tell(kind, version, &id, &note);
                tokio::time::sleep(PACE).await;
            }
        }
        if self.memory.knows(kind, &id.uid) {
            seen.told.insert(id.uid);
        }
    }
}

fn identity(metadata: &ObjectMeta) -> Option<Identity> {
    Some(Identity {
        namespace: metadata.namespace.as_deref()?.into(),
        name: metadata.name.as_deref()?.into(),
        uid: metadata.uid.as_deref()?.into(),
        version: metadata.resource_version.as_deref()?.into(),
    })
}

/// Only the leader counts: at zero again once it leads no longer.
struct Gauges(Arc<Metrics>);

impl Drop for Gauges {
    fn drop(&mut self) {
        for &kind in Kind::ALL {
            self.0.set_misses(kind, 0);
        }
    }
}

#[cfg(test)]
#[path = "finder_tests.rs"]
mod tests;
