//! Labels under our prefix, and the marker.

use super::host;
use super::pod::Pod;
use super::reason::Reason;
use super::sheet::Sheet;
use crate::names::{PREFIX, annotation, label};
use crate::policy::KEYS;

/// The version of the contract that the marker carries.
pub const MARKER: &str = "v1";

/// Most characters of a label's value (`LabelValueMaxLength`, k8s.io/apimachinery).
const LABEL_VALUE_MAX: usize = 63;

/// Whether `value` can be a label's value, and is not empty.
pub fn is_workload_name(value: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    value.len() <= LABEL_VALUE_MAX
        && edge(value.chars().next())
        && edge(value.chars().last())
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Checks the labels under our prefix.
pub(super) fn labels(pod: &Pod<'_>, sheet: &mut Sheet) {
    for (key, value) in pod.labels.iter().filter(|(key, _)| key.starts_with(PREFIX)) {
        if key == label::WORKLOAD && is_workload_name(value) {
            continue;
        }
        let field = sheet.field(format_args!("metadata.labels[{key}]"));
        let value = value.to_owned();
        if key == label::WORKLOAD {
            sheet.refuse(
                Reason::Metadata,
                field,
                value,
                "expected the workload's name: at most 63 letters, digits, `-`, `_` or `.`, a \
                 letter or digit first and last, e.g. \"albums\"",
            );
        } else if label::RESERVED.contains(&key) {
            sheet.refuse(
                Reason::Metadata,
                field,
                value,
                format!(
                    "only the anchor controller sets this label, on anchors; remove it and name \
                     the workload by {}",
                    label::WORKLOAD
                ),
            );
        } else {
            sheet.refuse(Reason::Metadata, field, value, unknown_label(key));
        }
    }
}

/// What is said of a label under our prefix that is none.
fn unknown_label(key: &str) -> String {
    if KEYS.iter().any(|policy| policy.name == key) {
        return "this is an annotation; move it to metadata.annotations".to_owned();
    }
    if annotation::OWN.contains(&key) {
        return "native-host itself writes this, as an annotation; remove it".to_owned();
    }
    let hint = if strsim::damerau_levenshtein(key, label::WORKLOAD) <= 3 {
        format!("; did you mean {}?", label::WORKLOAD)
    } else {
        format!("; the one label of a pod is {}", label::WORKLOAD)
    };
    format!("no such label under {PREFIX}{hint}")
}

/// Whether the pod says of itself that it was injected. A marker of another version, or an
/// anchor spec without marker, is refused: both are untrusted on CREATE.
pub(super) fn marked(pod: &Pod<'_>, sheet: &mut Sheet) -> bool {
    let marker = pod.annotation(annotation::INJECTED);
    let way_out = "apply the original manifest, without what native-host wrote into it";
    match marker {
        Some(MARKER) if pod.annotation(annotation::ANCHOR_SPEC).is_some() => return true,
        Some(MARKER) if host::says_so(pod) => return true, // it has no anchor
        Some(MARKER) => {
            let field = sheet.annotation(annotation::INJECTED);
            let text = format!(
                "the pod says that it was injected, but has no annotation {}; {way_out}",
                annotation::ANCHOR_SPEC
            );
            sheet.refuse(Reason::Marker, field, MARKER.to_owned(), text);
        }
        Some(other) => {
            let field = sheet.annotation(annotation::INJECTED);
            sheet.refuse(
                Reason::Marker,
                field,
                other.to_owned(),
                format!("this program injects by contract {MARKER}; {way_out}"),
            );
        }
        None if pod.annotation(annotation::ANCHOR_SPEC).is_some() => {
            let field = sheet.annotation(annotation::ANCHOR_SPEC);
            sheet.refuse(
                Reason::Marker,
                field,
                None,
                format!("only native-host writes this annotation; {way_out}"),
            );
        }
        None => {}
    }
    false
}
