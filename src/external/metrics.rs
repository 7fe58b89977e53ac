//! What is counted of external Services, for Prometheus. Labels come from closed sets only.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::probe::Outcome;
use crate::admission::metrics::{self as server, register};
use crate::closed_set::closed_set;

closed_set! {
    /// How an external Service stands.
    State {
        /// At least one address is ready.
        Ready = "ready",
        /// None is.
        Down = "down",
        /// It asks for what cannot be, so nothing of it is published.
        Refused = "refused",
    }
}

closed_set! {
    /// How a published address stands.
    Standing {
        /// Its probe passes.
        Ready = "ready",
        /// It does not, or its node is not ready.
        NotReady = "not-ready",
        /// It must not be published.
        Refused = "refused",
    }
}

/// All counters of external Services.
#[derive(Debug)]
pub struct Metrics {
    services: Vec<IntGauge>,
    endpoints: Vec<IntGauge>,
    probes: Vec<IntCounter>,
    /// How long attempts take, in seconds.
    pub probe_seconds: Histogram,
    /// How much later than planned attempts begin, in seconds.
    pub probe_lag: Histogram,
    /// Attempts that are under way: each has one socket.
    pub in_flight: IntGauge,
    /// Times that an address became ready or ceased to be.
    pub turns: IntCounter,
    /// Errors of the watches, each followed by a retry.
    pub watch_errors: IntCounter,
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> Result<Histogram, prometheus::Error> {
    let one = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
    register(registry, &one);
    Ok(one)
}

impl Metrics {
    /// All at zero, exported with the server's.
    ///
    /// # Errors
    /// If a name or label here were not one of Prometheus's.
    pub fn new(server: &server::Metrics) -> Result<Self, prometheus::Error> {
        let registry = server.registry();
        let gauges = |name: &str, help: &str, label: &str| {
            let all = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            register(registry, &all);
            Ok::<_, prometheus::Error>(all)
        };
        let services = gauges(
            "native_host_external_services",
            "External Services, by how they stand; of the leader only.",
            "state",
        )?;
        let endpoints = gauges(
            "native_host_external_endpoints",
            "Addresses of external Services, by how they stand; of the leader only.",
            "state",
        )?;
        let probes = IntCounterVec::new(
            Opts::new(
                "native_host_external_probes_total",
                "Probes of external addresses, by outcome.",
            ),
            &["outcome"],
        )?;
        register(registry, &probes);
        let in_flight = IntGauge::new(
            "native_host_external_probes_in_flight",
            "Probes of external addresses that are under way.",
        )?;
        register(registry, &in_flight);
        let counter = |name: &str, help: &str| {
            let one = IntCounter::new(name, help)?;
            register(registry, &one);
            Ok::<_, prometheus::Error>(one)
        };
        Ok(Metrics {
            services: State::ALL
                .iter()
                .map(|state| services.with_label_values(&[state.as_str()]))
                .collect(),
            endpoints: Standing::ALL
                .iter()
                .map(|state| endpoints.with_label_values(&[state.as_str()]))
                .collect(),
            probes: Outcome::ALL
                .iter()
                .map(|outcome| probes.with_label_values(&[outcome.as_str()]))
                .collect(),
            probe_seconds: histogram(
                registry,
                "native_host_external_probe_seconds",
                "How long probes of external addresses take.",
                &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0],
            )?,
            probe_lag: histogram(
                registry,
                "native_host_external_probe_lag_seconds",
                "How much later than planned probes of external addresses begin.",
                &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0],
            )?,
            in_flight,
            turns: counter(
                "native_host_external_turns_total",
                "Times that an external address became ready or ceased to be.",
            )?,
            watch_errors: counter(
                "native_host_external_watch_errors_total",
                "Errors of the watches for external Services, each followed by a retry.",
            )?,
        })
    }

    /// Counts an attempt.
    pub fn probed(&self, outcome: Outcome) {
        self.probes[outcome as usize].inc();
    }

    /// Moves a Service's share of the gauges from what it was.
    pub fn moved(&self, from: &Share, to: &Share) {
        for (share, sign) in [(from, -1), (to, 1)] {
            if let Some(state) = share.state {
                self.services[state as usize].add(sign);
            }
            for (gauge, count) in self.endpoints.iter().zip(share.endpoints) {
                gauge.add(sign * count);
            }
        }
    }
}

/// What one Service adds to the gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How it stands; `None`: it counts nowhere.
    pub state: Option<State>,
    /// How many of its addresses stand how, in the order of [`Standing::ALL`].
    pub endpoints: [i64; 3],
}
