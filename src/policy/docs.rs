//! The reference part of `docs/policy.md`, out of the one table of keys.

use std::fmt::Write as _;

use super::{KEYS, Policy};
use crate::names::env::FLAG_PREFIX;

const BEGIN: &str = "<!-- keys: begin (hack/update-docs writes this part) -->\n";
const END: &str = "<!-- keys: end -->\n";

/// The page with its reference part as it should be; `None` where the marks are missing.
pub fn update(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", keys()))
}

/// An overview of the keys, and a paragraph of each.
fn keys() -> String {
    let builtin = Policy::builtin();
    let default = |key: &super::Key| {
        let value = key.show(&builtin);
        value.map_or_else(|| key.unset.to_owned(), |value| format!("`{value}`"))
    };
    // Writing to a String cannot fail.
    let mut text = String::from("| key | on a pod | default |\n|---|---|---|\n");
    for key in &KEYS {
        let on_pod = if key.on_pod { "yes" } else { "" };
        let name = key.flag();
        let _ = writeln!(
            text,
            "| [`{name}`](#{name}) | {on_pod} | {} |",
            default(key)
        );
    }
    for key in &KEYS {
        let flag = key.flag();
        let _ = write!(
            text,
            "\n### {flag}\n\n{}\n\n- Value: {}\n- Example: `{}`\n- Default: {}\n- Set by: the Namespace{}; \
             `--{flag}` and `{FLAG_PREFIX}{}` of `serve` for the cluster\n",
            key.doc,
            key.expected,
            line(key),
            default(key),
            if key.on_pod { ", the pod" } else { "" },
            flag.replace('-', "_").to_ascii_uppercase(),
        );
    }
    text
}

/// The key's example as it stands under `annotations:`. Always in quotes: an annotation is a string, and
/// YAML has other ideas of `off`, `15` and lists in brackets.
fn line(key: &super::Key) -> String {
    format!("{}: '{}'", key.name, key.example.replace('\'', "''"))
}
