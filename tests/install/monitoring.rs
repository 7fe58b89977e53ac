//! Alerts and the dashboard ask for what the program says. A metric or a label's value that is misspelt in an alert never
//! fires, and nobody notices.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::deploy::path;
use crate::tools::folder;

/// What the names of our metrics begin with.
const OURS: &str = "native_host_";

/// Every metric of ours in an alert or on the dashboard is in `exposed`, the text of `/metrics`.
pub fn every_metric_is_exposed(exposed: &str) {
    let asked: BTreeSet<String> = expressions().iter().flat_map(|text| names(text)).collect();
    assert!(asked.len() > 20, "{asked:?}");
    let known: BTreeSet<String> = names(exposed).collect();
    let unknown: Vec<_> = asked.difference(&known).collect();
    assert!(unknown.is_empty(), "not exposed: {unknown:?}");
    let mut looked_at = 0;
    for expression in expressions() {
        for (metric, label, value) in matchers(&expression) {
            let shown = format!("{label}=\"{value}\"");
            let mut series = exposed.lines().filter(|line| line.starts_with(&metric));
            assert!(
                series.any(|line| line.contains(&shown)),
                "no {metric}{{{shown}}}: {expression}"
            );
            looked_at += 1;
        }
    }
    assert!(looked_at > 5);
}

/// The values of labels of our metrics that an expression names: metric, label, value. Every value that there can be is
/// exposed from the start, since labels come from closed sets.
fn matchers(expression: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (begin, _) in expression.match_indices(OURS) {
        let rest = &expression[begin..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (metric, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let Some(inside) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            continue;
        };
        for matcher in inside.0.split(',') {
            let (label, value) = matcher.split_once(['=', '!']).unwrap();
            let value = value.trim_start_matches(['=', '~']).trim_matches('"');
            found.extend(
                value
                    .split('|')
                    .map(|one| (metric.into(), label.trim().into(), one.into())),
            );
        }
    }
    found
}

/// The names of our metrics in a text.
fn names(text: &str) -> impl Iterator<Item = String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word)
        .filter(|word| word.starts_with(OURS))
        .map(str::to_owned)
}

/// Every expression of PromQL below `deploy/components`.
fn expressions() -> Vec<String> {
    let mut found = Vec::new();
    for file in ["monitoring/rules.yaml", "grafana/native-host.json"] {
        let text = std::fs::read_to_string(path("deploy/components").join(file)).unwrap();
        let before = found.len();
        collect(&serde_saphyr::from_str(&text).unwrap(), &mut found);
        assert!(found.len() > before, "{file}");
    }
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[test]
fn promtool_takes_the_alerts_and_the_dashboard_and_they_fire_when_they_should() {
    let Some(tools) = folder() else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, value: &Value| {
        std::fs::write(scratch.path().join(name), value.to_string()).unwrap();
    };
    let promtool = |args: &[&str]| {
        let mut command = Command::new(tools.join("promtool"));
        let output = command
            .args(args)
            .current_dir(scratch.path())
            .output()
            .unwrap();
        let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(output.status.success(), "{args:?}: {}", said.concat());
    };
    let rules = std::fs::read_to_string(path("deploy/components/monitoring/rules.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    write("rules.yaml", &rules["spec"]);
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"]);
    std::fs::copy(
        path("tests/install/alerts.yaml"),
        scratch.path().join("alerts.yaml"),
    )
    .unwrap();
    promtool(&["test", "rules", "alerts.yaml"]);
    // It has no command for dashboards: their expressions as rules, with what Grafana puts in.
    let panels: Vec<_> = expressions()
        .iter()
        .enumerate()
        .map(|(n, expr)| json!({"record": format!("panel_{n}"), "expr": expr.replace("$__rate_interval", "5m")}))
        .collect();
    write(
        "dashboard.yaml",
        &json!({"groups": [{"name": "dashboard", "rules": panels}]}),
    );
    promtool(&["check", "rules", "--lint=none", "dashboard.yaml"]);
}
