//! The Service `native-host`, played: what kubelets, the endpoint controller and kube-proxy do for it.
//!
//! An instance is an endpoint while it is ready, by the Deployment's own readiness probe. A new connection
//! goes to one of them in turn and stays there, as kube-proxy has it: an endpoint that goes takes no
//! new connections, and those that it has are left alone.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::deploy::object;
use crate::instance::Instance;
use crate::support::free_port;

/// The numbers of a readiness probe.
#[derive(Clone, Copy)]
struct Probe {
    period: Duration,
    timeout: Duration,
    failures: u64,
}

struct Endpoint {
    https: u16,
    ready: bool,
}

/// See the module.
pub struct Service {
    pub port: u16,
    probe: Probe,
    endpoints: Arc<Mutex<Vec<Endpoint>>>,
    runtime: Runtime,
}

impl Service {
    /// One without endpoints, with the probe of the manifests' Deployment.
    pub fn start(objects: &[Value]) -> Self {
        let pod = &object(objects, "Deployment", "native-host")["spec"]["template"]["spec"];
        let probe = &pod["containers"][0]["readinessProbe"];
        assert_eq!(probe["httpGet"]["path"], "/readyz");
        let seconds = |key: &str| Duration::from_secs(probe[key].as_u64().unwrap());
        let probe = Probe {
            period: seconds("periodSeconds"),
            timeout: seconds("timeoutSeconds"),
            failures: probe["failureThreshold"].as_u64().unwrap(),
        };
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoints = Arc::new(Mutex::new(Vec::new()));
        let runtime = Runtime::new().unwrap();
        runtime.spawn(serve(listener, Arc::clone(&endpoints)));
        Service {
            port,
            probe,
            endpoints,
            runtime,
        }
    }

    fn endpoints(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.endpoints.lock().unwrap()
    }

    /// A pod that is ready, and is probed from now on.
    pub fn add(&self, instance: &Instance) {
        let (https, http, probe) = (instance.https, instance.http, self.probe);
        self.endpoints().push(Endpoint { https, ready: true });
        let endpoints = Arc::clone(&self.endpoints);
        self.runtime.spawn(async move {
            let mut failures = 0;
            loop {
                tokio::time::sleep(probe.period).await;
                let asked = tokio::task::spawn_blocking(move || is_ready(http, probe.timeout));
                failures = if asked.await.unwrap() {
                    0
                } else {
                    failures + 1
                };
                let mut endpoints = endpoints.lock().unwrap();
                let Some(endpoint) = endpoints.iter_mut().find(|one| one.https == https) else {
                    return;
                };
                endpoint.ready = failures < probe.failures;
            }
        });
    }

    /// A pod that is terminating, or whose container ended: a kubelet says so at once.
    pub fn remove(&self, https: u16) {
        self.endpoints().retain(|one| one.https != https);
    }

    /// How many endpoints are ready.
    pub fn ready(&self) -> usize {
        self.endpoints().iter().filter(|one| one.ready).count()
    }
}

fn is_ready(http: u16, timeout: Duration) -> bool {
    let ask = || {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, http));
        let mut stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        write!(stream, "GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer.lines().next().unwrap_or_default().contains(" 200 "))
    };
    ask().unwrap_or(false)
}

async fn serve(listener: TcpListener, endpoints: Arc<Mutex<Vec<Endpoint>>>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let turn = AtomicUsize::new(0);
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            continue;
        };
        let port = {
            let endpoints = endpoints.lock().unwrap();
            let ready: Vec<u16> = endpoints
                .iter()
                .filter(|one| one.ready)
                .map(|one| one.https)
                .collect();
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            ready.get(turn % ready.len().max(1)).copied()
        };
        // Without endpoints a connection is refused; here it is closed.
        let Some(port) = port else { continue };
        tokio::spawn(async move {
            let _ = client.set_nodelay(true);
            let server = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
            if let Ok(mut server) = server {
                let _ = server.set_nodelay(true);
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
