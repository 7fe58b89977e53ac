//! A small strict JSON reader (RFC 8259), for the anchor's status file and for what Windows says of its
//! network. Nothing here writes JSON.

use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object, its members in order; no name stands there twice.
    Object(Vec<(String, Value)>),
}

/// Where a text is no JSON, in bytes from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub usize);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no JSON at byte {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Deeper than any document that is read here; a bound, so that no text overflows the stack.
const DEPTH: usize = 32;

impl Value {
    /// Reads a whole text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(DEPTH)?;
        reader.space();
        if reader.at == text.len() {
            Ok(value)
        } else {
            Err(Malformed(reader.at))
        }
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .find_map(|(key, value)| (key == name).then_some(value)),
            _ => None,
        }
    }

    /// A string's text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is whole and fits.
    pub fn as_u32(&self) -> Option<u32> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// An array's values; none of anything else.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong<T>(&self) -> Result<T, Malformed> {
        Err(Malformed(self.at))
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) {
            Ok(())
        } else {
            self.wrong()
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        let Some(depth) = depth.checked_sub(1) else {
            return self.wrong();
        };
        self.space();
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'[') => self.array(depth),
            Some(b'{') => self.object(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                for (word, value) in [
                    ("null", Value::Null),
                    ("true", Value::Bool(true)),
                    ("false", Value::Bool(false)),
                ] {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                self.wrong()
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Malformed> {
        self.expect(b'[')?;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            self.expect(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Malformed> {
        self.expect(b'{')?;
        let mut members: Vec<(String, Value)> = Vec::new();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            if members.iter().any(|(known, _)| *known == name) {
                return self.wrong();
            }
            self.expect(b':')?;
            members.push((name, self.value(depth)?));
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            self.expect(b',')?;
        }
    }

    fn number(&mut self) -> Result<Value, Malformed> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Value::Number(self.text[start..self.at].to_owned()))
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            self.wrong()
        }
    }

    fn string(&mut self) -> Result<String, Malformed> {
        if self.peek() != Some(b'"') {
            return self.wrong();
        }
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .find(|c| matches!(c, '"' | '\\' | '\0'..='\u{1f}'))
                .unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return self.wrong(),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let Some(byte) = self.peek() else {
            return self.wrong();
        };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                let pair = match first {
                    0xd800..0xdc00 if self.text[self.at..].starts_with("\\u") => {
                        self.at += 2;
                        vec![first, self.unit()?]
                    }
                    _ => vec![first],
                };
                match char::decode_utf16(pair).collect::<Result<Vec<_>, _>>() {
                    Ok(chars) if chars.len() == 1 => chars[0],
                    _ => return self.wrong(),
                }
            }
            _ => {
                self.at -= 1;
                return self.wrong();
            }
        })
    }

    fn unit(&mut self) -> Result<u16, Malformed> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        match unit {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.wrong(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_windows_writes() {
        let text = r#"{"ID":"8F4A","Flags":0, "IpConfigurations":[{"IpAddress":"10.1.2.3","PrefixLength":24}],
            "Health":{"Data":null,"Extra":{"SharedContainers":[]}},"Ok":true,"No":false,"F":-1.5e+3}"#;
        let value = Value::parse(text).unwrap();
        assert_eq!(value.get("ID").and_then(Value::as_str), Some("8F4A"));
        assert_eq!(value.get("Flags").and_then(Value::as_u32), Some(0));
        let configurations = value.get("IpConfigurations").unwrap().items();
        assert_eq!(
            configurations[0].get("IpAddress").and_then(Value::as_str),
            Some("10.1.2.3")
        );
        assert_eq!(value.get("F"), Some(&Value::Number("-1.5e+3".to_owned())));
        assert_eq!(value.get("Missing"), None);
    }

    #[test]
    fn unescapes() {
        let value = Value::parse(r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#).unwrap();
        assert_eq!(value.as_str(), Some("a\"\\/\u{8}\u{c}\n\r\té😀"));
    }

    #[test]
    fn refuses_what_is_no_json() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":1}",
            "01",
            "1.",
            "-",
            "1e",
            "nul",
            "\"a",
            "\"\n\"",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            "1 2",
            "{a:1}",
            "'a'",
            "\u{feff}1",
            "\"\\u+123\"",
            &deep,
        ] {
            assert!(Value::parse(text).is_err(), "{text:.40}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), json in r#"[\[\]{}",:\\u0-9a-f é-]{0,40}"#) {
            let _ = Value::parse(&text);
            let _ = Value::parse(&json);
        }

        #[test]
        fn no_beginning_of_an_object_is_one(
            text in Just(r#"{"ip":"10.244.1.7","started":"2026-11-21T10:00:00Z","uid":"é"}"#), at in 0_usize..60,
        ) {
            if text.is_char_boundary(at) {
                prop_assert!(Value::parse(&text[..at]).is_err());
            }
        }
    }
}
