//! The table of `docs/policy.md`, out of the one table of keys.

use std::fmt::Write as _;

use super::{KEYS, Policy};

/// The keys as a Markdown table.
pub fn table() -> String {
    let builtin = Policy::builtin();
    let mut text = String::from(
        "| key | on a pod | value | example | default | what it does |\n|---|---|---|---|---|---|\n",
    );
    for key in &KEYS {
        let default = key
            .show(&builtin)
            .map_or_else(|| key.unset.to_owned(), |value| code(&value));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {default} | {} |",
            key.flag(),
            if key.on_pod { "yes" } else { "no" },
            cell(key.expected),
            code(key.example),
            cell(key.doc),
        );
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', r"\|")
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}
