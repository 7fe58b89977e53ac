//! Liveness and startup probes as the kubelet would make them, had it a way into the compartment.
//!
//! - [`attempt`]: one attempt, HTTP, HTTPS or TCP (`pkg/probe/http`, `pkg/probe/tcp` of Kubernetes 1.36).
//! - [`Schedule`]: when attempts are due and what follows from them (`pkg/kubelet/prober/worker.go`), without a clock.
//! - [`watch`](fn@watch): both together, on one thread.
//! - [`outside`]: the `probe` command, one attempt from a process of its own.
//! - [`Tls`]: what HTTPS needs from outside; on Windows that is schannel.
//!
//! All of an attempt happens on the calling thread, names are never looked up and nothing but the given IP is
//! connected to: a thread that is in the compartment probes there, and nowhere else.
//!
//! All of it is held against the kubelet's own code (`fixtures`, `hack/update-probes`).
//!
//! Differences to the kubelet, all deliberate: HTTPS is HTTP/1.1 and never HTTP/2; `User-Agent` has the launcher's
//! version after `kube-probe/`, since the cluster's is not known here; an attempt that ends without a result is
//! made three times, as there, but no Event tells of it.

mod connection;
mod http;
pub mod outside;
mod request;
mod response;
mod schedule;
mod url;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub use connection::{Connection, Timed, Tls};
pub use schedule::{Due, Failed, Schedule, Verdict, Which};
pub use watch::{Clock, watch};

use crate::probe::Action;
use connection::words;

/// How often an attempt without a result is made (`maxProbeRetries`, pkg/kubelet/prober/prober.go).
const MOST_TRIES: u32 = 3;

/// What an attempt led to, in the kubelet's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The program is well.
    Success,
    /// Counts as success: a redirect that is not followed. The text says to where.
    Warning(String),
    /// The program is not well, for this reason.
    Failure(String),
    /// No result, for this reason: a body that breaks off, or that is not complete in time. The kubelet throws
    /// such an attempt away, so that it counts for nothing.
    Unknown(String),
}

impl Outcome {
    /// Why, where there is something to say.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Success => None,
            Self::Warning(why) | Self::Failure(why) | Self::Unknown(why) => Some(why),
        }
    }
}

/// Makes one attempt at `ip`, within `timeout` from its first connection to its last byte.
pub fn attempt(action: &Action, ip: IpAddr, timeout: Duration, tls: &dyn Tls) -> Outcome {
    let deadline = Instant::now() + timeout;
    match action {
        Action::Tcp { port } => {
            let to = SocketAddr::new(ip, *port);
            match Timed::connect(to, deadline) {
                Ok(_) => Outcome::Success,
                Err(error) => {
                    Outcome::Failure(format!("TCP connection to {to}: {}", words(&error)))
                }
            }
        }
        Action::Http {
            port,
            path,
            https,
            headers,
        } => {
            let get = http::Get {
                ip,
                port: *port,
                path,
                https: *https,
                headers,
            };
            get.attempt(deadline, tls)
        }
    }
}

/// As [`attempt`], and again at once where there was no result, each time with the whole time-out.
pub fn attempt_with_retries(
    action: &Action,
    ip: IpAddr,
    timeout: Duration,
    tls: &dyn Tls,
) -> Outcome {
    let mut tries = 1;
    loop {
        match attempt(action, ip, timeout, tls) {
            Outcome::Unknown(_) if tries < MOST_TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod kubelet_tests;
