//! A JSON Patch (RFC 6902), written as text.

use super::quote;
use std::fmt::{Display, Write as _};

/// Operations in the order in which they apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    text: String,
    fields: Vec<String>,
}

impl Patch {
    /// A patch without operations.
    pub const fn new() -> Self {
        Self {
            text: String::new(),
            fields: Vec::new(),
        }
    }

    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The paths that the operations touch, in their order.
    pub fn paths(&self) -> &[String] {
        &self.fields
    }

    /// `add`: sets a member, or inserts into an array. `value` is JSON text.
    pub fn add(&mut self, path: impl Display, value: &str) {
        self.operation("add", path, Some(value));
    }

    /// `add` of a string.
    pub fn add_string(&mut self, path: impl Display, value: &str) {
        let mut text = String::with_capacity(value.len() + 2);
        quote(value, &mut text);
        self.add(path, &text);
    }

    /// `replace`: changes what is there. `value` is JSON text.
    pub fn replace(&mut self, path: impl Display, value: &str) {
        self.operation("replace", path, Some(value));
    }

    /// `remove`.
    pub fn remove(&mut self, path: impl Display) {
        self.operation("remove", path, None);
    }

    fn operation(&mut self, op: &str, path: impl Display, value: Option<&str>) {
        let path = path.to_string();
        self.text.push(if self.text.is_empty() { '[' } else { ',' });
        // Writing to a String cannot fail.
        let _ = write!(self.text, r#"{{"op":"{op}","path":"#);
        quote(&path, &mut self.text);
        if let Some(value) = value {
            self.text.push_str(r#","value":"#);
            self.text.push_str(value);
        }
        self.text.push('}');
        self.fields.push(path);
    }

    /// The patch as JSON text.
    pub fn into_json(mut self) -> String {
        if self.text.is_empty() {
            self.text.push('[');
        }
        self.text.push(']');
        self.text
    }

    /// A key as one segment of a path (RFC 6901: `~` and `/` are escaped).
    pub fn segment(key: &str) -> String {
        key.replace('~', "~0").replace('/', "~1")
    }
}
