//! That `docs/operations.md` tells of all that the program can say, and that the pages' links lead somewhere.
//! What is added to the code and not there fails here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use native_host_launcher::Exit;
use native_host_launcher::help::Topic;
use native_host_launcher::report::{self, Circumstances};

use crate::admission::metrics::{self as server, Closed, Refused};
use crate::anchor::answer;
use crate::anchor::metrics::{self as controller, Request};
use crate::cluster::failure::Failure;
use crate::plan::reason::{Outcome, Reason};

const PAGE: &str = include_str!("../docs/operations.md");

/// The part of the page from a heading to the next one of its rank, or a higher one.
fn section(heading: &str) -> &'static str {
    let rank = heading.split(' ').next().unwrap().len();
    let (_, rest) = PAGE
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading:?}"));
    let ends = (1..=rank).filter_map(|rank| rest.find(&format!("\n{} ", "#".repeat(rank))));
    &rest[..ends.min().unwrap_or(rest.len())]
}

/// Each of these stands there as code.
fn tells(heading: &str, words: impl IntoIterator<Item = impl std::fmt::Display>) {
    let text = section(heading);
    for word in words {
        assert!(
            text.contains(&format!("`{word}`")),
            "docs/operations.md, {heading}: {word} is missing"
        );
    }
}

#[test]
fn every_metric_is_told_of_with_its_labels() {
    let metrics = server::Metrics::new().unwrap();
    controller::Metrics::new(&metrics).unwrap();
    let text = metrics.text().unwrap();
    let page = section("## Metrics");
    let mut told = 0;
    for line in text.lines() {
        let Some(name) = line.strip_prefix("# HELP ") else {
            continue;
        };
        let name = name.split(' ').next().unwrap();
        let series = text
            .lines()
            .find(|line| !line.starts_with('#') && line.starts_with(name))
            .unwrap();
        let labels: Vec<&str> = series
            .split_once('{')
            .map_or("", |(_, labels)| labels)
            .split(',')
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        let written = match labels[..] {
            [] => format!("`{name}`"),
            _ => format!("`{name}{{{}}}`", labels.join(",")),
        };
        assert!(
            page.contains(&written),
            "docs/operations.md, Metrics: {written} is missing"
        );
        told += 1;
    }
    assert!(told > 25, "{told}");
}

#[test]
fn every_word_of_a_label_is_told_of() {
    tells("## Reasons of reviews", Reason::ALL);
    tells("## Reasons of reviews", Outcome::ALL);
    tells("### Requests that get no review", Refused::ALL);
    tells("### Ends of connections", Closed::ALL);
    tells("## Requests of the controller", Request::ALL);
    tells("### Why requests fail", Failure::ALL);
}

#[test]
fn every_reason_of_events_and_conditions_is_told_of() {
    let events = section("## Events");
    let conditions = section("## Conditions");
    for reason in answer::Reason::ALL {
        let word = format!("`{reason}`");
        assert!(
            events.contains(&word) || conditions.contains(&word),
            "docs/operations.md: {reason} is missing"
        );
    }
}

#[test]
fn every_exit_code_is_told_of() {
    let page = section("## Exit codes");
    for exit in Exit::ALL {
        let row = format!("\n| {} | ", exit.code());
        assert!(
            page.contains(&row),
            "docs/operations.md: {} is missing",
            exit.code()
        );
    }
    for code in [crate::cli::FAILURE, crate::cli::USAGE] {
        assert!(page.contains(&format!("\n| {code} | ")), "{code}");
    }
}

/// The launcher's page, held against what the launcher says of itself.
#[test]
fn every_command_and_option_of_the_launcher_is_told_of() {
    let page = include_str!("../docs/launcher.md");
    let help = Topic::All.text();
    let commands = help.lines().filter_map(|line| line.strip_prefix("  "));
    let commands: Vec<_> = commands
        .map_while(|line| line.split(' ').next().filter(|word| !word.is_empty()))
        .filter(|word| word.chars().all(char::is_alphabetic))
        .collect();
    assert!(
        commands.contains(&"run") && commands.contains(&"version"),
        "{commands:?}"
    );
    for command in commands {
        assert!(
            page.contains(&format!("\n| `{command}` | ")),
            "{command} is missing"
        );
    }
    for topic in Topic::ALL {
        let text = topic.text();
        let options = text.lines().filter_map(|line| line.strip_prefix("  -"));
        for option in options.filter_map(|line| line.split(' ').next()) {
            assert!(
                page.contains(&format!("`-{option}`")),
                "-{option} is missing"
            );
        }
    }
    let known = Circumstances {
        container: Some("albums".to_owned()),
        anchor: Some("6e7e1f9e".to_owned()),
        ip: Some([10, 244, 1, 7].into()),
        program: Some(r"C:\apps\albums.exe".to_owned()),
        after: Duration::from_millis(180_400),
        ..Circumstances::default()
    };
    let line = report::line(
        Exit::CompartmentNotFound,
        &known,
        "hcn: no endpoint has 10.244.1.7",
    );
    assert!(page.contains(&format!("\n{line}\n")), "{line}");
}

#[test]
fn a_section_ends_where_the_next_begins() {
    let events = section("## Events");
    assert!(events.contains("AnchorLost") && !events.contains("AnchorStarting"));
    let failures = section("### Why requests fail");
    assert!(failures.contains("busy") && !failures.contains("AnchorCreated"));
}

/// GitHub's name for a heading, as far as ours need it.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text: String = heading.chars().filter(kept).collect();
    text.trim().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    pages.extend(docs.map(|entry| entry.unwrap().path()));
    let mut followed = 0;
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|e| e == "md"))
    {
        let text = std::fs::read_to_string(page).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = match file {
                "" => page.clone(),
                _ => page.parent().unwrap().join(file),
            };
            assert!(to.exists(), "{}: {link} leads nowhere", page.display());
            if !anchor.is_empty() {
                let there = std::fs::read_to_string(&to).unwrap();
                let mut headings = there.lines().filter(|line| line.starts_with('#'));
                let id = format!("<a id=\"{anchor}\">");
                assert!(
                    headings.any(|heading| slug(heading.trim_start_matches('#')) == anchor)
                        || there.contains(&id),
                    "{}: {link} names no heading of that page",
                    page.display()
                );
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "{followed}");
}
