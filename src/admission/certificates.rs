//! The serving certificate: checked before it serves, and exchanged under a running server.
//!
//! Whoever opens a connection gets the pair that is current then; open connections keep theirs,
//! so a reload drops nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::metrics::{Metrics, Success};

/// File names as in a Secret of type `kubernetes.io/tls`
/// (`TLSCertKey` and `TLSPrivateKeyKey` in `k8s.io/api/core/v1/types.go`).
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// See [`CERTIFICATE_FILE`].
pub const KEY_FILE: &str = "tls.key";
/// Where cert-manager, and `--self-signed-dir`, put the CA's certificate.
pub const CA_FILE: &str = "ca.crt";

/// How long a pair under another CA is held back while the one before it is good: so long may it take
/// until the API servers know that CA. cert-manager writes the Secret first and `caBundle` after it.
const HOLD: Duration = Duration::from_secs(10);

/// Why a certificate and key cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// A file cannot be read.
    #[error(
        "cannot read {}: {source}. --cert-dir must hold {CERTIFICATE_FILE} and {KEY_FILE}, as a \
         mounted Secret of type kubernetes.io/tls does; --self-signed needs neither", path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not PEM, or no certificate in it.
    #[error("{CERTIFICATE_FILE} holds no PEM certificate: {0}")]
    Certificate(String),
    /// Not PEM, or no key in it, or of a kind that TLS does not use.
    #[error(
        "{KEY_FILE} holds no private key that can be used (PEM: PKCS#8, PKCS#1 or SEC1; RSA, \
         ECDSA P-256 or P-384, or Ed25519): {0}"
    )]
    Key(String),
    /// One of another pair, or the folder is being written.
    #[error("{KEY_FILE} is not the key of the first certificate in {CERTIFICATE_FILE}")]
    Mismatch,
    /// Over.
    #[error("the certificate in {CERTIFICATE_FILE} expired at {0}")]
    Expired(String),
}

/// A certificate chain with its key, checked to belong together.
#[derive(Debug)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    not_after: i64,
    not_after_text: String,
}

impl Pair {
    /// Reads PEM texts.
    ///
    /// # Errors
    /// If either is malformed, or they do not belong together.
    pub fn parse(certificate: &[u8], key: &[u8]) -> Result<Pair, PairError> {
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| PairError::Certificate(e.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| PairError::Key(e.to_string()))?;
        Pair::new(chain, &key)
    }

    /// Takes DER.
    ///
    /// # Errors
    /// As [`Pair::parse`].
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
    ) -> Result<Pair, PairError> {
        let leaf = chain
            .first()
            .ok_or_else(|| PairError::Certificate("none found".into()))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|e| PairError::Certificate(e.to_string()))?;
        let not_after = parsed.validity().not_after.timestamp();
        let not_after_text = parsed.validity().not_after.to_string();
        let key = ring::sign::any_supported_type(key).map_err(|e| PairError::Key(e.to_string()))?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| PairError::Mismatch)?;
        Ok(Pair {
            key: Arc::new(key),
            not_after,
            not_after_text,
        })
    }

    /// An error if its time is over.
    ///
    /// # Errors
    /// [`PairError::Expired`].
    pub fn still_valid(&self) -> Result<(), PairError> {
        if self.not_after > now() {
            Ok(())
        } else {
            Err(PairError::Expired(self.not_after_text.clone()))
        }
    }

    /// When it ends, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// The pair that serves, exchangeable.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<Pair>,
    metrics: Arc<Metrics>,
}

impl Certificates {
    /// Serves `first` until another comes.
    pub fn new(first: Pair, metrics: Arc<Metrics>) -> Self {
        let certificates = Certificates {
            current: ArcSwap::from_pointee(first),
            metrics,
        };
        certificates.tell_expiry();
        certificates
    }

    /// The pair that serves.
    pub fn current(&self) -> Arc<Pair> {
        self.current.load_full()
    }

    /// Serves `pair` from the next handshake on.
    pub fn exchange(&self, pair: Pair) {
        tracing::info!(not_after = %pair.not_after_text, "serving a new certificate");
        self.current.store(Arc::new(pair));
        self.metrics.reloaded(Success::Ok);
        self.tell_expiry();
    }

    /// Counts and says why a pair was kept out.
    pub(crate) fn refuse(&self, why: &PairError) {
        tracing::error!(error = %why, "the new certificate is kept out; the one before goes on serving");
        self.metrics.reloaded(Success::Failed);
    }

    fn tell_expiry(&self) {
        #[allow(
            clippy::cast_precision_loss,
            reason = "exact until the year 285 million"
        )]
        self.metrics
            .certificate_not_after
            .set(self.current.load().not_after as f64);
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().key))
    }
}

/// A folder with `tls.crt` and `tls.key`, as the kubelet mounts a Secret.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// What was read last, good or bad, so that each content is judged once.
    seen: Files,
    /// Bad, but perhaps half written: judged when it is the same at the next look.
    suspect: Option<Files>,
    /// When the pair that serves ends, in seconds since 1970.
    serving_until: i64,
    /// A CA that is new, and since when it is known.
    new_authority: Option<(Option<Vec<u8>>, Instant)>,
    hold: Duration,
}

/// The files' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    /// Whoever makes Secrets by hand need not give it.
    authority: Option<Vec<u8>>,
}

impl Files {
    fn read(folder: &Path) -> Result<Files, PairError> {
        let read = |name| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|source| PairError::Read { path, source })
        };
        Ok(Files {
            certificate: read(CERTIFICATE_FILE)?,
            key: read(KEY_FILE)?,
            authority: read(CA_FILE).ok(),
        })
    }

    fn pair(&self) -> Result<Pair, PairError> {
        Pair::parse(&self.certificate, &self.key)
    }
}

impl Folder {
    /// Reads the first pair; an expired one too, since a server that says so in `/readyz` helps
    /// more than one that does not start.
    ///
    /// # Errors
    /// If the files cannot be read or do not make a pair.
    pub fn open(path: &Path) -> Result<(Folder, Pair), PairError> {
        let seen = Files::read(path)?;
        let pair = seen.pair()?;
        let folder = Folder {
            path: path.to_owned(),
            seen,
            suspect: None,
            serving_until: pair.not_after(),
            new_authority: None,
            hold: HOLD,
        };
        Ok((folder, pair))
    }

    /// Looks once: a new pair, nothing new, or a new content that cannot serve (said once).
    fn look(&mut self) -> Option<Result<Pair, PairError>> {
        // If not: in the middle of a rename, or the Secret is gone. What serves goes on serving,
        // and its expiry is on the metrics.
        let files = Files::read(&self.path).ok()?;
        if files == self.seen {
            self.suspect = None;
            self.new_authority = None;
            return None;
        }
        if self.is_early(&files) {
            return None;
        }
        match files.pair().and_then(|p| p.still_valid().map(|()| p)) {
            Ok(pair) => {
                self.seen = files;
                self.suspect = None;
                self.new_authority = None;
                self.serving_until = pair.not_after();
                Some(Ok(pair))
            }
            // The two files are read one after the other and may be from either side of a swap.
            // A bad pair that is the same a second later is really bad.
            Err(_) if self.suspect.as_ref() != Some(&files) => {
                self.suspect = Some(files);
                None
            }
            Err(why) => {
                self.seen = files;
                self.suspect = None;
                Some(Err(why))
            }
        }
    }

    /// Whether the files are of a CA that API servers may not know yet, and there is time.
    fn is_early(&mut self, files: &Files) -> bool {
        if files.authority == self.seen.authority || self.serving_until <= now() {
            return false;
        }
        match &self.new_authority {
            Some((authority, since)) if *authority == files.authority => {
                since.elapsed() < self.hold
            }
            _ => {
                tracing::info!(after = ?self.hold, "a certificate of another CA is there; taking it when caBundle has had time to follow");
                self.new_authority = Some((files.authority.clone(), Instant::now()));
                !self.hold.is_zero()
            }
        }
    }

    /// Follows the folder for as long as it is polled.
    ///
    /// By reading it, not by inotify: the kubelet swaps the link `..data` to a new folder
    /// (`pkg/volume/util/atomic_writer.go`), so a watch on `tls.crt` sees the old file for ever,
    /// and some volume drivers send no events at all. Two small files a second cost nothing.
    pub async fn follow(mut self, certificates: Arc<Certificates>, every: Duration) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let looked = tokio::task::spawn_blocking(move || {
                let found = self.look();
                (self, found)
            });
            let Ok((folder, found)) = looked.await else {
                return;
            };
            self = folder;
            match found {
                Some(Ok(pair)) => certificates.exchange(pair),
                Some(Err(why)) => certificates.refuse(&why),
                None => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
