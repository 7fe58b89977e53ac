//! The flags of `native-host serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Args};

use super::controller::ControllerArgs;
use super::external_args::ExternalArgs;
use super::logging::LogFormat;
use crate::admission::limits::Limits;
use crate::admission::server::{Config, Shutdown};

/// Answers admission reviews over HTTPS, and keeps pairs whole, until it is told to stop.
///
/// In a cluster: `native-host serve --cert-dir /certs`. To try it out, without a cluster:
/// `native-host serve --no-cluster --policies namespaces.yaml --self-signed`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("certificate").args(["cert_dir", "self_signed"]))]
pub struct ServeArgs {
    /// Whether this instance answers admission reviews.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = PARTS)]
    pub webhook: bool,
    /// Whether this instance takes part in keeping pairs whole; one of all instances leads, by a Lease.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = PARTS)]
    pub controller: bool,

    /// Address for admission reviews (HTTPS); port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8443", help_heading = LISTENING)]
    pub listen: SocketAddr,
    /// Address for /healthz, /readyz and /metrics (HTTP).
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080", help_heading = LISTENING)]
    pub http_listen: SocketAddr,
    /// Threads that answer. One is enough for tens of thousands of reviews a second.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64), help_heading = LISTENING)]
    pub threads: u8,

    /// Folder with tls.crt and tls.key, as a mounted Secret of type kubernetes.io/tls; read again when it changes.
    #[arg(long, value_name = "DIR", help_heading = CERTIFICATE)]
    pub cert_dir: Option<PathBuf>,
    /// Make a CA and a serving certificate in memory: for a try-out.
    #[arg(long, help_heading = CERTIFICATE)]
    pub self_signed: bool,
    /// Folder to write the self-signed ca.crt, tls.crt and tls.key to; ca.crt makes the webhooks' caBundle.
    #[arg(long, value_name = "DIR", requires = "self_signed", help_heading = CERTIFICATE)]
    pub self_signed_dir: Option<PathBuf>,
    /// Secret in the program's own namespace to keep the self-signed CA in, for all replicas; its certificate is then put
    /// into the webhook configurations' caBundle too.
    #[arg(long, value_name = "NAME", requires = "self_signed", conflicts_with = "no_cluster", help_heading = CERTIFICATE)]
    pub self_signed_secret: Option<String>,
    /// DNS name or IP address in the self-signed certificate; may be repeated.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "self_signed", help_heading = CERTIFICATE,
        default_values = ["localhost", "127.0.0.1", "::1"])]
    pub self_signed_name: Vec<String>,
    /// PEM file of a CA: only clients with a certificate of it are answered; read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = CERTIFICATE)]
    pub client_ca: Option<PathBuf>,
    /// Common name or DNS name that a client's certificate must carry; may be repeated.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "client_ca", help_heading = CERTIFICATE)]
    pub client_name: Vec<String>,

    /// Don't talk to an API server: policies come from --policies and the flags.
    #[arg(long, help_heading = POLICIES)]
    pub no_cluster: bool,
    /// YAML file of Namespace manifests to take policies from; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "no_cluster", help_heading = POLICIES)]
    pub policies: Option<PathBuf>,
    /// Kubeconfig to reach the API server by; by default $KUBECONFIG, ~/.kube/config, then the pod's ServiceAccount.
    #[arg(long, value_name = "FILE", conflicts_with = "no_cluster", help_heading = POLICIES)]
    pub kubeconfig: Option<PathBuf>,

    /// How the controller works.
    #[command(flatten)]
    pub anchors: ControllerArgs,

    /// What external Services may point at, and how they are probed.
    #[command(flatten)]
    pub external: ExternalArgs,

    /// Largest request body, in bytes; beyond it 413.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body, help_heading = LIMITS)]
    pub max_body_bytes: usize,
    /// Memory that all bodies above 64 KiB share, in bytes; who finds it full waits.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_budget, help_heading = LIMITS)]
    pub body_budget_bytes: usize,
    /// Connections at a time; beyond, the one that was idle longest gives way.
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections as u32, value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS)]
    pub max_connections: u32,
    /// Reviews at a time; beyond, 429 with Retry-After, which API servers heed.
    #[arg(long, value_name = "N", default_value_t = Limits::default().in_flight as u32, value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS)]
    pub max_in_flight: u32,
    /// Time for a TLS handshake.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, help_heading = LIMITS)]
    pub handshake_timeout: Duration,
    /// Time from a request's first byte to the end of its header.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, help_heading = LIMITS)]
    pub header_timeout: Duration,
    /// Time from the end of the header to the end of the body.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, help_heading = LIMITS)]
    pub body_timeout: Duration,
    /// Time that a connection may be without a request; longer than an API server's own 90s.
    #[arg(long, value_name = "DURATION", default_value = "180s", value_parser = duration, help_heading = LIMITS)]
    pub idle_timeout: Duration,

    /// How long to go on accepting after SIGTERM, while the Service's endpoints are updated.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, help_heading = SHUTDOWN)]
    pub shutdown_delay: Duration,
    /// How long requests may take to finish after that.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration, help_heading = SHUTDOWN)]
    pub shutdown_grace: Duration,

    /// What log lines look like.
    #[arg(long, value_enum, default_value_t, help_heading = LOG)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or targets as in info,kube=debug.
    #[arg(long, value_name = "FILTER", default_value = "info", help_heading = LOG)]
    pub log_level: String,
}

const PARTS: &str = "Parts";
const LISTENING: &str = "Listening";
const CERTIFICATE: &str = "Certificate";
const POLICIES: &str = "Policies";
const LIMITS: &str = "Limits";
const SHUTDOWN: &str = "Shutdown";
const LOG: &str = "Log";

/// `500ms`, `5s`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a number and a unit, as in 500ms, 5s or 2m, got {text:?}");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => None,
    }
    .filter(|d| *d <= Duration::from_secs(24 * 3600))
    .ok_or_else(expected)
}

impl ServeArgs {
    /// What is wrong with the flags together, where clap cannot tell.
    pub fn check(&self) -> Result<(), String> {
        if !self.webhook && !self.controller {
            return Err("--webhook=false and --controller=false leave nothing to serve".into());
        }
        if self.webhook && self.cert_dir.is_none() && !self.self_signed {
            return Err("the webhook needs a certificate: give --cert-dir <DIR> or --self-signed, or leave it out by --webhook=false".into());
        }
        if !self.webhook && self.no_cluster {
            return Err(
                "--no-cluster leaves nothing but the webhook, and --webhook=false leaves it out"
                    .into(),
            );
        }
        Ok(())
    }

    pub(super) fn config(&self) -> Config {
        let limits = Limits {
            body: self.max_body_bytes,
            body_budget: self.body_budget_bytes,
            connections: self.max_connections as usize,
            in_flight: self.max_in_flight as usize,
            handshake_timeout: self.handshake_timeout,
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            idle_timeout: self.idle_timeout,
            ..Limits::default()
        };
        Config {
            https: self.webhook.then_some(self.listen),
            http: Some(self.http_listen),
            limits,
            operations_limits: Limits::operations(),
            shutdown: Shutdown {
                delay: self.shutdown_delay,
                grace: self.shutdown_grace,
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        assert_eq!(duration("0s").unwrap(), Duration::ZERO);
        for bad in [
            "5",
            "s",
            "",
            "-1s",
            "1.5s",
            "5 s",
            "99999999999999999999s",
            "25h",
            "5d",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
