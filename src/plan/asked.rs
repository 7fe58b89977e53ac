//! What the author asked of one wrapped container: read from the pod as it was written, or, of
//! a pod that was injected already, unwrapped again. Either way the same rules then say what the
//! pod should be, so that injecting twice changes nothing.

use super::anchor_spec::{AnchorContainer, AnchorPort, AnchorSpec, Protocol, ReadinessProbe};
use super::container::{Container, Port};
use super::handler::{Handler, Probe};
use super::pod::{Place, Pod, is_one_shot};
use super::probes;
use super::reason::Reason;
use super::sheet::Sheet;
use super::wrap::{self, Kept, Wrapping};
use native_host_launcher as launcher;
use std::borrow::Cow;

/// Whose preStop hook a container has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PreStop {
    /// The author's.
    Own,
    /// None yet, or ours.
    Ours,
}

/// What the author asked of a wrapped container.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Where the container stands.
    pub(super) place: Place,
    /// Whether it is an init container that runs to its end.
    pub(super) one_shot: bool,
    /// The program and its arguments.
    pub(super) argv: Vec<Cow<'a, str>>,
    /// The ports that the program listens on, in the anchor's compartment.
    pub(super) ports: Vec<AnchorPort>,
    /// The readiness probe that the kubelet makes on the anchor.
    pub(super) readiness: Option<ReadinessProbe>,
    /// The liveness probe, unless it is an exec probe, which stays.
    pub(super) liveness: Option<launcher::Probe>,
    /// The startup probe, unless it is an exec probe, which stays.
    pub(super) startup: Option<launcher::Probe>,
    /// Whether the author gave any probe.
    pub(super) probed: bool,
    /// Whose preStop hook there is.
    pub(super) pre_stop: PreStop,
    /// Of a container that was wrapped before: what was known then.
    pub(super) kept: Option<Kept>,
}

impl<'a> Asked<'a> {
    /// From a container as its author wrote it.
    pub(super) fn as_written(
        place: Place,
        container: &Container<'a>,
        host_network: bool,
        wrapping: &Wrapping<'_>,
        sheet: &mut Sheet,
    ) -> Self {
        if container.command.is_empty() {
            let field = sheet.container_field(place, "command");
            let hint = if container.args.is_empty() {
                ""
            } else {
                ", args alone would go to it"
            };
            sheet.refuse(
                Reason::Command,
                field,
                None,
                format!(
                    "the program is not named, and an image's ENTRYPOINT is not known here{hint}; \
                     write the program's path as command[0]"
                ),
            );
        }
        let ports = read_ports(place, container, host_network, sheet);
        let given = [
            &container.liveness,
            &container.readiness,
            &container.startup,
        ];
        let probed = given.iter().any(|probe| probe.is_some());
        let mut moved = |which: Which| {
            // An exec probe of ours, written by hand, is what it would be once injected.
            probes::in_launcher(place, container, which, &ports, sheet)
                .or_else(|| probes::of_exec(which.of(container)?, wrapping))
        };
        let (liveness, startup) = (moved(Which::Liveness), moved(Which::Startup));
        Self {
            place,
            one_shot: is_one_shot(place, container),
            argv: container.argv().cloned().collect(),
            readiness: probes::readiness(place, container, &ports, sheet),
            liveness,
            startup,
            ports,
            probed,
            pre_stop: pre_stop(container, wrapping),
            kept: None,
        }
    }

    /// From a container that was wrapped before. `None`, and a problem on the sheet, if it is
    /// not what this policy's launcher would have made of anything.
    pub(super) fn unwrapped(
        place: Place,
        container: &Container<'a>,
        spec: &AnchorSpec,
        wrapping: &Wrapping<'_>,
        sheet: &mut Sheet,
    ) -> Option<Self> {
        let name = container.name.as_ref();
        let Some(kept) = spec.container(name) else {
            let field = sheet.container_field(place, "name");
            sheet.refuse(
                Reason::Marker,
                field,
                name.to_owned(),
                "the pod says that it was injected, but its anchor spec does not know this \
                 container; apply the original manifest",
            );
            return None;
        };
        let inner =
            match wrap::unwrap(container, wrapping) {
                Ok(inner) => inner,
                Err(expected) => {
                    let field = sheet.container_field(place, "command");
                    sheet.refuse(
                    Reason::Marker,
                    field,
                    container.argv().map(AsRef::as_ref).collect::<Vec<_>>().join(" "),
                    format!(
                        "the pod says that it was injected, but its command is not wrapped as the \
                         namespace's policy has it ({expected}); apply the original manifest"
                    ),
                );
                    return None;
                }
            };
        let AnchorContainer {
            ports, readiness, ..
        } = kept.clone();
        let ours = |which: Which, from_line: Option<launcher::Probe>| {
            from_line.or_else(|| probes::of_exec(which.of(container)?, wrapping))
        };
        let pre_stop = pre_stop(container, wrapping);
        let mut kept_line = inner.kept;
        kept_line.grace = wrapping.stop_grace(container).or(kept_line.grace);
        Some(Self {
            place,
            one_shot: is_one_shot(place, container),
            argv: inner.argv,
            ports,
            readiness,
            liveness: ours(Which::Liveness, inner.liveness),
            startup: ours(Which::Startup, inner.startup),
            probed: true,
            pre_stop,
            kept: Some(kept_line),
        })
    }

    /// What the anchor takes over.
    pub(super) fn to_anchor(&self, name: &str) -> AnchorContainer {
        AnchorContainer {
            name: name.to_owned(),
            ports: self.ports.clone(),
            readiness: self.readiness.clone(),
        }
    }
}

fn pre_stop(container: &Container<'_>, wrapping: &Wrapping<'_>) -> PreStop {
    match container.pre_stop() {
        Some(hook) if !wrapping.is_our_stop(hook) => PreStop::Own,
        _ => PreStop::Ours,
    }
}

/// The two probes that must restart the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// `livenessProbe`
    Liveness,
    /// `startupProbe`
    Startup,
}

impl Which {
    /// The field's name.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Liveness => "livenessProbe",
            Self::Startup => "startupProbe",
        }
    }

    /// The container's probe of this kind.
    pub(super) const fn of<'c, 'a>(self, container: &'c Container<'a>) -> Option<&'c Probe<'a>> {
        match self {
            Self::Liveness => container.liveness.as_ref(),
            Self::Startup => container.startup.as_ref(),
        }
    }
}

/// The containers' names that the policy wraps, in the pod's order; names that the pod does not
/// have are problems.
pub(super) fn to_wrap(pod: &Pod<'_>, chosen: Option<&[String]>, sheet: &mut Sheet) -> Vec<Place> {
    let Some(chosen) = chosen else {
        return (0..pod.spec.containers.len()).map(Place::Regular).collect();
    };
    for name in chosen {
        if !pod
            .spec
            .all_containers()
            .any(|(_, container)| container.name == name.as_str())
        {
            let known: Vec<_> = pod
                .spec
                .all_containers()
                .map(|(_, c)| c.name.as_ref())
                .collect();
            let field = sheet.annotation(crate::names::policy::CONTAINERS);
            sheet.refuse(
                Reason::PodPolicy,
                field,
                name.clone(),
                format!("the pod has no such container; it has {}", known.join(", ")),
            );
        }
    }
    pod.spec
        .all_containers()
        .filter(|(_, container)| chosen.iter().any(|name| *name == container.name))
        .map(|(place, _)| place)
        .collect()
}

fn read_ports(
    place: Place,
    container: &Container<'_>,
    host_network: bool,
    sheet: &mut Sheet,
) -> Vec<AnchorPort> {
    let mut ports = Vec::new();
    for (i, port) in container.ports.iter().flatten().enumerate() {
        let field = |sheet: &Sheet| sheet.container_field(place, &format!("ports[{i}]"));
        // On a hostNetwork pod the API server fills hostPort in by itself.
        if port.host_port.is_some_and(|host| host != 0) && !host_network {
            sheet.warn(
                &format!("{}.hostPort", field(sheet)),
                "dropped: the program gets an IP of its own, that of its anchor",
            );
        }
        match anchor_port(port) {
            Ok(port) => ports.push(port),
            Err((name, value, text)) => {
                sheet.refuse(
                    Reason::Malformed,
                    format!("{}.{name}", field(sheet)),
                    value,
                    text,
                );
            }
        }
    }
    ports
}

fn anchor_port(port: &Port<'_>) -> Result<AnchorPort, (&'static str, String, &'static str)> {
    let number = u16::try_from(port.number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or((
            "containerPort",
            port.number.to_string(),
            "expected a port from 1 to 65535",
        ))?;
    let protocol = match port.protocol.as_deref() {
        None | Some("" | "TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        Some(other) => return Err(("protocol", other.to_owned(), "expected TCP, UDP or SCTP")),
    };
    let name = port
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    Ok(AnchorPort {
        name,
        port: number,
        protocol,
    })
}

/// Warns of hooks that would reach the node instead of the program.
pub(super) fn warn_of_hooks(place: Place, container: &Container<'_>, sheet: &mut Sheet) {
    let Some(lifecycle) = &container.lifecycle else {
        return;
    };
    let hooks = [
        ("postStart", &lifecycle.post_start),
        ("preStop", &lifecycle.pre_stop),
    ];
    for (name, hook) in hooks {
        let to_the_pod = match hook {
            Some(Handler::Http(http)) => http.host.is_none(),
            Some(Handler::Tcp { host, .. }) => host.is_none(),
            _ => false,
        };
        if to_the_pod {
            let field = sheet.container_field(place, &format!("lifecycle.{name}"));
            sheet.warn(
                &field,
                "the kubelet sends it to the HostProcess pod's IP, which is the node's; the \
                 program listens on its anchor's",
            );
        }
    }
}
