//! Strings in and out.

use super::scan;
use std::borrow::Cow;
use std::fmt::Write as _;

/// The text of a JSON string, given what stands between its quotes. Lone surrogates become
/// U+FFFD, as Go's `encoding/json` (and so the API server) has it.
#[inline]
pub fn decode(raw: &str, escapes: bool) -> Cow<'_, str> {
    if escapes {
        Cow::Owned(unescape(raw))
    } else {
        Cow::Borrowed(raw)
    }
}

#[cold]
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut chars = rest.chars();
        let escape = chars.next();
        rest = chars.as_str();
        match escape {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => rest = unicode(rest, &mut out),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out.push_str(rest);
    out
}

/// Decodes what follows `\u`, a surrogate pair included; returns what is left.
fn unicode<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let unit = |text: &str| {
        text.get(..4)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
    };
    let Some(first) = unit(rest) else {
        out.push(char::REPLACEMENT_CHARACTER);
        return rest;
    };
    let rest = &rest[4..];
    if (0xD800..0xDC00).contains(&first)
        && let Some(second) = rest.strip_prefix("\\u").and_then(unit)
        && (0xDC00..0xE000).contains(&second)
    {
        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        return &rest[6..];
    }
    out.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

/// Appends `text` as a JSON string.
pub fn quote(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    out.push('"');
    escape(text, out);
    out.push('"');
}

/// Appends `text` as it stands between a JSON string's quotes.
pub(super) fn escape(text: &str, out: &mut String) {
    let mut from = 0;
    while let Some(found) = scan::to_escape(text.as_bytes(), from) {
        out.push_str(&text[from..found]);
        from = found + 1;
        match text.as_bytes()[found] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{control:04x}");
            }
        }
    }
    out.push_str(&text[from..]);
}

/// An array of JSON texts.
pub fn array(texts: &[impl std::borrow::Borrow<str>]) -> String {
    format!("[{}]", texts.join(","))
}

/// An object of strings as JSON text.
pub fn quote_map<'s>(entries: impl IntoIterator<Item = (&'s str, &'s str)>) -> String {
    let mut out = String::with_capacity(1024);
    out.push('{');
    for (key, value) in entries {
        if out.len() > 1 {
            out.push(',');
        }
        quote(key, &mut out);
        out.push(':');
        quote(value, &mut out);
    }
    out.push('}');
    out
}

/// An array of strings as JSON text.
pub fn quote_all<'s>(texts: impl IntoIterator<Item = &'s str>) -> String {
    let mut out = String::with_capacity(256);
    out.push('[');
    for text in texts {
        if out.len() > 1 {
            out.push(',');
        }
        quote(text, &mut out);
    }
    out.push(']');
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{decode, quote};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quoting_agrees_with_serde_json(text in any::<String>()) {
            let mut ours = String::new();
            quote(&text, &mut ours);
            prop_assert_eq!(serde_json::from_str::<String>(&ours).unwrap(), text.clone());
            let theirs = serde_json::to_string(&text).unwrap();
            let inner = &theirs[1..theirs.len() - 1];
            prop_assert_eq!(decode(inner, inner.contains('\\')), text);
        }
    }

    #[test]
    fn decodes_pairs_and_replaces_lone_surrogates() {
        assert_eq!(decode(r"a\ud83d\ude00b", true), "a\u{1F600}b");
        assert_eq!(decode(r"\ud83d", true), "\u{FFFD}");
        assert_eq!(decode(r"\ud83d\u0041", true), "\u{FFFD}A");
        assert_eq!(decode(r"\u00", true), "\u{FFFD}00");
        assert_eq!(decode(r"\", true), "");
        assert_eq!(decode(r"\/\b\f", true), "/\u{8}\u{c}");
    }
}
