//! Who may ask: clients with a certificate of a CA, which is exchanged under a running server as the serving
//! certificate is. An API server's own CA is rotated now and then, with both in the file for a while.
//!
//! Each handshake is judged by what is current then; open connections stay.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::metrics::{Metrics, Success};

/// The CA file cannot be read, or holds nothing to trust.
#[derive(Debug, thiserror::Error)]
#[error(
    "--client-ca {}: {why}. Expected PEM certificates of the CA that signs the API server's client \
     certificate",
    path.display()
)]
pub struct ClientCaError {
    path: PathBuf,
    why: String,
}

/// Whom to let in: clients with a certificate of this CA.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// PEM file of the CA.
    pub ca: PathBuf,
    /// Common names or DNS names, one of which the certificate must carry; any if empty.
    pub names: Vec<String>,
}

type Chain = Arc<dyn ClientCertVerifier>;

/// See the module.
#[derive(Debug)]
pub struct Clients {
    /// What checks the chain. In an Arc more, since an ArcSwap holds no unsized type.
    chain: ArcSwap<Chain>,
    names: Vec<String>,
    metrics: Arc<Metrics>,
}

impl Clients {
    /// Reads the CA, and gives what follows its file.
    ///
    /// # Errors
    /// If it cannot be read, or holds no certificate.
    pub fn open(
        auth: &ClientAuth,
        metrics: Arc<Metrics>,
    ) -> Result<(Arc<Self>, CaFile), ClientCaError> {
        let error = |why| ClientCaError {
            path: auth.ca.clone(),
            why,
        };
        let seen = std::fs::read(&auth.ca).map_err(|e| error(e.to_string()))?;
        let chain = chain(&seen).map_err(error)?;
        let clients = Clients {
            chain: ArcSwap::from_pointee(chain),
            names: auth.names.clone(),
            metrics,
        };
        let file = CaFile {
            path: auth.ca.clone(),
            seen,
            suspect: None,
        };
        Ok((Arc::new(clients), file))
    }

    fn exchange(&self, chain: Chain) {
        tracing::info!("clients are checked by a new CA");
        self.chain.store(Arc::new(chain));
        self.metrics.client_ca_reloaded(Success::Ok);
    }

    fn refuse(&self, why: &ClientCaError) {
        tracing::error!(error = %why, "the new CA of clients is kept out; the one before goes on");
        self.metrics.client_ca_reloaded(Success::Failed);
    }
}

fn chain(pem: &[u8]) -> Result<Chain, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| e.to_string())?;
        roots.add(certificate).map_err(|e| e.to_string())?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate".into());
    }
    let provider = Arc::new(ring::default_provider());
    let chain: Chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| e.to_string())?;
    Ok(chain)
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

/// Checks the chain, then the name: a cluster's CA signs every kubelet's certificate too.
impl ClientCertVerifier for Clients {
    /// No hints: they would be those of one CA for as long as this lives, and an API server has one
    /// certificate for a webhook and sends that (`AdmissionConfiguration`, kubeconfig).
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain = self.chain.load();
        let verified = chain.verify_client_cert(end_entity, intermediates, now)?;
        if self.names.is_empty() || is_named(end_entity, &self.names) {
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
        let chain = self.chain.load();
        chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let chain = self.chain.load();
        chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.load().supported_verify_schemes()
    }
}

/// The file of the CA, as the kubelet mounts a ConfigMap or a Secret, or as somebody writes it.
#[derive(Debug)]
pub struct CaFile {
    path: PathBuf,
    /// What was read last, good or bad, so that each content is judged once.
    seen: Vec<u8>,
    /// Bad, but perhaps half written: judged when it is the same at the next look.
    suspect: Option<Vec<u8>>,
}

impl CaFile {
    /// Looks once: a new CA, nothing new, or a new content that cannot be used (said once).
    fn look(&mut self) -> Option<Result<Chain, ClientCaError>> {
        // If not: in the middle of a rename, or gone. Who is trusted stays so.
        let pem = std::fs::read(&self.path).ok()?;
        if pem == self.seen {
            self.suspect = None;
            return None;
        }
        let read = chain(&pem);
        if read.is_err() && self.suspect.as_ref() != Some(&pem) {
            self.suspect = Some(pem);
            return None;
        }
        self.seen = pem;
        self.suspect = None;
        Some(read.map_err(|why| ClientCaError {
            path: self.path.clone(),
            why,
        }))
    }

    /// Follows the file for as long as it is polled, by reading it, for the reasons that
    /// [`Folder::follow`](super::certificates::Folder::follow) has.
    pub async fn follow(mut self, clients: Arc<Clients>, every: Duration) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let looked = tokio::task::spawn_blocking(move || {
                let found = self.look();
                (self, found)
            });
            let Ok((file, found)) = looked.await else {
                return;
            };
            self = file;
            match found {
                Some(Ok(chain)) => clients.exchange(chain),
                Some(Err(why)) => clients.refuse(&why),
                None => {}
            }
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::self_signed::Authority;
    use super::*;

    fn opened(pem: &str) -> (tempfile::TempDir, CaFile) {
        let folder = tempfile::tempdir().unwrap();
        let auth = ClientAuth {
            ca: folder.path().join("ca.crt"),
            names: Vec::new(),
        };
        std::fs::write(&auth.ca, pem).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (_, file) = Clients::open(&auth, metrics).unwrap();
        (folder, file)
    }

    #[test]
    fn takes_a_new_ca_and_keeps_a_bad_one_out() {
        let [one, two] = [(); 2].map(|()| Authority::new().unwrap().pem());
        let (_folder, mut file) = opened(&one);
        assert!(file.look().is_none(), "nothing is new");
        std::fs::write(file.path(), "no certificate").unwrap();
        assert!(file.look().is_none(), "it may be half written");
        assert!(matches!(file.look(), Some(Err(_))));
        assert!(file.look().is_none(), "a bad one is said once");
        std::fs::write(file.path(), one + &two).unwrap();
        assert!(matches!(file.look(), Some(Ok(_))));
        std::fs::remove_file(file.path()).unwrap();
        assert!(file.look().is_none(), "who is trusted stays so");
    }

    #[test]
    fn says_what_is_missing() {
        let auth = ClientAuth {
            ca: "/nowhere/ca.crt".into(),
            names: Vec::new(),
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let error = Clients::open(&auth, metrics).unwrap_err().to_string();
        assert!(
            error.starts_with("--client-ca /nowhere/ca.crt: "),
            "{error}"
        );
    }
}
