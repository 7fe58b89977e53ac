//! Labelled pods without a pause, and API servers that have just come up, while something else happens.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use native_host::names::{annotation, label, webhook};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use crate::support::ControlPlane;

/// The one name that an API server calls the Service by, and checks the certificate for
/// (`k8s.io/apiserver/pkg/util/webhook/client.go`).
pub const SERVICE: &str = "native-host.native-host.svc";

/// A labelled pod, under a name that the API server chooses.
pub fn pod() -> Pod {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "albums-", "labels": {label::WORKLOAD: "albums"}},
        "spec": {"containers": [{
            "name": "albums", "image": "registry.example/albums", "command": [r"C:\apps\albumswin.exe"],
            "ports": [{"name": "http", "containerPort": 8080}],
        }]},
    }))
    .unwrap()
}

async fn client(plane: &ControlPlane) -> kube::Client {
    let file = kube::config::Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await;
    kube::Client::try_from(config.unwrap()).unwrap()
}

/// One under way.
pub struct Stream {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    created: Arc<AtomicUsize>,
    seen: Arc<Mutex<Seen>>,
    errors: Arc<Mutex<Vec<String>>>,
}

/// What handshakes showed.
#[derive(Default)]
struct Seen {
    handshakes: usize,
    leaves: BTreeSet<Vec<u8>>,
}

impl Stream {
    /// Only creates, of which none may be refused, whether or not somebody injects what comes.
    pub fn of_creates(plane: &ControlPlane, namespace: &str) -> Self {
        let (stream, client) = Self::idle(plane);
        let pods = Api::<Pod>::namespaced(client, namespace);
        let with = (pods, Arc::clone(&stream.created));
        stream.repeat(Duration::from_millis(20), create_any, with);
        stream
    }

    fn idle(plane: &ControlPlane) -> (Self, kube::Client) {
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(client(plane));
        let stream = Stream {
            runtime,
            stop: Arc::default(),
            created: Arc::default(),
            seen: Arc::default(),
            errors: Arc::default(),
        };
        (stream, client)
    }

    /// Begins: creates in `namespace` (dry runs, which go through admission all the same), and handshakes with every
    /// port by the `caBundle` in force.
    pub fn start(plane: &ControlPlane, namespace: &str, ports: &[u16]) -> Self {
        let (stream, client) = Self::idle(plane);
        let pods = Api::<Pod>::namespaced(client.clone(), namespace);
        for _ in 0..2 {
            stream.repeat(
                Duration::from_millis(20),
                create,
                (pods.clone(), Arc::clone(&stream.created)),
            );
        }
        for &port in ports {
            let configurations = Api::<ValidatingWebhookConfiguration>::all(client.clone());
            let with = (configurations, port, Arc::clone(&stream.seen));
            stream.repeat(Duration::from_millis(100), shake_hands, with);
        }
        stream
    }

    /// Does one thing again and again, and keeps what went wrong.
    fn repeat<W, F>(&self, pause: Duration, once: impl Fn(W) -> F + Send + 'static, with: W)
    where
        W: Clone + Send + 'static,
        F: Future<Output = Result<(), String>> + Send,
    {
        let (stop, errors) = (Arc::clone(&self.stop), Arc::clone(&self.errors));
        self.runtime.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                if let Err(error) = once(with.clone()).await {
                    errors.lock().unwrap().push(error);
                }
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// How many different serving certificates were seen.
    pub fn certificates(&self) -> usize {
        self.seen.lock().unwrap().leaves.len()
    }

    /// How many creates came out well so far.
    pub fn created(&self) -> usize {
        self.created.load(Ordering::Relaxed)
    }

    /// Ends it, says how much it was, and gives what failed.
    pub fn failures(self, what: &str) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.runtime.shutdown_timeout(Duration::from_secs(10));
        let errors = std::mem::take(&mut *self.errors.lock().unwrap());
        let (created, seen) = (
            self.created.load(Ordering::Relaxed),
            self.seen.lock().unwrap(),
        );
        println!(
            "{what}: {created} creates, {} handshakes, {} certificates, {} failed",
            seen.handshakes,
            seen.leaves.len(),
            errors.len()
        );
        assert!(created > 0);
        errors
    }

    /// The same, and nothing failed.
    pub fn end(self, what: &str) {
        let errors = self.failures(what);
        assert!(
            errors.is_empty(),
            "{} failed, first: {}",
            errors.len(),
            errors[0]
        );
    }
}

type Creates = (Api<Pod>, Arc<AtomicUsize>);

/// A create that has to come out injected.
async fn create(with: Creates) -> Result<(), String> {
    if create_pod(with).await? {
        return Ok(());
    }
    Err("a pod came out without having been injected".into())
}

/// A create that must not be refused.
async fn create_any(with: Creates) -> Result<(), String> {
    create_pod(with).await.map(drop)
}

/// Whether the pod came out injected.
async fn create_pod((pods, created): Creates) -> Result<bool, String> {
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let pod = pods.create(&dry_run, &pod()).await;
    let pod = pod.map_err(|error| format!("create: {error}"))?;
    created.fetch_add(1, Ordering::Relaxed);
    let annotations = pod.metadata.annotations.unwrap_or_default();
    Ok(annotations.contains_key(annotation::INJECTED))
}

/// A new connection as an API server that has just come up opens one: by the `caBundle` that it reads, to the Service's name.
async fn shake_hands(
    (configurations, port, seen): (Api<ValidatingWebhookConfiguration>, u16, Arc<Mutex<Seen>>),
) -> Result<(), String> {
    let configuration = configurations.get(webhook::VALIDATING).await;
    let configuration =
        configuration.map_err(|error| format!("read the configuration: {error}"))?;
    let webhooks = configuration.webhooks.unwrap_or_default();
    let bundle = webhooks[0]
        .client_config
        .ca_bundle
        .clone()
        .ok_or("no caBundle")?;
    let leaf = handshake(port, &bundle.0).await;
    let leaf = leaf.map_err(|error| format!("handshake: {error}"))?;
    let mut seen = seen.lock().unwrap();
    seen.handshakes += 1;
    seen.leaves.insert(leaf);
    Ok(())
}

/// The serving certificate, if `bundle` (PEM) is enough to trust it as the Service's.
async fn handshake(port: u16, bundle: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let name = ServerName::try_from(SERVICE).unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
}

/// Whether what serves there can be trusted by `bundle` (as `caBundle` has it) alone.
pub fn is_trusted(port: u16, bundle: &str) -> bool {
    let bundle = STANDARD.decode(bundle).unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(handshake(port, &bundle)).is_ok()
}
