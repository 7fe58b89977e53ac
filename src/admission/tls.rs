//! TLS as this server speaks it.
//!
//! HTTP/1.1 only: API servers pin their webhook clients to it, so that their connections spread
//! over all replicas (`NextProtos = []string{"http/1.1"}` in
//! `k8s.io/apiserver/pkg/util/webhook/client.go`, kubernetes#75791). No session tickets: client-go
//! keeps no session cache, so they would only be made and thrown away.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;

use super::certificates::Certificates;
use super::clients::Clients;

/// rustls refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS: {0}")]
pub struct TlsError(#[from] rustls::Error);

/// The server's side of TLS 1.2 and 1.3 with whatever pair is current, for anybody or for `clients`.
///
/// # Errors
/// If rustls has none of the protocol's versions.
pub fn config(
    certificates: Arc<Certificates>,
    clients: Option<Arc<Clients>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(clients),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
