//! What the server counts, for Prometheus.
//!
//! Labels come from closed enums only, so no user's input ever makes a series. Each handle is
//! looked up once, here; a review costs a few atomic additions.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::review::Door;
use crate::closed_set::closed_set;
use crate::plan::reason::{Outcome, Reason};

closed_set! {
    /// Why a request got no review.
    Refused {
        /// No such path.
        Path = "path",
        /// Not a POST.
        Method = "method",
        /// The body is larger than the limit.
        BodySize = "body-size",
        /// The body took too long.
        BodyTimeout = "body-timeout",
        /// The body ended before its length.
        BodyAborted = "body-aborted",
        /// Too many reviews at a time.
        InFlight = "in-flight",
        /// The big bodies' budget stayed full.
        BodyBudget = "body-budget",
        /// A handler panicked.
        Panic = "panic",
    }
}

closed_set! {
    /// Why a connection ended.
    Closed {
        /// The client closed, or asked for it.
        Client = "client",
        /// TLS could not be agreed on.
        Handshake = "handshake",
        /// The handshake took too long.
        HandshakeTimeout = "handshake-timeout",
        /// A request's header took too long.
        HeaderTimeout = "header-timeout",
        /// The client did not read its answer.
        WriteTimeout = "write-timeout",
        /// No request came.
        IdleTimeout = "idle-timeout",
        /// It gave way to another at the cap.
        Cap = "cap",
        /// The server is going down.
        Drain = "drain",
        /// Malformed HTTP, or the network.
        Error = "error",
    }
}

closed_set! {
    /// Which listener.
    Port {
        /// Reviews, over TLS.
        Https = "https",
        /// Probes and metrics.
        Http = "http",
    }
}

closed_set! {
    /// Whether something worked.
    Success {
        /// It did.
        Ok = "ok",
        /// It did not.
        Failed = "failed",
    }
}

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Vec<IntCounter>,
    reasons: Vec<IntCounter>,
    durations: Vec<Histogram>,
    refused: Vec<IntCounter>,
    closed: Vec<IntCounter>,
    accepted: Vec<IntCounter>,
    reloads: Vec<IntCounter>,
    client_ca_reloads: Vec<IntCounter>,
    lookups: Vec<IntCounter>,
    connections: Vec<IntGauge>,
    /// Reviews being read or answered.
    pub in_flight: IntGauge,
    /// Bytes of request bodies.
    pub bytes_in: IntCounter,
    /// Bytes of answers.
    pub bytes_out: IntCounter,
    /// Handlers that panicked.
    pub panics: IntCounter,
    /// When the serving certificate ends, in seconds since 1970.
    pub certificate_not_after: Gauge,
    /// Namespaces whose policy is known.
    pub namespaces: IntGauge,
    /// Those among them whose policy is invalid.
    pub namespaces_invalid: IntGauge,
    /// Errors of the namespaces watch, each followed by a retry.
    pub watch_errors: IntCounter,
    /// 1 while `/readyz` says so.
    pub ready: IntGauge,
}

/// A fresh registry has no duplicate, and the names are literals that the tests check: an error
/// of `prometheus` here cannot happen, and a counter that is not exported is its harmless form.
pub(crate) fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: &C) {
    let registered = registry.register(Box::new(collector.clone()));
    debug_assert!(registered.is_ok(), "{registered:?}");
}

impl Metrics {
    /// All counters at zero.
    ///
    /// # Errors
    /// If a name or label here were not one of Prometheus's.
    #[allow(clippy::too_many_lines, reason = "a list")]
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            register(&registry, &vec);
            Ok::<_, prometheus::Error>(vec)
        };
        let counter = |name: &str, help: &str| {
            let one = IntCounter::new(name, help)?;
            register(&registry, &one);
            Ok::<_, prometheus::Error>(one)
        };
        let gauge = |name: &str, help: &str| {
            let one = IntGauge::new(name, help)?;
            register(&registry, &one);
            Ok::<_, prometheus::Error>(one)
        };

        let reviews = counters(
            "native_host_reviews_total",
            "Admission reviews, by endpoint and outcome.",
            &["door", "outcome"],
        )?;
        let reasons = counters(
            "native_host_review_reasons_total",
            "Admission reviews, by endpoint and the rule that decided.",
            &["door", "reason"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "native_host_review_duration_seconds",
                "From a review's last byte to its answer.",
            )
            .buckets(vec![
                0.00001, 0.000_025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                0.05, 0.25, 1.0, 5.0,
            ]),
            &["door"],
        )?;
        register(&registry, &durations);
        let refused = counters(
            "native_host_requests_refused_total",
            "Requests that got no review.",
            &["reason"],
        )?;
        let closed = counters(
            "native_host_connections_closed_total",
            "Connections that ended, by cause.",
            &["cause"],
        )?;
        let accepted = counters(
            "native_host_connections_accepted_total",
            "Connections accepted.",
            &["port"],
        )?;
        let reloads = counters(
            "native_host_certificate_reloads_total",
            "Certificates loaded after the first one; failed: a bad pair, kept out.",
            &["result"],
        )?;
        let client_ca_reloads = counters(
            "native_host_client_ca_reloads_total",
            "CAs of clients (--client-ca) loaded after the first one; failed: a bad one, kept out.",
            &["result"],
        )?;
        let lookups = counters(
            "native_host_namespace_lookups_total",
            "Namespaces asked of the API server because the watch had not seen them.",
            &["result"],
        )?;
        let connections = IntGaugeVec::new(
            Opts::new("native_host_connections", "Open connections."),
            &["port"],
        )?;
        register(&registry, &connections);
        let certificate_not_after = Gauge::new(
            "native_host_certificate_not_after_timestamp_seconds",
            "When the serving certificate ends.",
        )?;
        register(&registry, &certificate_not_after);
        let build = IntGaugeVec::new(
            Opts::new("native_host_build_info", "1, with the version."),
            &["version"],
        )?;
        register(&registry, &build);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);

        let per = |vec: &IntCounterVec, texts: &mut dyn Iterator<Item = &'static str>| {
            texts.map(|t| vec.with_label_values(&[t])).collect()
        };
        Ok(Metrics {
            reviews: Door::ALL
                .iter()
                .flat_map(|door| {
                    Outcome::ALL
                        .iter()
                        .map(move |o| (door.as_str(), o.as_str()))
                })
                .map(|(door, outcome)| reviews.with_label_values(&[door, outcome]))
                .collect(),
            reasons: Door::ALL
                .iter()
                .flat_map(|door| Reason::ALL.iter().map(move |r| (door.as_str(), r.as_str())))
                .map(|(door, reason)| reasons.with_label_values(&[door, reason]))
                .collect(),
            durations: Door::ALL
                .iter()
                .map(|door| durations.with_label_values(&[door.as_str()]))
                .collect(),
            refused: per(&refused, &mut Refused::ALL.iter().map(|r| r.as_str())),
            closed: per(&closed, &mut Closed::ALL.iter().map(|c| c.as_str())),
            accepted: per(&accepted, &mut Port::ALL.iter().map(|p| p.as_str())),
            reloads: per(&reloads, &mut Success::ALL.iter().map(|s| s.as_str())),
            client_ca_reloads: per(
                &client_ca_reloads,
                &mut Success::ALL.iter().map(|s| s.as_str()),
            ),
            lookups: per(&lookups, &mut Success::ALL.iter().map(|s| s.as_str())),
            connections: Port::ALL
                .iter()
                .map(|p| connections.with_label_values(&[p.as_str()]))
                .collect(),
            in_flight: gauge(
                "native_host_reviews_in_flight",
                "Reviews being read or answered.",
            )?,
            bytes_in: counter(
                "native_host_request_body_bytes_total",
                "Bytes of request bodies.",
            )?,
            bytes_out: counter("native_host_response_body_bytes_total", "Bytes of answers.")?,
            panics: counter("native_host_panics_total", "Reviews that panicked.")?,
            certificate_not_after,
            namespaces: gauge(
                "native_host_namespaces",
                "Namespaces whose policy is known.",
            )?,
            namespaces_invalid: gauge(
                "native_host_namespaces_with_invalid_policy",
                "Namespaces whose policy annotations are invalid.",
            )?,
            watch_errors: counter(
                "native_host_namespace_watch_errors_total",
                "Errors of the namespaces watch, each followed by a retry.",
            )?,
            ready: gauge("native_host_ready", "1 while /readyz says so.")?,
            registry,
        })
    }

    /// Counts one answered review.
    pub(crate) fn review(&self, door: Door, outcome: Outcome, reason: Reason, seconds: f64) {
        let door = door as usize;
        self.reviews[door * Outcome::ALL.len() + outcome as usize].inc();
        self.reasons[door * Reason::ALL.len() + reason as usize].inc();
        self.durations[door].observe(seconds);
    }

    /// Counts a request that got no review.
    pub(crate) fn refused(&self, why: Refused) {
        self.refused[why as usize].inc();
    }

    /// Counts a connection in; the answer to [`Metrics::closed`].
    pub(crate) fn accepted(&self, port: Port) {
        self.accepted[port as usize].inc();
        self.connections[port as usize].inc();
    }

    /// Counts a connection out.
    pub(crate) fn closed(&self, port: Port, why: Closed) {
        self.closed[why as usize].inc();
        self.connections[port as usize].dec();
    }

    /// Counts a certificate that was, or could not be, taken in place of another.
    pub(crate) fn reloaded(&self, success: Success) {
        self.reloads[success as usize].inc();
    }

    /// Counts a CA of clients that was, or could not be, taken in place of another.
    pub(crate) fn client_ca_reloaded(&self, success: Success) {
        self.client_ca_reloads[success as usize].inc();
    }

    /// Counts a namespace asked of the API server.
    pub(crate) fn looked_up(&self, success: Success) {
        self.lookups[success as usize].inc();
    }

    /// Where other parts of the program register theirs.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The text that `/metrics` answers.
    ///
    /// # Errors
    /// If the encoder cannot write into a string.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start() {
        let text = Metrics::new().unwrap().text().unwrap();
        for door in Door::ALL {
            let door = door.as_str();
            for outcome in Outcome::ALL {
                let line =
                    format!("native_host_reviews_total{{door=\"{door}\",outcome=\"{outcome}\"}} 0");
                assert!(text.contains(&line), "{line}");
            }
        }
        assert!(text.contains("native_host_build_info{version=\""));
        assert!(text.contains("native_host_namespace_watch_errors_total 0"));
    }

    #[test]
    fn doors_are_in_the_order_of_their_discriminants() {
        for (index, door) in Door::ALL.iter().enumerate() {
            assert_eq!(*door as usize, index);
        }
    }

    #[test]
    fn a_review_counts_once_under_its_own_labels() {
        let metrics = Metrics::new().unwrap();
        metrics.review(Door::Validate, Outcome::Rejected, Reason::User, 0.000_02);
        let text = metrics.text().unwrap();
        for line in [
            "native_host_reviews_total{door=\"validate\",outcome=\"rejected\"} 1",
            "native_host_reviews_total{door=\"mutate\",outcome=\"rejected\"} 0",
            "native_host_review_reasons_total{door=\"validate\",reason=\"user\"} 1",
            "native_host_review_duration_seconds_count{door=\"validate\"} 1",
            "native_host_review_duration_seconds_bucket{door=\"validate\",le=\"0.00001\"} 0",
            "native_host_review_duration_seconds_bucket{door=\"validate\",le=\"0.000025\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
