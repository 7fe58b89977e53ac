//! An object with comments on its lines, and the YAML of both.
//!
//! Scalars are written by [`yaml`], so that every reader takes them for the same; here is only the block
//! structure around them, and where comments stand.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::yaml;

/// Longer lines have their comment above them.
const WIDTH: usize = 120;

/// An object that is being rewritten.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Draft {
    pub(super) value: Value,
    /// JSON pointer -> what is said of that field.
    comments: BTreeMap<String, String>,
    /// What is said of the whole, one paragraph each.
    pub(super) heading: Vec<String>,
}

impl Draft {
    pub(super) fn new(value: Value) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }

    /// Says something of a field that is there. A second remark is added to the first.
    pub(super) fn comment(&mut self, pointer: &str, text: impl Into<String>) {
        if self.value.pointer(pointer).is_none() {
            return;
        }
        let text = text.into();
        self.comments
            .entry(pointer.to_owned())
            .and_modify(|known| {
                if !known.contains(&text) {
                    known.push_str("; ");
                    known.push_str(&text);
                }
            })
            .or_insert(text);
    }

    pub(super) fn head(&mut self, text: impl Into<String>) {
        self.heading.push(text.into());
    }

    /// What stands above the document: `heading` and its paragraphs, as comment lines.
    pub(super) fn heading_text(&self) -> String {
        self.heading.iter().flat_map(|text| wrapped(text)).collect()
    }

    /// The document, without separators.
    pub(super) fn yaml(&self) -> Result<String, String> {
        let mut out = self.heading_text();
        let mut lines = Vec::new();
        self.node(&self.value, "", &mut lines)?;
        for line in lines {
            out.push_str(&line);
            out.push('\n');
        }
        Ok(out)
    }

    /// The lines of a mapping or a sequence, not indented.
    fn node(&self, value: &Value, pointer: &str, lines: &mut Vec<String>) -> Result<(), String> {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    let pointer = format!("{pointer}/{}", escaped(key));
                    let inner = self.inner(value, &pointer)?;
                    // The key as it is written beside anything else.
                    let text = if inner.is_some() {
                        yaml::write(&json!({ key.as_str(): Value::Null }))?
                    } else {
                        yaml::write(&json!({ key.as_str(): value }))?
                    };
                    let text = match &inner {
                        Some(_) => text.trim_end().trim_end_matches("null").trim_end(),
                        None => ended(&text),
                    };
                    self.commented(text, &pointer, lines);
                    let sequence = value.is_array();
                    for line in inner.into_iter().flatten() {
                        lines.push(if sequence { line } else { indented(&line) });
                    }
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    let pointer = format!("{pointer}/{index}");
                    let Some(inner) = self.inner(item, &pointer)? else {
                        let text = yaml::write(&json!([item]))?;
                        self.commented(ended(&text), &pointer, lines);
                        continue;
                    };
                    if let Some(comment) = self.comments.get(&pointer) {
                        lines.extend(wrapped(comment).map(|line| line.trim_end().to_owned()));
                    }
                    let mut begun = false;
                    for line in inner {
                        let is_comment = line.trim_start().starts_with('#') && !begun;
                        if begun || is_comment {
                            lines.push(if is_comment { line } else { indented(&line) });
                        } else {
                            begun = true;
                            lines.push(format!("- {line}"));
                        }
                    }
                }
            }
            scalar => lines.push(ended(&yaml::write(scalar)?).to_owned()),
        }
        Ok(())
    }

    /// The lines of what has lines of its own.
    fn inner(&self, value: &Value, pointer: &str) -> Result<Option<Vec<String>>, String> {
        let has_lines = match value {
            Value::Object(fields) => !fields.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => false,
        };
        if !has_lines {
            return Ok(None);
        }
        let mut lines = Vec::new();
        self.node(value, pointer, &mut lines)?;
        Ok(Some(lines))
    }

    /// A line, and its comment beside it, or above it where it is long or several.
    fn commented(&self, text: &str, pointer: &str, lines: &mut Vec<String>) {
        let Some(comment) = self.comments.get(pointer) else {
            lines.extend(text.split('\n').map(str::to_owned));
            return;
        };
        if !text.contains('\n') && text.len() + comment.len() + 4 <= WIDTH {
            lines.push(format!("{text}  # {comment}"));
            return;
        }
        lines.extend(wrapped(comment).map(|line| line.trim_end().to_owned()));
        lines.extend(text.split('\n').map(str::to_owned));
    }
}

/// A text without the end of its last line; more empty lines may be a block's own.
fn ended(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

/// RFC 6901.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn indented(line: &str) -> String {
    if line.is_empty() {
        String::new()
    } else {
        format!("  {line}")
    }
}

/// A paragraph as comment lines; what begins with spaces is left as it is.
pub(super) fn wrapped(text: &str) -> impl Iterator<Item = String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        if paragraph.starts_with(' ') || paragraph.len() < WIDTH - 10 {
            lines.push(format!("# {paragraph}\n"));
            continue;
        }
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() + word.len() + 1 > WIDTH - 8 && line.len() > 1 {
                lines.push(format!("{line}\n"));
                "#".clone_into(&mut line);
            }
            line.push(' ');
            line.push_str(word);
        }
        lines.push(format!("{line}\n"));
    }
    lines.into_iter()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comments_stand_beside_short_lines_and_above_others() {
        let mut draft = Draft::new(json!({
            "kind": "Pod",
            "spec": {"hostNetwork": true, "list": [{"a": 1, "b": [2]}, "x"], "text": "one\ntwo\n", "empty": {}},
            "a/b": {"c": 1},
        }));
        draft.head("Of the whole.");
        draft.comment("/spec/hostNetwork", "can go");
        draft.comment("/spec/list/0", "the first");
        draft.comment("/spec/list/0/b", "inner");
        draft.comment("/spec/list/1", "the last");
        draft.comment("/spec/text", "a block");
        draft.comment("/spec/empty", "nothing");
        draft.comment("/a~1b/c", "escaped");
        draft.comment("/spec/nowhere", "never");
        assert_eq!(
            draft.yaml().unwrap(),
            "\
# Of the whole.
kind: Pod
spec:
  hostNetwork: true  # can go
  list:
  # the first
  - a: 1
    b:  # inner
    - 2
  - x  # the last
  # a block
  text: |
    one
    two
  empty: {}  # nothing
a/b:
  c: 1  # escaped
"
        );
    }

    #[test]
    fn a_comment_on_an_items_first_field_stays_with_it() {
        let mut draft = Draft::new(json!([{"a": "x".repeat(100), "b": 2}]));
        draft.comment("/0/a", "a comment that finds no place beside it");
        let long = "x".repeat(100);
        assert_eq!(
            draft.yaml().unwrap(),
            format!("# a comment that finds no place beside it\n- a: {long}\n  b: 2\n")
        );
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let text = || {
            prop_oneof![
                "[-ab01yn.e:#,\\[\\]{}&*!|>'\"%@` \\n\\t\\\\~?=]{0,12}",
                any::<String>()
            ]
        };
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text(), inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// A pointer to everything in a value.
    fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    pointers(value, &format!("{at}/{}", escaped(key)), all);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    pointers(value, &format!("{at}/{index}"), all);
                }
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn comments_change_nothing_of_what_is_read(value in json_value(), lengths in prop::collection::vec(0usize..150, 1..20)) {
            let mut draft = Draft::new(value.clone());
            let mut all = Vec::new();
            pointers(&value, "", &mut all);
            for (index, pointer) in all.iter().enumerate().skip(1) {
                let length = lengths[index % lengths.len()];
                if length > 20 {
                    draft.comment(pointer, "word ".repeat(length / 5).trim_end());
                }
            }
            let written = draft.yaml().unwrap();
            prop_assert_eq!(yaml::read(&written, "x", 1).unwrap(), value, "{}", written);
        }
    }
}
