//! The plot of how pairs start.

use std::time::Duration;

use super::super::record::{PairStart, millis};
use super::chart::{Chart, TOP};

/// The classes of stages, in their order; a further stage takes the first ones again.
const CLASSES: [&str; 8] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];

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
