//! A pod's status as its kubelet reports it: phase, conditions, containers.

use std::time::Instant;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, Pod, PodIP, PodStatus,
};
use serde_json::{Value, json};

use super::conditions::{condition, conditions};
use super::container::{Container, Ended, KILLED, Kind, State};
use super::machine::{Machine, anchor_status, earliest, is_terminal, phase_of};
use super::program::Knobs;

/// The status that the kubelet wants the API server to have, and when it changes by itself.
pub fn status(
    machine: &Machine,
    pod: &Pod,
    knobs: &Knobs,
    node_ip: &str,
    now: Instant,
) -> (PodStatus, Option<Instant>) {
    let mut next = None;
    let mut statuses = Vec::new();
    for container in &machine.containers {
        let (status, at) = container_status(machine, container, pod, knobs, now);
        next = earliest(next, at);
        statuses.push(status);
    }
    let phase = phase(machine, pod, &statuses);
    let conditions = conditions(machine, pod, &statuses, &phase);
    let mut init = statuses;
    let count = machine.containers.iter();
    let count = count
        .filter(|container| container.kind != Kind::Main)
        .count();
    let main = init.split_off(count);

    let ip = if machine.host_network {
        Some(node_ip.to_owned())
    } else {
        machine.ip.clone()
    };
    let old = pod.status.as_ref();
    let (mut reason, mut message) = (None, None);
    if old.is_some_and(|old| old.phase.as_ref() == Some(&phase)) {
        reason = old.and_then(|old| old.reason.clone());
        message = old.and_then(|old| old.message.clone());
    }
    if machine.evicted.is_some() && is_terminal(&phase) {
        reason = Some("Evicted".into());
        message = Some("The node was low on resource: memory. ".into());
    }
    let status = PodStatus {
        conditions: Some(conditions),
        container_statuses: Some(main),
        host_ip: Some(node_ip.to_owned()),
        host_ips: Some(vec![HostIP { ip: node_ip.into() }]),
        init_container_statuses: (!init.is_empty()).then_some(init),
        message,
        observed_generation: pod.metadata.generation,
        phase: Some(phase),
        pod_ips: ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: ip,
        reason,
        start_time: Some(
            old.and_then(|old| old.start_time.clone())
                .unwrap_or_else(|| machine.start_time.clone()),
        ),
        ..PodStatus::default()
    };
    (status, next)
}

fn container_status(
    machine: &Machine,
    container: &Container,
    pod: &Pod,
    knobs: &Knobs,
    now: Instant,
) -> (ContainerStatus, Option<Instant>) {
    let (namespace, name) = super::machine::key(pod);
    let key = (namespace, name, container.name.clone());
    let said = knobs.readiness.get(&key).copied();
    let (started, at) = container.started(now);
    let (mut ready, ready_at) = container.ready(said, now);
    if container.kind == Kind::Init {
        ready = container.ended().is_some_and(|ended| ended.code == 0) && !container.again;
    }
    if container.launcher && knobs.settings.launcher_waits {
        ready &= anchor_status(pod).is_some();
    }
    let status = ContainerStatus {
        container_id: container.id.clone(),
        image: container.image.clone(),
        image_id: match container.id {
            Some(_) => format!("{}@sha256:{:064}", container.image, 0),
            None => String::new(),
        },
        // The API server shows it always, empty or not.
        last_state: Some(ContainerState {
            terminated: container.last.as_ref().map(terminated),
            ..ContainerState::default()
        }),
        name: container.name.clone(),
        ready,
        restart_count: container.restarts,
        started: Some(started),
        state: Some(state(machine, container)),
        ..ContainerStatus::default()
    };
    (status, earliest(at, ready_at))
}

fn state(machine: &Machine, container: &Container) -> ContainerState {
    let mut state = ContainerState::default();
    match &container.state {
        State::Running { started, .. } | State::Stopping { started, .. } => {
            state.running = Some(ContainerStateRunning {
                started_at: Some(started.clone()),
            });
        }
        State::Ended(ended) => state.terminated = Some(terminated(ended)),
        State::Backoff(_) => {
            let message = format!("back-off restarting failed container={}", container.name);
            state.waiting = Some(waiting("CrashLoopBackOff", Some(message)));
        }
        // `TerminatePod` (`status_manager.go`): a pod without init containers counts as begun.
        State::Waiting(_) if machine.finished && without_init(machine) => {
            state.terminated = Some(ContainerStateTerminated {
                exit_code: KILLED,
                message: Some(
                    "The container could not be located when the pod was terminated".into(),
                ),
                reason: Some("ContainerStatusUnknown".into()),
                ..ContainerStateTerminated::default()
            });
        }
        State::Waiting(Some(reason)) => {
            let real = container.real.as_ref();
            let message = real.and_then(|real| real.message.clone());
            state.waiting = Some(waiting(reason, message));
        }
        State::Waiting(None) if without_init(machine) => {
            state.waiting = Some(waiting("ContainerCreating", None));
        }
        State::Waiting(None) => state.waiting = Some(waiting("PodInitializing", None)),
    }
    state
}

fn without_init(machine: &Machine) -> bool {
    machine.containers.iter().all(|c| c.kind == Kind::Main)
}

fn waiting(reason: &str, message: Option<String>) -> ContainerStateWaiting {
    ContainerStateWaiting {
        message,
        reason: Some(reason.into()),
    }
}

fn terminated(ended: &Ended) -> ContainerStateTerminated {
    let reason = ended.reason.unwrap_or(match ended.code {
        0 => "Completed",
        _ => "Error",
    });
    ContainerStateTerminated {
        container_id: Some(ended.id.clone()),
        exit_code: ended.code,
        finished_at: Some(ended.finished.clone()),
        message: ended.message.clone(),
        reason: Some(reason.into()),
        signal: None,
        started_at: ended.started.clone(),
    }
}

/// `getPhase` (`kubelet_pods.go`), then what `generateAPIPodStatus`, `mergePodStatus` and
/// `TerminatePod` make of it: a last phase is never left, never claimed while something runs, and
/// every pod that has been stopped has one.
fn phase(machine: &Machine, pod: &Pod, statuses: &[ContainerStatus]) -> String {
    let old = phase_of(pod).unwrap_or("Pending");
    if is_terminal(old) {
        return old.into();
    }
    let containers = || machine.containers.iter().zip(statuses).enumerate();
    let of = |kind: Kind| containers().filter(move |(_, (container, _))| container.kind == kind);
    let regular = || of(Kind::Main);
    let has_run = regular().any(|(_, (container, _))| container.runs());
    let failed_for_good = of(Kind::Init).any(|(index, (container, _))| {
        container.ended().is_some_and(|ended| ended.code != 0) && !machine.restarts(index)
    });
    let pending_init = of(Kind::Init).any(|(_, (container, _))| {
        matches!(container.state, State::Waiting(_)) || container.runs()
    });
    let pending_sidecar = of(Kind::Sidecar).any(|(_, (container, status))| {
        matches!(container.state, State::Waiting(_))
            || (container.runs() && status.started != Some(true))
    });
    let waits = regular().any(|(_, (container, _))| matches!(container.state, State::Waiting(_)));
    let runs = has_run || of(Kind::Sidecar).any(|(_, (container, _))| container.runs());
    let restarting = regular().any(|(index, _)| machine.restarts(index));
    let succeeded = regular().all(|(_, (container, _))| {
        let last = container.ended().or(container.last.as_ref());
        last.is_some_and(|ended| ended.code == 0)
    });
    let result = if succeeded { "Succeeded" } else { "Failed" };

    let phase = if machine.evicted.is_some() || failed_for_good {
        "Failed"
    } else if pending_init || (pending_sidecar && !has_run) || waits {
        "Pending"
    } else if runs || (restarting && !machine.terminating()) {
        "Running"
    } else {
        result
    };
    match phase {
        _ if machine.finished && !is_terminal(phase) => "Failed",
        "Succeeded" | "Failed" if !machine.finished => old,
        _ => phase,
    }
    .into()
}

/// What the API server is to be sent so that its status becomes the wanted one; None where it is
/// that already. A strategic merge with the pod's UID, as `PatchPodStatus` (`util/pod/pod.go`)
/// sends: conditions of others stay, and another pod of that name is refused.
pub fn patch(pod: &Pod, wanted: &PodStatus) -> Option<Value> {
    let default = PodStatus::default();
    let old = pod.status.as_ref().unwrap_or(&default);
    let conditions = wanted.conditions.iter().flatten();
    let same_conditions = conditions
        .clone()
        .all(|wanted| condition(pod, &wanted.type_) == Some(wanted));
    let same = same_conditions
        && old.phase == wanted.phase
        && old.reason == wanted.reason
        && old.message == wanted.message
        && old.start_time == wanted.start_time
        && old.host_ip == wanted.host_ip
        && old.pod_ip == wanted.pod_ip
        && old.pod_ips == wanted.pod_ips
        && old.observed_generation == wanted.observed_generation
        && old.container_statuses == wanted.container_statuses
        && old.init_container_statuses == wanted.init_container_statuses;
    if same {
        return None;
    }
    // By their merge key alone, an old IP would stay beside the new one.
    let mut ips = vec![json!({"$patch": "replace"})];
    ips.extend(wanted.pod_ips.iter().flatten().map(|ip| json!(ip)));
    // A merge keeps what is only left out.
    let conditions: Vec<_> = conditions
        .map(|condition| {
            let mut value = json!(condition);
            value["reason"] = json!(condition.reason);
            value["message"] = json!(condition.message);
            value
        })
        .collect();
    Some(json!({
        "metadata": {"uid": pod.metadata.uid},
        "status": {
            "conditions": conditions,
            "containerStatuses": wanted.container_statuses,
            "hostIP": wanted.host_ip,
            "hostIPs": wanted.host_ips,
            "initContainerStatuses": wanted.init_container_statuses,
            "message": wanted.message,
            "observedGeneration": wanted.observed_generation,
            "phase": wanted.phase,
            "podIP": wanted.pod_ip,
            "podIPs": ips,
            "reason": wanted.reason,
            "startTime": wanted.start_time,
        },
    }))
}
