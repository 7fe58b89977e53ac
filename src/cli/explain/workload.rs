//! Sentences about what makes pods: a Deployment and its like, whose own creation never fails. Refusals
//! of their pods surface in the Events of whoever tried to create them.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::admission::{self, Read};
use super::event::{latest, sentence};
use super::finding::{Explanation, Findings, Topic};
use crate::admission::offline;
use crate::anchor::pair::State;
use crate::cli::status::row::Row;
use crate::closed_set::closed_set;
use crate::names::label;
use crate::policy::Namespace;

closed_set! {
    /// Kinds with a pod template, in the order in which a bare name is looked for.
    Kind {
        /// apps/v1
        Deployment = "Deployment",
        /// apps/v1
        StatefulSet = "StatefulSet",
        /// apps/v1
        DaemonSet = "DaemonSet",
        /// batch/v1
        CronJob = "CronJob",
        /// batch/v1
        Job = "Job",
        /// apps/v1
        ReplicaSet = "ReplicaSet",
    }
}

impl Kind {
    /// As kubectl takes it: `deployment`, `deployments`, `deploy`, `deployments.apps`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let text = text.split('.').next().unwrap_or_default();
        Self::ALL.iter().copied().find(|kind| {
            let name = kind.as_str().to_ascii_lowercase();
            text == name || text.strip_suffix('s') == Some(&name) || text == kind.short()
        })
    }

    /// Its short name, as `kubectl api-resources` has it; Jobs have none.
    const fn short(self) -> &'static str {
        match self {
            Self::Deployment => "deploy",
            Self::StatefulSet => "sts",
            Self::DaemonSet => "ds",
            Self::CronJob => "cj",
            Self::Job => "job",
            Self::ReplicaSet => "rs",
        }
    }
}

/// What was read about it.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) object: Value,
    pub(super) namespace: Read<Namespace>,
    /// Events of it, and of what it made to make pods.
    pub(super) events: Read<Vec<Event>>,
    /// Its pairs.
    pub(super) pairs: Read<Vec<Row>>,
}

/// Everything about it.
pub(super) fn explain(facts: &Facts, now: Timestamp) -> Explanation {
    let mut findings = Findings::default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &facts.object["metadata"];
    let (name, namespace) = (text(&metadata["name"]), text(&metadata["namespace"]));
    let template = offline::template(&facts.object).unwrap_or(&Value::Null);
    let labelled = &template["metadata"]["labels"][label::WORKLOAD];
    if let Some(workload) = labelled.as_str() {
        findings.ok(
            Topic::Label,
            format!(
                "Its pods are of the native-host workload {workload} ({})",
                label::WORKLOAD
            ),
        );
        admission::namespace(&namespace, &facts.namespace, &mut findings);
        if let Ok(policy) = &facts.namespace {
            admission::judge(
                &facts.object,
                policy,
                "As it is",
                "each of its pods",
                &mut findings,
            );
        }
    } else {
        let elsewhere = if metadata["labels"][label::WORKLOAD].is_string() {
            " The label on the object itself says nothing about its pods."
        } else {
            ""
        };
        findings.error(
            Topic::Label,
            format!(
                "Its pod template does not carry the label {}, so its pods are none of native-host's.{elsewhere}",
                label::WORKLOAD
            ),
            format!(
                "Put {}: {name} under {}.metadata.labels",
                label::WORKLOAD,
                if facts.kind == Kind::CronJob { "spec.jobTemplate.spec.template" } else { "spec.template" }
            ),
        );
        admission::namespace(&namespace, &facts.namespace, &mut findings);
    }
    refusals(facts, now, &mut findings);
    pairs(facts, &mut findings);
    Explanation {
        kind: facts.kind.as_str(),
        namespace,
        name,
        state: None,
        findings: findings.0,
    }
}

/// Pods that could not be created: `FailedCreate` is every controller's reason for that
/// (pkg/controller/controller_utils.go, `FailedCreatePodReason`).
fn refusals(facts: &Facts, now: Timestamp, findings: &mut Findings) {
    let failed = latest(facts.events.as_ref(), |event| {
        event.reason.as_deref() == Some("FailedCreate")
    });
    for event in failed {
        findings.error(
            Topic::Event,
            format!(
                "A pod could not be created. {}",
                sentence("object", event, now)
            ),
            "Change what the message names; its controller tries again by itself",
        );
    }
    if let Err(error) = &facts.events {
        findings.warning(
            Topic::Event,
            format!("Its Events, where refusals of its pods would stand, cannot be read: {error}"),
            "Ask for the right to list events",
        );
    }
    let conditions = facts.object["status"]["conditions"].as_array();
    for condition in conditions.into_iter().flatten() {
        if condition["type"] == "ReplicaFailure" && condition["status"] == "True" {
            let message = condition["message"].as_str().unwrap_or_default();
            findings.info(
                Topic::Pods,
                format!("Its condition ReplicaFailure says: {message}"),
            );
        }
    }
}

fn pairs(facts: &Facts, findings: &mut Findings) {
    let rows = match &facts.pairs {
        Ok(rows) => rows,
        Err(error) => {
            findings.warning(
                Topic::Pods,
                format!("Its pods cannot be read: {error}"),
                "Ask for the right to list pods",
            );
            return;
        }
    };
    if rows.is_empty() {
        findings.info(Topic::Pods, "It has no pods of a workload at the moment");
        return;
    }
    let fine = |row: &&Row| matches!(row.state, State::Ready | State::Finished | State::OnHost);
    let ready = rows.iter().filter(fine).count();
    findings.info(
        Topic::Pods,
        format!("Of its {} pairs {ready} are as they should be", rows.len()),
    );
    for row in rows.iter().filter(|row| !fine(row)) {
        let why = if row.why.is_empty() { "" } else { ": " };
        findings.warning(
            Topic::Pods,
            format!("Pod {} is {}{why}{}", row.pod.name, row.state, row.why),
            format!("native-host explain -n {} {}", row.namespace, row.pod.name),
        );
    }
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
