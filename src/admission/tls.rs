//! TLS as this server speaks it.
//!
//! HTTP/1.1 only: API servers pin their webhook clients to it, so that their connections spread
//! over all replicas (`NextProtos = []string{"http/1.1"}` in
//! `k8s.io/apiserver/pkg/util/webhook/client.go`, kubernetes#75791). No session tickets: client-go
//! keeps no session cache, so they would only be made and thrown away.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::certificates::Certificates;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA file cannot be read or holds no certificate.
    #[error("--client-ca {}: {why}. Expected PEM certificates of the CA that signs the API server's client certificate", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// rustls refused.
    #[error("cannot set up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Whom to let in: clients with a certificate of this CA.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// PEM file of the CA.
    pub ca: PathBuf,
    /// Common names or DNS names, one of which the certificate must carry; any if empty.
    pub names: Vec<String>,
}

/// The server's side of TLS 1.2 and 1.3 with whatever pair is current.
///
/// # Errors
/// If the client CA cannot be used.
pub fn config(
    certificates: Arc<Certificates>,
    clients: Option<&ClientAuth>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(verifier(clients)?),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn verifier(clients: &ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = roots(&clients.ca).map_err(|why| TlsError::ClientCa {
        path: clients.ca.clone(),
        why,
    })?;
    let provider = Arc::new(ring::default_provider());
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| TlsError::ClientCa {
            path: clients.ca.clone(),
            why: e.to_string(),
        })?;
    if clients.names.is_empty() {
        return Ok(chain);
    }
    Ok(Arc::new(Named {
        chain,
        names: clients.names.clone(),
    }))
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| e.to_string())? {
        let certificate = certificate.map_err(|e| e.to_string())?;
        roots.add(certificate).map_err(|e| e.to_string())?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate".into());
    }
    Ok(roots)
}

/// Checks the chain, then the name: a cluster's CA signs every kubelet's certificate too.
#[derive(Debug)]
struct Named {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

/// Whether the certificate's common name or one of its DNS names is among `names`.
fn is_named(certificate: &[u8], names: &[String]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let among = |name: &str| names.iter().any(|n| n == name);
    let common = parsed.subject().iter_common_name();
    let common = common.filter_map(|cn| cn.as_str().ok()).any(among);
    let alternative = parsed.subject_alternative_name().ok().flatten();
    common
        || alternative.is_some_and(|san| {
            san.value
                .general_names
                .iter()
                .any(|n| matches!(n, GeneralName::DNSName(dns) if among(dns)))
        })
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        if is_named(end_entity, &self.names) {
            return Ok(verified);
        }
        Err(rustls::CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
