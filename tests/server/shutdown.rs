//! The way down: nobody's request is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use native_host::admission::server::Drained;

use super::client::Client;
use super::harness::{Options, Server};

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_goes_under_load_and_no_request_fails() {
    let mut going = Server::with(Options {
        delay: Duration::from_millis(500),
        ..Options::default()
    })
    .await;
    let staying = Arc::new(Server::start().await);
    let running = going.running.take().unwrap();
    let (address, tls) = (going.https, going.trust.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let moved = Arc::new(AtomicUsize::new(0));

    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (tls, staying) = (tls.clone(), staying.clone());
            let (stop, served, moved) = (stop.clone(), served.clone(), moved.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(address, &tls).await.unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let response = client.post("/mutate", b"x").await.expect("a lost request");
                    assert_eq!(response.status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                    if response.closes() {
                        // As through a Service whose endpoints have been updated.
                        client = staying.client().await;
                        moved.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    while served.load(Ordering::Relaxed) < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(running.drain().await, Drained::Clean);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(moved.load(Ordering::Relaxed), 8);
    assert!(Client::connect(address, &tls).await.is_err());
    assert!(going.metric("native_host_connections{port=\"https\"}") < 0.5);
}

#[tokio::test]
async fn still_accepts_during_the_delay() {
    let mut server = Server::with(Options {
        delay: Duration::from_secs(2),
        ..Options::default()
    })
    .await;
    let draining = tokio::spawn(server.running.take().unwrap().drain());
    loop {
        let mut client = server.client().await;
        let response = client.post("/mutate", b"x").await.unwrap();
        assert_eq!(response.status, 200);
        if response.closes() {
            client.closed().await;
            break;
        }
    }
    assert_eq!(draining.await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn a_review_in_progress_is_answered() {
    let mut server = Server::start().await;
    let mut client = server.client().await;
    client.head("/mutate", 4).await.unwrap();
    client.send(b"wait").await.unwrap();
    server.until("native_host_reviews_in_flight", 1.0).await;
    let mut idle = server.client().await;
    assert_eq!(idle.post("/mutate", b"x").await.unwrap().status, 200);

    let draining = tokio::spawn(server.running.take().unwrap().drain());
    idle.closed().await;
    assert!(!draining.is_finished());
    server.release();
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.closes()), (200, true));
    assert_eq!(draining.await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_cut_off() {
    let mut server = Server::with(Options {
        grace: Some(Duration::from_millis(300)),
        ..Options::default()
    })
    .await;
    let mut client = server.client().await;
    client.head("/mutate", 4).await.unwrap();
    client.send(b"wait").await.unwrap();
    server.until("native_host_reviews_in_flight", 1.0).await;
    let drained = server.running.take().unwrap().drain().await;
    assert_eq!(drained, Drained::Cut(1));
}

#[tokio::test]
async fn a_connection_that_never_asked_is_closed_too() {
    let mut server = Server::start().await;
    let mut client = server.client().await;
    server
        .until("native_host_connections{port=\"https\"}", 1.0)
        .await;
    let drained = server.running.take().unwrap().drain().await;
    assert_eq!(drained, Drained::Clean);
    client.closed().await;
}
