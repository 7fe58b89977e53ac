//! A bad network between a program and the API server: a plain HTTP proxy that counts, cuts, holds
//! and refuses.
//!
//! ```text
//! let proxy = Proxy::start(&plane);
//! let kubeconfig = proxy.kubeconfig(plane.admin_token());
//! proxy.at_write(3, Moment::After, move |_| { kill(program); Verdict::Cut });
//! ```
//!
//! A program with that kubeconfig talks through it, each of its connections over one of our own, so
//! that what is cut here is cut there. (kubectl sends no token over plain HTTP; kube does.)
//!
//! - [`call`]: what was asked, and what came of it.
//! - [`faults`]: what goes wrong, as a test says.
//! - [`relay`]: one connection.

pub mod call;
pub mod faults;
pub mod relay;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::ControlPlane;
pub use call::{Call, Entry, Kind};
use faults::{Faults, Upstream};
pub use faults::{Gone, Moment, Verdict};

/// A proxy in front of the API server. Dropping it ends it and every connection.
#[derive(Debug)]
pub struct Proxy {
    faults: Arc<Faults>,
    address: SocketAddr,
    folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// One that lets everything through.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(plane: &ControlPlane) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(Faults::new(upstream(plane)));
        let (stop, stopped) = oneshot::channel();
        let serve = serve(Arc::clone(&faults), listener);
        let thread = std::thread::Builder::new()
            .name("proxy".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    tokio::select! {
                        () = serve => {}
                        _ = stopped => {}
                    }
                });
            })
            .unwrap();
        Self {
            faults,
            address,
            folder: tempfile::tempdir().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig of whoever has the token, through the proxy. It is there as long as the proxy.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn kubeconfig(&self, token: &str) -> PathBuf {
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url()}}],
            "users": [{"name": "proxy", "user": {"token": token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        let (file, path) = tempfile::Builder::new()
            .prefix("kubeconfig-")
            .tempfile_in(self.folder.path())
            .unwrap()
            .keep()
            .unwrap();
        serde_json::to_writer(file, &config).unwrap();
        path
    }

    /// Everything that was asked and answered (or cut) so far, in the order of the answers.
    pub fn log(&self) -> Vec<Entry> {
        self.faults.log().clone()
    }

    /// The writes among them: no leases, no events, no reviews, no dry runs.
    pub fn writes(&self) -> Vec<Entry> {
        let mut log = self.log();
        log.retain(|entry| entry.call.kind == Kind::Write);
        log
    }

    /// Forgets what was asked so far.
    pub fn clear_log(&self) {
        self.faults.log().clear();
    }

    /// Does something at the `nth` write from now (the first is 1), once; in place of what an
    /// earlier call wanted. Before: it has not reached the API server, and does so only with
    /// [`Verdict::Pass`]. After: the API server has done it, and the program has no answer yet.
    pub fn at_write(
        &self,
        nth: usize,
        moment: Moment,
        act: impl FnOnce(&Call) -> Verdict + Send + 'static,
    ) {
        self.faults.arm(nth, moment, Box::new(act));
    }

    /// Whether what [`at_write`](Self::at_write) wanted is still to come.
    pub fn is_armed(&self) -> bool {
        self.faults.is_armed()
    }

    /// Decides on every call, before and after, until it is replaced.
    pub fn on_call(&self, decide: impl Fn(Moment, &Call) -> Verdict + Send + Sync + 'static) {
        self.faults.decide_by(Arc::new(decide));
    }

    /// Whether each write is answered by a conflict first and gets through when it is tried again.
    /// A write is told by its method and path, and by the name of what it creates.
    pub fn conflict_first(&self, on: bool) {
        self.faults.conflict_first(on);
    }

    /// The API server is down for this program: open connections are cut, new ones closed.
    pub fn refuse(&self) {
        self.faults.refuse(true);
    }

    /// It is back.
    pub fn restore(&self) {
        self.faults.refuse(false);
    }

    /// Nothing gets through, and nothing is closed either.
    pub fn freeze(&self) {
        self.faults.freeze(true);
    }

    /// What was held goes on.
    pub fn thaw(&self) {
        self.faults.freeze(false);
    }

    /// Cuts every open watch in the middle.
    pub fn cut_watches(&self) {
        self.faults.cut_watches();
    }

    /// How many watches are open.
    pub fn open_watches(&self) -> usize {
        self.faults.open_watches()
    }

    /// Answers the next `count` watches that are opened by 410.
    pub fn expire_watches(&self, count: usize, how: Gone) {
        self.faults.expire(count, how);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let failed = thread.join().is_err();
            assert!(!failed || std::thread::panicking(), "the proxy panicked");
        }
    }
}

/// How the API server is reached.
fn upstream(plane: &ControlPlane) -> Upstream {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(plane.ca_file()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // No ALPN: the API server then speaks HTTP/1.1, one call after the other.
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url = plane.url();
    Upstream {
        authority: url.strip_prefix("https://").unwrap().to_owned(),
        tls: TlsConnector::from(Arc::new(config)),
    }
}

async fn serve(faults: Arc<Faults>, listener: TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(relay::connection(Arc::clone(&faults), stream));
    }
}
