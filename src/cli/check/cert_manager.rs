//! cert-manager: is it there, and does it renew what serves.

use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, GroupVersionKind, ListParams};
use kube::core::DynamicObject;
use serde_json::Value;

use super::ask::{Asker, Read, cannot_tell, is_missing};
use super::report::{Check, Line};
use crate::cli::connection::{AskError, list};
use crate::names::install::CERT_MANAGER;

const INSTALL: &str = "Install cert-manager (https://cert-manager.io/docs/installation/), or use deploy/components/self-signed";

/// Before the installation: it is needed, unless one does without.
pub(super) async fn before(asker: &Asker<'_>, lines: &mut Vec<Line>) {
    lines.push(match is_served(asker).await {
        Ok(true) => Line::ok(Check::CertManager, ""),
        Ok(false) => {
            let found = vec![format!("{CERT_MANAGER} is not served")];
            Line::warning(Check::CertManager, found, INSTALL)
        }
        Err(error) => cannot_tell(Check::CertManager, &error),
    });
}

/// After it: `used` says whether the webhook configurations ask for its CA.
pub(super) async fn look(asker: &Asker<'_>, used: bool, lines: &mut Vec<Line>) {
    if !used {
        lines.push(Line::ok(
            Check::CertManager,
            "the webhook configurations do not ask for it",
        ));
        return;
    }
    match is_served(asker).await {
        Ok(true) => lines.push(Line::ok(Check::CertManager, "")),
        Ok(false) => {
            let found = vec![format!(
                "{CERT_MANAGER} is not served, and the webhook configurations wait for its CA"
            )];
            lines.push(Line::failed(Check::CertManager, found, INSTALL));
            return;
        }
        Err(error) => {
            lines.push(cannot_tell(Check::CertManager, &error));
            return;
        }
    }
    lines.push(match certificates(asker).await {
        Ok(all) => judge(asker.home, &all, Timestamp::now()),
        Err(error) => cannot_tell(Check::Certificates, &error),
    });
}

async fn is_served(asker: &Asker<'_>) -> Read<bool> {
    let answer = asker.client.list_api_group_resources(CERT_MANAGER).await;
    match answer.map_err(AskError::from) {
        Ok(list) => Ok(list.resources.iter().any(|one| one.name == "certificates")),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn certificates(asker: &Asker<'_>) -> Read<Vec<Value>> {
    let (group, version) = CERT_MANAGER.split_once('/').unwrap_or((CERT_MANAGER, "v1"));
    let kind = GroupVersionKind::gvk(group, version, "Certificate");
    let resource = ApiResource::from_gvk_with_plural(&kind, "certificates");
    let client = asker.client.clone();
    let api: Api<DynamicObject> = Api::namespaced_with(client, asker.home, &resource);
    list(&api, &ListParams::default(), |one| {
        serde_json::to_value(one).ok()
    })
    .await
}

fn judge(home: &str, certificates: &[Value], now: Timestamp) -> Line {
    let mut wrong: Vec<_> = certificates
        .iter()
        .filter_map(|one| {
            let name = one["metadata"]["name"].as_str().unwrap_or_default();
            Some(format!("Certificate {name}: {}", trouble(one, now)?))
        })
        .collect();
    if certificates.is_empty() {
        wrong.push(format!("there is no Certificate in namespace {home}"));
    }
    let hint = format!("kubectl describe certificates,certificaterequests -n {home}");
    let fine = format!("{} of them", certificates.len());
    Line::unless(Check::Certificates, wrong, &hint, fine)
}

/// What is wrong with a Certificate, by its status.
fn trouble(certificate: &Value, now: Timestamp) -> Option<String> {
    let status = &certificate["status"];
    let time = |field: &str| status[field].as_str()?.parse::<Timestamp>().ok();
    let conditions = status["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|one| one["type"] == "Ready");
    let Some(ready) = ready else {
        return Some("nothing is known of it; does cert-manager's controller run?".to_owned());
    };
    let text = |field: &str| ready[field].as_str().unwrap_or_default();
    if ready["status"] != "True" {
        return Some(format!("{}: {}", text("reason"), text("message")));
    }
    let ends = time("notAfter")?;
    if ends <= now {
        return Some(format!("it expired at {ends}"));
    }
    // Half of the time for renewing it is over.
    let renewal = time("renewalTime")?;
    let late = ends.duration_since(renewal) / 2;
    (now.duration_since(renewal) > late)
        .then(|| format!("it was to be renewed at {renewal}, and expires at {ends}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn certificate(ready: &str, ends: &str, renewal: &str) -> Value {
        json!({"metadata": {"name": "serving"}, "status": {"notAfter": ends, "renewalTime": renewal,
            "conditions": [{"type": "Ready", "status": ready, "reason": "Pending", "message": "no Issuer"}]}})
    }

    #[test]
    fn certificates_are_to_be_ready_and_renewed_in_time() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        for (one, words) in [
            (
                certificate("True", "2026-11-22T12:00:00Z", "2026-11-22T00:00:00Z"),
                None,
            ),
            (
                certificate("True", "2026-11-22T12:00:00Z", "2026-11-21T11:59:00Z"),
                None,
            ),
            (
                certificate("True", "2026-11-21T12:30:00Z", "2026-11-21T00:00:00Z"),
                Some("was to be renewed at 2026-11-21T00:00:00Z"),
            ),
            (
                certificate("True", "2026-11-21T11:00:00Z", "2026-11-21T10:00:00Z"),
                Some("it expired at 2026-11-21T11:00:00Z"),
            ),
            (
                certificate("False", "", ""),
                Some("Certificate serving: Pending: no Issuer"),
            ),
            (
                json!({"metadata": {"name": "new"}}),
                Some("nothing is known"),
            ),
        ] {
            let line = judge("native-host", &[one], now);
            let found = line.found.join("; ");
            match words {
                None => assert_eq!(found, "1 of them"),
                Some(words) => assert!(found.contains(words), "{found}"),
            }
        }
        let none = judge("native-host", &[], now);
        assert!(none.found[0].contains("no Certificate in namespace native-host"));
    }
}
