//! Texts in words: hexadecimal UTF-8, `-` for the empty one.

use std::fmt::Write as _;

/// The text of a word.
pub fn read(word: &str) -> String {
    let bytes = word
        .trim_start_matches('-')
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hexadecimal")
        })
        .collect();
    String::from_utf8(bytes).expect("UTF-8")
}

/// The word of a text.
pub fn write(bytes: &[u8]) -> String {
    let mut word = String::with_capacity(bytes.len() * 2 + 1);
    for byte in bytes {
        let _ = write!(word, "{byte:02x}");
    }
    if word.is_empty() {
        "-".to_owned()
    } else {
        word
    }
}

/// As Windows takes texts: UTF-16 with a NUL.
pub fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
