//! What the server lets a client take: bytes, time, connections.
//!
//! Every wait has an end and every buffer a bound, so that a client that misbehaves costs at
//! most what stands here. The defaults are chosen for the one client that matters, an API server.

use std::time::Duration;

/// Bodies up to this size are read at once; larger ones wait for a share of
/// [`Limits::body_budget`]. Nearly every pod is smaller, so they never wait behind a big one.
pub const SMALL_BODY: usize = 64 * 1024;

/// The bounds of one listening port.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest request body; larger ones are answered 413.
    ///
    /// An API server takes objects of up to 3 MiB (`MaxRequestBodyBytes` in
    /// `k8s.io/apiserver/pkg/server/config.go`), and a review of an update carries the old object
    /// too. The rest is for what grows when protobuf becomes JSON.
    pub body: usize,
    /// Bytes that all bodies above [`SMALL_BODY`] may hold together. Who waits is held back by
    /// TCP, with what the kernel buffers. Two of 1 MB keep a thread busy; four of them cost 1.5 MiB
    /// more of resident memory and answered no more.
    pub body_budget: usize,
    /// Connections at a time. At the cap the connection that was idle longest gives way.
    pub connections: usize,
    /// Reviews at a time; beyond, 429 with `Retry-After`.
    pub in_flight: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From a request's first byte to the end of its header.
    pub header_timeout: Duration,
    /// From the end of the header to the end of the body.
    pub body_timeout: Duration,
    /// How long an answer may wait for the client to read it.
    pub write_timeout: Duration,
    /// How long a kept-alive connection may stay without a request. It has to exceed the 90 s
    /// after which Go's HTTP client drops an idle connection (`net/http` `DefaultTransport`):
    /// the client must be the one that closes, since a POST that crosses a server's close is lost.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: 8 * 1024 * 1024,
            body_budget: 2 * 1024 * 1024,
            connections: 1024,
            in_flight: 256,
            handshake_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(180),
        }
    }
}

impl Limits {
    /// Limits of the port for probes and metrics: small questions from few clients.
    pub fn operations() -> Self {
        Limits {
            body: 0,
            connections: 64,
            idle_timeout: Duration::from_secs(120),
            ..Limits::default()
        }
    }

    /// How long a body of `length` bytes may hold its share of the budget: a second, and what
    /// 512 KiB/s need. A slower sender would keep the others waiting.
    pub(crate) fn hold(length: usize) -> Duration {
        const PER_SECOND: usize = 512 * 1024;
        Duration::from_secs(1) + Duration::from_millis((length / (PER_SECOND / 1000)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_outlasts_gos_client() {
        assert!(Limits::default().idle_timeout > Duration::from_secs(90));
    }

    #[test]
    fn hold_grows_with_length() {
        assert_eq!(Limits::hold(0), Duration::from_secs(1));
        let mebibyte = Limits::hold(1024 * 1024);
        assert!(mebibyte > Duration::from_secs(3) && mebibyte < Duration::from_millis(3200));
    }
}
