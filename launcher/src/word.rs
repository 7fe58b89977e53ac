//! Words of a command line: which characters nothing between a pod's YAML and the launcher's
//! `main` touches, and an escaping by which any text is written in them.
//!
//! What lies between, and what it would touch:
//!
//! - the kubelet expands `$(VAR)` and `$$` (`third_party/forked/golang/expansion/expand.go`);
//! - containerd or hcsshim quote a space, a tab, a `"` and an empty argument, as
//!   `windows.EscapeArg` of golang.org/x/sys does (hcsshim `internal/cmd/cmd.go`);
//! - hcsshim replaces `%CONTAINER_SANDBOX_MOUNT_POINT%` and its `$env:` form in the whole line
//!   (`internal/jobcontainers/jobcontainer.go`, `replaceWithMountPoint`);
//! - `cmd /c`, put in front on hosts with the bind filter, acts on `% & | < > ^ ! ( )`, quotes and
//!   control characters;
//! - the C run time splits at spaces and unquotes.
//!
//! So a word of letters, digits and a few signs is safe, and the set below is smaller than it
//! would have to be: what reads as plain text stays, all else is encoded.

use std::fmt::Write as _;

/// Whether `c` passes the whole way as it is, inside an argument.
pub fn is_plain(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9')
        || matches!(
            c,
            '-' | '_' | '.' | '/' | '\\' | ':' | '@' | '+' | ',' | '=' | '~' | '#'
        )
}

/// Whether a whole argument passes as it is: of plain characters, and not empty.
pub fn is_plain_argument(argument: &str) -> bool {
    !argument.is_empty() && argument.chars().all(is_plain)
}

/// Whether `c` stands for itself in an escaped word. `~` begins an escape, `,` and `=` separate
/// the parts of a probe.
fn is_literal(c: char) -> bool {
    is_plain(c) && !matches!(c, '~' | ',' | '=')
}

/// Writes any text in plain characters: all others as `~XX`, one for each byte of their UTF-8.
pub fn escape(text: &str) -> String {
    escape_but(text, |_| false)
}

/// As [`escape`], and escapes besides what `also` names.
pub(crate) fn escape_but(text: &str, also: impl Fn(char) -> bool) -> String {
    let mut word = String::with_capacity(text.len());
    for c in text.chars() {
        if is_literal(c) && !also(c) {
            word.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(word, "~{byte:02X}");
            }
        }
    }
    word
}

/// The text that [`escape`] wrote, or `None` if the word is not an escaped text. It does not
/// insist on the shortest spelling; who needs that compares with [`escape`] of the result.
pub fn unescape(word: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'~' {
            bytes.push(hex(rest.next()?)? << 4 | hex(rest.next()?)?);
        } else if is_literal(char::from(byte)) {
            bytes.push(byte);
        } else {
            return None;
        }
    }
    String::from_utf8(bytes).ok()
}

/// One upper-case hexadecimal digit.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_stays_readable() {
        assert_eq!(escape(r"C:\k2s\cplauncher.exe"), r"C:\k2s\cplauncher.exe");
        assert_eq!(escape("/health/liveness"), "/health/liveness");
    }

    #[test]
    fn anything_else_is_escaped_bytewise() {
        assert_eq!(escape("/a b?x=ü~"), "/a~20b~3Fx~3D~C3~BC~7E");
    }

    #[test]
    fn refuses_what_is_no_escape() {
        for word in ["~", "~4", "~4x", "~ff", "a b", "ü", "~FF", "a=b", "a,b"] {
            assert_eq!(unescape(word), None, "{word}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let word = escape(&text);
            prop_assert!(word.chars().all(is_plain));
            prop_assert_eq!(unescape(&word), Some(text));
        }
    }
}
