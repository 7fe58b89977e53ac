//! The page: one HTML file that needs nothing else, light or dark as its reader likes it.
//!
//! - [`chart`]: axes, lines and boxes in SVG.
//! - [`plots`]: the plots over time.
//! - [`pairs`]: the plot of how pairs start.

pub mod chart;
pub mod pairs;
pub mod plots;

use std::fmt::Write as _;

use super::record::{Mark, Report, Request, Summary, millis};
use chart::escape;

/// How many failed requests the page lists.
const LISTED: usize = 40;

impl Report {
    /// The page.
    pub fn page(&self) -> String {
        let sums = self.summary();
        let mut page = String::with_capacity(256 * 1024);
        let title = format!("Service {} under load", self.service);
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\">\
             <title>{0}</title><style>{1}</style></head><body><main>\n\
             <header><h1>{0}</h1><p>{2}</p></header>\n",
            escape(&title),
            include_str!("page.css"),
            escape(&verdict(self, &sums)),
        );
        tiles(&mut page, &sums);
        if !self.requests.is_empty() {
            section(
                &mut page,
                "Requests",
                "Ended per second, by the kind of client. Dashed lines are what was done to the workload.",
                &[
                    ("kept", "connection kept open"),
                    ("fresh", "a connection for each request"),
                    ("bad", "failed"),
                ],
                &plots::requests(self),
            );
            marks(&mut page, &self.marks);
            section(
                &mut page,
                "Latency",
                "Time to the whole answer, beyond what the request asked it to take; of the answers that \
                 ended in each second.",
                &[
                    ("p50", "half take no longer"),
                    ("p99", "99 of 100"),
                    ("worst", "all"),
                ],
                &plots::latency(self),
            );
            section(
                &mut page,
                "Pods",
                "Who answered: a row for each address, darker where it answered more. The line above a row \
                 is the time in which new connections went there; what comes after it is its drain.",
                &[("route", "gets new connections"), ("lane", "answers")],
                &plots::pods(self),
            );
            section(
                &mut page,
                "Slow answers",
                "Each line is a request that asked for an answer of up to some seconds, from its beginning \
                 to its end.",
                &[("slow", "answered"), ("bad", "failed")],
                &plots::slow(self),
            );
        }
        if !self.pairs.is_empty() {
            let legend = pairs::legend(&self.pairs);
            let legend: Vec<_> = legend
                .iter()
                .map(|(class, name)| (*class, name.as_str()))
                .collect();
            section(
                &mut page,
                "Pair start",
                "From the moment the HP pod was bound to its node until the pair was in the Service's \
                 endpoints, by stage.",
                &legend,
                &pairs::plot(&self.pairs),
            );
        }
        failures(&mut page, &self.failures());
        page.push_str("</main></body></html>\n");
        page
    }
}

fn verdict(report: &Report, sums: &Summary) -> String {
    let seconds = report.lasted.as_secs_f64();
    match sums.failed {
        0 => format!(
            "{} requests in {seconds:.0} s, none failed.",
            grouped(sums.requests)
        ),
        failed => format!(
            "{} requests in {seconds:.0} s, {} failed.",
            grouped(sums.requests),
            grouped(failed)
        ),
    }
}

fn tiles(page: &mut String, sums: &Summary) {
    let latency = |time| {
        let time = millis(time);
        if time < 10.0 {
            format!("{time:.1} ms")
        } else {
            format!("{time:.0} ms")
        }
    };
    let failed = if sums.failed == 0 { "good" } else { "bad" };
    page.push_str("<div class=\"tiles\">");
    for (class, value, what) in [
        ("", grouped(sums.requests), "requests"),
        (failed, grouped(sums.failed), "failed"),
        ("", grouped(sums.kept), "on kept connections"),
        ("", grouped(sums.slow), "of more than a second"),
        ("", grouped(sums.endpoints), "pods answered"),
        ("", latency(sums.median), "median latency"),
        ("", latency(sums.p99), "99th percentile"),
        ("", latency(sums.worst), "worst"),
    ] {
        let _ = write!(
            page,
            "<div class=\"tile {class}\"><b>{value}</b><span>{what}</span></div>"
        );
    }
    page.push_str("</div>\n");
}

fn section(page: &mut String, title: &str, text: &str, legend: &[(&str, &str)], plot: &str) {
    let _ = write!(
        page,
        "<section><h2>{}</h2><p>{}</p><ul class=\"legend\">",
        escape(title),
        escape(text)
    );
    for (class, name) in legend {
        let _ = write!(page, "<li><i class=\"{class}\"></i>{}</li>", escape(name));
    }
    let _ = writeln!(page, "</ul>{plot}</section>");
}

/// The texts that belong to the numbers in the plots.
fn marks(page: &mut String, marks: &[Mark]) {
    if marks.is_empty() {
        return;
    }
    page.push_str("<ol class=\"marks\">");
    for mark in marks {
        let at = mark.at.as_secs_f64();
        let _ = write!(
            page,
            "<li>{} <small>{at:.1} s</small></li>",
            escape(&mark.text)
        );
    }
    page.push_str("</ol>\n");
}

fn failures(page: &mut String, failures: &[&Request]) {
    if failures.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<section><h2>Failed requests</h2><table><tr><th>at</th><th>client</th><th>endpoint</th>\
         <th>asked</th><th>took</th><th>why</th></tr>"
    );
    for one in failures.iter().take(LISTED) {
        let why = one
            .result
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{:.3} s</td><td>{:?}</td><td>{}</td><td>{} ms</td><td>{} ms</td><td>{}</td></tr>",
            one.at.as_secs_f64(),
            one.kind,
            one.endpoint
                .map(|endpoint| endpoint.to_string())
                .unwrap_or_default(),
            millis(one.asked),
            millis(one.took),
            escape(&why),
        );
    }
    page.push_str("</table>");
    if failures.len() > LISTED {
        let _ = write!(page, "<p>and {} more</p>", grouped(failures.len() - LISTED));
    }
    page.push_str("</section>\n");
}

/// 20,135
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::record::tests::request;
    use super::super::record::{Change, Failure, PairStart};
    use super::*;

    fn report() -> Report {
        let mut requests: Vec<_> = (0..500)
            .map(|at| request(at * 20, at % 7 + 1, Ok(())))
            .collect();
        requests[40].asked = Duration::from_millis(2_500);
        requests[40].took = Duration::from_millis(2_510);
        requests[9].result = Err(Failure::Broken("reset <by> peer".into()));
        let usable = vec![requests[0].endpoint.unwrap()];
        let pods = [(usable[0], "albums-0-anchor".to_owned())].into();
        let stage = |name: &str, took| (name.to_owned(), Duration::from_millis(took));
        Report {
            service: "albums".into(),
            lasted: Duration::from_secs(11),
            requests,
            marks: vec![Mark {
                at: Duration::from_secs(3),
                text: "a & b".into(),
            }],
            changes: vec![Change {
                at: Duration::ZERO,
                usable,
                last_resort: false,
                pods,
            }],
            pairs: vec![PairStart {
                pod: "albums-0".into(),
                stages: vec![stage("sandbox", 120), stage("launcher", 300)],
            }],
        }
    }

    #[test]
    fn the_page_needs_nothing_else_and_says_what_failed() {
        let page = report().page();
        for part in [
            "500 requests in 11 s, 1 failed.",
            "reset &lt;by&gt; peer",
            "<li>a &amp; b <small>3.0 s</small></li>",
            "10.244.1.0",
            "albums-0-anchor",
            "Pair start",
            "420 ms",
        ] {
            assert!(page.contains(part), "{part}");
        }
        for foreign in ["http", "<script", "<link", "url(", "@import", "NaN", "inf"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn every_element_of_the_page_is_closed() {
        let page = report().page();
        let mut open = Vec::new();
        for tag in page.split('<').skip(1) {
            let name: String = tag.chars().take_while(|c| !" >\n".contains(*c)).collect();
            let void = ["!doctype", "meta", "br"].contains(&name.as_str());
            if let Some(name) = name.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name), "at {tag:.40}");
            } else if !void && !tag.split('>').next().unwrap().ends_with('/') {
                open.push(name);
            }
        }
        assert_eq!(open, Vec::<String>::new());
    }

    #[test]
    fn a_report_of_nothing_is_a_page_too() {
        let page = Report::default().page();
        assert!(page.contains("0 requests in 0 s, none failed."));
        assert!(!page.contains("NaN"));
    }

    #[test]
    fn numbers_are_grouped_for_reading() {
        let all = [0, 999, 1_000, 20_135, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "20,135", "1,234,567"]);
    }
}
