//! The plots over time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::record::{Kind, Report, Request, millis, percentile};
use super::chart::{Chart, TOP, short, step};

/// No plot is parted finer than this; a page is some 900 pixels wide.
const BUCKETS: f64 = 240.0;

/// Time in parts of one second, or more where it is long.
struct Buckets {
    size: f64,
    count: usize,
}

impl Buckets {
    fn of(report: &Report) -> Self {
        let lasted = report.lasted.as_secs_f64();
        let size = (lasted / BUCKETS).ceil().max(1.0);
        Self {
            size,
            count: whole(lasted / size) + 1,
        }
    }

    /// The one in which a request ended.
    fn end_of(&self, one: &Request) -> usize {
        self.at(one.at + one.took)
    }

    fn at(&self, time: Duration) -> usize {
        whole(time.as_secs_f64() / self.size).min(self.count - 1)
    }

    fn starts(&self, bucket: usize) -> f64 {
        number(bucket) * self.size
    }

    /// The last one may be a part only, and its rate would be too low.
    fn length(&self, bucket: usize, report: &Report) -> f64 {
        (report.lasted.as_secs_f64() - self.starts(bucket)).clamp(0.2, self.size)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(value: f64) -> usize {
    value.max(0.0) as usize
}

#[allow(clippy::cast_precision_loss)]
fn number(count: usize) -> f64 {
    count as f64
}

fn chart(report: &Report, label: &str, height: f64) -> Chart {
    Chart::new(label, height, report.lasted.as_secs_f64())
}

fn finish(mut chart: Chart, report: &Report) -> String {
    chart.x_axis("seconds since the load began");
    for (place, mark) in report.marks.iter().enumerate() {
        chart.mark(mark.at.as_secs_f64(), place + 1, &mark.text);
    }
    chart.end()
}

/// Requests per second, by kind; failed ones from the bottom.
pub fn requests(report: &Report) -> String {
    let buckets = Buckets::of(report);
    let mut counts = vec![[0_usize; 3]; buckets.count];
    for one in &report.requests {
        let of_kind = usize::from(one.kind == Kind::Fresh);
        let place = if one.result.is_ok() { of_kind } else { 2 };
        counts[buckets.end_of(one)][place] += 1;
    }
    let rates: Vec<[f64; 3]> = counts
        .iter()
        .enumerate()
        .map(|(bucket, counts)| counts.map(|count| number(count) / buckets.length(bucket, report)))
        .collect();
    let highest = rates
        .iter()
        .map(|rates| rates.iter().sum::<f64>())
        .fold(1.0, f64::max);
    let tick = step(highest, 5.0);
    let top = (highest / tick).ceil() * tick;

    let mut chart = chart(report, "requests per second over time", 210.0);
    chart.y_unit("requests per second");
    for place in 0..=whole((top / tick).round()) {
        let value = number(place) * tick;
        chart.y_tick(value / top, &short(value));
    }
    let stacked = |from: usize, to: usize| -> Vec<(f64, f64, f64)> {
        let shares = |rates: &[f64; 3]| {
            // Failed ones lie below, so that one of them is seen.
            let order = [rates[2], rates[0], rates[1]];
            let sum = |parts: &[f64]| parts.iter().sum::<f64>() / top;
            (sum(&order[..from]), sum(&order[..to]))
        };
        let steps = rates.iter().enumerate().flat_map(|(bucket, rates)| {
            let (low, high) = shares(rates);
            let start = buckets.starts(bucket);
            [(start, low, high), (start + buckets.size, low, high)]
        });
        steps.collect()
    };
    chart.area("kept", &stacked(1, 2));
    chart.area("fresh", &stacked(2, 3));
    for (bucket, (rates, counts)) in rates.iter().zip(&counts).enumerate() {
        if counts[2] > 0 {
            let start = buckets.starts(bucket);
            // Never too low to see.
            let high = chart.y((rates[2] / top).max(0.02));
            let rows = (high, chart.y(0.0));
            let says = format!("{} failed at {} s", counts[2], short(start));
            chart.boxed("bad", (start, start + buckets.size), rows, 1.0, &says);
        }
    }
    finish(chart, report)
}

/// Percentiles of the latency over time, on a scale of powers of ten.
pub fn latency(report: &Report) -> String {
    let buckets = Buckets::of(report);
    let mut latencies = vec![Vec::new(); buckets.count];
    for one in report.requests.iter().filter(|one| one.result.is_ok()) {
        latencies[buckets.end_of(one)].push(one.latency());
    }
    for all in &mut latencies {
        all.sort_unstable();
    }
    let every = latencies.iter().flatten();
    let low = every
        .clone()
        .min()
        .map_or(1.0, |least| millis(*least))
        .clamp(0.1, 1.0);
    let high = every.max().map_or(10.0, |most| millis(*most)).max(10.0);
    // Whole powers of ten.
    let (low, high) = (low.log10().floor(), high.log10().ceil());
    let share = |time: Duration| (millis(time).max(0.1).log10() - low) / (high - low);

    let mut chart = chart(report, "latency over time", 190.0);
    chart.y_unit("milliseconds");
    for power in 0..=whole(high - low) {
        let value = 10_f64.powf(low + number(power));
        chart.y_tick(number(power) / (high - low), &short(value));
    }
    for (class, percent) in [("worst", 100), ("p99", 99), ("p50", 50)] {
        let points: Vec<(f64, Option<f64>)> = latencies
            .iter()
            .enumerate()
            .map(|(bucket, all)| {
                let middle = buckets.starts(bucket) + buckets.length(bucket, report) / 2.0;
                (
                    middle,
                    (!all.is_empty()).then(|| share(percentile(all, percent))),
                )
            })
            .collect();
        chart.line(class, &points);
    }
    finish(chart, report)
}

/// A row for each address: when new connections went there, and when it answered.
pub fn pods(report: &Report) -> String {
    const ROW: f64 = 26.0;
    let rows = lanes(report);
    let buckets = Buckets::of(report);
    let mut chart = chart(
        report,
        "which pod answered when",
        ROW * number(rows.len()).max(1.0),
    );
    let end = report.lasted.as_secs_f64();
    let most = rows
        .values()
        .flat_map(|lane| lane.answers.values())
        .copied()
        .max()
        .unwrap_or(1);
    let mut order: Vec<_> = rows.iter().collect();
    order.sort_by_key(|(_, lane)| lane.first);
    for (place, (address, lane)) in order.into_iter().enumerate() {
        let top = TOP + ROW * number(place);
        chart.boxed("back", (0.0, end), (top + 4.0, top + ROW - 4.0), 1.0, "");
        chart.name(top + 18.0, &address.ip().to_string());
        for (bucket, count) in &lane.answers {
            let start = buckets.starts(*bucket);
            let shade = 0.18 + 0.82 * number(*count) / number(most);
            let says = format!("{}: {count} answers in {} s", lane.pod, short(start));
            let span = (start, (start + buckets.size).min(end));
            chart.boxed("lane", span, (top + 7.0, top + ROW - 4.0), shade, &says);
        }
        for (from, to) in &lane.routed {
            let span = (from.as_secs_f64(), to.as_secs_f64());
            let says = format!(
                "{}: new connections from {:.1} s to {:.1} s",
                lane.pod, span.0, span.1
            );
            chart.boxed("route", span, (top + 3.0, top + 6.0), 1.0, &says);
        }
    }
    finish(chart, report)
}

#[derive(Default)]
struct Lane {
    pod: String,
    first: Option<Duration>,
    routed: Vec<(Duration, Duration)>,
    answers: BTreeMap<usize, usize>,
}

fn lanes(report: &Report) -> BTreeMap<SocketAddr, Lane> {
    let buckets = Buckets::of(report);
    let mut lanes = BTreeMap::<SocketAddr, Lane>::new();
    for (place, change) in report.changes.iter().enumerate() {
        let until = report
            .changes
            .get(place + 1)
            .map_or(report.lasted, |next| next.at);
        for address in &change.usable {
            let lane = lanes.entry(*address).or_default();
            lane.first.get_or_insert(change.at);
            if let Some(pod) = change.pods.get(address) {
                lane.pod.clone_from(pod);
            }
            match lane.routed.last_mut() {
                Some(last) if last.1 == change.at => last.1 = until,
                _ => lane.routed.push((change.at, until)),
            }
        }
    }
    for one in report.requests.iter().filter(|one| one.result.is_ok()) {
        if let Some(address) = one.endpoint {
            let lane = lanes.entry(address).or_default();
            lane.first.get_or_insert(one.at);
            *lane.answers.entry(buckets.end_of(one)).or_default() += 1;
        }
    }
    lanes
}

/// A line for each request that asked for a slow answer, packed into rows.
pub fn slow(report: &Report) -> String {
    const ROW: f64 = 7.0;
    let is_slow = |one: &&Request| one.asked >= Duration::from_millis(500);
    let mut all: Vec<&Request> = report.requests.iter().filter(is_slow).collect();
    all.sort_by_key(|one| one.at);
    let mut ends: Vec<Duration> = Vec::new();
    let mut placed = Vec::new();
    for one in all {
        let row = ends
            .iter()
            .position(|end| *end <= one.at)
            .unwrap_or(ends.len());
        let end = one.at + one.took + Duration::from_millis(100);
        match ends.get_mut(row) {
            Some(last) => *last = end,
            None => ends.push(end),
        }
        placed.push((row, one));
    }
    let mut chart = chart(
        report,
        "slow answers",
        ROW * number(ends.len()).max(2.0) + 6.0,
    );
    chart.y_unit("at once");
    for (row, one) in placed {
        let class = if one.result.is_ok() { "slow" } else { "bad" };
        let says = format!(
            "{} asked for {} ms at {:.1} s and took {} ms",
            one.endpoint
                .map(|endpoint| endpoint.to_string())
                .unwrap_or_default(),
            millis(one.asked),
            one.at.as_secs_f64(),
            millis(one.took)
        );
        let span = (one.at.as_secs_f64(), (one.at + one.took).as_secs_f64());
        chart.segment(class, span, TOP + ROW * number(row) + 5.0, &says);
    }
    finish(chart, report)
}

#[cfg(test)]
mod tests {
    use super::super::super::record::Change;
    use super::*;

    #[test]
    fn an_address_that_stays_over_changes_has_one_line() {
        let address = |last| SocketAddr::from(([10, 244, 1, last], 8080));
        let change = |at, last: &[u8]| Change {
            at: Duration::from_secs(at),
            usable: last.iter().map(|last| address(*last)).collect(),
            last_resort: false,
            pods: BTreeMap::new(),
        };
        let report = Report {
            lasted: Duration::from_secs(9),
            changes: vec![
                change(1, &[1]),
                change(2, &[1, 2]),
                change(4, &[2]),
                change(6, &[1, 2]),
            ],
            ..Report::default()
        };
        let lanes = lanes(&report);
        let seconds = |last| -> Vec<(u64, u64)> {
            let routed = lanes[&address(last)].routed.iter();
            routed
                .map(|(from, to)| (from.as_secs(), to.as_secs()))
                .collect()
        };
        assert_eq!(seconds(1), [(1, 4), (6, 9)]);
        assert_eq!(seconds(2), [(2, 9)]);
    }
}
