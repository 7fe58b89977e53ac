//! YAML as kubectl reads it, and as everybody reads it.
//!
//! kubectl's YAML is go-yaml 2: YAML 1.1's booleans (`yes`, `on`) and octal numbers (`0644`). So an
//! unquoted `yes` is true here too, and a text "yes" is written in quotes. What this module reads
//! and writes is compared with kubectl's own reading in `tests/inject_kubectl.rs`.
//!
//! On purpose not as kubectl: keys stay the text that they are (`on:` is "on", to kubectl "true"), and
//! whole numbers beyond 63 bits keep their digits, of which kubectl makes floating-point numbers.

use serde_json::{Number, Value};

/// Reads one document. `line` is the line of the file on which it begins.
pub(super) fn read(text: &str, file: &str, line: usize) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        // The schemas of some CRDs are deeper and larger than the defaults (64 levels, 250,000 nodes).
        budget: serde_saphyr::budget! {
            max_depth: 128,
            max_nodes: 10_000_000,
            max_events: 20_000_000,
        },
    };
    let mut value: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let formatter = serde_saphyr::UserMessageFormatter;
        let text = error.render_with_options(serde_saphyr::render_options! {
            formatter: &formatter,
            line_offset: u64::try_from(line.saturating_sub(1)).unwrap_or_default(),
            source_name: Some(file),
        });
        text.strip_prefix("error: ")
            .unwrap_or(&text)
            .trim_end()
            .to_owned()
    })?;
    whole_numbers(&mut value);
    Ok(value)
}

/// `1e3` and `8080.0` are whole numbers to kubectl, since Go's JSON writes them so; as floating-point
/// numbers the API server would not take them for a port.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            // Every whole number below 2^53 is exact in both.
            #[allow(clippy::cast_possible_truncation)]
            if let Some(float) = number.as_f64().filter(|_| number.is_f64())
                && float.fract() == 0.0
                && float.abs() < 9_007_199_254_740_992.0
            {
                *number = Number::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// Writes one document, without separators. Strings of several lines are blocks; no line is folded.
pub(super) fn write(value: &Value) -> Result<String, String> {
    let options = serde_saphyr::ser_options! {
        folded_wrap_chars: usize::MAX,
        prefer_block_scalars: !tab_begins_a_block(value),
    };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| error.to_string())
}

/// go-yaml 2 refuses a block whose first line begins with a tab ("found a tab character where an
/// indentation space is expected"), though YAML allows it.
fn tab_begins_a_block(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            text.contains('\n') && text.trim_start_matches([' ', '\n']).starts_with('\t')
        }
        Value::Array(items) => items.iter().any(tab_begins_a_block),
        Value::Object(fields) => {
            let block = |key: &str| tab_begins_a_block(&Value::String(key.to_owned()));
            fields
                .iter()
                .any(|(key, value)| block(key) || tab_begins_a_block(value))
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn value(text: &str) -> Value {
        read(&format!("a: {text}\n"), "x.yaml", 1).unwrap()["a"].clone()
    }

    #[test]
    fn scalars_are_what_kubectl_takes_them_for() {
        for text in ["yes", "on", "True", "y", "ON"] {
            assert_eq!(value(text), json!(true), "{text}");
        }
        for text in ["no", "off", "FALSE", "n"] {
            assert_eq!(value(text), json!(false), "{text}");
        }
        for text in ["~", "null", ""] {
            assert_eq!(value(text), json!(null), "{text}");
        }
        for (text, number) in [
            ("0644", 420),
            ("0o17", 15),
            ("0x1F", 31),
            ("0b101", 5),
            ("1_000", 1000),
            ("1e3", 1000),
            ("8080.0", 8080),
            ("-0644", -420),
            ("08", 8),
        ] {
            assert_eq!(value(text), json!(number), "{text}");
        }
        assert_eq!(value("18446744073709551615"), json!(u64::MAX));
        assert_eq!(value("0.5"), json!(0.5));
        for text in ["2001-01-01", "1:30", "0o8", "1.2.3", "a: b"] {
            let quoted = format!("'{text}'");
            assert_eq!(value(&quoted), json!(text));
        }
        assert_eq!(value("2001-01-01"), json!("2001-01-01"));
        assert_eq!(value("1:30"), json!("1:30"));
    }

    #[test]
    fn texts_that_could_be_something_else_are_quoted() {
        for text in [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "n",
            "Yes",
            "true",
            "null",
            "~",
            "",
            "0644",
            "0x1F",
            "1e3",
            "1_000",
            "1:30",
            "2001-01-01",
            ".inf",
            ".5",
            "- a",
            "a: b",
            "#a",
            "a #b",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "=",
            "<<",
        ] {
            let written = write(&json!({ "a": text })).unwrap();
            let scalar = written.trim_start_matches("a: ").trim_end();
            assert!(scalar.starts_with(['"', '\'']), "{written}");
            assert_eq!(read(&written, "x", 1).unwrap(), json!({ "a": text }));
        }
        assert_eq!(
            write(&json!({"a": r"C:\apps\x.exe"})).unwrap(),
            "a: C:\\apps\\x.exe\n"
        );
    }

    #[test]
    fn blocks_stay_blocks_and_long_lines_stay_lines() {
        let script = "line one\n  line two\n\nlast\n";
        assert_eq!(
            write(&json!({ "a": script })).unwrap(),
            "a: |\n  line one\n    line two\n\n  last\n"
        );
        let long = "word ".repeat(60) + "end";
        assert_eq!(
            write(&json!({ "a": long })).unwrap(),
            format!("a: {long}\n")
        );
        let tab = json!({ "a": "\tx\ny" });
        assert_eq!(write(&tab).unwrap(), "a: \"\\tx\\ny\"\n");
    }

    #[test]
    fn errors_name_the_line_of_the_file() {
        let error = read("a: 1\nb: [\n", "albums.yaml", 10).unwrap_err();
        assert!(error.contains("albums.yaml:1"), "{error}");
        let error = read("a: 1\na: 2\n", "albums.yaml", 10).unwrap_err();
        assert!(
            error.contains("albums.yaml:11:1") && error.contains("duplicate"),
            "{error}"
        );
    }

    #[test]
    fn deep_documents_are_read_and_bottomless_ones_refused() {
        let nested = |depth: usize| {
            (0..depth).fold(String::new(), |text, level| {
                text + &" ".repeat(level) + "a:\n"
            }) + &" ".repeat(depth)
                + "b\n"
        };
        // On a stack as large as that of the main thread; those of tests are a quarter.
        let check = move || {
            assert!(read(&nested(120), "x", 1).is_ok());
            assert!(read(&nested(200), "x", 1).is_err());
            assert!(read(&"[".repeat(100_000), "x", 1).is_err());
        };
        let thread = std::thread::Builder::new().stack_size(8 << 20);
        thread.spawn(check).unwrap().join().unwrap();
    }

    /// Any JSON, of the characters that are hard in YAML.
    fn json_value() -> impl Strategy<Value = Value> {
        let text = || {
            prop_oneof![
                "[-ab01yn.e:#,\\[\\]{}&*!|>'\"%@` \\n\\t\\\\~?=]{0,12}",
                any::<String>()
            ]
        };
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text(), inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in json_value()) {
            let written = write(&value).unwrap();
            prop_assert_eq!(read(&written, "x", 1).unwrap(), value, "{}", written);
        }
    }
}
