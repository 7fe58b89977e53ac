//! A server on free ports whose reviews do what their body says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use native_host::admission::certificates::{Certificates, Pair};
use native_host::admission::clients::{ClientAuth, Clients};
use native_host::admission::limits::Limits;
use native_host::admission::metrics::Metrics;
use native_host::admission::readiness::Readiness;
use native_host::admission::self_signed::Authority;
use native_host::admission::server::{Config, Running, Shutdown};
use native_host::admission::tls;
use native_host::admission::{Answer, Door, Reviews};
use native_host::plan::reason::{Outcome, Reason};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::client::{Client, trust};

/// `panic` panics, `wait...` waits for [`Server::release`]; anything else is sent back.
struct Obedient {
    gate: Arc<Semaphore>,
}

impl Reviews for Obedient {
    async fn answer(&self, _door: Door, body: &[u8]) -> Answer {
        match body {
            b"panic" => panic!("as it was told"),
            [b'w', b'a', b'i', b't', ..] => self.gate.acquire().await.unwrap().forget(),
            _ => {}
        }
        Answer {
            status: 200,
            body: body.to_vec(),
            outcome: Outcome::Allowed,
            reason: Reason::None,
            namespace: String::new(),
            name: String::new(),
            kind: String::new(),
            message: None,
            dry_run: false,
        }
    }
}

pub struct Server {
    pub https: SocketAddr,
    pub http: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub certificates: Arc<Certificates>,
    pub authority: Authority,
    pub trust: TlsConnector,
    pub running: Option<Running>,
    gate: Arc<Semaphore>,
}

pub fn localhost() -> Vec<String> {
    vec!["localhost".to_owned()]
}

#[derive(Default)]
pub struct Options {
    pub limits: Limits,
    pub delay: Duration,
    pub grace: Option<Duration>,
    pub clients: Option<ClientAuth>,
}

impl Server {
    pub async fn start() -> Server {
        Server::with(Options::default()).await
    }

    pub async fn limited(limits: impl FnOnce(&mut Limits)) -> Server {
        let mut options = Options::default();
        limits(&mut options.limits);
        Server::with(options).await
    }

    pub async fn with(options: Options) -> Server {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let bound = Config {
            https: Some(loopback),
            http: Some(loopback),
            limits: options.limits,
            operations_limits: Limits::operations(),
            shutdown: Shutdown {
                delay: options.delay,
                grace: options.grace.unwrap_or(Duration::from_secs(20)),
            },
        }
        .bind()
        .await
        .unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let authority = Authority::new().unwrap();
        let (certificate, key) = authority.issue_pem(&localhost()).unwrap();
        let pair = Pair::parse(certificate.as_bytes(), key.as_bytes()).unwrap();
        let certificates = Arc::new(Certificates::new(pair, Arc::clone(&metrics)));
        let clients = options.clients.map(|auth| {
            let (clients, file) = Clients::open(&auth, Arc::clone(&metrics)).unwrap();
            tokio::spawn(file.follow(Arc::clone(&clients), Duration::from_millis(5)));
            clients
        });
        let tls = tls::config(Arc::clone(&certificates), clients).unwrap();
        let leaving = bound.leaving();
        let serving = Arc::clone(&certificates);
        let readiness = Readiness::new(Arc::clone(&metrics))
            .with("certificate", move || {
                serving.current().still_valid().map_err(|e| e.to_string())
            })
            .with("shutdown", move || {
                if leaving.load(std::sync::atomic::Ordering::Relaxed) {
                    return Err("going down".into());
                }
                Ok(())
            });
        let (https, http) = (
            bound.https_address().unwrap(),
            bound.http_address().unwrap(),
        );
        let gate = Arc::new(Semaphore::new(0));
        let reviews = Obedient {
            gate: Arc::clone(&gate),
        };
        let running = bound.start(Some((reviews, tls)), Arc::new(readiness), &metrics);
        Server {
            https,
            http,
            metrics,
            certificates,
            trust: trust(&authority.pem(), None),
            authority,
            running: Some(running),
            gate,
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.https, &self.trust).await.unwrap()
    }

    /// Lets one waiting review go on.
    pub fn release(&self) {
        self.gate.add_permits(1);
    }

    /// The value of one line of the metrics.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.metrics.text().unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix(series));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
            .trim()
            .parse()
            .unwrap()
    }

    /// Waits until a metric has a value.
    pub async fn until(&self, series: &str, value: f64) {
        let reached = async {
            while (self.metric(series) - value).abs() > 1e-9 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(super::client::PATIENCE, reached).await;
        assert!(waited.is_ok(), "{series} is {}", self.metric(series));
    }
}
