//! What `inject` prints.

use std::io::{self, Write};

use imara_diff::{Algorithm, BasicLineDiffPrinter, Diff, InternedInput, UnifiedDiffConfig};
use serde_json::{Value, json};

use super::documents::heading;
use super::objects::{Fate, Reference, Treated};
use crate::cli::yaml;

/// A document of a source, gone through.
#[derive(Debug)]
pub(super) struct Printed<'t> {
    /// Where it was read.
    pub(super) file: &'t str,
    pub(super) separator: &'t str,
    pub(super) text: &'t str,
    pub(super) json: bool,
    pub(super) value: Value,
    pub(super) fate: Fate,
    pub(super) objects: Vec<Treated>,
}

impl Printed<'_> {
    fn anchors(&self) -> impl Iterator<Item = &Value> {
        let admitted = self.objects.iter().filter(|object| object.error.is_none());
        admitted.flat_map(|object| &object.outcome.anchors)
    }

    /// What is left of it, if anything.
    fn value(&self) -> Option<&Value> {
        match &self.fate {
            Fate::Untouched => Some(&self.value),
            Fate::Changed(value) => Some(value),
            Fate::Refused => None,
        }
    }
}

/// All documents as YAML; what was not changed, byte for byte as it was.
pub(super) fn as_yaml(documents: &[Printed<'_>], anchors: bool) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    // A stream of JSON values needs no separators as long as it is nothing but that.
    let plain_json = documents.iter().all(|document| {
        document.json
            && matches!(document.fate, Fate::Untouched)
            && (!anchors || document.anchors().next().is_none())
    });
    for document in documents {
        let text = match &document.fate {
            Fate::Refused => continue,
            Fate::Untouched => document.text.to_owned(),
            Fate::Changed(value) => heading(document.text).to_owned() + &write(value)?,
        };
        if plain_json {
            out.extend_from_slice(document.separator.as_bytes());
        } else if document.json || document.separator.is_empty() {
            separate(&mut out);
        } else {
            end_line(&mut out);
            out.extend_from_slice(document.separator.as_bytes());
        }
        out.extend_from_slice(text.as_bytes());
        for anchor in document.anchors().filter(|_| anchors) {
            separate(&mut out);
            out.extend_from_slice(write(anchor)?.as_bytes());
        }
    }
    Ok(out)
}

/// Begins a document that came without a separator; the very first needs none.
fn separate(out: &mut Vec<u8>) {
    if !out.is_empty() {
        end_line(out);
        out.extend_from_slice(b"---\n");
    }
}

fn end_line(out: &mut Vec<u8>) {
    if out.last().is_some_and(|byte| *byte != b'\n') {
        out.push(b'\n');
    }
}

fn write(value: &Value) -> io::Result<String> {
    yaml::write(value).map_err(io::Error::other)
}

/// All objects as JSON: one as it is, several as a List, as kubectl does.
pub(super) fn as_json(documents: &[Printed<'_>], anchors: bool) -> Vec<u8> {
    let mut objects: Vec<&Value> = Vec::new();
    for document in documents {
        objects.extend(document.value().filter(|value| !value.is_null()));
        objects.extend(document.anchors().filter(|_| anchors));
    }
    let value = match objects.as_slice() {
        [] => return Vec::new(),
        [one] => (*one).clone(),
        many => json!({ "apiVersion": "v1", "kind": "List", "items": many }),
    };
    format!("{value:#}\n").into_bytes()
}

/// One line a changed object: which it is, and its JSON patch.
pub(super) fn as_patches(documents: &[Printed<'_>], anchors: bool) -> io::Result<Vec<u8>> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        file: &'a str,
        #[serde(flatten)]
        reference: &'a Reference,
        patch: &'a json_patch::Patch,
        #[serde(skip_serializing_if = "Option::is_none")]
        anchors: Option<&'a [Value]>,
    }
    let mut out = Vec::new();
    for (document, object) in admitted(documents) {
        let outcome = &object.outcome;
        let anchors = anchors.then_some(outcome.anchors.as_slice());
        if outcome.patch.is_empty() && anchors.is_none_or(<[Value]>::is_empty) {
            continue;
        }
        let (file, reference, patch) = (document.file, &object.reference, &outcome.patch);
        serde_json::to_writer(
            &mut out,
            &Line {
                file,
                reference,
                patch,
                anchors,
            },
        )?;
        out.push(b'\n');
    }
    Ok(out)
}

/// What would change, as unified diffs of YAML. Both sides are written by us, so that only what
/// admission does shows.
pub(super) fn as_diff(
    documents: &[Printed<'_>],
    anchors: bool,
    colour: bool,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for (document, object) in admitted(documents) {
        let outcome = &object.outcome;
        let before = format!("{}: {}", document.file, object.reference);
        if !outcome.patch.is_empty() {
            let after = format!("{before} as admitted");
            diff(
                &mut out,
                (&before, &write(&object.before)?),
                (&after, &write(&outcome.object)?),
                colour,
            )?;
        }
        for anchor in outcome.anchors.iter().filter(|_| anchors) {
            let after = format!("{before}, its anchor");
            diff(
                &mut out,
                ("/dev/null", ""),
                (&after, &write(anchor)?),
                colour,
            )?;
        }
    }
    Ok(out)
}

fn admitted<'a, 't>(
    documents: &'a [Printed<'t>],
) -> impl Iterator<Item = (&'a Printed<'t>, &'a Treated)> {
    documents.iter().flat_map(|document| {
        let objects = document
            .objects
            .iter()
            .filter(|object| object.error.is_none());
        objects.map(move |object| (document, object))
    })
}

/// One unified diff between two named texts.
fn diff(
    out: &mut impl Write,
    before: (&str, &str),
    after: (&str, &str),
    colour: bool,
) -> io::Result<()> {
    let paint = |code: &'static str| if colour { (code, "\x1b[0m") } else { ("", "") };
    let input = InternedInput::new(before.1, after.1);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let (bold, reset) = paint("\x1b[1m");
    writeln!(
        out,
        "{bold}--- {}{reset}\n{bold}+++ {}{reset}",
        before.0, after.0
    )?;
    let printer = BasicLineDiffPrinter(&input.interner);
    let text = diff.unified_diff(&printer, UnifiedDiffConfig::default(), &input);
    for line in text.to_string().lines() {
        let (code, reset) = match line.as_bytes().first() {
            Some(b'@') => paint("\x1b[36m"),
            Some(b'-') => paint("\x1b[31m"),
            Some(b'+') => paint("\x1b[32m"),
            _ => ("", ""),
        };
        writeln!(out, "{code}{line}{reset}")?;
    }
    Ok(())
}
