//! Probes for containers that have none, by their ports and the policy.

use super::anchor_spec::{AnchorPort, Protocol, ReadinessCheck, ReadinessProbe, Timing};
use super::asked::Asked;
use super::pod::Pod;
use super::probes::with_timing;
use super::reason::Reason;
use super::sheet::Sheet;
use crate::names::policy as key;
use crate::policy::{Policy, PortRef, Probes};
use native_host_launcher::Action;

/// How often a default startup probe may fail before the program is restarted: five minutes.
const STARTUP_FAILURES: u32 = 30;

/// Makes probes up for a container that has none: three HTTP probes if it has a health port,
/// else a TCP readiness probe on its first port. TCP restarts nothing: that a port accepts says
/// little of a program's health, and a program that is slow to open it would be killed.
pub(super) fn add(asked: &mut Asked<'_>, policy: &Policy, sheet: &mut Sheet) {
    if !wants(asked, policy) {
        return;
    }
    if let Some(port) = health_port(asked, policy) {
        let path = |name: &str| format!("{}/{name}", policy.health_path.trim_end_matches('/'));
        let get = |name: &str| Action::Http {
            port,
            path: path(name),
            https: false,
            headers: Vec::new(),
        };
        asked.readiness = Some(ReadinessProbe {
            check: ReadinessCheck::HttpGet {
                port,
                path: path("readiness"),
                https: false,
                headers: Vec::new(),
            },
            timing: Timing::default(),
        });
        asked.liveness = Some(with_timing(get("liveness"), Timing::default(), None));
        let slow = Timing {
            failure: STARTUP_FAILURES,
            ..Timing::default()
        };
        asked.startup = Some(with_timing(get("startup"), slow, None));
    } else if let Some(port) = first_port(asked) {
        asked.readiness = Some(ReadinessProbe {
            check: ReadinessCheck::TcpSocket { port },
            timing: Timing::default(),
        });
    } else {
        let field = sheet.container_field(asked.place, "readinessProbe");
        sheet.warn(
            &field,
            "the container has no probe and no TCP port to make one up for: its pod counts as \
             ready as soon as it runs",
        );
    }
}

/// What runs to its end before the others start is never probed.
fn wants(asked: &Asked<'_>, policy: &Policy) -> bool {
    !asked.probed && !asked.one_shot && policy.probes == Probes::Auto
}

fn tcp_ports<'p>(asked: &'p Asked<'_>) -> impl Iterator<Item = &'p AnchorPort> {
    let tcp = |port: &&AnchorPort| port.protocol == Protocol::Tcp;
    asked.ports.iter().filter(tcp)
}

fn first_port(asked: &Asked<'_>) -> Option<u16> {
    tcp_ports(asked).next().map(|port| port.port)
}

fn health_port(asked: &Asked<'_>, policy: &Policy) -> Option<u16> {
    let is_it = |port: &&AnchorPort| match &policy.health_port {
        PortRef::Name(name) => port.name.as_ref() == Some(name),
        PortRef::Number(number) => port.port == *number,
    };
    tcp_ports(asked).find(is_it).map(|port| port.port)
}

/// Refuses a health port that the pod's author named and the pod does not have.
pub(super) fn check_health_port(
    pod: &Pod<'_>,
    asked: &[Asked<'_>],
    policy: &Policy,
    sheet: &mut Sheet,
) {
    let Some(named) = pod.annotation(key::HEALTH_PORT) else {
        return;
    };
    let used = asked.iter().any(|asked| wants(asked, policy));
    if !used || asked.iter().any(|a| health_port(a, policy).is_some()) {
        return;
    }
    let show = |port: &AnchorPort| match &port.name {
        Some(name) => format!("{name} ({})", port.port),
        None => port.port.to_string(),
    };
    let known: Vec<_> = asked.iter().flat_map(tcp_ports).map(show).collect();
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    let field = sheet.annotation(key::HEALTH_PORT);
    sheet.refuse(
        Reason::PodPolicy,
        field,
        named.to_owned(),
        format!(
            "no wrapped container has such a TCP port among its ports (they have {known}); name \
             one of them, or add it to the container's ports"
        ),
    );
}
