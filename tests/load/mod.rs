//! A load on a Service, with kube-proxy played, and what became of every request.
//!
//! ```text
//! let load = Load::start(&Plan::new(plane.kubeconfig(), "default", "albums"));
//! load.mark("rolling update");
//! let report = load.stop();
//! assert_eq!(report.failures(), []);
//! std::fs::write("page.html", report.page())?;
//! ```
//!
//! Two kinds of clients at once, since they see different things: one keeps its connections open and so
//! stays with a pod that goes down; the other one opens a connection for each request and so meets what
//! kube-proxy does not know yet. Some of both ask for answers that take up to four seconds. Nobody tries
//! again: a request that does not end with the answer is a failed one.
//!
//! - [`endpoints`]: which endpoints new connections go to, and when that changes.
//! - [`clients`]: the clients.
//! - [`record`]: what is kept of each request, and the sums.
//! - [`report`]: the page with its plots.
//!
//! `program.rs` is all that as a program, for `hack/run`.

// Who includes it uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod clients;
pub mod endpoints;
pub mod record;
pub mod report;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::watch;

use endpoints::Routes;
use record::{Change, Mark, Report, Request};

/// What load, on what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of whoever may watch EndpointSlices.
    pub kubeconfig: PathBuf,
    /// The Service's namespace.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// What is asked for.
    pub path: String,
    /// Clients of each kind, that ask for answers without delay.
    pub quick: usize,
    /// Clients of each kind, that ask for slow ones.
    pub slow: usize,
    /// How slow those are at most.
    pub slowest: Duration,
    /// Quick requests a second, all clients together.
    pub rate: f64,
    /// How many requests at most.
    pub count: usize,
    /// How long an answer may take beyond what was asked.
    pub patience: Duration,
    /// kube-proxy's `minSyncPeriod`.
    pub sync_period: Duration,
}

impl Plan {
    /// 200 quick requests a second, and 8 slow ones all the time.
    pub fn new(kubeconfig: &Path, namespace: &str, service: &str) -> Self {
        Self {
            kubeconfig: kubeconfig.into(),
            namespace: namespace.into(),
            service: service.into(),
            path: "/albums".into(),
            quick: 8,
            slow: 4,
            slowest: Duration::from_secs(4),
            rate: 200.0,
            count: 1_000_000,
            patience: Duration::from_secs(15),
            // Its default (pkg/proxy/apis/config/v1alpha1/defaults.go of Kubernetes).
            sync_period: Duration::from_secs(1),
        }
    }
}

/// A load under way. Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the handle, the watch and the clients share.
#[derive(Debug)]
pub struct Shared {
    plan: Plan,
    began: Instant,
    stopping: AtomicBool,
    issued: AtomicUsize,
    log: Mutex<Log>,
    /// Where new connections go.
    routes: watch::Sender<Arc<Routes>>,
}

#[derive(Debug, Default)]
struct Log {
    requests: Vec<Request>,
    marks: Vec<Mark>,
    changes: Vec<Change>,
}

impl Load {
    /// Starts it; the first request goes as soon as the Service has an endpoint.
    ///
    /// # Panics
    /// Where the kubeconfig is of no use.
    pub fn start(plan: &Plan) -> Self {
        let shared = Arc::new(Shared {
            plan: plan.clone(),
            began: Instant::now(),
            stopping: AtomicBool::new(false),
            issued: AtomicUsize::new(0),
            log: Mutex::default(),
            routes: watch::channel(Arc::default()).0,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let kubeconfig = Kubeconfig::read_from(&plan.kubeconfig).unwrap();
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
            kube::Client::try_from(config.unwrap()).unwrap()
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("load".into())
            .spawn(move || {
                runtime.block_on(async {
                    // The clients end by themselves, each with the request that it is at.
                    tokio::select! {
                        () = endpoints::follow(client, &of_thread) => {}
                        () = clients::run(&of_thread) => {}
                    }
                });
            })
            .unwrap();
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Notes that something is done now, for the plots.
    pub fn mark(&self, text: impl Into<String>) {
        let mark = Mark {
            at: self.shared.now(),
            text: text.into(),
        };
        self.shared.log().marks.push(mark);
    }

    /// How many requests have ended so far, and how many of them badly.
    pub fn count(&self) -> (usize, usize) {
        let log = self.shared.log();
        let failed = log.requests.iter().filter(|one| one.result.is_err());
        (log.requests.len(), failed.count())
    }

    /// Whether all requests were issued that there may be.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it: what is under way is waited for.
    pub fn stop(mut self) -> Report {
        self.end();
        let log = std::mem::take(&mut *self.shared.log());
        Report {
            service: self.shared.plan.service.clone(),
            lasted: self.shared.now(),
            requests: log.requests,
            marks: log.marks,
            changes: log.changes,
            pairs: Vec::new(),
        }
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // So that clients who wait for an endpoint look up.
        self.shared.routes.send_modify(|_| {});
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the load panicked"
            );
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// Since it began.
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another request may go, and counts it.
    fn issue(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed)
            && self.issued.fetch_add(1, Ordering::Relaxed) < self.plan.count
    }
}
