//! Certificates under a running server, and who may ask.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use native_host::admission::certificates::Folder;
use native_host::admission::clients::ClientAuth;
use native_host::admission::self_signed::Authority;

use super::client::{Client, Identity, PATIENCE, trust};
use super::harness::{Options, Server, localhost};

/// Puts a pair into `folder` as the kubelet does: a new folder, and `..data` renamed over the old
/// link (`pkg/volume/util/atomic_writer.go`).
fn swap(folder: &Path, turn: usize, (certificate, key): &Identity) {
    let data = format!("..2026_{turn}");
    std::fs::create_dir(folder.join(&data)).unwrap();
    std::fs::write(folder.join(&data).join("tls.crt"), certificate).unwrap();
    std::fs::write(folder.join(&data).join("tls.key"), key).unwrap();
    symlink(&data, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        if turn == 0 {
            symlink(format!("..data/{file}"), folder.join(file)).unwrap();
        }
    }
    if turn > 0 {
        std::fs::remove_dir_all(folder.join(format!("..2026_{}", turn - 1))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_under_load_without_a_failed_request_or_a_lost_connection() {
    let server = Arc::new(Server::start().await);
    let folder = tempfile::tempdir().unwrap();
    let pair = || server.authority.issue_pem(&localhost()).unwrap();
    swap(folder.path(), 0, &pair());
    let (watched, first) = Folder::open(folder.path()).unwrap();
    server.certificates.exchange(first);
    let every = Duration::from_millis(5);
    let following = tokio::spawn(watched.follow(Arc::clone(&server.certificates), every));

    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let kept = tokio::spawn({
        let (server, stop, served) = (server.clone(), stop.clone(), served.clone());
        async move {
            let mut client = server.client().await;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.post("/mutate", b"x").await.unwrap().status, 200);
                served.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let fresh = tokio::spawn({
        let (server, stop) = (server.clone(), stop.clone());
        async move {
            let mut seen = std::collections::HashSet::new();
            while !stop.load(Ordering::Relaxed) {
                let mut client = server.client().await;
                assert_eq!(client.post("/mutate", b"x").await.unwrap().status, 200);
                seen.insert(client.server_certificate());
            }
            seen.len()
        }
    });
    let reloads = "native_host_certificate_reloads_total{result=\"ok\"}";
    for turn in 1..=20 {
        let before = server.metric(reloads);
        swap(folder.path(), turn, &pair());
        server.until(reloads, before + 1.0).await;
    }
    let before = served.load(Ordering::Relaxed);
    while served.load(Ordering::Relaxed) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.store(true, Ordering::Relaxed);
    kept.await.unwrap();
    assert!(
        fresh.await.unwrap() > 1,
        "no new connection saw a new certificate"
    );
    following.abort();
    assert!(server.metric("native_host_certificate_reloads_total{result=\"failed\"}") < 0.5);
}

#[tokio::test]
async fn a_bad_pair_is_kept_out_and_counted_once() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let one = server.authority.issue_pem(&localhost()).unwrap();
    let two = server.authority.issue_pem(&localhost()).unwrap();
    swap(folder.path(), 0, &one);
    let (watched, first) = Folder::open(folder.path()).unwrap();
    server.certificates.exchange(first);
    let good = server.client().await.server_certificate();
    let every = Duration::from_millis(5);
    let following = tokio::spawn(watched.follow(Arc::clone(&server.certificates), every));

    let failed = "native_host_certificate_reloads_total{result=\"failed\"}";
    swap(folder.path(), 1, &(two.0.clone(), one.1));
    server.until(failed, 1.0).await;
    assert_eq!(server.client().await.server_certificate(), good);
    swap(folder.path(), 2, &("no certificate".into(), two.1.clone()));
    server.until(failed, 2.0).await;
    assert_eq!(server.client().await.server_certificate(), good);

    swap(folder.path(), 3, &two);
    let renewed = async {
        while server.client().await.server_certificate() == good {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    assert!((server.metric(failed) - 2.0).abs() < 0.1);
    following.abort();
}

#[tokio::test]
async fn the_written_ca_vouches_for_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let pair = authority.issue(&localhost(), Some(folder.path())).unwrap();
    let server = Server::start().await;
    server.certificates.exchange(pair);
    let ca = std::fs::read_to_string(folder.path().join("ca.crt")).unwrap();
    let mut client = Client::connect(server.https, &trust(&ca, None))
        .await
        .unwrap();
    assert_eq!(client.post("/mutate", b"x").await.unwrap().status, 200);
    // And nobody else's does.
    let other = trust(&Authority::new().unwrap().pem(), None);
    assert!(Client::connect(server.https, &other).await.is_err());
}

/// One review by a client with that certificate; TLS 1.3 refuses only after the client's side
/// of the handshake is complete.
async fn ask(server: &Server, identity: Option<&Identity>) -> std::io::Result<u16> {
    let trust = trust(&server.authority.pem(), identity);
    let mut client = Client::connect(server.https, &trust).await?;
    Ok(client.post("/mutate", b"x").await?.status)
}

#[tokio::test]
async fn only_named_clients_of_the_ca_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let clients = Authority::new().unwrap();
    let ca = folder.path().join("client-ca.crt");
    std::fs::write(&ca, clients.pem()).unwrap();
    let server = Server::with(Options {
        clients: Some(ClientAuth {
            ca,
            names: vec!["api-server".into()],
        }),
        ..Options::default()
    })
    .await;
    let named = clients.issue_client_pem("api-server").unwrap();
    let unnamed = clients.issue_client_pem("kubelet").unwrap();
    let foreign = Authority::new()
        .unwrap()
        .issue_client_pem("api-server")
        .unwrap();
    assert_eq!(ask(&server, Some(&named)).await.unwrap(), 200);
    assert!(ask(&server, Some(&unnamed)).await.is_err());
    assert!(ask(&server, Some(&foreign)).await.is_err());
    assert!(ask(&server, None).await.is_err());
}

#[tokio::test]
async fn the_ca_of_clients_is_exchanged_under_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = [(); 2].map(|()| Authority::new().unwrap());
    let ca = folder.path().join("client-ca.crt");
    // At once, as a person should, too: what is half written may be a whole list of fewer CAs.
    let write = |pem: &str| {
        let part = folder.path().join("part");
        std::fs::write(&part, pem).unwrap();
        std::fs::rename(&part, &ca).unwrap();
    };
    write(&old.pem());
    let server = Server::with(Options {
        clients: Some(ClientAuth {
            ca: ca.clone(),
            names: vec!["api-server".into()],
        }),
        ..Options::default()
    })
    .await;
    let by_old = old.issue_client_pem("api-server").unwrap();
    let by_new = new.issue_client_pem("api-server").unwrap();
    let reloads = "native_host_client_ca_reloads_total{result=\"ok\"}";
    let mut kept = Client::connect(server.https, &trust(&server.authority.pem(), Some(&by_old)))
        .await
        .unwrap();
    assert_eq!(kept.post("/mutate", b"x").await.unwrap().status, 200);
    assert!(ask(&server, Some(&by_new)).await.is_err());

    // As a CA is rotated: both for a while, then the new one alone.
    write(&(old.pem() + &new.pem()));
    server.until(reloads, 1.0).await;
    assert_eq!(ask(&server, Some(&by_old)).await.unwrap(), 200);
    assert_eq!(ask(&server, Some(&by_new)).await.unwrap(), 200);
    write(&new.pem());
    server.until(reloads, 2.0).await;
    assert!(ask(&server, Some(&by_old)).await.is_err());
    assert_eq!(ask(&server, Some(&by_new)).await.unwrap(), 200);
    let other_name = new.issue_client_pem("kubelet").unwrap();
    assert!(ask(&server, Some(&other_name)).await.is_err());
    // Open connections stay.
    assert_eq!(kept.post("/mutate", b"x").await.unwrap().status, 200);

    // A bad file changes nothing and is counted.
    write("no certificate");
    server
        .until(
            "native_host_client_ca_reloads_total{result=\"failed\"}",
            1.0,
        )
        .await;
    assert_eq!(ask(&server, Some(&by_new)).await.unwrap(), 200);
}
