//! The serving certificate, judged as the API server judges it: signed by the configurations' caBundle,
//! valid now, and for the name that is called.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};

use super::ask::{Asker, Read, cannot_tell};
use super::report::{Check, Line};
use super::webhooks::Registered;
use crate::admission::certificates::CERTIFICATE_FILE;
use crate::names::install::{CA_SECRET, NAME, SERVING_SECRET};

/// Says it of the bundles, and of the certificate.
pub(super) async fn look(asker: &Asker<'_>, registered: &Registered, lines: &mut Vec<Line>) {
    let Some(host) = registered.host() else {
        // It was said that they are not there.
        return;
    };
    let bundles: Vec<&[u8]> = registered
        .clients
        .iter()
        .map(|client| {
            client
                .ca_bundle
                .as_ref()
                .map_or(&[][..], |bundle| &bundle.0)
        })
        .collect();
    lines.push(judge_bundles(&bundles, registered.by_cert_manager));
    let bundle = bundles.first().copied().unwrap_or_default();
    let secret: Read<Option<Secret>> = asker.installed(SERVING_SECRET).await;
    lines.push(match secret {
        Ok(Some(secret)) => judge(bundle, &certificate_in(secret), &host, Timestamp::now()),
        Ok(None) if registered.by_cert_manager => Line::failed(
            Check::Certificate,
            vec![format!(
                "there is no Secret {}/{SERVING_SECRET}",
                asker.home
            )],
            format!(
                "cert-manager is to make it: kubectl describe certificates -n {}",
                asker.home
            ),
        ),
        Ok(None) => match asker.installed::<Secret>(CA_SECRET).await {
            Ok(secret) => judge_authority(bundle, secret.map(certificate_in).as_deref()),
            Err(error) => cannot_tell(Check::Certificate, &error),
        },
        Err(error) => cannot_tell(Check::Certificate, &error),
    });
}

fn certificate_in(secret: Secret) -> Vec<u8> {
    let mut data = secret.data.unwrap_or_default();
    data.remove(CERTIFICATE_FILE)
        .map_or(Vec::new(), |bytes| bytes.0)
}

/// Without cert-manager each replica makes its own certificate, of a CA that they share: nobody else sees
/// it, but the CA is to be the one that is trusted.
fn judge_authority(bundle: &[u8], authority: Option<&[u8]>) -> Line {
    let Some(authority) = authority else {
        let found = vec![format!(
            "there is neither a Secret {SERVING_SECRET} nor {CA_SECRET}"
        )];
        let hint =
            "So the certificate is not seen here; webhook-reached tells whether it is trusted";
        return Line::warning(Check::Certificate, found, hint);
    };
    let certificates = |pem: &[u8]| -> Vec<_> {
        let all = CertificateDer::pem_slice_iter(pem);
        all.filter_map(Result::ok).collect()
    };
    let trusted = certificates(bundle);
    let signing = certificates(authority);
    let wrong = if signing.is_empty() {
        Some(format!(
            "the Secret {CA_SECRET} holds no {CERTIFICATE_FILE}"
        ))
    } else if signing.iter().any(|one| trusted.contains(one)) {
        None
    } else {
        Some(format!(
            "the caBundle does not hold the CA of the Secret {CA_SECRET}"
        ))
    };
    Line::unless(
        Check::Certificate,
        wrong.into_iter().collect(),
        "The program puts it there every few seconds; look at its log",
        format!("the replicas make their own, of the CA in {CA_SECRET}"),
    )
}

fn judge_bundles(bundles: &[&[u8]], by_cert_manager: bool) -> Line {
    let empty = bundles.iter().filter(|bundle| bundle.is_empty()).count();
    let mut wrong = Vec::new();
    if empty > 0 {
        wrong.push(format!(
            "{empty} of {} webhooks have no caBundle",
            bundles.len()
        ));
    }
    let mut different = bundles.to_vec();
    different.retain(|bundle| !bundle.is_empty());
    different.sort_unstable();
    different.dedup();
    if different.len() > 1 {
        wrong.push("they have different ones".to_owned());
    }
    for bundle in different {
        if let Err(error) = roots(bundle) {
            wrong.push(error);
        }
    }
    let hint = if by_cert_manager {
        "cert-manager's cainjector fills it in: does it run, and is the Certificate ready?"
    } else {
        "Put the CA's certificate (ca.crt) into every clientConfig.caBundle; docs/install.md tells how"
    };
    Line::unless(Check::CaBundle, wrong, hint, "")
}

/// The certificates of a bundle. Two are as good as one: after a change of the CA both are there.
fn roots(bundle: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        let certificate = certificate.map_err(|error| format!("it is no PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("it holds no certificate: {error}"))?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(roots)
}

const RENEW: &str = "With cert-manager: kubectl describe certificates -n native-host; else restart the Deployment for a new one, \
                     and see that the caBundle is of the same CA";

fn judge(bundle: &[u8], chain: &[u8], host: &str, now: Timestamp) -> Line {
    match certificate(bundle, chain, host, now) {
        Ok(Validity { ends, late: false }) => {
            Line::ok(Check::Certificate, format!("for {host}, until {ends}"))
        }
        Ok(Validity { ends, late: true }) => {
            let found = vec![format!(
                "it expires at {ends}, and was to be renewed before now"
            )];
            Line::warning(Check::Certificate, found, RENEW)
        }
        Err(error) => Line::failed(Check::Certificate, vec![error], RENEW),
    }
}

struct Validity {
    ends: String,
    /// Less than a sixth of its time is left. cert-manager renews when a third is, and so does
    /// `--self-signed`.
    late: bool,
}

fn certificate(
    bundle: &[u8],
    chain: &[u8],
    host: &str,
    now: Timestamp,
) -> Result<Validity, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error| format!("{SERVING_SECRET} holds no PEM: {error}"))?;
    let (leaf, rest) = chain
        .split_first()
        .ok_or_else(|| format!("{SERVING_SECRET} holds no {CERTIFICATE_FILE}"))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|error| format!("{SERVING_SECRET} holds no certificate: {error}"))?;
    let validity = parsed.validity();
    let (begins, ends) = (validity.not_before, validity.not_after);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| format!("{host:?} is no name to call: {error}"))?;
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(bundle)?), provider).build();
    let verifier = verifier.map_err(|error| error.to_string())?;
    let verified = verifier.verify_server_cert(leaf, rest, &name, &[], time);
    if let Err(error) = verified {
        use CertificateError as C;
        return Err(match error {
            Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
                format!("it expired at {ends}")
            }
            Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
                format!("it is not valid before {begins}")
            }
            Error::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => {
                format!(
                    "the caBundle does not hold who signed it ({})",
                    parsed.issuer()
                )
            }
            Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
                format!("it is not for the name {host}, by which the API server calls {NAME}")
            }
            error => error.to_string(),
        });
    }
    let (begins, end) = (begins.timestamp(), ends.timestamp());
    Ok(Validity {
        ends: ends.to_string(),
        late: (end - now.as_second()) * 6 < end - begins,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::admission::self_signed::Authority;
    use crate::cli::check::report::Mark;
    use k8s_openapi::jiff::SignedDuration;

    const HOST: &str = "native-host.native-host.svc";

    fn issue(authority: &Authority, name: &str) -> String {
        let hour = Duration::from_secs(3600);
        let names = [name.to_owned()];
        authority.issue_pem_for(&names, hour).unwrap().0
    }

    #[test]
    fn certificates_are_judged_as_the_api_server_does() {
        let (ours, other) = (Authority::new().unwrap(), Authority::new().unwrap());
        let now = Timestamp::now();
        let later = |minutes| now + SignedDuration::from_mins(minutes);
        let leaf = issue(&ours, HOST);
        let both = other.pem() + &ours.pem();
        for (bundle, chain, at, mark, words) in [
            (
                ours.pem(),
                &leaf,
                now,
                Mark::Ok,
                "for native-host.native-host.svc",
            ),
            (both, &leaf, now, Mark::Ok, "until"),
            (
                ours.pem(),
                &leaf,
                later(55),
                Mark::Warning,
                "was to be renewed",
            ),
            (ours.pem(), &leaf, later(61), Mark::Failed, "it expired at"),
            (
                ours.pem(),
                &leaf,
                later(-100_000),
                Mark::Failed,
                "it is not valid before",
            ),
            (
                other.pem(),
                &leaf,
                now,
                Mark::Failed,
                "does not hold who signed it",
            ),
            (
                ours.pem(),
                &issue(&ours, "else.svc"),
                now,
                Mark::Failed,
                "not for the name native-host",
            ),
            (
                ours.pem(),
                &String::new(),
                now,
                Mark::Failed,
                "holds no tls.crt",
            ),
            (
                String::new(),
                &leaf,
                now,
                Mark::Failed,
                "no certificate in it",
            ),
        ] {
            let line = judge(bundle.as_bytes(), chain.as_bytes(), HOST, at);
            assert_eq!(line.mark, mark, "{line:?}");
            assert!(line.found[0].contains(words), "{line:?}");
        }
    }

    #[test]
    fn the_ca_of_self_signed_certificates_is_to_be_the_trusted_one() {
        let (one, other) = (
            Authority::new().unwrap().pem(),
            Authority::new().unwrap().pem(),
        );
        let both = format!("{other}{one}");
        let judge = |bundle: &str, ca| judge_authority(bundle.as_bytes(), ca).mark;
        assert_eq!(judge(&one, Some(one.as_bytes())), Mark::Ok);
        assert_eq!(judge(&both, Some(one.as_bytes())), Mark::Ok);
        assert_eq!(judge(&other, Some(one.as_bytes())), Mark::Failed);
        assert_eq!(judge(&one, Some(b"")), Mark::Failed);
        assert_eq!(judge(&one, None), Mark::Warning);
    }

    #[test]
    fn bundles_are_there_and_alike() {
        let (one, other) = (
            Authority::new().unwrap().pem(),
            Authority::new().unwrap().pem(),
        );
        let judge = |bundles: &[&str]| {
            let bundles: Vec<_> = bundles.iter().map(|bundle| bundle.as_bytes()).collect();
            judge_bundles(&bundles, true)
        };
        assert_eq!(judge(&[&one, &one]).mark, Mark::Ok);
        for (bundles, words) in [
            (&[&*one, ""][..], "1 of 2 webhooks have no caBundle"),
            (&[&*one, &*other], "different"),
            (&["nonsense"], "no certificate in it"),
        ] {
            let line = judge(bundles);
            assert_eq!(line.mark, Mark::Failed);
            assert!(line.found.concat().contains(words), "{line:?}");
        }
    }
}
