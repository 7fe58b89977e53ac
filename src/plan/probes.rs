//! Probes: readiness moves to the anchor, where the kubelet makes it natively; liveness and
//! startup must restart the program, so they move into the launcher, or become exec probes
//! under plain cplauncher. Exec probes stay what they are.

use super::anchor_spec::{AnchorPort, ReadinessCheck, ReadinessProbe, Timing};
use super::asked::{Asked, Which};
use super::container::Container;
use super::handler::{Handler, HttpGet, PortRef, Probe};
use super::pod::Place;
use super::reason::Reason;
use super::sheet::Sheet;
use super::wrap::Wrapping;
use native_host_launcher::{Action, Command, Probe as LauncherProbe, ProbeCommand};
use serde_json::{Value, json};
use std::borrow::Cow;

/// Under plain cplauncher each probe costs a process on the node, and hcsshim keeps some memory
/// for each exec until the container ends (`pollJobMsgs`, internal/jobcontainers): the default
/// period is stretched to this.
const EXEC_PERIOD: u32 = 30;
/// A process start on a busy Windows node takes its time: no exec probe has less.
const EXEC_TIMEOUT: u32 = 5;
/// A problem with one field of a probe.
type Fault = (&'static str, Option<String>, String);

/// The readiness probe that moves to the anchor, if there is one that can.
pub(super) fn readiness(
    place: Place,
    container: &Container<'_>,
    ports: &[AnchorPort],
    sheet: &mut Sheet,
) -> Option<ReadinessProbe> {
    let probe = container.readiness.as_ref()?;
    let read = || -> Result<Option<ReadinessProbe>, Fault> {
        let check = match &probe.handler {
            Handler::Exec(_) => return Ok(None),
            Handler::Grpc { port, service } => ReadinessCheck::Grpc {
                port: number(*port).ok_or_else(|| bad_port("grpc.port", *port))?,
                service: service
                    .as_deref()
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned),
            },
            handler => match action(handler, ports)? {
                Action::Http {
                    port,
                    path,
                    https,
                    headers,
                } => ReadinessCheck::HttpGet {
                    port,
                    path,
                    https,
                    headers,
                },
                Action::Tcp { port } => ReadinessCheck::TcpSocket { port },
            },
        };
        Ok(Some(ReadinessProbe {
            check,
            timing: timing(probe)?,
        }))
    };
    report(read(), place, "readinessProbe", sheet)
}

/// The liveness or startup probe as the launcher makes it, if there is one that can move.
pub(super) fn in_launcher(
    place: Place,
    container: &Container<'_>,
    which: Which,
    ports: &[AnchorPort],
    sheet: &mut Sheet,
) -> Option<LauncherProbe> {
    let probe = which.of(container)?;
    let read = || -> Result<Option<LauncherProbe>, Fault> {
        let action = match &probe.handler {
            Handler::Exec(_) => return Ok(None),
            Handler::Grpc { .. } => {
                return Err((
                    "grpc",
                    None,
                    "the launcher cannot make gRPC probes, and the kubelet cannot reach the \
                     program from this pod; use httpGet or tcpSocket here (readinessProbe may be \
                     gRPC: it moves to the anchor)"
                        .to_owned(),
                ));
            }
            handler => action(handler, ports)?,
        };
        let timing = timing(probe)?;
        if timing.success != 1 {
            let text = "must be 1 for liveness and startup probes".to_owned();
            return Err(("successThreshold", Some(timing.success.to_string()), text));
        }
        Ok(Some(with_timing(action, timing, grace(probe)?)))
    };
    report(read(), place, which.field(), sheet)
}

fn report<T>(
    read: Result<Option<T>, Fault>,
    place: Place,
    probe: &str,
    sheet: &mut Sheet,
) -> Option<T> {
    read.unwrap_or_else(|(name, value, text)| {
        let field = sheet.container_field(place, &format!("{probe}.{name}"));
        sheet.refuse(Reason::Probe, field, value, text);
        None
    })
}

pub(super) fn with_timing(action: Action, timing: Timing, grace: Option<u32>) -> LauncherProbe {
    LauncherProbe {
        action,
        initial_delay: timing.initial_delay,
        period: timing.period,
        timeout: timing.timeout,
        failure_threshold: timing.failure,
        success_threshold: timing.success,
        grace,
    }
}

/// An HTTP or TCP check, its named port resolved.
fn action(handler: &Handler<'_>, ports: &[AnchorPort]) -> Result<Action, Fault> {
    match handler {
        Handler::Http(http) => http_action(http, ports),
        Handler::Tcp { port, host } => {
            no_host("tcpSocket.host", host.as_deref())?;
            Ok(Action::Tcp {
                port: resolve("tcpSocket.port", port, ports)?,
            })
        }
        _ => Err((
            "exec",
            None,
            "expected one of httpGet, tcpSocket, grpc or exec; a probe of a newer kind is not \
             known here"
                .to_owned(),
        )),
    }
}

fn http_action(http: &HttpGet<'_>, ports: &[AnchorPort]) -> Result<Action, Fault> {
    no_host("httpGet.host", http.host.as_deref())?;
    let https = match http.scheme.as_deref() {
        None | Some("" | "HTTP") => false,
        Some("HTTPS") => true,
        Some(other) => {
            let text = "expected HTTP or HTTPS".to_owned();
            return Err(("httpGet.scheme", Some(other.to_owned()), text));
        }
    };
    // IsHTTPHeaderName, k8s.io/apimachinery/pkg/util/validation.
    let is_name = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+.^_`|~-".contains(c);
    for (name, _) in &http.headers {
        if name.is_empty() || !name.chars().all(is_name) {
            let text = "expected the name of an HTTP header".to_owned();
            return Err(("httpGet.httpHeaders", Some(name.clone().into_owned()), text));
        }
    }
    Ok(Action::Http {
        port: resolve("httpGet.port", &http.port, ports)?,
        path: http
            .path
            .as_deref()
            .filter(|path| !path.is_empty())
            .unwrap_or("/")
            .to_owned(),
        https,
        headers: http
            .headers
            .iter()
            .map(|(name, value)| (name.clone().into_owned(), value.clone().into_owned()))
            .collect(),
    })
}

fn no_host(field: &'static str, host: Option<&str>) -> Result<(), Fault> {
    match host.filter(|host| !host.is_empty()) {
        None => Ok(()),
        Some(host) => Err((
            field,
            Some(host.to_owned()),
            "the probe goes to the program on its anchor's IP, which is known only later; remove \
             host (for a Host header use httpHeaders)"
                .to_owned(),
        )),
    }
}

fn number(port: i64) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port > 0)
}

fn bad_port(field: &'static str, port: i64) -> Fault {
    (
        field,
        Some(port.to_string()),
        "expected a port from 1 to 65535".to_owned(),
    )
}

fn resolve(field: &'static str, port: &PortRef<'_>, ports: &[AnchorPort]) -> Result<u16, Fault> {
    match port {
        PortRef::Number(port) => number(*port).ok_or_else(|| bad_port(field, *port)),
        PortRef::Name(name) => {
            let named = |port: &&AnchorPort| port.name.as_deref() == Some(name.as_ref());
            ports
                .iter()
                .find(named)
                .map(|port| port.port)
                .ok_or_else(|| {
                    let known: Vec<_> = ports
                        .iter()
                        .filter_map(|port| port.name.as_deref())
                        .collect();
                    let known = if known.is_empty() {
                        "it names no port".to_owned()
                    } else {
                        format!("it has {}", known.join(", "))
                    };
                    let text = format!("the container has no port of this name; {known}");
                    (field, Some(name.clone().into_owned()), text)
                })
        }
    }
}

/// The probe's numbers; zero and nothing mean the API server's defaults, as there.
fn timing(probe: &Probe<'_>) -> Result<Timing, Fault> {
    let or = |field: &'static str, given: Option<i64>, default: u32| match given {
        None | Some(0) => Ok(default),
        Some(seconds) => whole(field, seconds),
    };
    let defaults = Timing::default();
    Ok(Timing {
        initial_delay: or(
            "initialDelaySeconds",
            probe.initial_delay,
            defaults.initial_delay,
        )?,
        period: or("periodSeconds", probe.period, defaults.period)?,
        timeout: or("timeoutSeconds", probe.timeout, defaults.timeout)?,
        success: or("successThreshold", probe.success, defaults.success)?,
        failure: or("failureThreshold", probe.failure, defaults.failure)?,
    })
}

fn whole(field: &'static str, number: i64) -> Result<u32, Fault> {
    u32::try_from(number)
        .ok()
        .filter(|number| i32::try_from(*number).is_ok())
        .ok_or_else(|| {
            (
                field,
                Some(number.to_string()),
                "expected a whole number, 0 or more".to_owned(),
            )
        })
}

fn grace(probe: &Probe<'_>) -> Result<Option<u32>, Fault> {
    probe
        .grace
        .map(|seconds| whole("terminationGracePeriodSeconds", seconds))
        .transpose()
}

/// What stays of the container's probes, by patch.
pub(super) fn write(
    container: &Container<'_>,
    asked: &Asked<'_>,
    wrapping: &Wrapping<'_>,
    sheet: &mut Sheet,
) {
    let place = asked.place;
    let stays = |probe: Option<&Probe<'_>>| {
        probe.is_none_or(|probe| matches!(probe.handler, Handler::Exec(_)))
    };
    if !stays(container.readiness.as_ref()) {
        sheet.remove_in(place, "/readinessProbe");
    }
    let moved = [
        (Which::Liveness, &asked.liveness),
        (Which::Startup, &asked.startup),
    ];
    for (which, moved) in moved {
        let present = which.of(container);
        let field = which.field();
        match moved.as_ref().filter(|_| !wrapping.probes_itself()) {
            Some(probe) if present.is_some_and(|present| is_exec_of(present, probe, wrapping)) => {}
            Some(probe) => {
                let value = exec_probe(probe, wrapping).to_string();
                sheet.add_in(place, &format!("/{field}"), &value);
            }
            None if !stays(present) => sheet.remove_in(place, &format!("/{field}")),
            None => {}
        }
    }
}

/// The numbers of a probe that became an exec probe. A period of 10 is the API server's
/// default, so it cannot be told from one that the author insists on.
fn exec_timing(probe: &LauncherProbe) -> Timing {
    let Timing {
        period: default, ..
    } = Timing::default();
    Timing {
        initial_delay: probe.initial_delay,
        period: if probe.period == default {
            EXEC_PERIOD
        } else {
            probe.period
        },
        timeout: probe.timeout.max(EXEC_TIMEOUT),
        success: probe.success_threshold,
        failure: probe.failure_threshold,
    }
}

/// The exec probe's command: its own timeout ends before the kubelet's, so that the kubelet sees
/// a result and not a kill.
fn exec_command(probe: &LauncherProbe, wrapping: &Wrapping<'_>) -> Vec<String> {
    let command = ProbeCommand {
        action: probe.action.clone(),
        timeout_seconds: exec_timing(probe).timeout - 1,
    };
    std::iter::once(wrapping.tool().to_owned())
        .chain(command.to_args())
        .collect()
}

fn exec_probe(probe: &LauncherProbe, wrapping: &Wrapping<'_>) -> Value {
    let timing = exec_timing(probe);
    let mut value = json!({
        "exec": { "command": exec_command(probe, wrapping) },
        "initialDelaySeconds": timing.initial_delay,
        "periodSeconds": timing.period,
        "timeoutSeconds": timing.timeout,
        "successThreshold": timing.success,
        "failureThreshold": timing.failure,
    });
    if let Some(grace) = probe.grace {
        value["terminationGracePeriodSeconds"] = grace.into();
    }
    value
}

fn is_exec_of(present: &Probe<'_>, probe: &LauncherProbe, wrapping: &Wrapping<'_>) -> bool {
    let Handler::Exec(command) = &present.handler else {
        return false;
    };
    command
        .iter()
        .map(Cow::as_ref)
        .eq(exec_command(probe, wrapping))
        && timing(present).is_ok_and(|timing| timing == exec_timing(probe))
        && grace(present).is_ok_and(|grace| grace == probe.grace)
}

/// The probe that an exec probe of ours was made of; `None` if it is somebody else's.
pub(super) fn of_exec(present: &Probe<'_>, wrapping: &Wrapping<'_>) -> Option<LauncherProbe> {
    let Handler::Exec(command) = &present.handler else {
        return None;
    };
    let (tool, args) = command.split_first()?;
    if wrapping.probes_itself() || *tool != wrapping.tool() {
        return None;
    }
    let args: Vec<_> = args.iter().map(|arg| arg.clone().into_owned()).collect();
    let Ok(Command::Probe(command)) = Command::parse(&args) else {
        return None;
    };
    Some(with_timing(
        command.action,
        timing(present).ok()?,
        grace(present).ok()?,
    ))
}
