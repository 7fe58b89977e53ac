//! Probes and metrics.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::{Options, Server, localhost};

/// Status and the whole text of a plain GET.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).await.unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

#[tokio::test]
async fn alive_and_ready_until_told_to_go() {
    let mut server = Server::with(Options {
        delay: Duration::from_millis(500),
        ..Options::default()
    })
    .await;
    assert_eq!(get(server.http, "/healthz").await.0, 200);
    assert_eq!(get(server.http, "/livez").await.0, 200);
    let (status, text) = get(server.http, "/readyz").await;
    assert!(status == 200 && text.ends_with("\r\n\r\nok\n"), "{text}");
    let (_, text) = get(server.http, "/readyz?verbose").await;
    assert!(
        text.contains("[+]certificate ok\n[+]shutdown ok\n"),
        "{text}"
    );

    let draining = tokio::spawn(server.running.take().unwrap().drain());
    loop {
        let (status, text) = get(server.http, "/readyz").await;
        if status == 503 {
            assert!(text.contains("[-]shutdown failed: going down"), "{text}");
            break;
        }
    }
    assert_eq!(get(server.http, "/healthz").await.0, 200);
    draining.await.unwrap();
}

#[tokio::test]
async fn not_ready_with_an_expired_certificate() {
    let server = Server::start().await;
    let old = server.authority.issue_pem_for(&localhost(), Duration::ZERO);
    let (certificate, key) = old.unwrap();
    let pair =
        native_host::admission::certificates::Pair::parse(certificate.as_bytes(), key.as_bytes());
    server.certificates.exchange(pair.unwrap());
    let (status, text) = get(server.http, "/readyz").await;
    assert_eq!(status, 503);
    assert!(
        text.contains("[-]certificate failed: the certificate in tls.crt expired at"),
        "{text}"
    );
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let server = Server::start().await;
    server.client().await.post("/mutate", b"x").await.unwrap();
    let (status, text) = get(server.http, "/metrics").await;
    assert_eq!(status, 200);
    assert!(
        text.contains("content-type: text/plain; version=0.0.4"),
        "{text}"
    );
    assert!(
        text.contains("native_host_reviews_total{door=\"mutate\",outcome=\"allowed\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn anything_else_is_not_found() {
    let server = Server::start().await;
    assert_eq!(get(server.http, "/mutate").await.0, 404);
    assert_eq!(get(server.http, "/").await.0, 404);
}
