//! `native-host serve`: the admission webhook and the anchor controller.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::logging::{Log, LogLevelError};
pub use super::serve_args::ServeArgs;
use crate::admission::Policied;
use crate::admission::certificates::{Certificates, Folder, PairError};
use crate::admission::clients::{ClientAuth, ClientCaError, Clients};
use crate::admission::metrics::Metrics;
use crate::admission::namespaces::{Cluster, File, FileError, Index, Namespaces};
use crate::admission::readiness::Readiness;
use crate::admission::self_signed::{Authority, SelfSignedError};
use crate::admission::server::{BindError, Drained};
use crate::admission::shared_authority::{Keeper, SharedError, first_pair};
use crate::admission::tls::{self, TlsError};
use crate::cluster::{self, ClientError};
use crate::external::ranges::{self, Ranges};
use crate::policy::Policy;

/// How often files are looked at for a change.
const LOOK: Duration = Duration::from_secs(1);

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
    let ranges = Arc::new(Ranges::new(args.external.cluster_cidrs.clone()));
    let reviews = if args.webhook {
        Some(reviews(&args, flags, &metrics, &mut readiness, &ranges).await?)
    } else {
        None
    };
    let bound = args.config().bind().await?;
    let controller = if args.controller && !args.no_cluster {
        Some(
            args.anchors
                .start(
                    args.kubeconfig.as_deref(),
                    defaults,
                    &metrics,
                    (ranges, args.external.external_probes),
                )
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
    ranges: &Arc<Ranges>,
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
    if let Some(client) = client.clone().filter(|_| !args.controller) {
        // Where there is a controller, it does this.
        tokio::spawn(ranges::follow_services(client, Arc::clone(ranges)));
    }
    let ranges = Arc::clone(ranges);
    Ok((Policied::new(namespaces, flags, client, ranges), tls))
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
