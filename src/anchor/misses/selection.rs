//! What a selector takes of the pairs, and the selector to write instead.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Expression, Selector, SelectorExt as _};
use serde::Deserialize as _;
use serde_json::Value;

use super::workloads::Pair;
use crate::names::{label, policy};

/// A `metav1.LabelSelector`. None where there is none, or it is not one, and so selects nothing.
pub(super) fn label_selector(value: &Value) -> Option<Selector> {
    if value.is_null() {
        return None;
    }
    LabelSelector::deserialize(value).ok()?.try_into().ok()
}

/// A Service's, which is a plain map. None where it is empty: such a Service has no endpoints of its
/// own.
pub(super) fn map_selector(value: &Value) -> Option<Selector> {
    let map = value.as_object().filter(|map| !map.is_empty())?;
    map.iter()
        .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// What a selector takes of the pairs that it is held against.
#[derive(Debug, Default)]
pub(super) struct Selection<'w> {
    /// Workloads of which it takes a pod without its anchor.
    pub(super) missed: BTreeSet<&'w str>,
    /// Workloads of which it takes a pod and its anchor.
    pub(super) both: BTreeSet<&'w str>,
    /// Workloads of which it takes an anchor without its pod.
    pub(super) anchors: BTreeSet<&'w str>,
    /// Workloads of which it takes only some of the pods.
    parted: BTreeSet<&'w str>,
}

impl<'w> Selection<'w> {
    pub(super) fn of(
        selector: &Selector,
        pairs: impl Iterator<Item = (&'w str, &'w Pair)>,
    ) -> Self {
        let mut selection = Selection::default();
        let mut left = BTreeSet::new();
        for (workload, pair) in pairs {
            let into = match (selector.matches(&pair.pod), selector.matches(&pair.anchor)) {
                (true, false) => &mut selection.missed,
                (true, true) => &mut selection.both,
                (false, true) => &mut selection.anchors,
                (false, false) => &mut left,
            };
            into.insert(workload);
        }
        let parted = selection.missed.intersection(&left);
        selection.parted = parted.copied().collect();
        selection
    }

    /// The selector to write for the one that misses anchors.
    pub(super) fn instead(&self, selector: &Selector) -> Instead {
        let mut names = self.missed.iter();
        if let (Some(one), None) = (names.next(), names.next())
            && self.parted.is_empty()
        {
            let anchors = Expression::Equal(label::ANCHOR.to_owned(), (*one).to_owned());
            return Instead {
                selector: anchors.into(),
                copied: BTreeSet::new(),
                could_copy: if selector.clone().into_iter().any(|e| ours(key(&e))) {
                    // It is for workloads only, and as it is no anchor meets it.
                    BTreeSet::new()
                } else {
                    theirs(selector)
                },
            };
        }
        // A part of a workload, or several: only the labels tell which, so the anchors need them too.
        // What is asked of labels that only anchors have keeps anchors out, since the pods met it.
        let asked = selector.clone().into_iter();
        let asked = asked.filter(|e| !label::RESERVED.contains(&key(e)));
        let selector: Selector = asked.map(of_the_anchor).collect();
        let copied = theirs(&selector);
        Instead {
            selector,
            copied,
            could_copy: BTreeSet::new(),
        }
    }
}

/// What to write in place of a selector.
#[derive(Debug)]
pub(super) struct Instead {
    /// The selector.
    pub(super) selector: Selector,
    /// Keys of labels that the anchors need for it.
    pub(super) copied: BTreeSet<String>,
    /// Keys of labels with which the anchors would do for the selector as it is.
    could_copy: BTreeSet<String>,
}

impl Instead {
    /// Wants anchors only, where pods carry the same labels.
    pub(super) fn anchors_only(mut self) -> Self {
        if !self.copied.is_empty() {
            self.selector = with_role(&self.selector);
        }
        self
    }

    /// The sentence that says to write it, in a field that has this form.
    pub(super) fn sentence(&self, field: &str, form: fn(&Selector) -> String) -> String {
        let selector = form(&self.selector);
        if self.copied.is_empty() {
            return format!("Write `{field}: {selector}`.");
        }
        format!(
            "Annotate the workload's pods with {}, so that their anchors have these labels too, and write `{field}: {selector}`.",
            annotation(&self.copied)
        )
    }

    /// The other way, where anchors beside the pods do no harm: who obeys the first one leaves out
    /// pods that have the same labels and are no workload's, of which nothing is known here.
    pub(super) fn or_copy(&self) -> Option<String> {
        let annotation = (!self.could_copy.is_empty()).then(|| annotation(&self.could_copy))?;
        Some(format!(
            "If it is for other pods too, leave it as it is and annotate the workload's pods with {annotation}."
        ))
    }

    /// Both ways.
    pub(super) fn sentences(&self, field: &str, form: fn(&Selector) -> String) -> String {
        let one = self.sentence(field, form);
        let other = self.or_copy();
        match other {
            Some(other) => format!("{one} {other}"),
            None => one,
        }
    }
}

/// The annotation that copies labels to the anchors.
fn annotation(keys: &BTreeSet<String>) -> String {
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    format!("`{}: {}`", policy::ANCHOR_LABELS, text(&keys.join(",")))
}

/// The keys of a selector that are the author's.
fn theirs(selector: &Selector) -> BTreeSet<String> {
    let keys = selector.clone().into_iter().map(|e| key(&e).to_owned());
    keys.filter(|key| !ours(key)).collect()
}

/// The same selector for anchors only.
pub(super) fn with_role(selector: &Selector) -> Selector {
    let mut selector = selector.clone();
    let role = (label::ROLE.to_owned(), label::ROLE_ANCHOR.to_owned());
    selector.extend(Expression::Equal(role.0, role.1));
    selector
}

/// The same selector for all but anchors.
pub(super) fn without_anchors(selector: &Selector) -> Selector {
    let mut selector = selector.clone();
    selector.extend(Expression::DoesNotExist(label::ROLE.to_owned()));
    selector
}

fn ours(key: &str) -> bool {
    key == label::WORKLOAD || label::RESERVED.contains(&key)
}

fn key(expression: &Expression) -> &str {
    match expression {
        Expression::In(key, _)
        | Expression::NotIn(key, _)
        | Expression::Equal(key, _)
        | Expression::NotEqual(key, _)
        | Expression::Exists(key)
        | Expression::DoesNotExist(key) => key,
    }
}

/// What is asked of a pod's workload is asked of the workload that an anchor serves.
fn of_the_anchor(mut expression: Expression) -> Expression {
    match &mut expression {
        Expression::In(key, _)
        | Expression::NotIn(key, _)
        | Expression::Equal(key, _)
        | Expression::NotEqual(key, _)
        | Expression::Exists(key)
        | Expression::DoesNotExist(key) => {
            if key == label::WORKLOAD {
                label::ANCHOR.clone_into(key);
            }
        }
    }
    expression
}

/// `workload albums`, `workloads albums, sales and 3 more`.
pub(super) fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    const SHOWN: usize = 4;
    let names: Vec<_> = names.into_iter().collect();
    match names.as_slice() {
        [one] => format!("workload {one}"),
        few if few.len() <= SHOWN => format!("workloads {}", few.join(", ")),
        many => format!(
            "workloads {} and {} more",
            many[..SHOWN].join(", "),
            many.len() - SHOWN
        ),
    }
}

/// A Service's selector as YAML on one line.
pub(super) fn as_map(selector: &Selector) -> String {
    let pairs = selector.clone().into_iter().filter_map(|e| match e {
        Expression::Equal(key, value) => Some(format!("{key}: {}", text(&value))),
        _ => None,
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// A `metav1.LabelSelector` as YAML on one line.
pub(super) fn as_selector(selector: &Selector) -> String {
    let selector = LabelSelector::from(selector.clone());
    let mut parts = Vec::new();
    let labels = selector.match_labels.unwrap_or_default();
    if !labels.is_empty() {
        let labels = labels.iter().map(|(k, v)| format!("{k}: {}", text(v)));
        let labels = labels.collect::<Vec<_>>().join(", ");
        parts.push(format!("matchLabels: {{{labels}}}"));
    }
    let expressions = selector.match_expressions.unwrap_or_default();
    if !expressions.is_empty() {
        let expressions = expressions.iter().map(|e| {
            let values = e.values.iter().flatten().map(|v| text(v));
            let values = values.collect::<Vec<_>>().join(", ");
            let values = match values.as_str() {
                "" => String::new(),
                values => format!(", values: [{values}]"),
            };
            format!("{{key: {}, operator: {}{values}}}", e.key, e.operator)
        });
        let expressions = expressions.collect::<Vec<_>>().join(", ");
        parts.push(format!("matchExpressions: [{expressions}]"));
    }
    format!("{{{}}}", parts.join(", "))
}

/// A label's value, or keys of labels, as YAML takes them for text: in quotes where they could be a
/// number, a truth value or a list.
fn text(value: &str) -> String {
    const WORDS: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "null", "y"];
    let plain = value.starts_with(|c: char| c.is_ascii_alphabetic())
        && !value.contains(',')
        && !WORDS.contains(&value.to_ascii_lowercase().as_str())
        && !value.eq_ignore_ascii_case("n");
    if plain {
        value.to_owned()
    } else {
        format!("\"{value}\"")
    }
}
