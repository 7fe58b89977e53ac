//! The plain HTTP port: `/healthz` (and `/livez`), `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::body::Incoming;
use tower::ServiceExt as _;

use super::connection::{Connection, Phase};
use super::metrics::Metrics;
use super::readiness::Readiness;

/// The version of the exposition format that `prometheus::TextEncoder` writes.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The routes.
pub(crate) fn router(readiness: Arc<Readiness>, metrics: Arc<Metrics>) -> Router {
    // What it says of a server that answers at all is: alive. A review that hangs or panics is
    // that review's business, and a restart would not make a watch come back sooner.
    let alive = || async { "ok\n" };
    Router::new()
        .route("/healthz", get(alive))
        .route("/livez", get(alive))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(exposition).with_state(metrics))
}

async fn ready(
    State(readiness): State<Arc<Readiness>>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    let report = readiness.report();
    // As Kubernetes' own: the list on request, and always when something failed.
    let verbose =
        query.is_some_and(|q| q.split('&').any(|p| p == "verbose" || p == "verbose=true"));
    match (report.ready, verbose) {
        (true, false) => (StatusCode::OK, "ok\n".to_owned()),
        (true, true) => (StatusCode::OK, report.text),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, report.text),
    }
}

async fn exposition(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, EXPOSITION)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Answers one request.
pub(crate) async fn handle(
    router: Router,
    connection: Arc<Connection>,
    leaving: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    connection.enter(Phase::Busy);
    // No route reads a body.
    connection.leave_unread(true);
    let mut response = router.oneshot(request.map(Body::new)).await?;
    if leaving.load(Ordering::Relaxed) || connection.ending() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    connection.enter(Phase::Writing);
    Ok(response)
}
