//! Sentences about admission: the label, the namespace, the marker, and what would happen to the
//! object if it were created now. The last is asked of the webhook's own code.

use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, Pod};
use serde_json::{Value, json};

use super::finding::{Findings, Topic};
use crate::admission::offline;
use crate::anchor::view::controller;
use crate::names::{annotation, label, policy};
use crate::plan::{MARKER, is_workload_name};
use crate::policy::{Mode, Namespace, PodSecurityLevel, Policy};

/// A Namespace, or why it could not be read.
pub(super) type Read<T> = Result<T, String>;

/// What a Namespace says, over the flags.
pub(super) fn policy_of(object: &NamespaceObject, flags: &Policy) -> Namespace {
    let labels = object.metadata.labels.iter().flatten();
    let annotations = object.metadata.annotations.iter().flatten();
    Namespace::read(
        flags,
        labels.map(|(key, value)| (key.as_str(), value.as_str())),
        annotations.map(|(key, value)| (key.as_str(), value.as_str())),
    )
}

/// The namespace's part, where it stands in the way of new pods.
pub(super) fn namespace(name: &str, read: &Read<Namespace>, findings: &mut Findings) {
    let namespace = match read {
        Ok(namespace) => namespace,
        Err(error) => {
            findings.warning(
                Topic::Namespace,
                format!("Namespace {name} cannot be read, so its policy is not known: {error}"),
                "Ask for the right to get namespaces, or have somebody who has it run this",
            );
            return;
        }
    };
    match &namespace.policy {
        Err(errors) => findings.error(
            Topic::Namespace,
            format!(
                "The native-host policy of namespace {name} is invalid, so none of its workloads is \
                 admitted until it is mended: {}",
                errors.to_string().replace('\n', "; ")
            ),
            format!("kubectl edit namespace {name}"),
        ),
        Ok(set) if set.mode == Mode::Off => findings.warning(
            Topic::Namespace,
            format!("Namespace {name} has {}: off, so new pods of it are left alone", policy::MODE),
            format!("kubectl annotate namespace {name} {}-", policy::MODE),
        ),
        Ok(_) => {}
    }
    if let Some(level) = namespace.pod_security
        && level != PodSecurityLevel::Privileged
    {
        findings.error(
            Topic::Namespace,
            format!(
                "Namespace {name} enforces the Pod Security level {level}, which refuses HostProcess pods"
            ),
            format!(
                "kubectl label --overwrite namespace {name} {}=privileged",
                label::POD_SECURITY_ENFORCE
            ),
        );
    }
}

/// The label and the marker of a pod. True if it is an injected one.
pub(super) fn pod(pod: &Pod, read: &Read<Namespace>, findings: &mut Findings) -> bool {
    let labels = pod.metadata.labels.as_ref();
    let workload = labels.and_then(|labels| labels.get(label::WORKLOAD));
    let annotations = pod.metadata.annotations.as_ref();
    let marker = annotations.and_then(|all| all.get(annotation::INJECTED));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    match (workload, marker) {
        (Some(workload), Some(marker)) => {
            findings.ok(
                Topic::Label,
                format!(
                    "It is a pod of the native-host workload {workload} ({})",
                    label::WORKLOAD
                ),
            );
            injected(marker, findings);
        }
        (None, Some(marker)) => {
            injected(marker, findings);
            findings.warning(
                Topic::Label,
                format!(
                    "Its label {} was taken off. Its anchor is kept, but changes of this pod are \
                     seen late",
                    label::WORKLOAD
                ),
                format!(
                    "Put it back: kubectl label pod {name} {}=NAME",
                    label::WORKLOAD
                ),
            );
        }
        (Some(workload), None) => {
            findings.ok(
                Topic::Label,
                format!("It carries the label {}: {workload}", label::WORKLOAD),
            );
            let off =
                matches!(read, Ok(Namespace { policy: Ok(set), .. }) if set.mode == Mode::Off);
            let because = if off {
                "its namespace's mode is off"
            } else {
                "it was created while the webhook was not asked, or was labelled later"
            };
            findings.error(
                Topic::Injection,
                format!(
                    "It was not injected: {because}. It is left alone and has no network of its own"
                ),
                format!("Delete it to have it created anew: kubectl delete pod {name}"),
            );
        }
        (None, None) => unlabelled(pod, name, findings),
    }
    if marker.is_none() {
        would_be(pod, read, workload.is_none(), findings);
    }
    marker.is_some()
}

fn injected(marker: &str, findings: &mut Findings) {
    if marker == MARKER {
        findings.ok(
            Topic::Injection,
            format!("It was injected ({}: {marker})", annotation::INJECTED),
        );
    } else {
        findings.warning(
            Topic::Injection,
            format!(
                "It was injected by another version of native-host ({}: {marker}, this one writes {MARKER})",
                annotation::INJECTED
            ),
            "Nothing, as long as it runs; its replacement is injected by the version that is installed",
        );
    }
}

fn unlabelled(pod: &Pod, name: &str, findings: &mut Findings) {
    let line = format!("{}: {}", label::WORKLOAD, suggestion(pod));
    let next = match controller(&pod.metadata) {
        Some(owner) => format!(
            "Put {line} into the labels of the pod template it comes from (it belongs to {} {}). On the \
             pod itself the label would come too late",
            owner.kind, owner.name
        ),
        None => format!("Put {line} into its labels, delete it and create it anew (pod {name})"),
    };
    findings.error(
        Topic::Label,
        format!(
            "It does not carry the label {}, so the webhook was never asked about it",
            label::WORKLOAD
        ),
        next,
    );
}

/// A workload's name that fits the pod's other labels.
fn suggestion(pod: &Pod) -> String {
    let labels = pod.metadata.labels.as_ref();
    ["app.kubernetes.io/name", "app", "k8s-app"]
        .into_iter()
        .find_map(|key| labels?.get(key))
        .filter(|name| is_workload_name(name))
        .map_or_else(|| "NAME".to_owned(), Clone::clone)
}

/// What admission would make of the pod if it were created now, with the label.
fn would_be(pod: &Pod, read: &Read<Namespace>, label_it: bool, findings: &mut Findings) {
    let Ok(namespace) = read else {
        return;
    };
    let mut object = serde_json::to_value(pod).unwrap_or_default();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    // Where the scheduler put it is no wish of its author's.
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.remove("nodeName");
    }
    let with = if label_it {
        object["metadata"]["labels"][label::WORKLOAD] = json!(suggestion(pod).to_ascii_lowercase());
        "With the label"
    } else {
        "Created anew"
    };
    judge(&object, namespace, with, "it", findings);
}

/// What admission would do to an object; an invalid policy or a mode that is off was said before.
pub(super) fn judge(
    object: &Value,
    namespace: &Namespace,
    with: &str,
    what: &str,
    findings: &mut Findings,
) {
    if !matches!(&namespace.policy, Ok(set) if set.mode != Mode::Off) {
        return;
    }
    let outcome = match offline::mutate(object, namespace) {
        Ok(outcome) => outcome,
        Err(error) => {
            let text = format!("What admission would make of {what} cannot be told: {error}");
            findings.warning(
                Topic::Injection,
                text,
                "Please report this as a fault of native-host",
            );
            return;
        }
    };
    match outcome.refusal {
        Some(denial) => findings.error(
            Topic::Injection,
            format!("{with}, {what} would be refused: {}", denial.message),
            "Change what the message names; `native-host inject -f FILE` tries a manifest without a cluster",
        ),
        None => findings.ok(Topic::Injection, format!("{with}, {what} would be injected")),
    }
    if let Some(unasked) = outcome.unasked {
        findings.info(Topic::Injection, unasked);
    }
    for warning in outcome.warnings {
        findings.info(Topic::Injection, format!("Admission would warn: {warning}"));
    }
}
