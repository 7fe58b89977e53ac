//! `--print-args`: the arguments as they arrived, so that a test sees what became of them on their way
//! from a manifest to a program.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

/// The file, if the arguments ask for that: it is all that is done then, and nothing else in the
/// arguments is looked at.
pub(crate) fn asked(arguments: &[OsString]) -> Option<&OsStr> {
    match arguments {
        [first, file, ..] if first == "--print-args" => Some(file),
        _ => None,
    }
}

/// Writes the arguments as a JSON list in one line, to stdout where the file is `-`.
pub(crate) fn print(file: &OsStr, arguments: &[OsString]) -> Result<(), String> {
    let mut text = String::from("[");
    for (place, argument) in arguments.iter().enumerate() {
        text.push_str(if place == 0 { "" } else { "," });
        string(&mut text, &units(argument));
    }
    text.push_str("]\n");
    let written = if file == "-" {
        std::io::stdout().write_all(text.as_bytes())
    } else {
        fs::write(file, text)
    };
    written.map_err(|error| format!("--print-args {}: {error}", file.display()))
}

/// A JSON string of UTF-16. Whatever is not plain ASCII is escaped, so that nothing on the way of a log
/// changes it and a half surrogate, which no UTF-8 can hold, is told too.
fn string(text: &mut String, units: &[u16]) {
    text.push('"');
    for &unit in units {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => text.extend(['\\', char::from(byte)]),
            Ok(byte @ b' '..=b'~') => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text.push('"');
}

#[cfg(windows)]
fn units(argument: &OsStr) -> Vec<u16> {
    std::os::windows::ffi::OsStrExt::encode_wide(argument).collect()
}

#[cfg(not(windows))]
fn units(argument: &OsStr) -> Vec<u16> {
    argument.to_string_lossy().encode_utf16().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn says_every_argument_as_json() {
        let mut text = String::new();
        string(&mut text, &units(OsStr::new("a \"b\\ %x% \n ü 🎷")));
        assert_eq!(text, r#""a \"b\\ %x% \u000a \u00fc \ud83c\udfb7""#);
        let mut text = String::new();
        string(&mut text, &[0xd83c]);
        assert_eq!(text, r#""\ud83c""#);
    }

    #[test]
    fn takes_everything_after_the_file_as_it_is() {
        let arguments = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let all = arguments(&["--print-args", "out", "--help"]);
        assert_eq!(asked(&all), Some(OsStr::new("out")));
        assert_eq!(asked(&arguments(&["--help", "--print-args", "out"])), None);
        assert_eq!(asked(&arguments(&["--print-args"])), None);
    }
}
