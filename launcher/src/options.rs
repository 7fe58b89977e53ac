//! Reading `--name VALUE` options strictly: nothing is guessed, nothing is silently last.

use std::fmt;
use std::str::FromStr;

use crate::word::{escape, unescape};

/// A command line that the launcher refuses, in words for the person who reads a pod's last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl UsageError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// The arguments that have not been read yet.
pub(crate) struct Arguments<'a> {
    rest: std::slice::Iter<'a, String>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(arguments: &'a [String]) -> Self {
        Self {
            rest: arguments.iter(),
        }
    }

    /// The next argument, an option's name or a word.
    pub(crate) fn next(&mut self) -> Option<&'a str> {
        self.rest.next().map(String::as_str)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [String] {
        self.rest.as_slice()
    }

    /// Refuses what is left.
    pub(crate) fn end(mut self) -> Result<(), UsageError> {
        match self.next() {
            None => Ok(()),
            Some(more) => Err(UsageError::new(format!(
                "`{more}` is one argument too many"
            ))),
        }
    }

    /// The value of option `name`, as it stands.
    pub(crate) fn value(&mut self, name: &str) -> Result<&'a str, UsageError> {
        self.next()
            .ok_or_else(|| UsageError::new(format!("{name} needs a value")))
    }

    /// The value of option `name`, a text in [escaped](crate::word) form.
    pub(crate) fn text(&mut self, name: &str) -> Result<String, UsageError> {
        let word = self.value(name)?;
        text(word).ok_or_else(|| {
            UsageError::new(format!(
                "{name} {word}: expected a text that is not empty, with `~XX` for other characters"
            ))
        })
    }

    /// The value of option `name`, a number.
    pub(crate) fn number<T: FromStr + fmt::Display>(
        &mut self,
        name: &str,
    ) -> Result<T, UsageError> {
        let word = self.value(name)?;
        number(word)
            .ok_or_else(|| UsageError::new(format!("{name} {word}: expected a whole number")))
    }
}

/// Sets what an option gives, once.
pub(crate) fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), UsageError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(UsageError::new(format!("{name} is given twice"))),
    }
}

/// Adds a name to a list that holds each once.
pub(crate) fn add(list: &mut Vec<String>, option: &str, name: String) -> Result<(), UsageError> {
    if list.contains(&name) {
        return Err(UsageError::new(format!("{option} {name} is given twice")));
    }
    list.push(name);
    Ok(())
}

/// What an option that must be there gave.
pub(crate) fn required<T>(slot: Option<T>, name: &str) -> Result<T, UsageError> {
    slot.ok_or_else(|| UsageError::new(format!("{name} is missing")))
}

pub(crate) fn unknown(name: &str) -> UsageError {
    UsageError::new(format!("`{name}` is no option here"))
}

/// An escaped text in its one spelling, not empty.
pub(crate) fn text(word: &str) -> Option<String> {
    unescape(word).filter(|text| !text.is_empty() && escape(text) == word)
}

/// A number in its one spelling: no sign, no leading zero.
pub(crate) fn number<T: FromStr + fmt::Display>(word: &str) -> Option<T> {
    word.parse()
        .ok()
        .filter(|number: &T| number.to_string() == word)
}
