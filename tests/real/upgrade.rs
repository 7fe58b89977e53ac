//! Certificates and instances come and go under a steady stream of pods, and none fails.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use native_host::admission::self_signed::Authority;
use native_host::names::policy;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::client::{Client, trust};
use super::load::{Stream, client};
use super::program::{Certificate, Program, is_ready, mount};
use super::{ALONE, ControlPlane, PATIENCE, own_plane, put_in_force};

const SWAPS: usize = 50;

fn pair(authority: &Authority) -> (String, String) {
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    authority.issue_pem(&names).unwrap()
}

/// Waits without keeping the thread from the stream's work.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "not within {PATIENCE:?}: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_fails_while_the_certificate_is_swapped_fifty_times() {
    let _alone = ALONE.lock().await;
    let Some(plane) = own_plane() else {
        return;
    };
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new().unwrap());
    mount(folder.path(), 0, &pair(&authority));
    let ca = authority.pem();
    let mounted = Certificate::Mounted {
        folder: folder.path(),
        ca: &ca,
    };
    let program = Program::start(&plane, "native-host", mounted);
    put_in_force(&plane, &program.url(), &ca, &[&program]);
    let reloads = "native_host_certificate_reloads_total{result=\"ok\"}";
    let accepted = "native_host_connections_accepted_total{port=\"https\"}";
    let before = program.metric(accepted);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, program.https));

    let stream = Stream::start(&plane).await;
    let mut served = std::collections::HashSet::new();
    for turn in 1..=SWAPS {
        mount(folder.path(), turn, &pair(&authority));
        let loaded = number(turn);
        until("the pair is loaded", || program.metric(reloads) >= loaded).await;
        let fresh = Client::connect(address, &trust(&ca, None)).await.unwrap();
        served.insert(fresh.server_certificate());
        // Text around PEM blocks is no part of them (RFC 7468), but another bundle to the API
        // server, which then connects anew: so it meets every one of the certificates.
        plane.register_webhooks(&program.url(), &format!("{ca}\nswap {turn}\n"));
    }
    stream.end("certificate swapped 50 times").await;
    assert_eq!(
        served.len(),
        SWAPS,
        "each connection got the newest certificate"
    );
    let connections = program.metric(accepted) - before - number(SWAPS);
    println!("connections that the API server made meanwhile: {connections}");
    assert!(connections >= number(SWAPS / 2), "{connections}");
    let failed = "native_host_certificate_reloads_total{result=\"failed\"}";
    assert!(program.metric(failed) < 0.5);
    let refused = program.metric("native_host_requests_refused_total");
    assert!(refused < 0.5, "{refused}");
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// What a Service does: each new connection goes to the next instance that is ready.
struct Balancer {
    port: u16,
    taken: Arc<[AtomicUsize; 2]>,
}

impl Balancer {
    async fn start(instances: [(u16, u16); 2]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ready = Arc::new([AtomicBool::new(true), AtomicBool::new(true)]);
        let watched = ready.clone();
        tokio::task::spawn_blocking(move || {
            // As a kubelet's readiness probe, but quicker; it ends with the listener.
            while Arc::strong_count(&watched) > 1 {
                for (instance, ready) in instances.iter().zip(watched.iter()) {
                    ready.store(is_ready(instance.1), Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let taken = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counted = taken.clone();
        tokio::spawn(async move {
            for turn in 0.. {
                let Ok((mut client, _)) = listener.accept().await else {
                    return;
                };
                let order = [turn % 2, (turn + 1) % 2];
                let up = |i: &&usize| ready[**i].load(Ordering::Relaxed);
                let Some(&chosen) = order.iter().find(up) else {
                    continue; // closed, as where a Service has no endpoint
                };
                counted[chosen].fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let to = (Ipv4Addr::LOCALHOST, instances[chosen].0);
                    let mut server = TcpStream::connect(to).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { port, taken }
    }

    fn taken(&self, instance: usize) -> usize {
        self.taken[instance].load(Ordering::Relaxed)
    }
}

/// Two instances with one certificate, and what stands before them.
struct Pair {
    instances: [Program; 2],
    balancer: Balancer,
    url: String,
    ca: String,
    _folder: tempfile::TempDir,
}

impl Pair {
    async fn start(plane: &ControlPlane) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new().unwrap());
        mount(folder.path(), 0, &pair(&authority));
        let ca = authority.pem();
        let mounted = Certificate::Mounted {
            folder: folder.path(),
            ca: &ca,
        };
        let instances =
            ["native-host-0", "native-host-1"].map(|name| Program::start(plane, name, mounted));
        let ports = [0, 1].map(|i: usize| (instances[i].https, instances[i].http()));
        let balancer = Balancer::start(ports).await;
        let url = format!("https://127.0.0.1:{}", balancer.port);
        put_in_force(plane, &url, &ca, &[&instances[0], &instances[1]]);
        Self {
            instances,
            balancer,
            url,
            ca,
            _folder: folder,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_fails_while_the_policy_is_edited_under_two_instances() {
    const EDITS: usize = 100;
    let _alone = ALONE.lock().await;
    let Some(plane) = own_plane() else {
        return;
    };
    let pair = Pair::start(&plane).await;
    let namespaces = Api::<Namespace>::all(client(&plane).await);
    let stream = Stream::start(&plane).await;
    // It is part of the preStop hook and of the grace period, so each edit makes other pods.
    for edit in 1..=EDITS {
        let change =
            json!({"metadata": {"annotations": {policy::DRAIN_SECONDS: edit.to_string()}}});
        let change = Patch::Merge(change);
        let as_ever = PatchParams::default();
        namespaces
            .patch("default", &as_ever, &change)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stream.end("policy edited 100 times").await;
    println!(
        "connections: {} and {}",
        pair.balancer.taken(0),
        pair.balancer.taken(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_fails_while_each_of_two_instances_is_restarted() {
    let _alone = ALONE.lock().await;
    let Some(plane) = own_plane() else {
        return;
    };
    let Pair {
        mut instances,
        balancer,
        url,
        ca,
        _folder,
    } = Pair::start(&plane).await;

    let stream = Stream::start(&plane).await;
    for turn in 0..2 {
        let reviews = |program: &Program| program.metric("native_host_reviews_total");
        let other = 1 - turn;
        // The API server keeps its connections; another bundle makes it balance anew.
        for round in 0.. {
            let before = reviews(&instances[turn]);
            plane.register_webhooks(&url, &format!("{ca}\nturn {turn} round {round}\n"));
            tokio::time::sleep(Duration::from_secs(1)).await;
            if reviews(&instances[turn]) > before + 10.0 {
                break;
            }
            assert!(round < 20, "the load never reached instance {turn}");
        }
        let served = reviews(&instances[other]);
        let instance = &mut instances[turn];
        let ended = tokio::task::block_in_place(|| instance.terminate());
        assert!(ended.contains("exit status: 0"), "{ended}");
        until("the other one serves", || {
            reviews(&instances[other]) > served + 10.0
        })
        .await;
        let instance = &mut instances[turn];
        tokio::task::block_in_place(|| instance.begin());
        until("it is back", || instances[turn].ready()).await;
    }
    stream.end("each of two instances restarted").await;
    println!(
        "connections: {} and {}",
        balancer.taken(0),
        balancer.taken(1)
    );
}
