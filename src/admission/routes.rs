//! The HTTPS port's requests: path, method, limits; then a body, a review and its answer.
//!
//! Not an axum router, unlike the port for probes: four fixed paths need no routing table, and
//! its boxed futures and bodies would be a tenth of what a review costs.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use kube::Client;
use tokio::sync::Semaphore;

use super::Answer;
use super::answer::Verdict;
use super::authorize::{Cluster, Rights, RunAs};
use super::body::{self, BodyError, Budget};
use super::connection::{Connection, Phase};
use super::evictions::{Evictions, Pods};
use super::external::Surroundings;
use super::limits::Limits;
use super::metrics::{Metrics, Refused};
use super::namespaces::Namespaces;
use super::review::{Door, Review};
use crate::external::ranges::Ranges;
use crate::plan::reason::{Outcome, Reason};
use crate::policy::{Namespace, Policy};

/// What answers reviews.
pub trait Reviews: Send + Sync + 'static {
    /// Answers one review, whatever the body is.
    fn answer(&self, door: Door, body: &[u8]) -> impl Future<Output = Answer> + Send;
}

/// The real thing: reviews decided by their namespaces' policies.
#[derive(Debug)]
pub struct Policied {
    namespaces: Arc<Namespaces>,
    defaults: Arc<Namespace>,
    flags: Policy,
    evictions: Evictions<Pods>,
    rights: Rights<Cluster>,
    surroundings: Surroundings,
}

impl Policied {
    /// `flags` is what holds where a namespace says nothing; `client` is how pairs and external Services
    /// are looked at, and asked who may use an account; `ranges` is the cluster's own networks.
    pub fn new(
        namespaces: Arc<Namespaces>,
        flags: Policy,
        client: Option<Client>,
        ranges: Arc<Ranges>,
    ) -> Self {
        let none = std::iter::empty;
        Policied {
            namespaces,
            defaults: Arc::new(Namespace::read(&flags, none(), none())),
            flags,
            evictions: Evictions::new(client.clone().map(Pods::new)),
            rights: Rights::new(client.clone().map(Cluster::new)),
            surroundings: Surroundings::new(ranges, client),
        }
    }
}

impl Reviews for Policied {
    async fn answer(&self, door: Door, body: &[u8]) -> Answer {
        let review = match Review::parse(door, body) {
            Ok(review) => review,
            Err(answer) => return answer,
        };
        if door == Door::Evict
            && let Some(eviction) = review.eviction()
        {
            // On the heap: an eviction is rare, and its state would be part of every review's.
            let verdict = Box::pin(self.evictions.review(eviction)).await;
            let dry_run = eviction.dry_run;
            return Answer {
                dry_run,
                ..review.conclude(verdict)
            };
        }
        let Some(name) = review.namespace() else {
            return review.answer(Ok(&self.defaults), &self.flags);
        };
        let namespace = match self.namespaces.get(name).await {
            Ok(namespace) => namespace,
            Err(unavailable) => return review.answer(Err(unavailable), &self.flags),
        };
        let mut verdict = review.verdict(Ok(&namespace), &self.flags);
        let edited_since = verdict.outcome == Outcome::Rejected
            && match door {
                Door::Validate => true,
                // Only a pod that was injected before, in a first round: another one is judged
                // by the policy that is in force now.
                Door::Mutate => matches!(verdict.reason, Reason::Marker | Reason::Invariant),
                Door::ValidateTemplates | Door::Evict => false,
            };
        if edited_since && let Some(other) = self.by_neighbours(&review, name).await {
            verdict = other;
        }
        if verdict.outcome == Outcome::Allowed && Surroundings::concern(&review) {
            // On the heap, as evictions are.
            verdict = Box::pin(self.surroundings.review(verdict, &review, name)).await;
        } else if verdict.outcome == Outcome::Allowed
            && let Some(run_as) = RunAs::asked(&review, &namespace)
        {
            // On the heap, as evictions are: most namespaces ask nobody.
            verdict = Box::pin(self.rights.review(verdict, name, run_as)).await;
        }
        review.conclude(verdict)
    }
}

impl Policied {
    /// The policy may have been edited between two webhooks of one pod: the mutating and the
    /// validating one, or the mutating one and its reinvocation (`reinvocationPolicy: IfNeeded`);
    /// and replicas hear of it at different moments. Nobody did anything wrong then: what
    /// the pod was made by counts. (It was let pass by that policy, at its time.)
    async fn by_neighbours(&self, review: &Review<'_>, namespace: &str) -> Option<Verdict> {
        let others = self.namespaces.neighbours(namespace).await;
        let mut verdicts = others
            .iter()
            .map(|other| review.verdict(Ok(other.as_ref()), &self.flags));
        verdicts.find(|verdict| match review.door {
            Door::Mutate => verdict.outcome == Outcome::Unchanged,
            _ => verdict.outcome != Outcome::Rejected,
        })
    }
}

/// What all connections of the HTTPS port share.
#[derive(Debug)]
pub(crate) struct Shared<R> {
    pub(crate) reviews: R,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) places: Semaphore,
    pub(crate) leaving: Arc<std::sync::atomic::AtomicBool>,
}

impl<R> Shared<R> {
    /// Whether answers say `Connection: close`: the server is about to go.
    fn leaving(&self) -> bool {
        self.leaving.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// A refusal below the admission API: the API server shows the text to the user.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    why: Refused,
    text: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Late { .. } => StatusCode::REQUEST_TIMEOUT,
            BodyError::NoBudget { .. } => StatusCode::TOO_MANY_REQUESTS,
            BodyError::Aborted(_) => StatusCode::BAD_REQUEST,
        };
        Refusal {
            status,
            why: error.refused(),
            header: retry_after(status),
            text: error.to_string(),
        }
    }
}

/// With it client-go sends the same request again, as long as the webhook's timeout lasts
/// (`checkWait` in `k8s.io/client-go/rest/with_retry.go`).
fn retry_after(status: StatusCode) -> Option<(HeaderName, HeaderValue)> {
    (status == StatusCode::TOO_MANY_REQUESTS)
        .then_some((RETRY_AFTER, HeaderValue::from_static("1")))
}

/// Answers one request, whatever it is.
pub(crate) async fn handle<R: Reviews>(
    shared: Arc<Shared<R>>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    connection.enter(Phase::Busy);
    let mut response = match respond(&shared, &connection, request).await {
        Ok(response) => response,
        Err(refusal) => refuse(&shared.metrics, refusal),
    };
    if shared.leaving() || connection.ending() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    connection.enter(Phase::Writing);
    Ok(response)
}

async fn respond<R: Reviews>(
    shared: &Shared<R>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let start = Instant::now();
    let metrics = &*shared.metrics;
    connection.leave_unread(!request.body().is_end_stream());
    let door = route(request.method(), request.uri().path())?;
    let Ok(_place) = shared.places.try_acquire() else {
        return Err(Refusal {
            status: StatusCode::TOO_MANY_REQUESTS,
            why: Refused::InFlight,
            text: format!(
                "{} reviews are in progress; try again",
                shared.limits.in_flight
            ),
            header: retry_after(StatusCode::TOO_MANY_REQUESTS),
        });
    };
    let _in_flight = InFlight::enter(metrics);
    let body = body::whole(request.into_body(), &shared.limits, &shared.budget, start).await?;
    connection.leave_unread(false);
    metrics.bytes_in.inc_by(body.len() as u64);

    let begin = Instant::now();
    let answer = shared.reviews.answer(door, &body);
    let Ok(answer) = AssertUnwindSafe(answer).catch_unwind().await else {
        // The hook has said where; nothing of the review is shared with the next.
        metrics.panics.inc();
        return Err(Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            why: Refused::Panic,
            text: "this review hit a bug in native-host; its log says where".into(),
            header: None,
        });
    };
    let took = begin.elapsed();
    drop(body);
    metrics.review(door, answer.outcome, answer.reason, took.as_secs_f64());
    log(door, &answer, took);
    Ok(response(metrics, answer))
}

fn route(method: &Method, path: &str) -> Result<Door, Refusal> {
    let Some(door) = Door::ALL.into_iter().find(|door| door.path() == path) else {
        return Err(Refusal {
            status: StatusCode::NOT_FOUND,
            why: Refused::Path,
            text: format!(
                "no such path; reviews go to {}",
                Door::ALL.map(Door::path).join(", ")
            ),
            header: None,
        });
    };
    if method != Method::POST {
        return Err(Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            why: Refused::Method,
            text: "an AdmissionReview is sent by POST".into(),
            header: Some((ALLOW, HeaderValue::from_static("POST"))),
        });
    }
    Ok(door)
}

fn response(metrics: &Metrics, answer: Answer) -> Response<Full<Bytes>> {
    metrics.bytes_out.inc_by(answer.body.len() as u64);
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if answer.status == 200 {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn refuse(metrics: &Metrics, refusal: Refusal) -> Response<Full<Bytes>> {
    metrics.refused(refusal.why);
    tracing::warn!(
        status = refusal.status.as_u16(),
        reason = refusal.why.as_str(),
        "request refused: {}",
        refusal.text
    );
    let mut response = Response::new(Full::from(refusal.text + "\n"));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if let Some((name, value)) = refusal.header {
        headers.insert(name, value);
    }
    response
}

/// One line a decision.
fn log(door: Door, answer: &Answer, took: Duration) {
    let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                door = door.as_str(),
                namespace = answer.namespace,
                name = answer.name,
                kind = answer.kind,
                outcome = answer.outcome.as_str(),
                reason = answer.reason.as_str(),
                microseconds,
                dry_run = answer.dry_run,
                message = answer.message.as_deref().unwrap_or("reviewed"),
            )
        };
    }
    if answer.outcome == Outcome::Error {
        line!(warn);
    } else {
        line!(info);
    }
}

/// A review that counts as in flight, however it ends: also when its client goes away.
struct InFlight<'m>(&'m Metrics);

impl<'m> InFlight<'m> {
    fn enter(metrics: &'m Metrics) -> Self {
        metrics.in_flight.inc();
        InFlight(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_has_its_path() {
        for door in Door::ALL {
            assert!(matches!(route(&Method::POST, door.path()), Ok(d) if d == door));
        }
        let refused = |method, path| route(&method, path).map_err(|r| r.status).err();
        assert_eq!(
            refused(Method::POST, "/mutate/"),
            Some(StatusCode::NOT_FOUND)
        );
        assert_eq!(
            refused(Method::GET, "/mutate"),
            Some(StatusCode::METHOD_NOT_ALLOWED)
        );
    }
}
