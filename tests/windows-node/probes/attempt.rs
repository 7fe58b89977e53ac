//! One probe, with the kubelet's retries and its words (`pkg/kubelet/prober/prober.go`, `pkg/probe`).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use super::{Exec, ExecError, Kind, Outcome, Target, grpc, http, seconds};
use crate::env::{fields, probe_command};

/// How often a probe is tried whose result is an error of the prober's own (`maxProbeRetries`).
const TRIES: u32 = 3;
/// The state of what is not known.
const UNKNOWN: &str = "unknown";
/// How much of a command's output is looked at (`probe/exec/exec.go`).
const OUTPUT: usize = 10 << 10;

/// What a try found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Success,
    /// A success that is worth an Event.
    Warning(String),
    Failure(String),
    /// There is no result: the state that the kubelet names all the same, and why.
    Error(&'static str, String),
}

/// Probes.
pub async fn attempt<E: Exec>(
    probe: &Probe,
    container: &Container,
    ip: &str,
    target: &Target,
    exec: &E,
) -> Found {
    let mut found = Found::Error(UNKNOWN, String::new());
    for _ in 0..TRIES {
        found = once(probe, container, ip, target, exec).await;
        if !matches!(found, Found::Error(..)) {
            break;
        }
    }
    found
}

/// What to make of it: the result, if there is one, and an Event's reason and message.
pub fn judge(kind: Kind, found: Found) -> (Option<Outcome>, Option<(&'static str, String)>) {
    match found {
        Found::Success => (Some(Outcome::Success), None),
        Found::Warning(text) => {
            let message = format!("{kind} probe warning: {text}");
            (Some(Outcome::Success), Some(("ProbeWarning", message)))
        }
        Found::Failure(text) => {
            let message = format!("{kind} probe failed: {text}");
            (Some(Outcome::Failure), Some(("Unhealthy", message)))
        }
        Found::Error(state, text) => {
            let message = format!("{kind} probe errored and resulted in {state} state: {text}");
            (None, Some(("Unhealthy", message)))
        }
    }
}

async fn once<E: Exec>(
    probe: &Probe,
    container: &Container,
    ip: &str,
    target: &Target,
    exec: &E,
) -> Found {
    let timeout = seconds(probe.timeout_seconds, 1);
    if let Some(action) = &probe.exec {
        let command = action.command.as_deref().unwrap_or_default();
        let command = probe_command(command, container);
        let words = command.join(" ");
        return match exec.exec(target, command, timeout).await {
            Ok(ran) if ran.code == 0 => Found::Success,
            Ok(ran) => {
                let output = &ran.output[..ran.output.len().min(OUTPUT)];
                Found::Failure(String::from_utf8_lossy(output).into_owned())
            }
            // `ErrCommandTimedOut` (`cri-client/pkg/remote_runtime.go`).
            Err(ExecError::TimedOut) => Found::Failure(format!(
                "command timed out: {} timed out after {}",
                fields::quote(&words),
                go(timeout)
            )),
            Err(ExecError::Failed(error)) => Found::Error(UNKNOWN, error),
        };
    }
    if let Some(action) = &probe.http_get {
        let request = match http::Get::new(action, container, ip, "probe") {
            Ok(request) => request,
            Err(error) => return Found::Error(UNKNOWN, error),
        };
        return http::probe(request, timeout).await;
    }
    if let Some(action) = &probe.tcp_socket {
        let host = action
            .host
            .as_deref()
            .filter(|host| !host.is_empty())
            .unwrap_or(ip);
        return match port(&action.port, container) {
            Ok(port) => tcp(host, port, timeout).await,
            Err(error) => Found::Error(UNKNOWN, error),
        };
    }
    if let Some(action) = &probe.grpc {
        let service = action.service.as_deref().unwrap_or_default();
        return match u16::try_from(action.port) {
            Ok(port) => grpc::probe(ip, port, service, timeout).await,
            Err(_) => Found::Error(UNKNOWN, format!("invalid port number: {}", action.port)),
        };
    }
    let Target { pod, container, .. } = target;
    Found::Error(
        UNKNOWN,
        format!("missing probe handler for {pod}:{container}"),
    )
}

/// A port by its number or name (`ResolveContainerPort`, `pkg/probe/util.go`).
pub fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            match ports.find(|port| port.name.as_ref() == Some(name)) {
                Some(port) => port.container_port,
                None => name
                    .parse()
                    .map_err(|_| format!("strconv.Atoi: parsing {name:?}: invalid syntax"))?,
            }
        }
    };
    let valid = u16::try_from(number).ok().filter(|port| *port != 0);
    valid.ok_or_else(|| format!("invalid port number: {number}"))
}

async fn tcp(host: &str, port: u16, timeout: Duration) -> Found {
    match tokio::time::timeout(timeout, dial(host, port)).await {
        Ok(Ok(_)) => Found::Success,
        Ok(Err(error)) => Found::Failure(error),
        Err(_) => Found::Failure(format!("dial tcp {}: i/o timeout", address(host, port))),
    }
}

/// Connects. The error is in the words of Go on Windows.
pub async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let connected = match host.parse() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await,
        Err(_) => TcpStream::connect((host, port)).await,
    };
    connected.map_err(|error| format!("dial tcp {}: {}", address(host, port), connectex(&error)))
}

fn connectex(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connectex: No connection could be made because the \
                                             target machine actively refused it."
            .into(),
        io::ErrorKind::NetworkUnreachable => "connectex: A socket operation was attempted to an \
                                              unreachable network."
            .into(),
        io::ErrorKind::HostUnreachable => "connectex: A socket operation was attempted to an \
                                           unreachable host."
            .into(),
        _ => error.to_string(),
    }
}

/// `net.JoinHostPort`.
pub fn address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Whole seconds as Go prints them.
pub fn go(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}
