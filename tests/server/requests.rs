//! What comes of a request.

use super::harness::Server;

const REFUSED: &str = "native_host_requests_refused_total";

#[tokio::test]
async fn a_connection_serves_one_review_after_the_other() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for body in ["one", "two", "three"] {
        let response = client
            .post("/mutate?timeout=10s", body.as_bytes())
            .await
            .unwrap();
        assert_eq!((response.status, response.body.as_str()), (200, body));
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert!(!response.closes());
    }
    assert!(
        (server.metric("native_host_connections_accepted_total{port=\"https\"}") - 1.0).abs() < 0.1
    );
    server.until("native_host_reviews_in_flight", 0.0).await;
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for size in [
        0, 1, 4096, 16_384, 65_535, 65_536, 65_537, 300_000, 3_000_000,
    ] {
        let body: String = (b'a'..=b'w').cycle().take(size).map(char::from).collect();
        let response = client.post("/validate", body.as_bytes()).await.unwrap();
        assert_eq!(response.status, 200);
        assert!(response.body == body, "{size} bytes came back changed");
    }
}

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let head = "POST /mutate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head.as_bytes()).await.unwrap();
    let piece = "x".repeat(50_000);
    for _ in 0..3 {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        client.send(chunk.as_bytes()).await.unwrap();
    }
    client.send(b"0\r\n\r\n").await.unwrap();
    assert_eq!(client.response().await.unwrap().body.len(), 150_000);
    assert_eq!(client.post("/mutate", b"next").await.unwrap().body, "next");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_and_said() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let response = client.post("/mutate/x", b"{}").await.unwrap();
    assert_eq!(response.status, 404);
    assert!(
        response.body.contains("/validate-templates"),
        "{}",
        response.body
    );
    client
        .send(b"GET /mutate HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let response = client.response().await.unwrap();
    assert_eq!(response.status, 405);
    assert_eq!(response.header("allow"), Some("POST"));
    server
        .until(&format!("{REFUSED}{{reason=\"path\"}}"), 1.0)
        .await;
    server
        .until(&format!("{REFUSED}{{reason=\"method\"}}"), 1.0)
        .await;
}

#[tokio::test]
async fn a_panic_is_that_reviews_and_no_others() {
    let server = Server::start().await;
    let mut bystander = server.client().await;
    bystander.head("/mutate", 4).await.unwrap();
    bystander.send(b"wait").await.unwrap();
    server.until("native_host_reviews_in_flight", 1.0).await;

    let mut client = server.client().await;
    let response = client.post("/mutate", b"panic").await.unwrap();
    assert_eq!(response.status, 500);
    assert!(
        response.body.contains("a bug in native-host"),
        "{}",
        response.body
    );
    assert_eq!(client.post("/mutate", b"next").await.unwrap().body, "next");

    server.release();
    assert_eq!(bystander.response().await.unwrap().body, "wait");
    server.until("native_host_panics_total", 1.0).await;
    server.until("native_host_reviews_in_flight", 0.0).await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.head("/mutate", 4).await.unwrap();
    client.send(b"wait").await.unwrap();
    server.until("native_host_reviews_in_flight", 1.0).await;
    drop(client);
    server.until("native_host_reviews_in_flight", 0.0).await;
    server
        .until("native_host_connections{port=\"https\"}", 0.0)
        .await;
}
