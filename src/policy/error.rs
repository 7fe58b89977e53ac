//! What is wrong with a policy, told to the person who typed it.

use std::fmt;

use super::keys::Key;
use super::value::Why;

/// Every error of one Namespace, pod or command line: one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyErrors {
    errors: Vec<PolicyError>,
    more: usize,
}

impl std::error::Error for PolicyErrors {}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl PolicyErrors {
    /// The errors, in the order of the annotations.
    pub fn iter(&self) -> std::slice::Iter<'_, PolicyError> {
        self.errors.iter()
    }
}

/// Errors as they come.
#[derive(Default)]
pub(super) struct Errors(PolicyErrors);

impl Errors {
    /// Enough for a person to go on with; a pod's author must not make a review long.
    const MOST: usize = 20;

    /// Adds one.
    pub(super) fn push(&mut self, error: impl FnOnce() -> PolicyError) {
        if self.0.errors.len() < Self::MOST {
            self.0.errors.push(error());
        } else {
            self.0.more += 1;
        }
    }

    /// Adds what reading a key's value came to.
    pub(super) fn take(&mut self, place: Place, key: &Key, value: &str, result: Result<(), Why>) {
        let Err(why) = result else { return };
        let message = format!(
            "{} Expected {}, for example {}",
            why.sentence(value),
            key.expected,
            Quoted(key.example)
        );
        self.push(|| PolicyError {
            place,
            key: key.name.to_owned(),
            kind: Kind::Value,
            message,
        });
    }

    /// `value`, unless there were errors.
    pub(super) fn or<T>(self, value: T) -> Result<T, PolicyErrors> {
        if self.0.errors.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }
}

impl<'a> IntoIterator for &'a PolicyErrors {
    type Item = &'a PolicyError;
    type IntoIter = std::slice::Iter<'a, PolicyError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One key that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// Where the key was written.
    pub place: Place,
    /// The key, with its prefix.
    pub key: String,
    /// The kind of error.
    pub kind: Kind,
    /// The value, what was expected, and the way out.
    pub message: String,
}

/// Where a key was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// On the command line, or in its environment.
    Flag,
    /// Among a Namespace's annotations.
    Namespace,
    /// Among a Namespace's labels.
    NamespaceLabel,
    /// Among a pod's annotations.
    Pod,
}

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The value is not one of the key's.
    Value,
    /// No such key.
    Unknown,
    /// A pod set what only a Namespace may set.
    NamespaceOnly,
    /// The key belongs elsewhere: a label among the annotations, or the reverse.
    Misplaced,
}

impl std::error::Error for PolicyError {}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self.place {
            Place::Flag => (
                "--",
                self.key
                    .strip_prefix(crate::names::PREFIX)
                    .unwrap_or(&self.key),
            ),
            Place::Namespace | Place::Pod => ("annotation ", self.key.as_str()),
            Place::NamespaceLabel => ("label ", self.key.as_str()),
        };
        f.write_str(kind)?;
        one_line(name, f)?;
        write!(f, ": {}", self.message)
    }
}

/// A text in quotes.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        one_line(self.0, f)?;
        f.write_str("\"")
    }
}

/// Longer texts are cut: annotations may hold 256 KiB.
const LONGEST: usize = 120;

/// Writes a text that others wrote, on one line and not endless. Backslashes stay single, so
/// that Windows paths are shown as they were typed.
fn one_line(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, c) in text.chars().enumerate() {
        if index == LONGEST {
            return f.write_str("...");
        }
        match c {
            // A bidirectional override would turn the rest of the line around.
            c if c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                write!(f, "{}", c.escape_default())?;
            }
            c => write!(f, "{c}")?,
        }
    }
    Ok(())
}
