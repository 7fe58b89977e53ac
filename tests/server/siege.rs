//! Everybody on the network against the webhook's port at once, and the API server among them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::client::{Client, PATIENCE, trust};
use super::process::{Program, review};

/// The memory limit of the Deployment, in KiB.
const LIMIT: u64 = 256 * 1024;
/// Connections that say nothing, or nearly nothing.
const SILENT: usize = 9_000;
/// Connections that are idle after their handshake: more than are kept.
const IDLE: usize = 1_500;
/// How many reviews the API server asks for meanwhile.
const REVIEWS: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reviews_are_answered_whatever_else_comes_and_memory_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path(), &[]);
    let ca = std::fs::read_to_string(folder.path().join("ca.crt")).unwrap();
    let (address, tls) = (program.address(), trust(&ca, None));
    let body = review("albums");

    let mut besiegers = JoinSet::new();
    let [half_open, shaken, done] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    for _ in 0..10 {
        besiegers.spawn(silent(
            address,
            SILENT / 10,
            [&half_open, &done].map(Arc::clone),
        ));
        besiegers.spawn(idle(
            address,
            tls.clone(),
            IDLE / 10,
            [&shaken, &done].map(Arc::clone),
        ));
        besiegers.spawn(garbage(address));
        besiegers.spawn(drips(
            address,
            tls.clone(),
            b"POST /mutate HTTP/1.1\r\nHost: localhost",
        ));
        let slow =
            b"POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{\"a\":";
        besiegers.spawn(drips(address, tls.clone(), slow));
    }
    for _ in 0..3 {
        besiegers.spawn(huge(address, tls.clone(), "Content-Length: 100000000"));
        besiegers.spawn(huge(address, tls.clone(), "Transfer-Encoding: chunked"));
        besiegers.spawn(deep(address, tls.clone()));
    }

    // All of them are there before the first review.
    let began = Instant::now();
    while done.load(Ordering::SeqCst) < 20 {
        assert!(began.elapsed() < 20 * PATIENCE, "the besiegers do not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let [half_open, shaken] = [&half_open, &shaken].map(|count| count.load(Ordering::SeqCst));
    // A machine that lets a process open few files opens few; more than are kept it has to be.
    assert!(
        half_open + shaken > 1024,
        "{half_open} and {shaken} connections"
    );

    let mut server = Client::connect(address, &tls).await.unwrap();
    let (mut slowest, mut anew) = (Duration::ZERO, 0);
    for turn in 0..REVIEWS {
        let asked = Instant::now();
        let response = loop {
            // A connection that was closed before it was asked is opened anew, as Go's does.
            match server.post("/mutate", body.as_bytes()).await {
                Ok(response) => break response,
                Err(_) => server = Client::connect(address, &tls).await.unwrap(),
            }
            anew += 1;
            assert!(
                anew < 10,
                "the API server's connection is closed again and again"
            );
        };
        slowest = slowest.max(asked.elapsed());
        assert_eq!(response.status, 200, "review {turn}: {}", response.body);
        let answer: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(answer["response"]["allowed"], true);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let memory = program.highest_memory();
    println!("{half_open} half-open handshakes, {shaken} idle connections were opened");
    println!(
        "{REVIEWS} reviews under siege, {anew} connections anew, the slowest {slowest:?}; {memory} KiB at most"
    );
    assert!(memory < LIMIT, "{memory} KiB resident");
    besiegers.shutdown().await;
    // And afterwards it is as it was.
    let mut client = program.client(folder.path()).await;
    let response = client.post("/mutate", body.as_bytes()).await.unwrap();
    assert_eq!(response.status, 200);
}

/// Opens connections, begins a handshake and never goes on. What the system does not let it open is not opened.
async fn silent(address: SocketAddr, count: usize, [opened, done]: [Arc<AtomicUsize>; 2]) {
    let mut held = Vec::new();
    for _ in 0..count {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let _ = stream.write_all(b"\x16\x03\x01").await;
            held.push(stream);
            opened.fetch_add(1, Ordering::SeqCst);
        }
    }
    done.fetch_add(1, Ordering::SeqCst);
    std::future::pending::<()>().await;
}

/// Opens connections and asks nothing.
async fn idle(
    address: SocketAddr,
    tls: TlsConnector,
    count: usize,
    [opened, done]: [Arc<AtomicUsize>; 2],
) {
    let mut held = Vec::new();
    for _ in 0..count {
        if let Ok(client) = Client::connect(address, &tls).await {
            held.push(client);
            opened.fetch_add(1, Ordering::SeqCst);
        }
    }
    done.fetch_add(1, Ordering::SeqCst);
    std::future::pending::<()>().await;
}

/// Says what is no TLS, again and again.
async fn garbage(address: SocketAddr) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let _ = stream.write_all(&[0xa5; 2000]).await;
            let _ = stream.read(&mut [0; 100]).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends a beginning, and then a byte now and then.
async fn drips(address: SocketAddr, tls: TlsConnector, beginning: &'static [u8]) {
    loop {
        if let Ok(mut client) = Client::connect(address, &tls).await
            && client.send(beginning).await.is_ok()
        {
            while client.send(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Sends 100 MB, for as long as anybody takes them.
async fn huge(address: SocketAddr, tls: TlsConnector, length: &'static str) {
    let head = format!("POST /mutate HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n");
    let chunk = [b"186a0\r\n".as_slice(), &vec![b'x'; 100_000], b"\r\n"].concat();
    loop {
        if let Ok(mut client) = Client::connect(address, &tls).await
            && client.send(head.as_bytes()).await.is_ok()
        {
            for _ in 0..1000 {
                if client.send(&chunk).await.is_err() {
                    break;
                }
            }
        }
    }
}

/// Sends a document that is nothing but nesting.
async fn deep(address: SocketAddr, tls: TlsConnector) {
    let body = "[".repeat(1_000_000);
    loop {
        if let Ok(mut client) = Client::connect(address, &tls).await
            && let Ok(response) = client.post("/mutate", body.as_bytes()).await
        {
            assert_ne!(response.status, 200, "{}", response.body);
        }
    }
}
