//! Lists, a page at a time: no more of the cluster is in memory.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

use crate::anchor::metrics::{Metrics, Request};
use crate::cluster::failure::Failure;

/// How many objects there are in a page.
const PAGE: u32 = 100;
/// How long a page may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a list was not had.
#[derive(Debug, thiserror::Error)]
pub(in crate::anchor) enum ListError {
    /// No answer in time.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The API server's answer.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl ListError {
    fn is(&self, failure: Failure) -> bool {
        matches!(self, Self::Api(error) if Failure::of(error) == failure)
    }

    /// Whether this identity may not list that.
    pub(in crate::anchor) fn is_forbidden(&self) -> bool {
        self.is(Failure::Forbidden)
    }

    /// Whether there is no such kind of object.
    pub(in crate::anchor) fn is_not_found(&self) -> bool {
        self.is(Failure::NotFound)
    }
}

/// A list's answer in time, counted.
pub(in crate::anchor) async fn timed<T>(
    metrics: &Metrics,
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ListError> {
    asked(metrics, Request::List, answer).await
}

/// An answer in time, counted.
pub(in crate::anchor) async fn asked<T>(
    metrics: &Metrics,
    request: Request,
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ListError> {
    let answer = tokio::time::timeout(TIMEOUT, answer).await;
    let answer = answer.map_err(|_| ListError::Timeout)?;
    metrics.request(request, &answer);
    Ok(answer?)
}

/// A list that is being read.
pub(in crate::anchor) struct Pages<'m, K> {
    api: Api<K>,
    /// None once all was had.
    next: Option<ListParams>,
    metrics: &'m Metrics,
}

impl<'m, K: Clone + DeserializeOwned + std::fmt::Debug> Pages<'m, K> {
    pub(in crate::anchor) fn new(api: Api<K>, params: ListParams, metrics: &'m Metrics) -> Self {
        Pages {
            api,
            next: Some(params.limit(PAGE)),
            metrics,
        }
    }

    /// The next page; None after the last.
    pub(in crate::anchor) async fn next(&mut self) -> Result<Option<Vec<K>>, ListError> {
        let Some(params) = self.next.take() else {
            return Ok(None);
        };
        let page = timed(self.metrics, self.api.list(&params)).await?;
        self.turn(params, page.metadata);
        Ok(Some(page.items))
    }

    /// The next page's metadata, and no more of its objects on the wire; None after the last.
    pub(in crate::anchor) async fn next_metadata(
        &mut self,
    ) -> Result<Option<Vec<ObjectMeta>>, ListError> {
        let Some(params) = self.next.take() else {
            return Ok(None);
        };
        let page = timed(self.metrics, self.api.list_metadata(&params)).await?;
        self.turn(params, page.metadata);
        Ok(Some(
            page.items.into_iter().map(|one| one.metadata).collect(),
        ))
    }

    fn turn(&mut self, params: ListParams, list: ListMeta) {
        let token = list.continue_.filter(|token| !token.is_empty());
        self.next = token.map(|token| params.continue_token(&token));
    }
}
