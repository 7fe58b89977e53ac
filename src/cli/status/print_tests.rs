#![allow(clippy::unwrap_used)]

use super::*;
use crate::anchor::rules::Rules;
use crate::cli::status::fixtures::{anchor, at, hp};
use crate::cli::status::seen::{AnchorSeen, HpSeen};

fn row(hp_change: &str, anchor_change: Option<&str>) -> Row {
    let hp = HpSeen::of(&hp(hp_change)).unwrap();
    let anchor = anchor_change.map(|change| AnchorSeen::of(&anchor(change)).unwrap());
    Row::of(
        Some(&hp),
        anchor.as_ref(),
        &Rules::default(),
        at("10:02:20"),
    )
    .unwrap()
    .0
}

const UNBOUND: &str = "{metadata: {name: albums-1}, spec: {nodeName: null}, status: {phase: Pending, containerStatuses: \
     null, conditions: [{type: PodScheduled, status: 'False', message: \"no node\\n\\e[31mtakes it\", \
     lastTransitionTime: '2026-11-21T10:00:01Z'}]}}";

fn table(style: Style, rows: &[Row]) -> String {
    Table::new(style).lines(rows, at("10:02:20"))
}

const PLAIN: Style = Style {
    namespaces: false,
    wide: false,
    headers: true,
    colour: false,
};

#[test]
fn columns_are_as_wide_as_what_stands_in_them() {
    let rows = [row("{}", Some("{}")), row(UNBOUND, None)];
    let anchor = crate::anchor::name("albums-0", "hp-uid");
    assert_eq!(
        table(PLAIN, &rows),
        format!(
            "WORKLOAD   POD        NODE     ANCHOR                     IP           STATE         SINCE   WHY\n\
             albums     albums-0   win-1    {anchor}   10.244.1.7   Ready         110s\n\
             albums     albums-1   <none>   <none>                     <none>       Unscheduled   2m19s   no node [31mtakes it\n"
        )
    );
}

#[test]
fn wide_and_all_namespaces_add_columns() {
    let style = Style {
        namespaces: true,
        wide: true,
        ..PLAIN
    };
    let text = table(style, &[row("{}", Some("{}"))]);
    let columns: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        columns[0],
        [
            "NAMESPACE",
            "WORKLOAD",
            "POD",
            "NODE",
            "ANCHOR",
            "IP",
            "STATE",
            "SINCE",
            "RESTARTS",
            "PUBLISHED",
            "INJECTED",
            "ANCHOR-NODE",
            "UID",
            "WHY"
        ]
    );
    assert_eq!(
        (columns[1][0], columns[1][8], columns[1][9]),
        ("shop", "2", "10.244.1.7")
    );
    assert_eq!(columns[1][10..], ["v1", "win-1", "hp-uid"]);
}

#[test]
fn a_heading_comes_once_or_not_at_all() {
    let rows = [row("{}", Some("{}"))];
    let mut table = Table::new(PLAIN);
    let first = table.lines(&rows, at("10:02:20"));
    let second = table.lines(&rows, at("10:02:20"));
    assert_eq!(first.lines().count(), 2);
    assert_eq!(first.lines().last(), second.lines().next());
    let style = Style {
        headers: false,
        ..PLAIN
    };
    assert!(self::table(style, &rows).starts_with("albums "));
}

#[test]
fn widths_are_those_that_a_terminal_shows() {
    let wide = row("metadata: {labels: {'@/workload': 音楽}}", Some("{}"));
    let text = table(PLAIN, &[wide, row("{}", Some("{}"))]);
    let at = |line: &str| line.split("albums-0").next().unwrap().width();
    let columns: Vec<_> = text.lines().skip(1).map(at).collect();
    assert_eq!(columns[0], columns[1]);
}

#[test]
fn colour_changes_no_width() {
    let rows = [row("{}", Some("{}")), row(UNBOUND, None)];
    let coloured = table(
        Style {
            colour: true,
            ..PLAIN
        },
        &rows,
    );
    assert!(
        coloured.contains("\x1b[32mReady\x1b[0m")
            && coloured.contains("\x1b[33mUnscheduled\x1b[0m")
    );
    let plain = ["\x1b[32m", "\x1b[33m", "\x1b[0m"]
        .iter()
        .fold(coloured, |text, code| text.replace(code, ""));
    assert_eq!(plain, table(PLAIN, &rows));
}

#[test]
fn a_line_that_says_nothing_new_is_not_one() {
    let before = row("{}", Some("{}"));
    let restarted = Row {
        pod: crate::cli::status::row::PodPart {
            restarts: 3,
            ..before.pod.clone()
        },
        ..before.clone()
    };
    let wide = Style {
        wide: true,
        ..PLAIN
    };
    assert!(!PLAIN.tells_apart(&restarted, &before));
    assert!(wide.tells_apart(&restarted, &before));
    let later = Row {
        since: Some(at("10:02:00")),
        ..before.clone()
    };
    assert!(PLAIN.tells_apart(&later, &before));
}

#[test]
fn documents_hold_everything() {
    let document = one(&row("{}", Some("{}")));
    let anchor = crate::anchor::name("albums-0", "hp-uid");
    assert_eq!(
        document,
        json!({
            "apiVersion": cli::API_VERSION, "kind": "Pair", "namespace": "shop", "workload": "albums",
            "pod": {"name": "albums-0", "uid": "hp-uid", "node": "win-1", "phase": "Running", "restarts": 2,
                "injected": "v1", "publishedIp": "10.244.1.7"},
            "anchor": {"name": anchor, "uid": "anchor-uid", "node": "win-1", "phase": "Running", "ip": "10.244.1.7"},
            "state": "Ready", "since": "2026-11-21T10:00:30Z", "why": "",
        })
    );
    let list = list(&[row(UNBOUND, None)], &[]);
    assert_eq!(
        (&list["kind"], &list["items"][0]["anchor"]),
        (&json!("PairList"), &Value::Null)
    );
    assert_eq!(self::list(&[], &[])["items"], json!([]));
}
