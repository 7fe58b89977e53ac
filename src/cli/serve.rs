//! `native-host serve`: the admission webhook and the anchor controller.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Args};
use tokio::signal::unix::{SignalKind, signal};

use super::controller::ControllerArgs;
use super::logging::{Log, LogFormat, LogLevelError};
use crate::admission::Policied;
use crate::admission::certificates::{Certificates, Folder, PairError};
use crate::admission::clients::{ClientAuth, ClientCaError, Clients};
use crate::admission::limits::Limits;
use crate::admission::metrics::Metrics;
use crate::admission::namespaces::{Cluster, File, FileError, Index, Namespaces};
use crate::admission::readiness::Readiness;
use crate::admission::self_signed::{Authority, SelfSignedError};
use crate::admission::server::{BindError, Config, Drained, Shutdown};
use crate::admission::shared_authority::{Keeper, SharedError, first_pair};
use crate::admission::tls::{self, TlsError};
use crate::cluster::{self, ClientError};
use crate::policy::Policy;

/// How often files are looked at for a change.
const LOOK: Duration = Duration::from_secs(1);

/// Answers admission reviews over HTTPS, and keeps pairs whole, until it is told to stop.
///
/// In a cluster: `native-host serve --cert-dir /certs`. To try it out, without a cluster:
/// `native-host serve --no-cluster --policies namespaces.yaml --self-signed`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("certificate").args(["cert_dir", "self_signed"]))]
pub struct ServeArgs {
    /// Whether this instance answers admission reviews.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = PARTS)]
    pub webhook: bool,
    /// Whether this instance takes part in keeping pairs whole; one of all instances leads, by a Lease.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = PARTS)]
    pub controller: bool,

    /// Address for admission reviews (HTTPS); port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8443", help_heading = LISTENING)]
    pub listen: SocketAddr,
    /// Address for /healthz, /readyz and /metrics (HTTP).
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080", help_heading = LISTENING)]
    pub http_listen: SocketAddr,
    /// Threads that answer. One is enough for tens of thousands of reviews a second.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64), help_heading = LISTENING)]
    pub threads: u8,

    /// Folder with tls.crt and tls.key, as a mounted Secret of type kubernetes.io/tls; read again when it changes.
    #[arg(long, value_name = "DIR", help_heading = CERTIFICATE)]
    pub cert_dir: Option<PathBuf>,
    /// Make a CA and a serving certificate in memory: for a try-out.
    #[arg(long, help_heading = CERTIFICATE)]
    pub self_signed: bool,
    /// Folder to write the self-signed ca.crt, tls.crt and tls.key to; ca.crt makes the webhooks' caBundle.
    #[arg(long, value_name = "DIR", requires = "self_signed", help_heading = CERTIFICATE)]
    pub self_signed_dir: Option<PathBuf>,
    /// Secret in the program's own namespace to keep the self-signed CA in, for all replicas; its certificate is then put
    /// into the webhook configurations' caBundle too.
    #[arg(long, value_name = "NAME", requires = "self_signed", conflicts_with = "no_cluster", help_heading = CERTIFICATE)]
    pub self_signed_secret: Option<String>,
    /// DNS name or IP address in the self-signed certificate; may be repeated.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "self_signed", help_heading = CERTIFICATE,
        default_values = ["localhost", "127.0.0.1", "::1"])]
    pub self_signed_name: Vec<String>,
    /// PEM file of a CA: only clients with a certificate of it are answered; read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = CERTIFICATE)]
    pub client_ca: Option<PathBuf>,
    /// Common name or DNS name that a client's certificate must carry; may be repeated.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "client_ca", help_heading = CERTIFICATE)]
    pub client_name: Vec<String>,

    /// Don't talk to an API server: policies come from --policies and the flags.
    #[arg(long, help_heading = POLICIES)]
    pub no_cluster: bool,
    /// YAML file of Namespace manifests to take policies from; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "no_cluster", help_heading = POLICIES)]
    pub policies: Option<PathBuf>,
    /// Kubeconfig to reach the API server by; by default $KUBECONFIG, ~/.kube/config, then the pod's ServiceAccount.
    #[arg(long, value_name = "FILE", conflicts_with = "no_cluster", help_heading = POLICIES)]
    pub kubeconfig: Option<PathBuf>,

    /// How the controller works.
    #[command(flatten)]
    pub anchors: ControllerArgs,

    /// Largest request body, in bytes; beyond it 413.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body, help_heading = LIMITS)]
    pub max_body_bytes: usize,
    /// Memory that all bodies above 64 KiB share, in bytes; who finds it full waits.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_budget, help_heading = LIMITS)]
    pub body_budget_bytes: usize,
    /// Connections at a time; beyond, the one that was idle longest gives way.
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections as u32, value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS)]
    pub max_connections: u32,
    /// Reviews at a time; beyond, 429 with Retry-After, which API servers heed.
    #[arg(long, value_name = "N", default_value_t = Limits::default().in_flight as u32, value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS)]
    pub max_in_flight: u32,
    /// Time for a TLS handshake.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, help_heading = LIMITS)]
    pub handshake_timeout: Duration,
    /// Time from a request's first byte to the end of its header.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, help_heading = LIMITS)]
    pub header_timeout: Duration,
    /// Time from the end of the header to the end of the body.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, help_heading = LIMITS)]
    pub body_timeout: Duration,
    /// Time that a connection may be without a request; longer than an API server's own 90s.
    #[arg(long, value_name = "DURATION", default_value = "180s", value_parser = duration, help_heading = LIMITS)]
    pub idle_timeout: Duration,

    /// How long to go on accepting after SIGTERM, while the Service's endpoints are updated.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, help_heading = SHUTDOWN)]
    pub shutdown_delay: Duration,
    /// How long requests may take to finish after that.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration, help_heading = SHUTDOWN)]
    pub shutdown_grace: Duration,

    /// What log lines look like.
    #[arg(long, value_enum, default_value_t, help_heading = LOG)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or targets as in info,kube=debug.
    #[arg(long, value_name = "FILTER", default_value = "info", help_heading = LOG)]
    pub log_level: String,
}

const PARTS: &str = "Parts";
const LISTENING: &str = "Listening";
const CERTIFICATE: &str = "Certificate";
const POLICIES: &str = "Policies";
const LIMITS: &str = "Limits";
const SHUTDOWN: &str = "Shutdown";
const LOG: &str = "Log";

/// `500ms`, `5s`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a number and a unit, as in 500ms, 5s or 2m, got {text:?}");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => None,
    }
    .filter(|d| *d <= Duration::from_secs(24 * 3600))
    .ok_or_else(expected)
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// See [`LogLevelError`].
    #[error(transparent)]
    LogLevel(#[from] LogLevelError),
    /// See [`BindError`].
    #[error(transparent)]
    Bind(#[from] BindError),
    /// See [`PairError`].
    #[error(transparent)]
    Pair(#[from] PairError),
    /// See [`SharedError`].
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// See [`SelfSignedError`].
    #[error(transparent)]
    SelfSigned(#[from] SelfSignedError),
    /// See [`ClientCaError`].
    #[error(transparent)]
    ClientCa(#[from] ClientCaError),
    /// See [`TlsError`].
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// See [`FileError`].
    #[error(transparent)]
    Policies(#[from] FileError),
    /// See [`ClientError`].
    #[error("{0}. Give --kubeconfig, run in a pod, or use --no-cluster")]
    Cluster(#[from] ClientError),
    /// A counter that cannot be made.
    #[error("cannot set up metrics: {0}")]
    Metrics(String),
    /// The system refused threads, signals or the like.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// Runs the server. `flags` is the cluster-wide policy.
///
/// Exit codes: 0 after a complete drain, 1 if it could not start or connections were cut off.
pub fn run(args: ServeArgs, flags: Policy) -> ExitCode {
    let log = match Log::new(std::io::stderr()) {
        Ok(log) => log,
        Err(error) => return fail(&ServeError::System(error)),
    };
    let run = || {
        log.install(args.log_format, &args.log_level)?;
        log.report_panics();
        // One thread answers tens of thousands of reviews a second. More of them wake each other
        // for each event (a tenth of a review's CPU time) and have a heap each.
        let mut runtime = match args.threads {
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime
            .worker_threads(usize::from(args.threads))
            .max_blocking_threads(4)
            .enable_all()
            .build()?;
        runtime.block_on(serve(args, flags, &log))
    };
    let result = run();
    log.flush();
    match result {
        Ok(Drained::Clean) => ExitCode::SUCCESS,
        Ok(Drained::Cut(_)) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn fail(error: &ServeError) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

async fn serve(args: ServeArgs, flags: Policy, log: &Log) -> Result<Drained, ServeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let metrics = Arc::new(Metrics::new().map_err(|e| ServeError::Metrics(e.to_string()))?);
    let mut readiness = Readiness::new(Arc::clone(&metrics));
    let defaults = Arc::new(flags.clone());
    let reviews = if args.webhook {
        Some(reviews(&args, flags, &metrics, &mut readiness).await?)
    } else {
        None
    };
    let bound = args.config().bind().await?;
    let controller = if args.controller && !args.no_cluster {
        Some(
            args.anchors
                .start(args.kubeconfig.as_deref(), defaults, &metrics)
                .await?,
        )
    } else {
        None
    };
    if let Some(controller) = &controller {
        let synced = controller.synced();
        readiness.add("pods", move || {
            if *synced.borrow() {
                Ok(())
            } else {
                Err("not all pods and anchors are listed yet".into())
            }
        });
    }
    let leaving = bound.leaving();
    readiness.add("shutdown", move || {
        if leaving.load(Ordering::Relaxed) {
            Err("this server is going down".into())
        } else {
            Ok(())
        }
    });
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        https = bound.https_address().map(tracing::field::display),
        http = bound.http_address().map(tracing::field::display),
        controller = controller.is_some(),
        "serving"
    );
    let running = bound.start(reviews, Arc::new(readiness), &metrics);

    let first = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = first, delay = ?args.shutdown_delay, "going down; a second signal ends it at once");
    let down = async {
        // Another instance leads while this one still answers.
        let stopped = async {
            if let Some(controller) = controller {
                controller.stop().await;
            }
        };
        tokio::join!(running.drain(), stopped).0
    };
    tokio::select! {
        drained = down => {
            match drained {
                Drained::Clean => tracing::info!("drained"),
                Drained::Cut(n) => tracing::warn!(connections = n, "cut off what did not finish in time"),
            }
            Ok(drained)
        }
        () = async { tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () } } => {
            tracing::warn!("second signal: going at once");
            log.flush();
            std::process::exit(1)
        }
    }
}

/// What answers reviews, and what encrypts them; their checks are added to `readiness`.
async fn reviews(
    args: &ServeArgs,
    flags: Policy,
    metrics: &Arc<Metrics>,
    readiness: &mut Readiness,
) -> Result<(Policied, Arc<rustls::ServerConfig>), ServeError> {
    let client = if args.no_cluster {
        None
    } else {
        Some(cluster::client(args.kubeconfig.as_deref(), None).await?)
    };
    let certificates = certificates(args, client.as_ref(), metrics).await?;
    let tls = tls::config(Arc::clone(&certificates), clients(args, metrics)?)?;
    readiness.add("certificate", move || {
        let valid = certificates.current().still_valid();
        valid.map_err(|e| e.to_string())
    });
    let namespaces = namespaces(args, flags.clone(), metrics, client.clone())?;
    let known = Arc::clone(&namespaces);
    readiness.add("namespaces", move || known.ready());
    Ok((Policied::new(namespaces, flags, client), tls))
}

impl ServeArgs {
    /// What is wrong with the flags together, where clap cannot tell.
    pub fn check(&self) -> Result<(), String> {
        if !self.webhook && !self.controller {
            return Err("--webhook=false and --controller=false leave nothing to serve".into());
        }
        if self.webhook && self.cert_dir.is_none() && !self.self_signed {
            return Err("the webhook needs a certificate: give --cert-dir <DIR> or --self-signed, or leave it out by --webhook=false".into());
        }
        if !self.webhook && self.no_cluster {
            return Err(
                "--no-cluster leaves nothing but the webhook, and --webhook=false leaves it out"
                    .into(),
            );
        }
        Ok(())
    }

    fn config(&self) -> Config {
        let limits = Limits {
            body: self.max_body_bytes,
            body_budget: self.body_budget_bytes,
            connections: self.max_connections as usize,
            in_flight: self.max_in_flight as usize,
            handshake_timeout: self.handshake_timeout,
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            idle_timeout: self.idle_timeout,
            ..Limits::default()
        };
        Config {
            https: self.webhook.then_some(self.listen),
            http: Some(self.http_listen),
            limits,
            operations_limits: Limits::operations(),
            shutdown: Shutdown {
                delay: self.shutdown_delay,
                grace: self.shutdown_grace,
            },
        }
    }
}

/// The first pair, and the task that brings the next ones.
async fn certificates(
    args: &ServeArgs,
    client: Option<&kube::Client>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Certificates>, ServeError> {
    if let Some(path) = &args.cert_dir {
        let (folder, pair) = Folder::open(path)?;
        if let Err(error) = pair.still_valid() {
            tracing::error!(%error, "not ready until there is another");
        }
        let certificates = Arc::new(Certificates::new(pair, Arc::clone(metrics)));
        tokio::spawn(folder.follow(Arc::clone(&certificates), LOOK));
        return Ok(certificates);
    }
    let folder = args.self_signed_dir.clone();
    let names = args.self_signed_name.clone();
    if let (Some(secret), Some(client)) = (&args.self_signed_secret, client) {
        let keeper = Keeper::new(client.clone(), secret.clone());
        let (authority, pair) = first_pair(&keeper, &names, folder.as_deref()).await?;
        let certificates = Arc::new(Certificates::new(pair, Arc::clone(metrics)));
        tokio::spawn(keeper.follow(authority, names, folder, Arc::clone(&certificates)));
        return Ok(certificates);
    }
    let authority = Authority::new()?;
    let pair = authority.issue(&names, folder.as_deref())?;
    let certificates = Arc::new(Certificates::new(pair, Arc::clone(metrics)));
    tokio::spawn(authority.renew(names, folder, Arc::clone(&certificates)));
    Ok(certificates)
}

/// Who may ask, if not anybody, and the task that follows the CA's file.
fn clients(
    args: &ServeArgs,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Clients>>, ClientCaError> {
    let Some(ca) = args.client_ca.clone() else {
        return Ok(None);
    };
    let names = args.client_name.clone();
    let (clients, file) = Clients::open(&ClientAuth { ca, names }, Arc::clone(metrics))?;
    tokio::spawn(file.follow(Arc::clone(&clients), LOOK));
    Ok(Some(clients))
}

/// The policies, and the task that follows them.
fn namespaces(
    args: &ServeArgs,
    flags: Policy,
    metrics: &Arc<Metrics>,
    client: Option<kube::Client>,
) -> Result<Arc<Namespaces>, ServeError> {
    let index = Arc::new(Index::new(flags, Arc::clone(metrics)));
    let Some(client) = client else {
        let file = File::open(args.policies.as_deref(), index)?;
        tokio::spawn(file.clone().follow(LOOK));
        return Ok(Arc::new(Namespaces::File(file)));
    };
    let cluster = Cluster::new(client, index);
    tokio::spawn(cluster.clone().watch());
    Ok(Arc::new(Namespaces::Cluster(Box::new(cluster))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        assert_eq!(duration("0s").unwrap(), Duration::ZERO);
        for bad in [
            "5",
            "s",
            "",
            "-1s",
            "1.5s",
            "5 s",
            "99999999999999999999s",
            "25h",
            "5d",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
