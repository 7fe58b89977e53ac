//! Whether the webhook is really reached: a labelled pod is created, as a dry run, and has to come back
//! injected. Nothing is stored, and our webhooks have no side effects.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::ask::{Asker, cannot_tell};
use super::report::{Check, Line};
use crate::cli::connection::AskError;
use crate::names::{annotation, label, policy, webhook};
use crate::plan::MARKER;

/// The namespace that is tried where none is given: it is there in every cluster.
const ANYWHERE: &str = "default";
/// What Windows brings itself.
const PROGRAM: &str = r"C:\Windows\System32\hostname.exe";

pub(super) async fn look(asker: &Asker<'_>) -> Line {
    let namespace = asker.scope.as_deref().unwrap_or(ANYWHERE);
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "native-host-check-",
            "labels": {label::WORKLOAD: "native-host-check"},
        },
        "spec": {"containers": [{"name": "check", "image": "native-host-check", "command": [PROGRAM]}]},
    });
    let pod: Pod = match serde_json::from_value(pod) {
        Ok(pod) => pod,
        Err(error) => {
            let found = vec![error.to_string()];
            return Line::failed(Check::Injected, found, "Please report this");
        }
    };
    let pods: Api<Pod> = Api::namespaced(asker.client.clone(), namespace);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let answer = pods.create(&dry, &pod).await;
    judge(namespace, answer.map_err(AskError::from))
}

fn judge(namespace: &str, answer: Result<Pod, AskError>) -> Line {
    match answer {
        Ok(pod) => {
            let annotations = pod.metadata.annotations.unwrap_or_default();
            match annotations.get(annotation::INJECTED).map(String::as_str) {
                Some(MARKER) => {
                    return Line::ok(Check::Injected, format!("in namespace {namespace}"));
                }
                Some(other) => {
                    let found = vec![format!(
                        "it was injected by another version ({other}, this one writes {MARKER})"
                    )];
                    let hint = "Check with the version of native-host that is installed";
                    return Line::warning(Check::Injected, found, hint);
                }
                None => {}
            }
            let found = vec![format!(
                "in namespace {namespace} it came back as it was sent"
            )];
            let hint = format!(
                "Has the namespace {}: off? Then try another by -n; else see webhook-configurations: nobody was asked",
                policy::MODE
            );
            Line::failed(Check::Injected, found, hint)
        }
        Err(error) => {
            if let Some(message) = denied_by(webhook::PODS, &error) {
                return refused(namespace, &message);
            }
            if let Some(message) = denied_by(webhook::VALIDATE_PODS, &error) {
                let found = vec![format!("in namespace {namespace}: {message}")];
                return Line::failed(Check::Injected, found, NOBODY_ASKED);
            }
            failed(namespace, &error)
        }
    }
}

/// What it means that the API server did not take the pod, and it was not native-host that refused it.
fn failed(namespace: &str, error: &AskError) -> Line {
    let text = error.to_string();
    let found = vec![format!("in namespace {namespace}: {text}")];
    if text.contains("failed calling webhook") {
        return Line::failed(Check::Injected, found, way_out(&text));
    }
    // Admission's refusals have the code of missing rights too.
    if error.is_about_rights() && text.contains("cannot create resource") {
        return cannot_tell(Check::Injected, error);
    }
    let hint = "Something else refuses the pod; try another namespace by -n";
    Line::warning(Check::Injected, found, hint)
}

/// What became of a pod that nobody injected.
const NOBODY_ASKED: &str =
    "See webhook-configurations: is the mutating one there, and does nothing undo its work?";

/// The message of a refusal by one of our webhooks: it was reached, and read the pod.
fn denied_by(name: &str, error: &AskError) -> Option<String> {
    let AskError::Refused(status) = error else {
        return None;
    };
    // `ToStatusErr` in apiserver/pkg/admission/plugin/webhook/errors/statuserror.go
    let begin = format!("admission webhook \"{name}\" denied the request");
    let at = status.message.find(&begin)?;
    Some(status.message[at..].to_owned())
}

fn refused(namespace: &str, message: &str) -> Line {
    let found = vec![format!(
        "it was reached, and refuses a plain pod in namespace {namespace}: {message}"
    )];
    let hint = "If that is meant so, try a namespace without guard rails by -n; else change what the message names";
    Line::warning(Check::Injected, found, hint)
}

/// What to do about a call that failed, by what the API server says of it.
fn way_out(text: &str) -> &'static str {
    if text.contains("x509") || text.contains("certificate") {
        "The API server does not trust the certificate: see ca-bundle and serving-certificate"
    } else if text.contains("no endpoints available") || text.contains("connection refused") {
        "Nobody listens: see deployment-available and service-endpoints"
    } else if text.contains("deadline exceeded") || text.contains("timeout") {
        "No answer in time: may the API server reach the pods (NetworkPolicy, firewall, port 8443)?"
    } else {
        "Look at the program's log: kubectl logs -n native-host deployment/native-host"
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::check::report::Mark;

    fn answer(code: u16, message: &str) -> Line {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": code, "reason": "x", "message": message});
        let status = serde_json::from_value(status).unwrap();
        judge("default", Err(AskError::Refused(Box::new(status))))
    }

    #[test]
    fn an_injected_pod_is_proof_and_another_is_not() {
        let mut pod = Pod::default();
        assert_eq!(judge("default", Ok(pod.clone())).mark, Mark::Failed);
        for (marker, mark) in [(MARKER, Mark::Ok), ("v999", Mark::Warning)] {
            let marker = [(annotation::INJECTED.to_owned(), marker.to_owned())];
            pod.metadata.annotations = Some(marker.into());
            assert_eq!(judge("default", Ok(pod.clone())).mark, mark);
        }
    }

    #[test]
    fn a_refusal_of_ours_was_reached_and_every_failed_call_has_its_way_out() {
        let call = "Internal error occurred: failed calling webhook \"pods.native-host.io\": failed to call webhook: Post \
                    \"https://native-host.native-host.svc:443/mutate\": ";
        for (code, message, mark, hint) in [
            (
                403,
                "admission webhook \"pods.native-host.io\" denied the request: spec: no".to_owned(),
                Mark::Warning,
                "guard rails",
            ),
            (
                422,
                "admission webhook \"validate-pods.native-host.io\" denied the request: not injected".to_owned(),
                Mark::Failed,
                "is the mutating one there",
            ),
            (
                403,
                "pods is forbidden: User \"x\" cannot create resource \"pods\"".to_owned(),
                Mark::Warning,
                "the right that it names",
            ),
            (
                400,
                "admission webhook \"other.io\" denied the request".to_owned(),
                Mark::Warning,
                "Something else refuses",
            ),
            (
                500,
                format!(
                    "{call}tls: failed to verify certificate: x509: certificate signed by unknown authority"
                ),
                Mark::Failed,
                "ca-bundle",
            ),
            (
                500,
                format!("{call}dial tcp 10.0.0.1:443: connect: connection refused"),
                Mark::Failed,
                "Nobody listens",
            ),
            (
                500,
                format!("{call}context deadline exceeded"),
                Mark::Failed,
                "in time",
            ),
            (500, format!("{call}EOF"), Mark::Failed, "log"),
        ] {
            let line = answer(code, &message);
            assert_eq!(line.mark, mark, "{line:?}");
            assert!(line.hint.as_deref().unwrap().contains(hint), "{line:?}");
        }
    }
}
