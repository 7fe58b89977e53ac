//! The API server: is it there, does it know us, is it new enough.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Api;
use kube::api::PostParams;

use super::ask::{Asker, cannot_tell};
use super::report::{Check, Line};
use crate::cli::connection::AskError;

/// The oldest version that has all that is used (ValidatingAdmissionPolicy, matchConditions, the sleep
/// action).
const OLDEST: (u32, u32) = (1, 30);
/// How long the first answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// False if there is nobody to ask anything else.
pub(super) async fn look(asker: &Asker<'_>, lines: &mut Vec<Line>) -> bool {
    let version = tokio::time::timeout(PATIENCE, asker.client.apiserver_version()).await;
    let version = match version {
        Ok(Ok(version)) => version,
        Ok(Err(error)) => {
            let error = AskError::from(error);
            lines.push(match &error {
                AskError::Refused(status) if status.code == 401 => unknown(&error),
                error => unreachable(&error.to_string()),
            });
            return false;
        }
        Err(_) => {
            let text = format!("no answer within {} s", PATIENCE.as_secs());
            lines.push(unreachable(&text));
            return false;
        }
    };
    lines.push(Line::ok(Check::Reachable, ""));
    // Everybody may ask for the version; who this is comes out here.
    let reviews: Api<SelfSubjectReview> = Api::all(asker.client.clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await;
    match review.map_err(AskError::from) {
        Ok(review) => {
            let info = review.status.and_then(|status| status.user_info);
            let user = info.and_then(|info| info.username).unwrap_or_default();
            lines.push(Line::ok(Check::Identity, format!("as {user}")));
        }
        Err(AskError::Refused(status)) if status.code == 401 => {
            lines.push(unknown(&AskError::Refused(status)));
            return false;
        }
        Err(error) => lines.push(cannot_tell(Check::Identity, &error)),
    }
    lines.push(judge(&version));
    lines.push(features(asker).await);
    true
}

fn unknown(error: &AskError) -> Line {
    Line::failed(
        Check::Identity,
        vec![error.to_string()],
        "The credentials of the kubeconfig are not, or no longer, valid: log in again",
    )
}

/// What is said where there is no API server to ask.
pub(super) fn unreachable(error: &str) -> Line {
    let error = error.strip_prefix("error: ").unwrap_or(error);
    Line::failed(
        Check::Reachable,
        vec![error.to_owned()],
        "Check the kubeconfig, its context (--kubeconfig, --context) and the network; `kubectl version` goes the same way",
    )
}

fn judge(version: &Info) -> Line {
    let found = &version.git_version;
    match number(version) {
        Some(number) if number >= OLDEST => Line::ok(Check::Version, found),
        _ => Line::failed(
            Check::Version,
            vec![format!("it is {found}")],
            format!("Upgrade the cluster to {}.{} or newer", OLDEST.0, OLDEST.1),
        ),
    }
}

/// Major and minor; some providers write `30+`.
fn number(version: &Info) -> Option<(u32, u32)> {
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit());
        text[..end.unwrap_or(text.len())].parse().ok()
    };
    Some((digits(&version.major)?, digits(&version.minor)?))
}

async fn features(asker: &Asker<'_>) -> Line {
    let group = "admissionregistration.k8s.io/v1";
    match asker.client.list_api_group_resources(group).await {
        Ok(list) => {
            let served = list
                .resources
                .iter()
                .any(|one| one.name == "validatingadmissionpolicies");
            let wrong = (!served).then(|| format!("{group} has no ValidatingAdmissionPolicy"));
            Line::unless(
                Check::AdmissionPolicies,
                wrong.into_iter().collect(),
                "Upgrade the API server, or take ValidatingAdmissionPolicy=false from its --feature-gates",
                "",
            )
        }
        Err(error) => cannot_tell(Check::AdmissionPolicies, &error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::report::Mark;

    #[test]
    fn versions_are_numbers_and_not_texts() {
        for (major, minor, mark) in [
            ("1", "30", Mark::Ok),
            ("1", "30+", Mark::Ok),
            ("1", "36", Mark::Ok),
            ("2", "0", Mark::Ok),
            ("1", "9", Mark::Failed),
            ("1", "29+", Mark::Failed),
            ("", "", Mark::Failed),
        ] {
            let version = Info {
                major: major.into(),
                minor: minor.into(),
                git_version: "v".into(),
                ..Info::default()
            };
            assert_eq!(judge(&version).mark, mark, "{major}.{minor}");
        }
    }
}
