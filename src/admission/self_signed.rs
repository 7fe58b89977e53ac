//! A certificate authority in memory, for a try-out without cert-manager.
//!
//! The CA outlives every pair that it signs, so the `caBundle` made from it stays right while
//! the serving pair is renewed. A restart makes a new one, unless it is kept
//! ([`super::shared_authority`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::ServerName;
use time::OffsetDateTime;

use super::certificates::{CA_FILE, CERTIFICATE_FILE, Certificates, KEY_FILE, Pair, PairError};

/// How long a serving pair is good for; it is renewed when a third is left.
pub(crate) const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long the CA is good for.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Clocks differ; a certificate that begins now is not valid yet for some.
const BACKDATE: Duration = Duration::from_secs(3600);

/// Why no pair could be made.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// A name that a certificate cannot carry.
    #[error(
        "--self-signed-name {name:?} is neither a DNS name nor an IP address. Expected what the \
         API server calls this server by, e.g. native-host.native-host.svc or 127.0.0.1"
    )]
    Name {
        /// As given.
        name: String,
    },
    /// The library could not sign or generate.
    #[error("cannot make a certificate: {0}")]
    Rcgen(#[from] rcgen::Error),
    /// What came out cannot serve.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// The folder cannot be written.
    #[error("cannot write {file} into --self-signed-dir: {source}")]
    Write {
        /// Which file.
        file: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A CA with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// A new CA.
    ///
    /// # Errors
    /// If no key can be generated.
    pub fn new() -> Result<Self, SelfSignedError> {
        let mut params = Self::params();
        let now = OffsetDateTime::now_utc();
        params.not_before = now - BACKDATE;
        params.not_after = now + CA_LIFETIME;
        let key = KeyPair::generate()?;
        Ok(Authority {
            certificate: params.self_signed(&key)?.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// One that [`Authority::new`] made, from its certificate and key in PEM.
    ///
    /// # Errors
    /// If they are malformed, do not belong together, or their time is over.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, SelfSignedError> {
        Pair::parse(certificate.as_bytes(), key.as_bytes())?.still_valid()?;
        // What a signature needs of the CA's certificate is the same in all that are made here.
        Ok(Authority {
            issuer: Issuer::new(Self::params(), KeyPair::from_pem(key)?),
            certificate: certificate.to_owned(),
        })
    }

    /// What every CA of ours has in common.
    fn params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "native-host self-signed CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// The CA's certificate: what a webhook configuration's `caBundle` holds, in base64.
    pub fn pem(&self) -> String {
        self.certificate.clone()
    }

    /// The CA's key, in PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A serving certificate for `names`, and its key, both PEM.
    ///
    /// # Errors
    /// If a name cannot stand in a certificate.
    pub fn issue_pem(&self, names: &[String]) -> Result<(String, String), SelfSignedError> {
        self.issue_pem_for(names, LIFETIME)
    }

    /// As [`Authority::issue_pem`], good for `lifetime` from now.
    ///
    /// # Errors
    /// As [`Authority::issue_pem`].
    pub fn issue_pem_for(
        &self,
        names: &[String],
        lifetime: Duration,
    ) -> Result<(String, String), SelfSignedError> {
        for name in names {
            // rcgen takes any ASCII text for a DNS name.
            ServerName::try_from(name.as_str())
                .map_err(|_| SelfSignedError::Name { name: name.clone() })?;
        }
        let params = CertificateParams::new(names)?;
        self.sign(
            params,
            "native-host",
            ExtendedKeyUsagePurpose::ServerAuth,
            lifetime,
        )
    }

    /// A client's certificate with that common name, and its key, both PEM: what an API server
    /// shows to webhooks that ask for it.
    ///
    /// # Errors
    /// If the library cannot sign.
    pub fn issue_client_pem(&self, name: &str) -> Result<(String, String), SelfSignedError> {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        self.sign(CertificateParams::default(), name, usage, LIFETIME)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        common_name: &str,
        usage: ExtendedKeyUsagePurpose,
        lifetime: Duration,
    ) -> Result<(String, String), SelfSignedError> {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let now = OffsetDateTime::now_utc();
        params.not_before = now - BACKDATE;
        params.not_after = now + lifetime;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// A serving pair for `names`; with a folder, written there too.
    ///
    /// # Errors
    /// As [`Authority::issue_pem`], or if the folder cannot be written.
    pub fn issue(&self, names: &[String], folder: Option<&Path>) -> Result<Pair, SelfSignedError> {
        let (certificate, key) = self.issue_pem(names)?;
        let pair = Pair::parse(certificate.as_bytes(), key.as_bytes())?;
        if let Some(folder) = folder {
            write(folder, KEY_FILE, &key, 0o600)?;
            write(folder, CERTIFICATE_FILE, &certificate, 0o644)?;
            write(folder, CA_FILE, &self.pem(), 0o644)?;
        }
        Ok(pair)
    }

    /// Renews the pair in time, for as long as it is polled.
    pub async fn renew(
        self,
        names: Vec<String>,
        folder: Option<std::path::PathBuf>,
        certificates: Arc<Certificates>,
    ) {
        let mut wait = LIFETIME * 2 / 3;
        loop {
            tokio::time::sleep(wait).await;
            match self.issue(&names, folder.as_deref()) {
                Ok(pair) => {
                    certificates.exchange(pair);
                    wait = LIFETIME * 2 / 3;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot renew the self-signed certificate; trying again in an hour");
                    wait = Duration::from_secs(3600);
                }
            }
        }
    }
}

/// Writes beside and renames, so that nobody reads half a file; a key is nobody else's from the
/// first byte on.
fn write(folder: &Path, file: &'static str, text: &str, mode: u32) -> Result<(), SelfSignedError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let beside = folder.join(format!(".{file}.new"));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| match std::fs::remove_file(&beside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        })
        .and_then(|()| {
            std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&beside)
        })
        .and_then(|mut f| f.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&beside, folder.join(file)));
    written.map_err(|source| SelfSignedError::Write { file, source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("new");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let authority = Authority::new().unwrap();
        // Twice: a renewal writes over what is there.
        authority.issue(&names, Some(&inside)).unwrap();
        authority.issue(&names, Some(&inside)).unwrap();
        let mode = |file| {
            let meta = std::fs::metadata(inside.join(file)).unwrap();
            meta.permissions().mode() & 0o777
        };
        assert_eq!(mode(KEY_FILE), 0o600);
        assert_eq!(
            std::fs::read_to_string(inside.join(CA_FILE)).unwrap(),
            authority.pem()
        );
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 3);
    }

    #[test]
    fn a_ca_that_was_kept_signs_as_before() {
        let made = Authority::new().unwrap();
        let kept = Authority::from_pem(&made.pem(), &made.key_pem()).unwrap();
        assert_eq!(kept.pem(), made.pem());
        assert_eq!(kept.key_pem(), made.key_pem());
        let issuer_and_signature = |authority: &Authority| {
            let (certificate, _) = authority.issue_pem(&["one".to_owned()]).unwrap();
            let (_, ca) = x509_parser::pem::parse_x509_pem(made.pem().as_bytes()).unwrap();
            let (_, leaf) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).unwrap();
            let (ca, leaf) = (ca.parse_x509().unwrap(), leaf.parse_x509().unwrap());
            assert_eq!(leaf.issuer(), ca.subject());
            leaf.extensions()
                .iter()
                .find(|e| e.oid == x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER)
                .map(|e| e.value.to_vec())
        };
        assert_eq!(issuer_and_signature(&kept), issuer_and_signature(&made));
    }

    #[test]
    fn a_ca_that_is_none_is_refused() {
        let (one, two) = (Authority::new().unwrap(), Authority::new().unwrap());
        let error = Authority::from_pem(&one.pem(), &two.key_pem()).unwrap_err();
        assert!(
            matches!(error, SelfSignedError::Pair(PairError::Mismatch)),
            "{error}"
        );
        assert!(Authority::from_pem("", "").is_err());
    }

    #[test]
    fn a_bad_name_is_named() {
        let authority = Authority::new().unwrap();
        for bad in ["größe", "a b", "https://x", ""] {
            let names = ["localhost".to_owned(), bad.to_owned()];
            let error = authority.issue(&names, None).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }
}
