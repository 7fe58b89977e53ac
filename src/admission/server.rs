//! The server, in steps that cannot be taken in a wrong order:
//!
//! ```text
//! Config --bind--> Bound (addresses known) --start--> Running --drain--> gone
//! ```
//!
//! Two ports: reviews over TLS, and plain HTTP for probes and metrics.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::body::Budget;
use super::connection::{Connection, Noted, Transport};
use super::connections::{Connections, Entered};
use super::limits::Limits;
use super::metrics::{Closed, Metrics, Port};
use super::operations;
use super::read_ahead::ReadAhead;
use super::readiness::Readiness;
use super::routes::{self, Reviews, Shared};

/// A header is at most this long, and so is what hyper reads of a body at a time: large enough
/// for four TLS records, small enough for sixteen big reviews at once.
const HTTP_BUFFER: usize = 64 * 1024;

/// How the server goes down.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    /// How long it goes on accepting after it stopped being ready, so that the Service's
    /// endpoints are updated everywhere before a connection is refused.
    pub delay: Duration,
    /// How long connections may take to finish after that.
    pub grace: Duration,
}

/// Where to listen, and within which bounds.
#[derive(Clone, Debug)]
pub struct Config {
    /// The port for reviews, if any. Port 0 lets the system choose.
    pub https: Option<SocketAddr>,
    /// The port for probes and metrics, if any.
    pub http: Option<SocketAddr>,
    /// Bounds of the first.
    pub limits: Limits,
    /// Bounds of the second.
    pub operations_limits: Limits,
    /// The way down.
    pub shutdown: Shutdown,
}

/// A port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({flag}): {source}")]
pub struct BindError {
    address: SocketAddr,
    flag: &'static str,
    source: io::Error,
}

impl Config {
    /// Opens both ports. Connections wait in the kernel until [`Bound::start`].
    ///
    /// # Errors
    /// If an address cannot be had.
    pub async fn bind(self) -> Result<Bound, BindError> {
        let https = match self.https {
            Some(address) => Some(listen(address, "--listen").await?),
            None => None,
        };
        let http = match self.http {
            Some(address) => Some(listen(address, "--http-listen").await?),
            None => None,
        };
        Ok(Bound {
            config: self,
            https,
            http,
            leaving: Arc::default(),
        })
    }
}

/// "Address family not supported by protocol" (`asm-generic/errno.h`).
const EAFNOSUPPORT: i32 = 97;

async fn listen(address: SocketAddr, flag: &'static str) -> Result<Listener, BindError> {
    let error = |source| BindError {
        address,
        flag,
        source,
    };
    let listener = match TcpListener::bind(address).await {
        // "[::]" means every address, also on a node whose kernel has no IPv6.
        Err(e)
            if e.kind() == io::ErrorKind::Unsupported || e.raw_os_error() == Some(EAFNOSUPPORT) =>
        {
            match address.ip() {
                IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
                    TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
                }
                _ => Err(e),
            }
        }
        bound => bound,
    }
    .map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    Ok(Listener { listener, address })
}

#[derive(Debug)]
struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// Both ports are open; nothing is answered yet.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    https: Option<Listener>,
    http: Option<Listener>,
    leaving: Arc<AtomicBool>,
}

impl Bound {
    /// Where reviews go.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https.as_ref().map(|l| l.address)
    }

    /// Where probes go.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|l| l.address)
    }

    /// True from the moment the server is told to go: for a readiness check.
    pub fn leaving(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.leaving)
    }

    /// Answers on both ports; without reviews only on the second.
    pub fn start<R: Reviews>(
        self,
        reviews: Option<(R, Arc<rustls::ServerConfig>)>,
        readiness: Arc<Readiness>,
        metrics: &Arc<Metrics>,
    ) -> Running {
        let (stop, stopped) = watch::channel(false);
        let Config {
            limits,
            operations_limits,
            shutdown,
            ..
        } = self.config;
        let mut tasks = JoinSet::new();

        let https = self.https.zip(reviews).map(|(listener, (reviews, tls))| {
            let https = Arc::new(Connections::new(
                Port::Https,
                limits.clone(),
                Arc::clone(metrics),
            ));
            let shared = Arc::new(Shared {
                reviews,
                metrics: Arc::clone(metrics),
                budget: Budget::new(limits.body_budget),
                places: Semaphore::new(limits.in_flight),
                limits,
                leaving: Arc::clone(&self.leaving),
            });
            let acceptor = TlsAcceptor::from(tls);
            tasks.spawn(accept(
                listener.listener,
                Arc::clone(&https),
                stopped.clone(),
                move |tcp, entered| {
                    let acceptor = acceptor.clone();
                    let shared = Arc::clone(&shared);
                    tokio::spawn(secure(tcp, entered, acceptor, shared));
                },
            ));
            https
        });

        let http = self.http.map(|listener| {
            let http = Arc::new(Connections::new(
                Port::Http,
                operations_limits,
                Arc::clone(metrics),
            ));
            let router = operations::router(readiness, Arc::clone(metrics));
            let leaving = Arc::clone(&self.leaving);
            tasks.spawn(accept(
                listener.listener,
                Arc::clone(&http),
                stopped,
                move |tcp, entered| {
                    let router = router.clone();
                    tokio::spawn(plain(tcp, entered, router, Arc::clone(&leaving)));
                },
            ));
            http
        });
        Running {
            leaving: self.leaving,
            stop,
            tasks,
            ports: https.into_iter().chain(http).collect(),
            shutdown,
        }
    }
}

/// Accepts until told to stop; sweeps its connections meanwhile and afterwards, until it is dropped.
async fn accept(
    listener: TcpListener,
    connections: Arc<Connections>,
    mut stopped: watch::Receiver<bool>,
    serve: impl Fn(TcpStream, Entered),
) {
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((tcp, _)) => {
                    connections.room().await;
                    // An answer is one write: waiting for more of it only delays it.
                    let _ = tcp.set_nodelay(true);
                    serve(tcp, connections.enter());
                }
                Err(error) => {
                    // Either that one connection's, or we are out of descriptors: then those
                    // that are open need a moment to go.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    let sweep = connections.sweep();
    tokio::pin!(sweep);
    tokio::select! {
        () = accepting => {}
        () = &mut sweep => {}
        _ = stopped.wait_for(|s| *s) => {}
    }
    // Who is connected already, but not accepted, is not turned away.
    while let Some(Ok((tcp, _))) = listener.accept().now_or_never() {
        let _ = tcp.set_nodelay(true);
        serve(tcp, connections.enter());
    }
    drop(listener);
    sweep.await;
}

/// A connection to the HTTPS port.
async fn secure<R: Reviews>(
    tcp: TcpStream,
    mut entered: Entered,
    acceptor: TlsAcceptor,
    shared: Arc<Shared<R>>,
) {
    let connection = Arc::clone(&entered.connection);
    let handshake = acceptor.accept(ReadAhead::new(tcp));
    let tls = tokio::select! {
        biased;
        tls = handshake => tls,
        // Only a handshake that takes too long is asked to end.
        () = connection.asked() => return,
    };
    let tls = match tls {
        Ok(tls) => tls,
        Err(error) => {
            // Port scans, TCP health checks, a client that does not trust the CA.
            tracing::debug!(%error, "no TLS");
            entered.why = Closed::Handshake;
            return;
        }
    };
    let service = {
        let connection = Arc::clone(&connection);
        service_fn(move |request| {
            routes::handle(Arc::clone(&shared), Arc::clone(&connection), request)
        })
    };
    entered.why = speak(tls, connection, service).await;
}

/// A connection to the HTTP port.
async fn plain(
    tcp: TcpStream,
    mut entered: Entered,
    router: axum::Router,
    leaving: Arc<AtomicBool>,
) {
    let connection = Arc::clone(&entered.connection);
    let service = {
        let connection = Arc::clone(&connection);
        service_fn(move |request| {
            let (connection, leaving) = (Arc::clone(&connection), Arc::clone(&leaving));
            operations::handle(router.clone(), connection, leaving, request)
        })
    };
    entered.why = speak(ReadAhead::new(tcp), connection, service).await;
}

/// HTTP/1.1 over `stream` until either side ends it.
async fn speak<T, S>(stream: T, connection: Arc<Connection>, service: S) -> Closed
where
    T: Transport,
    S: HttpService<Incoming>,
    S::ResBody: 'static,
    <S::ResBody as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    TokioIo<Noted<T>>: Read + Write + Unpin,
{
    let io = TokioIo::new(Noted::new(stream, Arc::clone(&connection)));
    let http = http1::Builder::new()
        .max_buf_size(HTTP_BUFFER)
        // The sweep sees to it, without a timer a request.
        .header_read_timeout(None)
        .serve_connection(io, service);
    tokio::pin!(http);
    loop {
        tokio::select! {
            biased;
            served = &mut http => {
                return match served {
                    Ok(()) => Closed::Client,
                    Err(error) => {
                        tracing::debug!(%error, "connection failed");
                        Closed::Error
                    }
                };
            }
            () = connection.asked() => {
                if connection.may_be_dropped() {
                    return Closed::Client;
                }
                // Else the next turn of the loop polls hyper, which finds an idle connection
                // ended (`Noted::poll_read`), or goes on until its answer is out.
            }
        }
    }
}

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    leaving: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    ports: Vec<Arc<Connections>>,
    shutdown: Shutdown,
}

/// How the way down ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every connection finished.
    Clean,
    /// So many were cut off.
    Cut(usize),
}

impl Running {
    /// Goes down: not ready from now on, accepting for [`Shutdown::delay`] while each answer
    /// asks its client to reconnect elsewhere, then finishing what is open.
    pub async fn drain(mut self) -> Drained {
        self.leaving.store(true, Ordering::Relaxed);
        tokio::time::sleep(self.shutdown.delay).await;
        let _ = self.stop.send(true);
        let all = futures::future::join_all(self.ports.iter().map(|port| port.drain()));
        let drained = tokio::time::timeout(self.shutdown.grace, all).await;
        self.tasks.abort_all();
        match drained {
            Ok(_) => Drained::Clean,
            Err(_) => Drained::Cut(self.ports.iter().map(|port| port.len()).sum()),
        }
    }
}
