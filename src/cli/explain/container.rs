//! Sentences about a pod's containers: what injection made of them, and how they fare.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use native_host_launcher::{Action, Exit, Probe, Run};

use super::finding::{Findings, Topic};
use crate::cli::status::age::age;
use crate::cli::status::seen::containers;
use crate::names::injected;
use crate::plan::anchor_spec::{AnchorSpec, ReadinessCheck};

/// What runs there, as whom, and where its probes went.
pub(super) fn injection(pod: &Pod, spec: &AnchorSpec, ip: Option<IpAddr>, findings: &mut Findings) {
    let Some(own) = &pod.spec else {
        return;
    };
    let all = own.init_containers.iter().flatten().chain(&own.containers);
    for container in all {
        let Some(known) = spec.container(&container.name) else {
            continue;
        };
        let name = &container.name;
        let user = user(pod, container).unwrap_or("the user of the kubelet's choice");
        let (program, run) = program(container);
        findings.info(
            Topic::Container,
            format!("Container {name} starts {program} as {user}"),
        );
        if let Some(probe) = &known.readiness {
            let check = check(&probe.check, ip);
            findings.info(
                Topic::Readiness,
                format!(
                    "Its readiness is probed by the kubelet on the anchor: {check}, every {} s, not ready \
                     after {} failures",
                    probe.timing.period, probe.timing.failure
                ),
            );
        }
        let Some(run) = run else {
            continue;
        };
        for (kind, probe) in [("startup", &run.startup), ("liveness", &run.liveness)] {
            if let Some(probe) = probe {
                findings.info(
                    Topic::Container,
                    format!(
                        "Its {kind} is probed by the launcher, inside the compartment: {}, every {} s; after \
                         {} failures the container is restarted",
                        action(probe), probe.period, probe.failure_threshold
                    ),
                );
            }
        }
    }
}

fn user<'p>(pod: &'p Pod, container: &'p Container) -> Option<&'p str> {
    let own = container
        .security_context
        .as_ref()
        .and_then(|c| c.windows_options.as_ref());
    let pods = || {
        pod.spec
            .as_ref()?
            .security_context
            .as_ref()?
            .windows_options
            .as_ref()
    };
    let of = |options: &'p k8s_openapi::api::core::v1::WindowsSecurityContextOptions| {
        options.run_as_user_name.as_deref()
    };
    own.and_then(of).or_else(|| pods().and_then(of))
}

/// The program in words, and what the launcher was told, where that is ours.
fn program(container: &Container) -> (String, Option<Run>) {
    let line: Vec<String> = container
        .command
        .iter()
        .chain(&container.args)
        .flatten()
        .cloned()
        .collect();
    let Some((launcher, rest)) = line.split_first() else {
        return ("the image's own program".to_owned(), None);
    };
    if launcher
        .to_ascii_lowercase()
        .ends_with(injected::LAUNCHER_EXE)
        && let Ok(run) = Run::parse(rest)
    {
        let by = match &run.cplauncher {
            Some(other) => format!("{launcher} and {}", other.path),
            None => launcher.clone(),
        };
        return (format!("{} by {by}", run.argv.join(" ")), Some(run));
    }
    // cplauncher's own command line ends in the program's.
    match line.iter().position(|word| word == "--") {
        Some(at) => (format!("{} by {launcher}", line[at + 1..].join(" ")), None),
        None => (line.join(" "), None),
    }
}

fn action(probe: &Probe) -> String {
    match &probe.action {
        Action::Http {
            port, path, https, ..
        } => {
            let scheme = if *https { "https" } else { "http" };
            format!("GET {scheme}://:{port}{path}")
        }
        Action::Tcp { port } => format!("a TCP connection to port {port}"),
    }
}

/// A readiness check, with the anchor's IP where there is one.
pub(super) fn check(check: &ReadinessCheck, ip: Option<IpAddr>) -> String {
    let at = |port: u16| match ip {
        Some(ip) => std::net::SocketAddr::new(ip, port).to_string(),
        None => format!("IP-OF-THE-ANCHOR:{port}"),
    };
    match check {
        ReadinessCheck::HttpGet {
            port, path, https, ..
        } => {
            let scheme = if *https { "https" } else { "http" };
            format!("GET {scheme}://{}{path}", at(*port))
        }
        ReadinessCheck::TcpSocket { port } => format!("a TCP connection to {}", at(*port)),
        ReadinessCheck::Grpc { port, service } => match service {
            Some(service) => format!("gRPC health of {service} at {}", at(*port)),
            None => format!("gRPC health at {}", at(*port)),
        },
    }
}

/// How the containers fare, where that is not well.
pub(super) fn states(pod: &Pod, now: Timestamp, findings: &mut Findings) {
    for one in containers(pod) {
        waiting(pod, one, findings);
        let state = one
            .state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        let last = one
            .last_state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        if let Some(ended) = state.or(last).filter(|ended| ended.exit_code != 0) {
            let times = match one.restart_count {
                0 => String::new(),
                1 => ", restarted once".to_owned(),
                times => format!(", restarted {times} times"),
            };
            let when = ended.finished_at.as_ref();
            let when = when.map_or(String::new(), |time| format!(" {} ago", age(time.0, now)));
            ended_badly(pod, one, ended, &format!("{when}{times}"), findings);
        }
    }
}

fn waiting(pod: &Pod, one: &ContainerStatus, findings: &mut Findings) {
    let waiting = one.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting
        .and_then(|waiting| waiting.reason.as_deref())
        .unwrap_or_default();
    // A start as it should be; and what ended is told of by its exit code.
    if matches!(
        reason,
        "" | "ContainerCreating" | "PodInitializing" | "CrashLoopBackOff"
    ) {
        return;
    }
    let message = waiting.and_then(|waiting| waiting.message.as_deref());
    let message = message.map_or(String::new(), |text| format!(": {text}"));
    findings.error(
        Topic::Container,
        format!("Container {} waits: {reason}{message}", one.name),
        format!(
            "Look at its image ({}) and its Events: {}",
            one.image,
            describe(pod)
        ),
    );
}

fn ended_badly(
    pod: &Pod,
    one: &ContainerStatus,
    ended: &ContainerStateTerminated,
    when: &str,
    findings: &mut Findings,
) {
    let name = &one.name;
    // The kubelet's number is signed, Windows' is not.
    let code = ended.exit_code.cast_unsigned();
    let said = ended
        .message
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let said = said.map_or(String::new(), |text| format!(". Its last words: {text}"));
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    match Exit::from_code(code) {
        Some(exit) => findings.error(
            Topic::Container,
            format!(
                "The launcher of container {name} ended with its own exit code {code}{when}: {}{said}",
                exit.meaning()
            ),
            advice(exit),
        ),
        None => findings.error(
            Topic::Container,
            format!("Container {name} ended with exit code {code}, the program's own{when}{said}"),
            format!("kubectl logs -n {namespace} {pod_name} -c {name} --previous"),
        ),
    }
}

fn describe(pod: &Pod) -> String {
    format!(
        "kubectl describe pod -n {} {}",
        pod.metadata.namespace.as_deref().unwrap_or_default(),
        pod.metadata.name.as_deref().unwrap_or_default()
    )
}

/// What a person can do about a launcher's exit code.
fn advice(exit: Exit) -> &'static str {
    match exit {
        Exit::AnchorTimeout => {
            "Look at the anchor below: the launcher waits until it runs. Raise the policy's launcher-timeout \
             if it only takes long"
        }
        Exit::CompartmentNotFound | Exit::CompartmentRefused | Exit::FailClosed | Exit::System => {
            "Run `native-host-launcher.exe doctor` on the node: it shows the compartments and which calls \
             exist there"
        }
        Exit::TargetNotStarted => {
            "Does the program lie at that path on this node, and may the account run it?"
        }
        Exit::LivenessFailed | Exit::StartupFailed => {
            "Look at the program's log; the probe's numbers are those of the pod template"
        }
        Exit::InstallFailed => {
            "Look at the log of the init container, and at the node's free disk space"
        }
        Exit::AnchorChanged => "Nothing: the container is restarted on the new network",
        Exit::StopTimeout => {
            "Raise terminationGracePeriodSeconds, if the program needs longer to stop"
        }
        Exit::Usage | Exit::AnchorStatus => {
            "Do the launcher's version and the webhook's fit? Compare the launcher's image with the \
             installed version of native-host"
        }
        Exit::NothingToStop | Exit::ProbeFailed => "Look at the container's log",
    }
}
