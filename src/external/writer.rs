//! The requests for external Services, each safe to send twice, late, or from an instance that leads no
//! longer.
//!
//! | request | safe because |
//! |---|---|
//! | create a slice | its name holds the Service's UID and a number; an orphan is the garbage collector's |
//! | update, delete one | name the UID and the version that the decision was made on |

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, Client};

use super::slices::Write;
use crate::anchor::leadership::SharedFence;
use crate::anchor::metrics::{Metrics, Request};
use crate::anchor::writer::WriteError;
use crate::names::{FIELD_MANAGER, label};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many slices of other people's are looked at: one is enough to say.
const FOREIGN: u32 = 5;

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

/// What a write left behind.
#[derive(Debug)]
pub enum Written {
    /// The slice as it is now.
    There(Box<EndpointSlice>),
    /// No slice of this name and UID.
    Gone(String, String),
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

    async fn timed<T>(
        &self,
        request: Request,
        answer: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        let answer = tokio::time::timeout(TIMEOUT, answer).await;
        let answer = answer.map_err(|_| WriteError::Timeout)?;
        self.metrics.request(request, &answer);
        Ok(answer?)
    }

    /// Carries one out.
    pub async fn write(&self, namespace: &str, write: &Write) -> Result<Written, WriteError> {
        if !self.fence.is_open() {
            return Err(WriteError::NotLeading);
        }
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), namespace);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = match write {
            Write::Create(slice) => {
                self.timed(Request::CreateSlice, slices.create(&params, slice))
                    .await?
            }
            Write::Update(slice) => {
                let name = slice.metadata.name.as_deref().unwrap_or_default();
                self.timed(Request::UpdateSlice, slices.replace(name, &params, slice))
                    .await?
            }
            Write::Delete(name, uid, version) => {
                let params = DeleteParams {
                    preconditions: Some(Preconditions {
                        uid: Some(uid.clone()),
                        resource_version: Some(version.clone()),
                    }),
                    ..DeleteParams::default()
                };
                self.timed(Request::DeleteSlice, slices.delete(name, &params))
                    .await?;
                return Ok(Written::Gone(name.clone(), uid.clone()));
            }
        };
        Ok(Written::There(Box::new(written)))
    }

    /// The names of a Service's slices that are not ours, and who manages each; some of them.
    pub async fn foreign(
        &self,
        namespace: &str,
        service: &str,
    ) -> Result<Vec<(String, Option<String>)>, WriteError> {
        foreign(&self.client, &self.metrics, namespace, service).await
    }
}

async fn foreign(
    client: &Client,
    metrics: &Metrics,
    namespace: &str,
    service: &str,
) -> Result<Vec<(String, Option<String>)>, WriteError> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let listed =
        tokio::time::timeout(TIMEOUT, slices.list_metadata(&foreign_params(service))).await;
    let listed = listed.map_err(|_| WriteError::Timeout)?;
    metrics.request(Request::List, &listed);
    Ok(listed?
        .items
        .into_iter()
        .map(|slice| named(slice.metadata))
        .collect())
}

/// How to list a Service's slices that are not ours.
pub fn foreign_params(service: &str) -> ListParams {
    let selector = format!(
        "{}={service},{}!={}",
        label::SERVICE_NAME,
        label::SLICE_MANAGED_BY,
        label::SLICE_MANAGED_BY_US
    );
    ListParams::default().labels(&selector).limit(FOREIGN)
}

/// The name of a slice, and who manages it.
pub fn named(
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> (String, Option<String>) {
    let by = metadata
        .labels
        .and_then(|mut labels| labels.remove(label::SLICE_MANAGED_BY));
    (metadata.name.unwrap_or_default(), by)
}
