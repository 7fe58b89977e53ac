//! A place in JSON text, and the ways to move on from it.

use super::{Error, scan, text};
use std::borrow::Cow;

/// What kind of value stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// A digit or `-`
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// A place in JSON text. Every method that reads a value moves past it.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

type Result<T> = std::result::Result<T, Error>;

impl<'a> Cursor<'a> {
    /// At the first value of `text`.
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn error(&self, expected: &'static str) -> Error {
        Error {
            at: self.at,
            expected,
        }
    }

    /// The next character that is not white space, without moving past it.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.error(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// What kind of value comes next.
    #[inline]
    pub fn kind(&mut self) -> Result<Kind> {
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.error("a JSON value")),
        }
    }

    /// Calls `member` with each key, the cursor standing at its value; `member` must read or
    /// skip that value. `null` is an object without members, as in Go.
    pub fn object(&mut self, mut member: impl FnMut(&str, &mut Self) -> Result<()>) -> Result<()> {
        self.members(|key, value| member(&key, value))
    }

    /// As [`Cursor::object`], for who keeps the keys.
    pub fn members(
        &mut self,
        mut member: impl FnMut(Cow<'a, str>, &mut Self) -> Result<()>,
    ) -> Result<()> {
        if self.null()? {
            return Ok(());
        }
        self.expect(b'{', "an object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':', "`:`")?;
            member(key, self)?;
            if self.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// Calls `element` with each index, the cursor standing at the element; `element` must read
    /// or skip it. `null` is an empty array, as in Go.
    pub fn array(&mut self, mut element: impl FnMut(usize, &mut Self) -> Result<()>) -> Result<()> {
        if self.null()? {
            return Ok(());
        }
        self.expect(b'[', "an array")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for index in 0.. {
            element(index, self)?;
            if self.more(b']')? {
                break;
            }
        }
        Ok(())
    }

    /// Past the comma (false) or the closing bracket (true) after an element.
    #[inline]
    fn more(&mut self, close: u8) -> Result<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.error("`,` or the closing bracket")),
        }
    }

    /// Moves past `null` if that is what stands here.
    #[inline]
    pub fn null(&mut self) -> Result<bool> {
        if self.peek() == Some(b'n') {
            self.word(b"null")?;
            return Ok(true);
        }
        Ok(false)
    }

    fn word(&mut self, word: &'static [u8]) -> Result<()> {
        if !self.text.as_bytes()[self.at..].starts_with(word) {
            return Err(self.error("true, false or null"));
        }
        self.at += word.len();
        Ok(())
    }

    /// A string, decoded; borrowed where it has no escapes.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let (end, escapes) = scan::string_end(self.text.as_bytes(), start)
            .ok_or_else(|| self.error("the end of the string that begins here"))?;
        self.at = end + 1;
        Ok(text::decode(&self.text[start..end], escapes))
    }

    /// A string, or `None` for `null`.
    #[inline]
    pub fn string_or_null(&mut self) -> Result<Option<Cow<'a, str>>> {
        if self.null()? {
            Ok(None)
        } else {
            self.string().map(Some)
        }
    }

    /// `true` or `false`, or `None` for `null`.
    pub fn bool_or_null(&mut self) -> Result<Option<bool>> {
        match self.peek() {
            Some(b't') => self.word(b"true").map(|()| Some(true)),
            Some(b'f') => self.word(b"false").map(|()| Some(false)),
            Some(b'n') => self.word(b"null").map(|()| None),
            _ => Err(self.error("true or false")),
        }
    }

    /// A whole number, or `None` for `null`.
    pub fn int_or_null(&mut self) -> Result<Option<i64>> {
        if self.null()? {
            return Ok(None);
        }
        let start = self.at;
        let text = self.raw()?;
        text.parse().ok().map(Some).ok_or(Error {
            at: start,
            expected: "a whole number",
        })
    }

    /// An array of strings; `null` is empty.
    pub fn strings(&mut self) -> Result<Vec<Cow<'a, str>>> {
        let mut strings = Vec::new();
        self.array(|_, item| {
            strings.push(item.string()?);
            Ok(())
        })?;
        Ok(strings)
    }

    /// Moves past a value without looking at it.
    #[inline]
    pub fn skip(&mut self) -> Result<()> {
        match self.kind()? {
            Kind::Object | Kind::Array => {
                self.at = scan::container_end(self.text.as_bytes(), self.at)
                    .ok_or_else(|| self.error("the end of what begins here"))?;
            }
            Kind::String => {
                let (end, _) = scan::string_end(self.text.as_bytes(), self.at + 1)
                    .ok_or_else(|| self.error("the end of the string that begins here"))?;
                self.at = end + 1;
            }
            Kind::Bool | Kind::Null | Kind::Number => {
                let rest = &self.text.as_bytes()[self.at..];
                self.at += rest
                    .iter()
                    .position(|byte| {
                        matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')
                    })
                    .unwrap_or(rest.len());
            }
        }
        Ok(())
    }

    /// The text of a value, as it stands.
    pub fn raw(&mut self) -> Result<&'a str> {
        self.kind()?;
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// The text of a value that `read` moves past.
    pub fn raw_by(&mut self, read: impl FnOnce(&mut Self) -> Result<()>) -> Result<&'a str> {
        self.kind()?;
        let start = self.at;
        read(self)?;
        Ok(&self.text[start..self.at])
    }

    /// A cursor at the value that comes next; this one moves past it.
    pub fn fork(&mut self) -> Result<Self> {
        self.kind()?;
        let fork = self.clone();
        self.skip()?;
        Ok(fork)
    }

    /// Fails unless nothing but white space is left.
    pub fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error("the end of the text")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Cursor, Kind};
    use proptest::prelude::*;
    use serde_json::Value;

    /// Reads a whole value through the cursor.
    fn read(cursor: &mut Cursor<'_>) -> Result<Value, super::Error> {
        Ok(match cursor.kind()? {
            Kind::Object => {
                let mut map = serde_json::Map::new();
                cursor.object(|key, value| {
                    map.insert(key.to_owned(), read(value)?);
                    Ok(())
                })?;
                Value::Object(map)
            }
            Kind::Array => {
                let mut items = Vec::new();
                cursor.array(|_, item| {
                    items.push(read(item)?);
                    Ok(())
                })?;
                Value::Array(items)
            }
            Kind::String => Value::String(cursor.string()?.into_owned()),
            Kind::Number => serde_json::from_str(cursor.raw()?).unwrap_or_default(),
            Kind::Bool => Value::Bool(cursor.bool_or_null()?.unwrap()),
            Kind::Null => {
                cursor.skip()?;
                Value::Null
            }
        })
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ -~]{0,90}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..8)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_wrote(value in json(), pretty in any::<bool>()) {
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                serde_json::to_string(&value).unwrap()
            };
            let mut cursor = Cursor::new(&text);
            prop_assert_eq!(read(&mut cursor).unwrap(), value);
            cursor.end().unwrap();

            let mut cursor = Cursor::new(&text);
            prop_assert_eq!(cursor.raw().unwrap(), text.as_str());
            cursor.end().unwrap();
        }

        #[test]
        fn garbage_never_panics(text in "[\\[\\]{}\":,\\\\a0ntf \\-.]{0,120}") {
            let _ = read(&mut Cursor::new(&text));
            let _ = Cursor::new(&text).raw();
        }
    }
}
