//! One attempt to see whether a process is well, by the kubelet's rules (`pkg/probe/http/http.go`,
//! `pkg/probe/tcp/tcp.go`): 200 to 399 is well; redirects are followed on the same host, and elsewhere
//! they are an answer in themselves; certificates are not verified.
//!
//! One socket an attempt, closed with it: what is probed is whether a new connection is served.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::grammar::Probe;
use crate::closed_set::closed_set;

/// How many redirects are followed (Go's net/http, `defaultCheckRedirect`).
const REDIRECTS: usize = 10;
/// How much of an answer is read (`maxRespBodyLength`, pkg/probe/http/http.go).
const BODY: usize = 10 * 1024;
/// Programs that make an exception for the kubelet's probes look for its first half.
const AGENT: &str = concat!("kube-probe/native-host-", env!("CARGO_PKG_VERSION"));

closed_set! {
    /// How an attempt ended.
    Outcome {
        /// The process is well.
        Passed = "passed",
        /// No connection: nobody listens, or no way there.
        Connect = "connect",
        /// Not within the probe's timeout.
        Timeout = "timeout",
        /// TLS could not be agreed on.
        Tls = "tls",
        /// No HTTP, or broken off.
        Http = "http",
        /// An HTTP status below 200 or above 399.
        Status = "status",
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub outcome: Outcome,
    /// For a person.
    pub text: String,
}

impl Failure {
    fn new(outcome: Outcome, text: impl Into<String>) -> Self {
        let text = text.into();
        Failure { outcome, text }
    }
}

/// Makes attempts.
#[derive(Clone)]
pub struct Prober {
    tls: TlsConnector,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober").finish_non_exhaustive()
    }
}

impl Prober {
    /// Ready to try.
    ///
    /// # Errors
    /// If the TLS library has no protocol version to offer.
    pub fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        Ok(Prober {
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Makes one attempt on an address.
    ///
    /// # Errors
    /// With why the process is not well.
    pub async fn attempt(
        &self,
        address: IpAddr,
        probe: &Probe,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let attempt = async {
            match probe {
                Probe::Tcp(ports) => {
                    for port in ports {
                        connect(SocketAddr::new(address, *port)).await?;
                    }
                    Ok(())
                }
                Probe::Http { https, port, path } => {
                    let target = Target {
                        https: *https,
                        port: *port,
                        path: path.clone(),
                    };
                    self.get(address, target).await
                }
            }
        };
        match tokio::time::timeout(timeout, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::new(
                Outcome::Timeout,
                format!("no answer to {probe} within {} ms", timeout.as_millis()),
            )),
        }
    }

    async fn get(&self, address: IpAddr, mut target: Target) -> Result<(), Failure> {
        for _ in 0..=REDIRECTS {
            let stream = connect(SocketAddr::new(address, target.port)).await?;
            let answer = if target.https {
                let name = ServerName::IpAddress(address.into());
                let stream = self.tls.connect(name, stream).await;
                let stream = stream.map_err(|error| {
                    Failure::new(
                        Outcome::Tls,
                        format!("TLS on port {}: {error}", target.port),
                    )
                })?;
                ask(stream, address, &target).await?
            } else {
                ask(stream, address, &target).await?
            };
            match answer {
                Answer::Well => return Ok(()),
                Answer::Status(status) => {
                    return Err(Failure::new(
                        Outcome::Status,
                        format!("{} is answered with {status}", target.path),
                    ));
                }
                Answer::Moved(location) => match target.moved(address, &location) {
                    Some(next) => target = next,
                    // To another host: not followed, and an answer between 200 and 399.
                    None => return Ok(()),
                },
            }
        }
        Err(Failure::new(
            Outcome::Http,
            format!("more than {REDIRECTS} redirects"),
        ))
    }
}

/// Where a GET goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    https: bool,
    port: u16,
    path: String,
}

impl Target {
    /// Where a redirect leads on the same host; `None`: elsewhere, or nowhere.
    fn moved(&self, address: IpAddr, location: &str) -> Option<Self> {
        let mut next = self.clone();
        let (scheme, rest) = match location.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?']) => (Some(scheme), Some(rest)),
            _ => (None, location.strip_prefix("//")),
        };
        if let Some(scheme) = scheme {
            next.https = match scheme.to_ascii_lowercase().as_str() {
                "http" => false,
                "https" => true,
                _ => return None,
            };
        }
        if let Some(rest) = rest {
            let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
            let uri: Uri = format!("http://{authority}/").parse().ok()?;
            let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
            if host.parse::<IpAddr>().ok()? != address {
                return None;
            }
            next.port = uri.port_u16().unwrap_or(if next.https { 443 } else { 80 });
            rest[authority.len()..].clone_into(&mut next.path);
        } else {
            location.clone_into(&mut next.path);
        }
        if let Some(end) = next.path.find('#') {
            next.path.truncate(end);
        }
        if next.path.is_empty() || next.path.starts_with('?') {
            let base = if rest.is_some() {
                "/"
            } else {
                self.path.split('?').next().unwrap_or("/")
            };
            next.path.insert_str(0, base);
        } else if !next.path.starts_with('/') {
            let folder = self.path.split('?').next().unwrap_or("/");
            let folder = &folder[..=folder.rfind('/').unwrap_or(0)];
            next.path.insert_str(0, folder);
        }
        Some(next)
    }
}

enum Answer {
    Well,
    Moved(String),
    Status(u16),
}

async fn connect(to: SocketAddr) -> Result<TcpStream, Failure> {
    let connected = TcpStream::connect(to).await;
    connected.map_err(|error| {
        Failure::new(
            Outcome::Connect,
            format!("port {}: {}", to.port(), plainly(&error)),
        )
    })
}

/// Without the system's number.
fn plainly(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".into(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "no route to it".into(),
        ErrorKind::ConnectionReset => "connection reset".into(),
        _ => error.to_string(),
    }
}

/// Asks once, over a connection of its own.
async fn ask<S>(stream: S, address: IpAddr, target: &Target) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let broken = |error: hyper::Error| {
        Failure::new(
            Outcome::Http,
            format!("HTTP on port {}: {error}", target.port),
        )
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let request = Request::get(target.path.as_str())
        .header(HOST, SocketAddr::new(address, target.port).to_string())
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| Failure::new(Outcome::Http, error.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.map(str::to_owned);
        // What is longer is well, too; what breaks off is not.
        let body = Limited::new(response.into_body(), BODY).collect().await;
        if let Err(error) = body
            && error
                .downcast_ref::<http_body_util::LengthLimitError>()
                .is_none()
        {
            return Err(Failure::new(
                Outcome::Http,
                format!("the answer to {} breaks off: {error}", target.path),
            ));
        }
        Ok(match (status.as_u16(), location) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => Answer::Moved(location),
            (200..=399, _) => Answer::Well,
            (status, _) => Answer::Status(status),
        })
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // The connection carries the exchange, and may end right after it.
        _ = connection => exchange.await,
    }
}

/// Takes every certificate, as the kubelet does: who is probed is known by its address.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
