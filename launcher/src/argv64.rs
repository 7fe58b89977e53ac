//! An argument vector as one plain word: a JSON array of strings in base64url without padding.
//! One spelling only, so that what is checked in admission is what runs: reading is writing
//! backwards, and whatever would be written otherwise is refused.

use std::fmt::Write as _;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Encodes `argv`.
pub(crate) fn encode(argv: &[String]) -> String {
    to_base64(json(argv).as_bytes())
}

/// Decodes what [`encode`] wrote, and nothing else.
pub(crate) fn decode(word: &str) -> Result<Vec<String>, &'static str> {
    let bytes = from_base64(word).ok_or("is not base64url without padding")?;
    let text = String::from_utf8(bytes).map_err(|_| "does not hold UTF-8")?;
    let argv = from_json(&text).ok_or("does not hold a JSON array of strings")?;
    if encode(&argv) == word {
        Ok(argv)
    } else {
        Err("is spelled in another way than the webhook spells it")
    }
}

/// Compact JSON; of the characters that may be escaped only those that must be.
fn json(argv: &[String]) -> String {
    let mut text = String::from("[");
    for (i, argument) in argv.iter().enumerate() {
        text.push_str(if i == 0 { "\"" } else { ",\"" });
        for c in argument.chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                c if u32::from(c) < 0x20 => {
                    let _ = write!(text, "\\u{:04x}", u32::from(c));
                }
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text.push(']');
    text
}

/// The inverse of [`json`]; other spellings may or may not be understood.
fn from_json(text: &str) -> Option<Vec<String>> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.chars();
    let mut argv = Vec::new();
    while !rest.as_str().is_empty() {
        if !argv.is_empty() && rest.next()? != ',' {
            return None;
        }
        if rest.next()? != '"' {
            return None;
        }
        let mut argument = String::new();
        loop {
            match rest.next()? {
                '"' => break,
                '\\' => match rest.next()? {
                    'u' => {
                        let mut code = 0;
                        for _ in 0..4 {
                            code = code << 4 | rest.next()?.to_digit(16)?;
                        }
                        argument.push(char::from_u32(code)?);
                    }
                    c => argument.push(c),
                },
                c => argument.push(c),
            }
        }
        argv.push(argument);
    }
    Some(argv)
}

fn to_base64(bytes: &[u8]) -> String {
    let mut word = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(bits);
        for i in 0..=chunk.len() {
            let sextet = (group >> (18 - 6 * i)) & 0x3f;
            word.push(char::from(ALPHABET[sextet as usize]));
        }
    }
    word
}

fn from_base64(word: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(word.len() / 4 * 3 + 2);
    for chunk in word.as_bytes().chunks(4) {
        let mut group = 0_u32;
        for (i, byte) in chunk.iter().enumerate() {
            let sextet = ALPHABET.iter().position(|letter| letter == byte)?;
            group |= u32::try_from(sextet).ok()? << (18 - 6 * i);
        }
        // n letters carry n - 1 bytes; a single one carries none.
        let whole = chunk.len().checked_sub(1).filter(|&whole| whole > 0)?;
        bytes.extend_from_slice(&group.to_be_bytes()[1..=whole]);
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strings(argv: &[&str]) -> Vec<String> {
        argv.iter().map(|&a| a.to_owned()).collect()
    }

    #[test]
    fn is_json_that_others_can_write() {
        let argv = strings(&[r"C:\a b.exe", "say \"hi\"\n", ""]);
        assert_eq!(json(&argv), r#"["C:\\a b.exe","say \"hi\"\u000a",""]"#);
    }

    #[test]
    fn is_base64url_of_rfc_4648() {
        for (bytes, word) in [
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(to_base64(bytes.as_bytes()), word);
            assert_eq!(from_base64(word).unwrap(), bytes.as_bytes());
        }
        assert_eq!(to_base64(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn refuses_every_second_spelling() {
        let padded = to_base64(br#"["ab"]"#) + "=";
        let spaced = to_base64(br#"[ "a"]"#);
        let unneeded_escape = to_base64(br#"["\u0061"]"#);
        let short_escape = to_base64(br#"["\n"]"#);
        // "Zg" with a bit set that belongs to no byte.
        let loose_bits = "Zh";
        for word in [
            &padded,
            &spaced,
            &unneeded_escape,
            &short_escape,
            loose_bits,
            "A",
            "",
            "+/",
        ] {
            assert!(decode(word).is_err(), "{word}");
        }
    }

    proptest! {
        #[test]
        fn every_argv_comes_back(argv in proptest::collection::vec(any::<String>(), 0..6)) {
            prop_assert_eq!(decode(&encode(&argv)), Ok(argv));
        }

        #[test]
        fn what_is_read_is_what_would_be_written(word in "[A-Za-z0-9_-]{0,40}") {
            if let Ok(argv) = decode(&word) {
                prop_assert_eq!(encode(&argv), word);
            }
        }

        #[test]
        fn no_input_panics(word in any::<String>(), json in any::<String>()) {
            let _ = decode(&word);
            let _ = decode(&to_base64(json.as_bytes()));
        }
    }
}
