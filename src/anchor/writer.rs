//! The requests of the controller, each safe to send twice, late, or from an instance that leads no
//! longer.
//!
//! | request | safe because |
//! |---|---|
//! | create an anchor | its name holds the HP pod's UID; an orphan is the garbage collector's |
//! | delete an anchor | names its UID; only asked for where nothing can make it wanted again |
//! | delete it soon | names the version, too: see [`Writer::delete`] |
//! | publish, set a gate | name the UID and the version that the decision was made on |
//! | replace an HP pod | name the UID and the version of a read just made |

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::{Api, Client, Resource as _};
use serde_json::{Value, json};

use super::leadership::SharedFence;
use super::metrics::{self, Metrics};
use super::rules::SHORT_GRACE_SECONDS;
use super::slim::SlimPod;
use super::status::AnchorStatus;
use super::view::{Condition, DISRUPTION_TARGET, Identity};
use crate::names::{FIELD_MANAGER, annotation, gate};
use std::sync::Arc;

/// How long a request may take; the API server's own limit is a minute, and a worker waits.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request was not made, or failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// This instance leads no longer.
    #[error("this instance leads no longer")]
    NotLeading,
    /// No answer in time.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The API server's answer.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

/// See the module.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    fence: SharedFence,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Writes only while the fence is open.
    pub fn new(client: Client, fence: SharedFence, metrics: Arc<Metrics>) -> Self {
        Writer {
            client,
            fence,
            metrics,
        }
    }

    fn pods(&self, namespace: &str) -> Api<SlimPod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn timed<T>(
        &self,
        request: metrics::Request,
        answer: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        let answer = tokio::time::timeout(TIMEOUT, answer).await;
        let answer = answer.map_err(|_| WriteError::Timeout)?;
        self.metrics.request(request, &answer);
        Ok(answer?)
    }

    async fn write<T>(
        &self,
        request: metrics::Request,
        answer: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        if !self.fence.is_open() {
            return Err(WriteError::NotLeading);
        }
        self.timed(request, answer).await
    }

    /// Reads a pod as it is now.
    pub async fn read(&self, namespace: &str, name: &str) -> Result<Option<Pod>, WriteError> {
        let api = self.pods(namespace);
        let answer = self
            .timed(metrics::Request::Read, api.get_opt(name))
            .await?;
        Ok(answer.map(|pod| pod.0))
    }

    /// Reads a pod as the API server's cache has it, which is a moment old at most and costs much less:
    /// for what does not change in a pod's life.
    pub async fn read_lightly(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Pod>, WriteError> {
        let api = self.pods(namespace);
        let params = GetParams::any();
        let answer = async {
            match api.get_with(name, &params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
                answer => answer.map(Some),
            }
        };
        let answer = self.timed(metrics::Request::Read, answer).await?;
        Ok(answer.map(|pod: SlimPod| pod.0))
    }

    /// Creates an anchor, by the body of the request.
    pub async fn create(&self, namespace: &str, body: Vec<u8>) -> Result<Pod, WriteError> {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            dry_run: false,
        };
        let request = Request::new(Pod::url_path(&(), Some(namespace)))
            .create(&params, body)
            .map_err(kube::Error::BuildRequest)?;
        let answer = self.client.request::<SlimPod>(request);
        Ok(self.write(metrics::Request::Create, answer).await?.0)
    }

    /// Deletes an anchor.
    ///
    /// The short grace period is for one that is not terminating yet. Its kubelet would not hear of it
    /// if another delete (the garbage collector's, a person's) came just before, and would sleep on
    /// for that one's: so it conflicts with any change, and the rules are asked again.
    pub async fn delete(&self, anchor: &Identity, grace: i64) -> Result<(), WriteError> {
        let version = (grace == SHORT_GRACE_SECONDS).then(|| anchor.version.to_string());
        let params = DeleteParams {
            grace_period_seconds: Some(u32::try_from(grace).unwrap_or(u32::MAX)),
            preconditions: Some(Preconditions {
                uid: Some(anchor.uid.to_string()),
                resource_version: version,
            }),
            ..DeleteParams::default()
        };
        let api = self.pods(&anchor.namespace);
        let answer = api.delete(&anchor.name, &params);
        self.write(metrics::Request::Delete, answer).await.map(drop)
    }

    /// Writes an anchor's status onto its HP pod.
    pub async fn publish(&self, hp: &Identity, status: &AnchorStatus) -> Result<Pod, WriteError> {
        let mut patch = of(hp);
        patch["metadata"]["annotations"] =
            json!({annotation::ANCHOR_STATUS: status.to_annotation()});
        let (api, patch) = (self.pods(&hp.namespace), Patch::Merge(patch));
        let params = params();
        let answer = api.patch(&hp.name, &params, &patch);
        Ok(self.write(metrics::Request::Publish, answer).await?.0)
    }

    /// Sets the readiness gate of an HP pod. `old` is what stands there.
    pub async fn hp_gate(
        &self,
        hp: &Identity,
        old: Option<&Condition>,
        new: &Condition,
    ) -> Result<Pod, WriteError> {
        let patch = condition(hp, gate::ANCHOR_READY, old, new);
        self.status(metrics::Request::HpGate, hp, patch).await
    }

    /// Sets the readiness gate of an anchor. `old` is what stands there.
    pub async fn anchor_gate(
        &self,
        anchor: &Identity,
        old: Option<&Condition>,
        new: &Condition,
    ) -> Result<Pod, WriteError> {
        let patch = condition(anchor, gate::WORKLOAD_RUNNING, old, new);
        self.status(metrics::Request::AnchorGate, anchor, patch)
            .await
    }

    /// Marks an HP pod as disrupted, as the eviction API does, so that a Job's podFailurePolicy need not
    /// count it (KEP-3329).
    pub async fn disrupt(&self, hp: &Identity, reason: &str, why: &str) -> Result<Pod, WriteError> {
        let patch = condition(
            hp,
            DISRUPTION_TARGET,
            None,
            &Condition::new(true, reason, why),
        );
        self.status(metrics::Request::Disrupt, hp, patch).await
    }

    /// Deletes an HP pod, with its own grace period.
    pub async fn replace(&self, hp: &Identity) -> Result<(), WriteError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(hp.uid.to_string()),
                resource_version: Some(hp.version.to_string()),
            }),
            ..DeleteParams::default()
        };
        let api = self.pods(&hp.namespace);
        let answer = api.delete(&hp.name, &params);
        self.write(metrics::Request::Replace, answer)
            .await
            .map(drop)
    }

    async fn status(
        &self,
        request: metrics::Request,
        pod: &Identity,
        patch: Value,
    ) -> Result<Pod, WriteError> {
        let (api, patch) = (self.pods(&pod.namespace), Patch::Strategic(patch));
        let params = params();
        let answer = api.patch_status(&pod.name, &params, &patch);
        Ok(self.write(request, answer).await?.0)
    }
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// A patch that fails on any other object of that name, and on any other version of it.
fn of(pod: &Identity) -> Value {
    json!({"metadata": {"uid": &*pod.uid, "resourceVersion": &*pod.version}})
}

/// A strategic merge: conditions are merged by their type, so those of the kubelet stay.
fn condition(pod: &Identity, kind: &str, old: Option<&Condition>, new: &Condition) -> Value {
    let mut condition = json!({
        "type": kind,
        "status": if new.holds { "True" } else { "False" },
        "reason": &*new.reason,
        "message": &*new.message,
    });
    if old.is_none_or(|old| old.holds != new.holds) {
        condition["lastTransitionTime"] = json!(whole_seconds(Timestamp::now()));
    }
    let mut patch = of(pod);
    patch["status"] = json!({"conditions": [condition]});
    patch
}

/// As the API server keeps times (`metav1.Time`).
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
