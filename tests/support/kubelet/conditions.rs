//! A pod's conditions, as `status/generate.go` has them.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use super::container::{Kind, timestamp};
use super::machine::{Machine, is_terminal};

/// The conditions that the kubelet owns, with what the API server has of the others left out.
pub fn conditions(
    machine: &Machine,
    pod: &Pod,
    statuses: &[ContainerStatus],
    phase: &str,
) -> Vec<PodCondition> {
    let containers_ready = containers_ready(machine, statuses, phase);
    let ready = ready(pod, &containers_ready);
    let mut all = vec![
        sandbox(machine),
        initialized(machine, statuses, phase),
        ready,
        containers_ready,
        Verdict::yes("PodScheduled"),
    ];
    // Only with the last phase (`mergePodStatus`).
    if machine.evicted.is_some() && is_terminal(phase) {
        all.push(Verdict {
            reason: Some("TerminationByKubelet"),
            message: Some("The node was low on resource: memory. ".into()),
            ..Verdict::yes("DisruptionTarget")
        });
    }
    all.into_iter().map(|verdict| verdict.since(pod)).collect()
}

struct Verdict {
    kind: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn yes(kind: &'static str) -> Self {
        Self {
            kind,
            holds: true,
            reason: None,
            message: None,
        }
    }

    fn no(kind: &'static str, reason: &'static str, message: Option<String>) -> Self {
        Self {
            kind,
            holds: false,
            reason: Some(reason),
            message,
        }
    }

    /// The condition, since when the API server has it so.
    fn since(self, pod: &Pod) -> PodCondition {
        let status = if self.holds { "True" } else { "False" };
        let old = condition(pod, self.kind).filter(|old| old.status == status);
        PodCondition {
            last_probe_time: None,
            last_transition_time: old
                .and_then(|old| old.last_transition_time.clone())
                .or_else(|| Some(timestamp())),
            message: self.message,
            observed_generation: pod.metadata.generation,
            reason: self.reason.map(Into::into),
            status: status.into(),
            type_: self.kind.into(),
        }
    }
}

/// A condition that the API server has.
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn sandbox(machine: &Machine) -> Verdict {
    let ready = machine.sandbox && !machine.finished;
    Verdict {
        holds: ready,
        ..Verdict::yes("PodReadyToStartContainers")
    }
}

/// `GeneratePodInitializedCondition` (`status/generate.go`).
fn initialized(machine: &Machine, statuses: &[ContainerStatus], phase: &str) -> Verdict {
    const KIND: &str = "Initialized";
    if phase == "Succeeded" {
        return Verdict {
            reason: Some("PodCompleted"),
            ..Verdict::yes(KIND)
        };
    }
    let mut regular = machine.containers.iter().filter(|c| c.kind == Kind::Main);
    if regular.any(|container| container.id.is_some()) {
        return Verdict::yes(KIND);
    }
    let each = machine.containers.iter().zip(statuses);
    let incomplete = each.filter(|(container, status)| match container.kind {
        Kind::Init => !status.ready,
        Kind::Sidecar => status.started != Some(true),
        Kind::Main => false,
    });
    let names: Vec<_> = incomplete
        .map(|(container, _)| container.name.as_str())
        .collect();
    if names.is_empty() {
        return Verdict::yes(KIND);
    }
    let message = format!("containers with incomplete status: [{}]", names.join(" "));
    Verdict::no(KIND, "ContainersNotInitialized", Some(message))
}

/// `GenerateContainersReadyCondition` (`status/generate.go`).
fn containers_ready(machine: &Machine, statuses: &[ContainerStatus], phase: &str) -> Verdict {
    const KIND: &str = "ContainersReady";
    match phase {
        "Succeeded" => return Verdict::no(KIND, "PodCompleted", None),
        "Failed" => return Verdict::no(KIND, "PodFailed", None),
        _ => {}
    }
    let each = machine.containers.iter().zip(statuses);
    let unready = each.filter(|(container, status)| container.kind != Kind::Init && !status.ready);
    let names: Vec<_> = unready
        .map(|(container, _)| container.name.as_str())
        .collect();
    if names.is_empty() {
        return Verdict::yes(KIND);
    }
    let message = format!("containers with unready status: [{}]", names.join(" "));
    Verdict::no(KIND, "ContainersNotReady", Some(message))
}

/// `GeneratePodReadyCondition` (`status/generate.go`): the containers, and every readiness gate.
fn ready(pod: &Pod, containers_ready: &Verdict) -> Verdict {
    const KIND: &str = "Ready";
    if !containers_ready.holds {
        return Verdict {
            kind: KIND,
            holds: false,
            reason: containers_ready.reason,
            message: containers_ready.message.clone(),
        };
    }
    let spec = pod.spec.as_ref();
    let gates = spec.and_then(|spec| spec.readiness_gates.as_ref());
    let mut messages = Vec::new();
    for gate in gates.into_iter().flatten() {
        let gate = &gate.condition_type;
        match condition(pod, gate) {
            None => messages.push(format!(
                "corresponding condition of pod readiness gate {gate:?} does not exist."
            )),
            Some(condition) if condition.status != "True" => messages.push(format!(
                "the status of pod readiness gate {gate:?} is not \"True\", but {}",
                condition.status
            )),
            Some(_) => {}
        }
    }
    if messages.is_empty() {
        return Verdict::yes(KIND);
    }
    Verdict::no(KIND, "ReadinessGatesNotReady", Some(messages.join(", ")))
}
