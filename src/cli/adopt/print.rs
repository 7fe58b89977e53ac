//! What `adopt` prints.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::AdoptError;
use super::draft::wrapped;
use super::read::Document;
use super::world::{Fate, Object, World};
use crate::cli::inject::documents::heading;

/// All documents of files; what was not changed, byte for byte as it was.
pub(super) fn documents(documents: &[Document<'_>], world: &World) -> Result<String, AdoptError> {
    let mut out = String::new();
    for document in documents {
        let objects = world
            .objects
            .get(document.objects.clone())
            .unwrap_or_default();
        let untouched = objects
            .iter()
            .all(|object| matches!(object.fate, Fate::Untouched));
        if untouched {
            begin(&mut out, document);
            out.push_str(document.text);
            continue;
        }
        if let [object] = objects {
            begin(&mut out, document);
            out.push_str(&one(object, document)?);
            continue;
        }
        // A List: its items one by one.
        for object in objects {
            begin(&mut out, document);
            out.push_str(&alone(object)?);
        }
    }
    Ok(out)
}

/// The line that parts a document from the one before it; the very first may have none.
fn begin(out: &mut String, document: &Document<'_>) {
    if out.is_empty() {
        if !document.json {
            out.push_str(document.separator);
        }
        return;
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    if document.json || document.separator.is_empty() {
        out.push_str("---\n");
    } else {
        out.push_str(document.separator);
    }
}

/// An object that was alone in its document, with what stood above it.
fn one(object: &Object, document: &Document<'_>) -> Result<String, AdoptError> {
    let above = heading(document.text);
    Ok(match &object.fate {
        Fate::Untouched => document.text.to_owned(),
        Fate::Remarked(remarks) => {
            let rest = document.text.strip_prefix(above).unwrap_or(document.text);
            format!("{above}{}{rest}", comments(remarks))
        }
        Fate::Changed(draft) => format!("{above}{}", draft.yaml().map_err(AdoptError::Yaml)?),
        Fate::LeftOut(why) => comments(&[left_out(object, why)]),
    })
}

/// An object of a List, or of a cluster.
fn alone(object: &Object) -> Result<String, AdoptError> {
    let plain = |remarks: &[String]| -> Result<String, AdoptError> {
        let text = crate::cli::yaml::write(&object.value).map_err(AdoptError::Yaml)?;
        Ok(comments(remarks) + &text)
    };
    match &object.fate {
        Fate::Untouched => plain(&[]),
        Fate::Remarked(remarks) => plain(remarks),
        Fate::Changed(draft) => draft.yaml().map_err(AdoptError::Yaml),
        Fate::LeftOut(why) => Ok(comments(&[left_out(object, why)])),
    }
}

fn left_out(object: &Object, why: &str) -> String {
    format!(
        "{} {}: left out, since {why}.",
        object.kind(),
        object.name()
    )
}

fn comments(remarks: &[String]) -> String {
    remarks.iter().flat_map(|text| wrapped(text)).collect()
}

/// Of a cluster: what changes, or could go.
pub(super) fn changed(world: &World) -> Result<String, AdoptError> {
    let mut out = String::new();
    for object in &world.objects {
        if matches!(object.fate, Fate::Untouched) {
            continue;
        }
        if !out.is_empty() {
            out.push_str("---\n");
        }
        out.push_str(&alone(object)?);
    }
    Ok(out)
}

/// All objects, without comments; of a cluster, those that change.
pub(super) fn json(world: &World, unchanged_too: bool) -> String {
    let objects = world
        .objects
        .iter()
        .filter_map(|object| match &object.fate {
            Fate::Changed(draft) => Some(&draft.value),
            Fate::LeftOut(_) => None,
            _ => unchanged_too.then_some(&object.value),
        });
    let items: Vec<&Value> = objects.collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    format!("{list:#}\n")
}

/// What goes to standard error: what was lost, and what is left to do.
pub(super) fn report(world: &World) -> String {
    let mut out = String::new();
    let touched = world
        .objects
        .iter()
        .any(|object| !matches!(object.fate, Fate::Untouched));
    if !touched && world.lost.is_empty() {
        out.push_str("Nothing to adopt: no HostProcess pod that is started in an anchor's compartment, and no Service \
                      with endpoints by hand.\n");
    }
    if !world.lost.is_empty() {
        out.push_str("Not carried over:\n");
        for remark in &world.lost {
            let _ = writeln!(out, "  {}: {}", remark.object, remark.text);
        }
    }
    for (when, commands) in [
        (
            "To do by hand, before what is printed is applied:",
            &world.before,
        ),
        ("To do by hand, once what is printed runs:", &world.after),
    ] {
        if commands.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{when}");
        for text in commands {
            let _ = writeln!(out, "  {text}");
        }
    }
    out
}
