//! What is kept of each request, and the sums.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Keeps its connection open for as long as the server does.
    Kept,
    /// Opens one for each request.
    Fresh,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The Service had no endpoint that could be used.
    NoEndpoint,
    /// No connection came about.
    Connect(String),
    /// The connection ended before the answer was whole.
    Broken(String),
    /// The answer did not come in time.
    Timeout,
    /// An answer, but another status.
    Status(u16),
    /// An answer that is not what was asked for.
    Body,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => write!(f, "no endpoint"),
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Broken(error) => write!(f, "no whole answer: {error}"),
            Self::Timeout => write!(f, "no answer in time"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Body => write!(f, "another body"),
        }
    }
}

/// One request and its end. Times are since the load began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it began.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// How long the answer was asked to take.
    pub asked: Duration,
    /// Who sent it.
    pub kind: Kind,
    /// Where to.
    pub endpoint: Option<SocketAddr>,
    /// How it ended.
    pub result: Result<(), Failure>,
}

impl Request {
    /// What it took beyond what was asked: what a user would call latency.
    pub fn latency(&self) -> Duration {
        self.took.saturating_sub(self.asked)
    }
}

/// Something that was done to the workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Duration,
    /// What.
    pub text: String,
}

/// kube-proxy's rules changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Duration,
    /// Where new connections go from then on.
    pub usable: Vec<SocketAddr>,
    /// Whether those are terminating ones, for want of ready ones.
    pub last_resort: bool,
    /// The pods behind the addresses.
    pub pods: BTreeMap<SocketAddr, String>,
}

/// How long a pair took from bound to serving, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairStart {
    /// The HP pod.
    pub pod: String,
    /// One after the other.
    pub stages: Vec<(String, Duration)>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The Service.
    pub service: String,
    /// From the beginning to the end.
    pub lasted: Duration,
    /// In the order in which they ended.
    pub requests: Vec<Request>,
    /// In order.
    pub marks: Vec<Mark>,
    /// In order.
    pub changes: Vec<Change>,
    /// From whoever measured them.
    pub pairs: Vec<PairStart>,
}

/// The sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All requests.
    pub requests: usize,
    /// Of those, failed ones.
    pub failed: usize,
    /// Of those, with a kept connection.
    pub kept: usize,
    /// Of those, answers that were asked to take more than a second.
    pub slow: usize,
    /// Endpoints that answered.
    pub endpoints: usize,
    /// Latency of the median answer.
    pub median: Duration,
    /// Latency that one answer in a hundred exceeds.
    pub p99: Duration,
    /// The greatest latency.
    pub worst: Duration,
}

impl Report {
    /// The failed requests.
    pub fn failures(&self) -> Vec<&Request> {
        self.requests
            .iter()
            .filter(|one| one.result.is_err())
            .collect()
    }

    /// The sums.
    pub fn summary(&self) -> Summary {
        let answered = || self.requests.iter().filter(|one| one.result.is_ok());
        let mut latencies: Vec<_> = answered().map(Request::latency).collect();
        latencies.sort_unstable();
        let mut endpoints: Vec<_> = answered().filter_map(|one| one.endpoint).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        let slow = |one: &&Request| one.asked > Duration::from_secs(1);
        Summary {
            requests: self.requests.len(),
            failed: self.failures().len(),
            kept: self
                .requests
                .iter()
                .filter(|one| one.kind == Kind::Kept)
                .count(),
            slow: self.requests.iter().filter(slow).count(),
            endpoints: endpoints.len(),
            median: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
            worst: latencies.last().copied().unwrap_or_default(),
        }
    }

    /// All of it for machines; times in milliseconds.
    pub fn json(&self) -> Value {
        let sums = self.summary();
        let rows: Vec<Value> = self.requests.iter().map(row).collect();
        let marks = self
            .marks
            .iter()
            .map(|one| json!([millis(one.at), one.text]));
        let changes = self.changes.iter().map(|one| {
            json!({"at": millis(one.at), "usable": one.usable, "lastResort": one.last_resort})
        });
        let pairs = self.pairs.iter().map(|one| {
            let stages = one
                .stages
                .iter()
                .map(|(name, took)| json!([name, millis(*took)]));
            json!({"pod": one.pod, "stages": stages.collect::<Vec<_>>()})
        });
        json!({
            "service": self.service,
            "lasted": millis(self.lasted),
            "summary": {
                "requests": sums.requests, "failed": sums.failed, "kept": sums.kept, "slow": sums.slow,
                "endpoints": sums.endpoints, "median": millis(sums.median), "p99": millis(sums.p99),
                "worst": millis(sums.worst),
            },
            "marks": marks.collect::<Vec<_>>(),
            "endpoints": changes.collect::<Vec<_>>(),
            "pairs": pairs.collect::<Vec<_>>(),
            "requests": {"columns": ["at", "took", "asked", "client", "endpoint", "failure"], "rows": rows},
        })
    }
}

fn row(one: &Request) -> Value {
    let client = match one.kind {
        Kind::Kept => "kept",
        Kind::Fresh => "fresh",
    };
    let failure = one.result.as_ref().err().map(ToString::to_string);
    json!([
        millis(one.at),
        millis(one.took),
        millis(one.asked),
        client,
        one.endpoint,
        failure
    ])
}

/// To a tenth, which is as much as a reader can use.
pub fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Of sorted values; nearest rank.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or_default()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A request that took so many milliseconds.
    pub fn request(at: u64, took: u64, result: Result<(), Failure>) -> Request {
        Request {
            at: Duration::from_millis(at),
            took: Duration::from_millis(took),
            asked: Duration::ZERO,
            kind: if at.is_multiple_of(2) {
                Kind::Kept
            } else {
                Kind::Fresh
            },
            endpoint: Some(SocketAddr::from((
                [10, 244, 1, u8::try_from(at % 3).unwrap()],
                8080,
            ))),
            result,
        }
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Duration::from_millis(100));
        assert_eq!(percentile(&values, 99), Duration::from_millis(198));
        assert_eq!(percentile(&values, 100), Duration::from_millis(200));
        assert_eq!(percentile(&values[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn sums_count_what_failed_and_leave_it_out_of_latencies() {
        let mut requests: Vec<_> = (0..100).map(|at| request(at, at + 1, Ok(()))).collect();
        requests.push(request(3, 9_999, Err(Failure::Timeout)));
        requests[99].asked = Duration::from_millis(1_500);
        requests[99].took = Duration::from_millis(1_510);
        let report = Report {
            requests,
            ..Report::default()
        };
        let sums = report.summary();
        assert_eq!((sums.requests, sums.failed, sums.kept), (101, 1, 50));
        assert_eq!((sums.slow, sums.endpoints), (1, 3));
        assert_eq!(sums.worst, Duration::from_millis(99));
        let json = report.json();
        assert_eq!(json["summary"]["failed"], 1);
        assert_eq!(json["requests"]["rows"][100][5], "no answer in time");
    }
}
