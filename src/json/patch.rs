//! A JSON Patch (RFC 6902), written as text.

use super::quote;
use super::text::escape;

/// Enough for a usual pod's patch, so that it grows once.
const FIRST_ALLOCATION: usize = 6 * 1024;

/// Operations in the order in which they apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    text: String,
}

impl Patch {
    /// A patch without operations.
    pub const fn new() -> Self {
        Self {
            text: String::new(),
        }
    }

    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// How long its text is so far: it grows with each operation.
    pub const fn len(&self) -> usize {
        self.text.len()
    }

    /// The paths that the operations touch, in their order.
    pub fn paths(&self) -> Vec<String> {
        #[derive(serde::Deserialize)]
        struct Operation {
            path: String,
        }
        let operations: Vec<Operation> =
            serde_json::from_str(&self.clone().into_json()).unwrap_or_default();
        operations.into_iter().map(|one| one.path).collect()
    }

    /// `add`: sets a member, or inserts into an array. The path is what `path` amounts to, one
    /// after the other; `value` is JSON text.
    pub fn add(&mut self, path: &[&str], value: &str) {
        self.operation("add", path);
        self.text.push_str(r#","value":"#);
        self.text.push_str(value);
        self.text.push('}');
    }

    /// `add` of a string.
    pub fn add_string(&mut self, path: &[&str], value: &str) {
        self.operation("add", path);
        self.text.push_str(r#","value":"#);
        quote(value, &mut self.text);
        self.text.push('}');
    }

    /// `remove`.
    pub fn remove(&mut self, path: &[&str]) {
        self.operation("remove", path);
        self.text.push('}');
    }

    fn operation(&mut self, op: &str, path: &[&str]) {
        if self.text.capacity() == 0 {
            self.text.reserve(FIRST_ALLOCATION);
        }
        self.text.push(if self.text.is_empty() { '[' } else { ',' });
        self.text.push_str(r#"{"op":""#);
        self.text.push_str(op);
        self.text.push_str(r#"","path":""#);
        for piece in path {
            escape(piece, &mut self.text);
        }
        self.text.push('"');
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
