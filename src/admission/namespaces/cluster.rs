//! Policies from the API server: a metadata watch, and a question where it has not come yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::utils::Backoff as _;
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Client};
use tokio::sync::OnceCell;

use super::{Index, Known};
use crate::admission::metrics::Success;
use crate::admission::review::Unavailable;
use crate::policy::Namespace;

/// Well within a webhook's timeout (10 s by default), so that the answer says why.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one watch request lasts, in seconds. A connection that died without a word is
/// noticed after it, so this bounds how old a policy can be; a request a minute costs nothing.
const WATCH_SECONDS: u32 = 60;

/// A page of the list: only one is in memory at a time, with all its metadata.
const PAGE: u32 = 100;

type Answer = Result<Arc<Namespace>, Unavailable>;

/// See the module.
#[derive(Clone)]
pub struct Cluster {
    index: Arc<Index>,
    api: Api<v1::Namespace>,
    metadata: Api<PartialObjectMeta<v1::Namespace>>,
    /// Questions that are under way: whoever comes meanwhile waits for the same answer.
    asked: Arc<Mutex<HashMap<String, Arc<OnceCell<Answer>>>>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

fn pairs(map: Option<&BTreeMap<String, String>>) -> impl Iterator<Item = (&str, &str)> {
    map.into_iter()
        .flatten()
        .map(|(k, v)| (k.as_str(), v.as_str()))
}

impl Cluster {
    /// Knows nothing yet: [`Cluster::watch`] has to run.
    pub fn new(client: Client, index: Arc<Index>) -> Self {
        Cluster {
            index,
            api: Api::all(client.clone()),
            metadata: Api::all(client),
            asked: Arc::default(),
        }
    }

    /// What is known.
    pub fn index(&self) -> &Index {
        &self.index
    }

    fn parse(&self, metadata: &ObjectMeta) -> Option<(String, Arc<Namespace>)> {
        let name = metadata.name.clone()?;
        let labels = pairs(metadata.labels.as_ref());
        let annotations = pairs(metadata.annotations.as_ref());
        let namespace = self.index.parse(&name, labels, annotations);
        Some((name, namespace))
    }

    /// Follows the namespaces for as long as it is polled. Errors are retried with backoff;
    /// meanwhile the policies last seen stay in force.
    pub async fn watch(self) {
        let config = watcher::Config::default()
            .timeout(WATCH_SECONDS)
            .page_size(PAGE);
        let mut events = std::pin::pin!(watcher(self.metadata.clone(), config));
        let mut backoff = DefaultBackoff::default();
        let mut listing = Known::new();
        let mut failing = false;
        loop {
            match events.try_next().await {
                Ok(Some(event)) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the namespaces watch works again");
                        backoff.reset();
                    }
                    self.take(event, &mut listing);
                }
                // The stream never ends by itself.
                Ok(None) => return,
                Err(error) => {
                    self.index.metrics.watch_errors.inc();
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(
                            error = %Chain(&error),
                            "the namespaces watch failed; the policies last seen stay in force, \
                             retrying"
                        );
                    }
                    let wait = backoff.next().unwrap_or(Duration::from_secs(30));
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn take(&self, event: Event<PartialObjectMeta<v1::Namespace>>, listing: &mut Known) {
        match event {
            Event::Init => listing.clear(),
            Event::InitApply(object) => listing.extend(self.parse(&object.metadata)),
            Event::InitDone => {
                tracing::info!(namespaces = listing.len(), "namespaces listed");
                self.index.replace(std::mem::take(listing));
            }
            Event::Apply(object) => {
                if let Some((name, namespace)) = self.parse(&object.metadata) {
                    self.index.insert(name, namespace);
                }
            }
            Event::Delete(object) => {
                if let Some(name) = &object.metadata.name {
                    self.index.remove(name);
                }
            }
        }
    }

    /// Asks the API server about a namespace that the watch has not brought: it was created a
    /// moment ago, or the first list is not complete.
    pub(super) async fn ask(&self, name: &str) -> Answer {
        let question = {
            let mut asked = self.asked();
            Arc::clone(asked.entry(name.to_owned()).or_default())
        };
        let answer = question.get_or_init(|| self.ask_once(name)).await.clone();
        let mut asked = self.asked();
        if asked.get(name).is_some_and(|q| Arc::ptr_eq(q, &question)) {
            asked.remove(name);
        }
        answer
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<OnceCell<Answer>>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_once(&self, name: &str) -> Answer {
        let failed = |cause: String| {
            self.index.metrics.looked_up(Success::Failed);
            Unavailable::Failed {
                namespace: name.to_owned(),
                cause,
            }
        };
        let question = self.api.get_metadata_opt(name);
        match tokio::time::timeout(ASK_TIMEOUT, question).await {
            Ok(Ok(found)) => {
                self.index.metrics.looked_up(Success::Ok);
                let (name, namespace) = found
                    .and_then(|object| self.parse(&object.metadata))
                    .ok_or_else(|| Unavailable::NotFound(name.to_owned()))?;
                self.index.insert_if_unknown(name, Arc::clone(&namespace));
                Ok(namespace)
            }
            Ok(Err(error)) => Err(failed(Chain(&error).to_string())),
            Err(_) => Err(failed(format!(
                "the API server did not answer within {} s",
                ASK_TIMEOUT.as_secs()
            ))),
        }
    }
}

/// An error with its causes: kube's own texts leave out what the system said.
pub(in crate::admission) struct Chain<'e>(pub(in crate::admission) &'e dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = self.0.to_string();
        f.write_str(&text)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let cause = error.to_string();
            // Many print their cause themselves.
            if !text.contains(&cause) {
                write!(f, ": {cause}")?;
            }
            text = cause;
            next = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
