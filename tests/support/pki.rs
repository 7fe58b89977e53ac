//! The control plane's certificates and keys, made anew for each.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::StartError;

/// Everything in PEM.
#[derive(Debug)]
pub struct Pki {
    /// The certificate authority; also what `kube-root-ca.crt` holds.
    pub ca: String,
    /// The API server's certificate.
    pub certificate: String,
    /// The API server's key.
    pub key: String,
    /// What signs service account tokens.
    pub service_account_key: String,
    /// What proves them.
    pub service_account_public_key: String,
}

impl Pki {
    /// A new set.
    pub fn new() -> Result<Self, StartError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name
            .push(DnType::CommonName, "native-host test control plane");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key)?;

        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(
            ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(String::from),
        )?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key))?;

        let service_account_key = KeyPair::generate()?;
        Ok(Self {
            ca: ca_certificate.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            service_account_key: service_account_key.serialize_pem(),
            service_account_public_key: service_account_key.public_key_pem(),
        })
    }
}
