//! A source's text as documents, each with the very text that it was written with.
//!
//! The rules are kubectl's (apimachinery `pkg/util/yaml/decoder.go`): a text that begins with a brace
//! is a stream of JSON values if it can be read so, else documents end at lines that begin with `---`.

use serde_json::Value;

use crate::cli::yaml;

/// One document.
#[derive(Debug)]
pub(in crate::cli) struct Document<'t> {
    /// What stands before it: the line with `---`, or white space between JSON values.
    pub(in crate::cli) separator: &'t str,
    /// Its text.
    pub(in crate::cli) text: &'t str,
    /// What the text says; null for one of comments only.
    pub(in crate::cli) value: Result<Value, String>,
    /// Whether it is one of a stream of JSON values.
    pub(in crate::cli) json: bool,
}

/// Splits a text into its documents.
pub(in crate::cli) fn split<'t>(text: &'t str, file: &str) -> Vec<Document<'t>> {
    // A byte order mark is no part of JSON; the YAML reader knows it.
    let begins = text.trim_start_matches('\u{feff}').trim_start();
    if begins.starts_with('{')
        && let Some(documents) = json_stream(text)
    {
        return documents;
    }
    let mut documents = Vec::new();
    let (mut separator, mut start, mut line_of_start) = ("", 0, 1);
    let mut end = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.starts_with("---") {
            documents.push(document(
                separator,
                text.get(start..end),
                file,
                line_of_start,
            ));
            (separator, start, line_of_start) = (line, end + line.len(), index + 2);
        }
        end += line.len();
    }
    documents.push(document(separator, text.get(start..), file, line_of_start));
    documents.retain(|document| !(document.separator.is_empty() && document.text.is_empty()));
    documents
}

fn document<'t>(
    separator: &'t str,
    text: Option<&'t str>,
    file: &str,
    line: usize,
) -> Document<'t> {
    let text = text.unwrap_or_default();
    let beside = separator.trim_start_matches('-').trim();
    let value = if separator.starts_with("----") || !(beside.is_empty() || beside.starts_with('#'))
    {
        // Proper YAML, but kubectl refuses it.
        let line = line.saturating_sub(1);
        let found = separator.trim_end();
        Err(format!(
            "line {line}: expected nothing after --- but a comment, found {found:?}"
        ))
    } else {
        yaml::read(text, file, line)
    };
    Document {
        separator,
        text,
        value,
        json: false,
    }
}

/// The JSON values of a text; `None` if it may be YAML after all, which it may be to kubectl until two
/// values have been read.
fn json_stream(text: &str) -> Option<Vec<Document<'_>>> {
    let mark = text.len() - text.trim_start_matches('\u{feff}').len();
    let body = text.get(mark..)?;
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(body).into_iter::<Value>();
    let mut end = 0;
    while let Some(value) = stream.next() {
        let rest = body.get(end..)?;
        let blank = rest.len() - rest.trim_start().len();
        let separator = rest.get(..blank)?;
        match value {
            Ok(value) => {
                let next = stream.byte_offset();
                let text = body.get(end + blank..next)?;
                documents.push(Document {
                    separator,
                    text,
                    value: Ok(value),
                    json: true,
                });
                end = next;
            }
            Err(_) if documents.len() < 2 => return None,
            Err(error) => {
                let text = rest.get(blank..)?;
                let value = Err(error.to_string());
                documents.push(Document {
                    separator,
                    text,
                    value,
                    json: true,
                });
                return Some(documents);
            }
        }
    }
    // White space at the end belongs to the last value.
    if let (Some(last), Some(tail)) = (documents.last_mut(), body.get(end..)) {
        last.text = body.get(end - last.text.len()..end + tail.len())?;
    }
    Some(documents)
}

/// The comments and empty lines before a document's first line of content.
pub(in crate::cli) fn heading(text: &str) -> &str {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_start_matches('\u{feff}').trim();
        if !(content.is_empty() || content.starts_with('#')) || !line.ends_with('\n') {
            break;
        }
        end += line.len();
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parts(text: &str) -> Vec<(&str, &str, Value)> {
        let documents = split(text, "x.yaml").into_iter();
        documents
            .map(|d| (d.separator, d.text, d.value.unwrap()))
            .collect()
    }

    #[test]
    fn yaml_is_split_as_kubectl_splits_it() {
        assert_eq!(
            parts("# licence\n---\na: 1\n--- # two\nb: |\n  --- x\n---\n"),
            [
                ("", "# licence\n", Value::Null),
                ("---\n", "a: 1\n", json!({"a": 1})),
                ("--- # two\n", "b: |\n  --- x\n", json!({"b": "--- x\n"})),
                ("---\n", "", Value::Null),
            ]
        );
        assert_eq!(
            parts("---\r\na: 1\r\n"),
            [("---\r\n", "a: 1\r\n", json!({"a": 1}))]
        );
        assert_eq!(parts(""), []);
        let documents = split("--- {a: 1}\n---\nb: 1\n", "x.yaml");
        let error = documents[0].value.as_ref().unwrap_err();
        assert_eq!(
            error,
            "line 1: expected nothing after --- but a comment, found \"--- {a: 1}\""
        );
        assert!(documents[1].value.is_ok());
        assert!(split("----\na: 1\n", "x")[0].value.is_err());
    }

    #[test]
    fn json_is_a_stream_unless_it_is_yaml() {
        assert_eq!(
            parts("{\"a\":1}{\"b\":2}\n {\"c\":3}\n"),
            [
                ("", "{\"a\":1}", json!({"a": 1})),
                ("", "{\"b\":2}", json!({"b": 2})),
                ("\n ", "{\"c\":3}\n", json!({"c": 3})),
            ]
        );
        assert_eq!(
            parts("{\"a\": 1}\n---\nb: 1\n"),
            [
                ("", "{\"a\": 1}\n", json!({"a": 1})),
                ("---\n", "b: 1\n", json!({"b": 1}))
            ]
        );
        assert_eq!(parts("{a: 1}"), [("", "{a: 1}", json!({"a": 1}))]);
        let documents = split("{\"a\":1}\n{\"b\":2}\n{\"c\":\n", "x.json");
        assert!(
            documents[2]
                .value
                .as_ref()
                .unwrap_err()
                .starts_with("EOF while parsing")
        );
    }

    #[test]
    fn a_heading_is_what_stands_before_the_content() {
        assert_eq!(
            heading("# a\n\n  # b\nkind: Pod # c\n# d\n"),
            "# a\n\n  # b\n"
        );
        assert_eq!(heading("kind: Pod\n"), "");
        assert_eq!(heading("# only"), "");
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(text in "(---|\\{\"a\": ?1\\}|a: 1|# x|[\\n\\r {}\"a-])*") {
            let documents = split(&text, "x");
            let whole: String = documents.iter().flat_map(|d| [d.separator, d.text]).collect();
            prop_assert_eq!(whole, text);
        }
    }
}
