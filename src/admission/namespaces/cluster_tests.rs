#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use kube::client::Body;

use super::*;
use crate::admission::metrics::Metrics;
use crate::policy::Policy;

/// A client whose API server is a function.
fn cluster<F, R>(serve: F) -> Cluster
where
    F: Fn(String) -> R + Clone + Send + 'static,
    R: Future<Output = (u16, String)> + Send + 'static,
{
    let service = tower::service_fn(move |request: axum::http::Request<Body>| {
        let answer = serve(request.uri().to_string());
        async move {
            let (status, body) = answer.await;
            let response = axum::http::Response::builder().status(status);
            Ok::<_, std::convert::Infallible>(response.body(Full::from(body)).unwrap())
        }
    });
    let metrics = Arc::new(Metrics::new().unwrap());
    let index = Arc::new(Index::new(Policy::builtin(), metrics));
    Cluster::new(Client::new(service, "default"), index)
}

fn object(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{{"name":"{name}"}}}}"#
    )
}

fn status(code: u16, reason: &str) -> (u16, String) {
    let body = format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{reason}","reason":"{reason}","code":{code}}}"#
    );
    (code, body)
}

#[tokio::test]
async fn asks_once_for_all_who_wait() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let cluster = cluster(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            (200, object("albums"))
        }
    });
    let answers = futures::future::join_all((0..16).map(|_| cluster.ask("albums"))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(cluster.index().get("albums").is_some());
    assert!(cluster.asked().is_empty());
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_asked_for_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let cluster = cluster(move |_| {
        let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                status(404, "NotFound")
            } else {
                (200, object("late"))
            }
        }
    });
    assert_eq!(
        cluster.ask("late").await.unwrap_err(),
        Unavailable::NotFound("late".into())
    );
    assert!(cluster.ask("late").await.is_ok());
}

#[tokio::test]
async fn an_error_names_the_namespace_and_the_cause() {
    let cluster = cluster(|_| async { status(403, "Forbidden") });
    let error = cluster.ask("albums").await.unwrap_err().to_string();
    assert!(
        error.contains("albums") && error.contains("Forbidden"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_is_not_waited_for() {
    let cluster = cluster(|_| std::future::pending());
    let error = cluster.ask("albums").await.unwrap_err().to_string();
    assert!(error.contains("within 2 s"), "{error}");
}

#[tokio::test]
async fn a_watch_that_fails_keeps_what_it_knew_and_comes_back() {
    let turn = Arc::new(AtomicUsize::new(0));
    let cluster = cluster(move |uri| {
        let turn = turn.fetch_add(1, Ordering::SeqCst);
        async move {
            let list = r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a"}}]}"#;
            let event = format!(
                "{{\"type\":\"ADDED\",\"object\":{}}}\n",
                object("b").replace("\"name\"", "\"resourceVersion\":\"2\",\"name\"")
            );
            match (uri.contains("watch=true"), turn) {
                (false, 0) | (true, 2) => status(500, "InternalError"),
                (false, _) => (200, list.to_owned()),
                (true, 3) => (200, event),
                (true, _) => std::future::pending().await,
            }
        }
    });
    let watching = tokio::spawn(cluster.clone().watch());
    let both = async {
        while cluster.index().get("b").is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), both)
        .await
        .unwrap();
    assert!(cluster.index().synced());
    assert!(cluster.index().get("a").is_some());
    assert_eq!(cluster.index().metrics.watch_errors.get(), 2);
    watching.abort();
}
