//! How pairs start: what simulated nodes noted of it, and the plot.

use std::time::Duration;

use serde_json::Value;

use super::super::record::{PairStart, millis};
use super::chart::{Chart, TOP};

/// The classes of stages, in their order; a further stage takes the first ones again.
const CLASSES: [&str; 8] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];

/// The pairs in what a node noted (`tests/windows-node/timings.rs`): moments in milliseconds, of HP pods
/// and of their anchors, which go on side by side. A stage ends with each moment, and is called after it;
/// so the sum of all is the time from bound to serving. Pairs that are not ready yet are left out.
pub fn of_timings(timings: &Value) -> Vec<PairStart> {
    let pods: Vec<&Value> = timings.as_array().into_iter().flatten().collect();
    let name = |pod: &Value| pod["name"].as_str().unwrap_or_default().to_owned();
    let anchor_of = |pod: &Value| {
        let prefix = format!("{}-anchor-", name(pod));
        let mut anchors = pods
            .iter()
            .filter(|other| other["namespace"] == pod["namespace"]);
        anchors
            .find(|other| name(other).starts_with(&prefix))
            .copied()
    };
    let mut pairs: Vec<(f64, PairStart)> = Vec::new();
    for pod in &pods {
        let (Some(anchor), Some(bound)) = (anchor_of(pod), pod["bound"].as_f64()) else {
            continue;
        };
        let run = |pod: &Value, last: bool, moment: &str| {
            let runs = pod["containers"].as_array()?;
            let run = if last { runs.last() } else { runs.first() };
            run?[moment].as_f64()
        };
        let moments = [
            ("volumes and sandbox", pod["sandbox"].as_f64()),
            ("launcher installed", run(pod, false, "ended")),
            ("launcher started", run(pod, true, "started")),
            ("anchor bound", anchor["bound"].as_f64()),
            ("anchor's sandbox", anchor["sandbox"].as_f64()),
            ("anchor's pause", run(anchor, true, "started")),
            ("endpoint ready", anchor["ready"].as_f64()),
            ("pod ready", pod["ready"].as_f64()),
        ];
        let all: Option<Vec<(&str, f64)>> = moments
            .into_iter()
            .map(|(name, moment)| Some((name, moment?)))
            .collect();
        let Some(mut moments) = all else { continue };
        moments.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let mut from = bound;
        let mut stages = Vec::new();
        for (name, moment) in moments {
            let took = Duration::try_from_secs_f64((moment - from) / 1000.0).unwrap_or_default();
            stages.push((name.to_owned(), took));
            from = from.max(moment);
        }
        pairs.push((
            bound,
            PairStart {
                pod: name(pod),
                stages,
            },
        ));
    }
    pairs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    pairs.into_iter().map(|(_, pair)| pair).collect()
}

/// The stages' names with their colours, in the order in which they come up.
pub fn legend(pairs: &[PairStart]) -> Vec<(&'static str, String)> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in pairs.iter().flat_map(|pair| &pair.stages) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    CLASSES.into_iter().cycle().zip(names).collect()
}

/// A row for each pair.
pub fn plot(pairs: &[PairStart]) -> String {
    const ROW: f64 = 24.0;
    let legend = legend(pairs);
    let whole = |pair: &PairStart| pair.stages.iter().map(|(_, took)| *took).sum::<Duration>();
    let longest = pairs.iter().map(whole).max().unwrap_or_default();
    // Room for the sum behind the longest.
    let span = longest.as_secs_f64().max(0.001) * 1.1;
    let mut rows = 0.0;
    for _ in pairs {
        rows += 1.0;
    }
    let mut chart = Chart::new("how long pairs took to start", ROW * rows, span);
    let mut top = TOP;
    for pair in pairs {
        chart.name(top + 16.0, &shortened(&pair.pod));
        let mut from = 0.0;
        for (name, took) in &pair.stages {
            let to = from + took.as_secs_f64();
            let class = legend
                .iter()
                .find(|(_, known)| known == name)
                .map_or("s0", |(class, _)| *class);
            let says = format!("{}: {name} {} ms", pair.pod, millis(*took));
            chart.boxed(class, (from, to), (top + 3.0, top + ROW - 4.0), 1.0, &says);
            from = to;
        }
        chart.text(
            chart.x(from) + 6.0,
            top + 16.0,
            &format!("{:.0} ms", millis(whole(pair))),
        );
        top += ROW;
    }
    chart.x_axis("seconds since bound");
    chart.end()
}

/// The end of a name, which is what differs from pod to pod.
fn shortened(name: &str) -> String {
    const ROOM: usize = 13;
    let length = name.chars().count();
    if length <= ROOM {
        return name.to_owned();
    }
    let end: String = name.chars().skip(length - ROOM + 1).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stages_end_with_what_happened_in_the_order_in_which_it_did() {
        let run = |start: f64, ended: Option<f64>| json!({"container": "c", "start": start, "started": start + 10.0, "ended": ended});
        let pod = |name: &str, bound: f64, ready: Option<f64>, runs: Value| {
            json!({
                "namespace": "default", "name": name, "uid": name, "bound": bound, "sandbox": bound + 40.0,
                "ready": ready, "containers": runs,
            })
        };
        let timings = json!([
            pod("albums-1", 2000.0, None, json!([])),
            pod(
                "albums-0",
                1000.0,
                Some(1900.0),
                json!([run(1050.0, Some(1300.0)), run(1310.0, None)])
            ),
            pod(
                "albums-0-anchor-ab12",
                1100.0,
                Some(1800.0),
                json!([run(1150.0, None)])
            ),
            pod("albums-1-anchor-cd34", 2100.0, None, json!([])),
        ]);
        let pairs = of_timings(&timings);
        assert_eq!(pairs.len(), 1, "the other one is not ready");
        let stages: Vec<(&str, u128)> = pairs[0]
            .stages
            .iter()
            .map(|(name, took)| (name.as_str(), took.as_millis()))
            .collect();
        assert_eq!(
            stages,
            [
                ("volumes and sandbox", 40),
                ("anchor bound", 60),
                ("anchor's sandbox", 40),
                ("anchor's pause", 20),
                ("launcher installed", 140),
                ("launcher started", 20),
                ("endpoint ready", 480),
                ("pod ready", 100),
            ]
        );
        assert_eq!(of_timings(&json!(null)), []);
    }
}
