//! Every limit, reached.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::harness::Server;

fn refused(reason: &str) -> String {
    format!("native_host_requests_refused_total{{reason=\"{reason}\"}}")
}

fn closed(cause: &str) -> String {
    format!("native_host_connections_closed_total{{cause=\"{cause}\"}}")
}

#[tokio::test]
async fn a_body_too_large_is_refused_by_its_length_alone() {
    let server = Server::limited(|l| l.body = 1000).await;
    let mut client = server.client().await;
    client.head("/mutate", 1001).await.unwrap();
    let response = client.response().await.unwrap();
    assert_eq!(response.status, 413);
    assert!(
        response.body.contains("larger than 1000 bytes"),
        "{}",
        response.body
    );
    server.until(&refused("body-size"), 1.0).await;
}

#[tokio::test]
async fn who_sends_too_much_can_still_read_why() {
    let server = Server::limited(|l| l.body = 1000).await;
    let mut client = server.client().await;
    let response = client
        .post("/mutate", &vec![b'x'; 3_000_000])
        .await
        .unwrap();
    assert_eq!(response.status, 413);
}

#[tokio::test]
async fn a_chunked_body_too_large_is_refused_when_it_is() {
    let server = Server::limited(|l| l.body = 1000).await;
    let mut client = server.client().await;
    let head = "POST /mutate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head.as_bytes()).await.unwrap();
    let chunk = format!("3e9\r\n{}\r\n", "x".repeat(1001));
    client.send(chunk.as_bytes()).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 413);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    let server = Server::limited(|l| l.body = 1000).await;
    let mut client = server.client().await;
    assert_eq!(
        client.post("/mutate", &[b'x'; 1000]).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn a_header_that_does_not_end_is_not_waited_for() {
    let server = Server::limited(|l| l.header_timeout = Duration::from_millis(300)).await;
    let mut slow = server.client().await;
    slow.send(b"POST /mutate HTTP/1.1\r\nHost:").await.unwrap();
    let mut good = server.client().await;
    assert_eq!(good.post("/mutate", b"x").await.unwrap().status, 200);
    slow.closed().await;
    server.until(&closed("header-timeout"), 1.0).await;
    // The second one's connection is idle, which is another matter.
    assert_eq!(good.post("/mutate", b"x").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_is_not_waited_for() {
    let server = Server::limited(|l| l.handshake_timeout = Duration::from_millis(300)).await;
    let mut silent = TcpStream::connect(server.https).await.unwrap();
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    server.until(&closed("handshake-timeout"), 1.0).await;
}

#[tokio::test]
async fn a_body_that_does_not_end_is_answered_408() {
    let server = Server::limited(|l| l.body_timeout = Duration::from_millis(300)).await;
    let mut client = server.client().await;
    client.head("/mutate", 10).await.unwrap();
    client.send(b"12345").await.unwrap();
    let response = client.response().await.unwrap();
    assert_eq!(response.status, 408);
    server.until(&refused("body-timeout"), 1.0).await;
    client.closed().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_good_order() {
    let server = Server::limited(|l| l.idle_timeout = Duration::from_millis(300)).await;
    let mut client = server.client().await;
    assert_eq!(client.post("/mutate", b"x").await.unwrap().status, 200);
    let mut rest = Vec::new();
    // With close_notify: rustls makes an error of anything else.
    client.stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
    server.until(&closed("idle-timeout"), 1.0).await;
}

#[tokio::test]
async fn a_connection_that_is_used_is_not_idle() {
    let server = Server::limited(|l| l.idle_timeout = Duration::from_millis(400)).await;
    let mut client = server.client().await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1200) {
        assert_eq!(client.post("/mutate", b"x").await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_waited_for() {
    let server = Server::limited(|l| l.write_timeout = Duration::from_millis(300)).await;
    let mut client = server.client().await;
    // Larger than what the kernel buffers on both sides.
    let body = vec![b'x'; 8 * 1024 * 1024];
    client.head("/mutate", body.len()).await.unwrap();
    client.send(&body).await.unwrap();
    server.until(&closed("write-timeout"), 1.0).await;
}

#[tokio::test]
async fn too_many_reviews_are_shed_with_a_hint_to_come_again() {
    let server = Server::limited(|l| l.in_flight = 1).await;
    let mut first = server.client().await;
    first.head("/mutate", 4).await.unwrap();
    first.send(b"wait").await.unwrap();
    server.until("native_host_reviews_in_flight", 1.0).await;

    let mut second = server.client().await;
    let response = second.post("/mutate", b"x").await.unwrap();
    assert_eq!(response.status, 429);
    assert_eq!(response.header("retry-after"), Some("1"));
    server.until(&refused("in-flight"), 1.0).await;

    server.release();
    assert_eq!(first.response().await.unwrap().status, 200);
    let mut third = server.client().await;
    assert_eq!(third.post("/mutate", b"x").await.unwrap().status, 200);
}

#[tokio::test]
async fn at_the_cap_the_longest_idle_gives_way() {
    let server = Server::limited(|l| l.connections = 2).await;
    let mut oldest = server.client().await;
    assert_eq!(oldest.post("/mutate", b"x").await.unwrap().status, 200);
    let mut busy = server.client().await;
    busy.head("/mutate", 4).await.unwrap();
    busy.send(b"wait").await.unwrap();
    server.until("native_host_reviews_in_flight", 1.0).await;

    let mut third = server.client().await;
    assert_eq!(third.post("/mutate", b"x").await.unwrap().status, 200);
    oldest.closed().await;
    server.until(&closed("cap"), 1.0).await;
    server.release();
    assert_eq!(busy.response().await.unwrap().status, 200);
}

#[tokio::test]
async fn small_bodies_do_not_wait_for_big_ones() {
    let server = Server::limited(|l| {
        l.body_budget = 100_000;
        l.body_timeout = Duration::from_secs(20);
    })
    .await;
    let body = vec![b'x'; 100_000];
    let mut first = server.client().await;
    first.head("/mutate", body.len()).await.unwrap();
    first.send(&body[..90_000]).await.unwrap();
    server.until("native_host_reviews_in_flight", 1.0).await;

    // Not answered as long as the first holds the budget...
    let mut second = server.client().await;
    let waiting = tokio::spawn(async move { second.post("/mutate", &vec![b'y'; 100_000]).await });
    server.until("native_host_reviews_in_flight", 2.0).await;
    let mut small = server.client().await;
    assert_eq!(small.post("/mutate", b"small").await.unwrap().body, "small");
    assert!(!waiting.is_finished());

    // ...and at once afterwards.
    first.send(&body[90_000..]).await.unwrap();
    assert_eq!(first.response().await.unwrap().status, 200);
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_slow_big_body_does_not_keep_the_others_out() {
    let server = Server::limited(|l| {
        l.body_budget = 100_000;
        l.body_timeout = Duration::from_secs(20);
    })
    .await;
    let mut slow = server.client().await;
    slow.head("/mutate", 100_000).await.unwrap();
    slow.send(&vec![b'x'; 90_000]).await.unwrap();
    server.until("native_host_reviews_in_flight", 1.0).await;

    let start = Instant::now();
    let mut other = server.client().await;
    let response = other.post("/mutate", &vec![b'y'; 100_000]).await.unwrap();
    assert_eq!(response.status, 200);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(slow.response().await.unwrap().status, 408);
}

#[tokio::test]
async fn who_finds_no_budget_in_time_is_told_to_come_again() {
    let server = Server::limited(|l| {
        l.body_budget = 100_000;
        l.body_timeout = Duration::from_secs(2);
    })
    .await;
    // A review in progress keeps its share.
    let mut body = vec![b'x'; 100_000];
    body[..4].copy_from_slice(b"wait");
    let mut holder = server.client().await;
    holder.head("/mutate", body.len()).await.unwrap();
    holder.send(&body).await.unwrap();
    server
        .until("native_host_request_body_bytes_total", 100_000.0)
        .await;

    let mut other = server.client().await;
    let response = other.post("/mutate", &vec![b'y'; 100_000]).await.unwrap();
    assert_eq!(response.status, 429);
    assert_eq!(response.header("retry-after"), Some("1"));
    server.until(&refused("body-budget"), 1.0).await;
    server.release();
    assert_eq!(holder.response().await.unwrap().status, 200);
}
