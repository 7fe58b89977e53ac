//! Rows as tables and documents.

use std::borrow::Cow;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use super::age::age;
use super::row::Row;
use crate::anchor::pair::State;
use crate::external::look::Row as External;
use crate::names::cli;

/// Blanks between columns, as kubectl's (k8s.io/cli-runtime/pkg/printers/tabwriter.go).
pub(super) const GAP: usize = 3;

/// What a table shows, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// A column with the namespace.
    pub(super) namespaces: bool,
    /// The columns that support asks for.
    pub(super) wide: bool,
    /// The first line.
    pub(super) headers: bool,
    /// The state in colour.
    pub(super) colour: bool,
}

/// A table that may be printed line by line: columns keep the widths that they had.
#[derive(Debug)]
pub(super) struct Table {
    style: Style,
    widths: Vec<usize>,
    begun: bool,
}

impl Table {
    pub(super) fn new(style: Style) -> Self {
        Table {
            style,
            widths: Vec::new(),
            begun: false,
        }
    }

    /// The next lines; before the very first ones the heading.
    pub(super) fn lines<'r>(
        &mut self,
        rows: impl IntoIterator<Item = &'r Row>,
        now: Timestamp,
    ) -> String {
        let mut lines = Vec::new();
        if !std::mem::replace(&mut self.begun, true) && self.style.headers {
            let heading = self.style.heading().into_iter().map(Cow::Borrowed);
            lines.push((heading.collect(), None));
        }
        let rows = rows.into_iter();
        lines.extend(rows.map(|row| (self.style.cells(row, now), Some(row.state))));
        for (cells, _) in &lines {
            self.widths.resize(cells.len(), 0);
            for (width, cell) in self.widths.iter_mut().zip(cells) {
                *width = cell.width().max(*width);
            }
        }
        let mut out = String::new();
        for (cells, state) in &lines {
            self.line(cells, *state, &mut out);
        }
        out
    }

    fn line(&self, cells: &[Cow<'_, str>], state: Option<State>, out: &mut String) {
        let start = out.len();
        for (cell, width) in cells.iter().zip(&self.widths) {
            match state.filter(|state| self.style.colour && state.as_str() == cell) {
                Some(state) => out.extend([colour(state), cell, "\x1b[0m"]),
                None => out.push_str(cell),
            }
            out.extend(std::iter::repeat_n(' ', width - cell.width() + GAP));
        }
        out.truncate(start + out[start..].trim_end().len());
        out.push('\n');
    }
}

fn colour(state: State) -> &'static str {
    match state {
        State::Ready | State::Finished | State::OnHost => "\x1b[32m",
        State::Stuck | State::Lost | State::NotInjected => "\x1b[31m",
        _ => "\x1b[33m",
    }
}

impl Style {
    fn heading(self) -> Vec<&'static str> {
        let mut all = Vec::new();
        if self.namespaces {
            all.push("NAMESPACE");
        }
        all.extend(["WORKLOAD", "POD", "NODE", "ANCHOR", "IP", "STATE", "SINCE"]);
        if self.wide {
            all.extend(["RESTARTS", "PUBLISHED", "INJECTED", "ANCHOR-NODE", "UID"]);
        }
        all.push("WHY");
        all
    }

    fn cells(self, row: &Row, now: Timestamp) -> Vec<Cow<'_, str>> {
        let none = |text: Option<&str>| clean(text.unwrap_or("<none>")).into_owned().into();
        let anchor = row.anchor.as_ref();
        let ip = |ip: Option<std::net::IpAddr>| none(ip.map(|ip| ip.to_string()).as_deref());
        let mut all = Vec::new();
        if self.namespaces {
            all.push(row.namespace.as_str().into());
        }
        all.extend([
            none(row.workload.as_deref()),
            row.pod.name.as_str().into(),
            none(row.pod.node.as_deref()),
            none(anchor.map(|anchor| anchor.name.as_str())),
            ip(anchor.and_then(|anchor| anchor.ip)),
            row.state.as_str().into(),
            row.since
                .map_or("<unknown>".into(), |since| age(since, now).into()),
        ]);
        if self.wide {
            all.extend([
                row.pod.restarts.to_string().into(),
                ip(row.pod.published_ip),
                none(row.pod.injected.as_deref()),
                none(anchor.and_then(|anchor| anchor.node.as_deref())),
                row.pod.uid.as_str().into(),
            ]);
        }
        all.push(clean(&row.why));
        all
    }

    /// Whether a line of this row would say anything new after that of the other.
    pub(super) fn tells_apart(self, row: &Row, other: &Row) -> bool {
        // An age is different each time; what it counts from is not.
        let now = row.since.unwrap_or_default();
        row.since != other.since || self.cells(row, now) != self.cells(other, now)
    }
}

/// Messages come from nodes and registries: no line breaks in a line, and nothing that a terminal
/// would obey.
pub(in crate::cli) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        let words: Vec<_> = text
            .split(char::is_control)
            .filter(|word| !word.is_empty())
            .collect();
        Cow::Owned(words.join(" "))
    } else {
        Cow::Borrowed(text)
    }
}

/// All pairs as one document, and the external Services.
pub(super) fn list(rows: &[Row], external: &[External]) -> Value {
    json!({
        "apiVersion": cli::API_VERSION, "kind": "PairList", "items": rows,
        "externalServices": external,
    })
}

/// One pair as a document of its own.
pub(super) fn one(row: &Row) -> Value {
    let mut document = json!({ "apiVersion": cli::API_VERSION, "kind": "Pair" });
    // A struct of strings, numbers and structs always serializes, to an object.
    if let (Some(fields), Ok(Value::Object(row))) =
        (document.as_object_mut(), serde_json::to_value(row))
    {
        fields.extend(row);
    }
    document
}

#[cfg(test)]
#[path = "print_tests.rs"]
mod tests;
