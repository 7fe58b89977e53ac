//! Golden pairs: what admission makes of a manifest.
//!
//! `tests/golden/NAME.in.yaml` holds the object, behind an optional Namespace whose policy is in
//! force. What becomes of it stands beside it: `NAME.out.yaml` (the object, its anchors behind
//! it), or `NAME.refused.txt`; and `NAME.warnings.txt`, if there are any. Run with
//! `UPDATE_GOLDEN=1` (`hack/update-golden`) to write them anew, and read the diff.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use native_host::admission::{Door, Review, offline};
use native_host::policy::{Namespace, Policy};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

struct Fixture {
    name: String,
    object: Value,
    namespace: Namespace,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn yaml(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn strings(value: &Value) -> Vec<(&str, &str)> {
    let entries = value.as_object().into_iter().flatten();
    entries
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
        .collect()
}

fn fixtures() -> Vec<Fixture> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .strip_suffix(".in.yaml")
        else {
            continue;
        };
        let documents = yaml(&std::fs::read_to_string(&path).unwrap());
        let (namespace, object) = match documents.as_slice() {
            [object] => (json!({}), object),
            [namespace, object] if namespace["kind"] == "Namespace" => {
                (namespace["metadata"].clone(), object)
            }
            _ => panic!("{name}: expected an object, behind a Namespace if need be"),
        };
        all.push(Fixture {
            name: name.to_owned(),
            object: object.clone(),
            namespace: Namespace::read(
                &Policy::builtin(),
                strings(&namespace["labels"]).into_iter(),
                strings(&namespace["annotations"]).into_iter(),
            ),
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Compares with a file, or writes it.
fn compare(file: &str, found: Option<&str>, failures: &mut String) {
    let path = folder().join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        match found {
            Some(text) => std::fs::write(path, text).unwrap(),
            None => drop(std::fs::remove_file(path)),
        }
        return;
    }
    let expected = std::fs::read_to_string(&path).ok();
    if expected.as_deref() != found {
        let none = "(nothing)\n";
        let diff = similar::TextDiff::from_lines(
            expected.as_deref().unwrap_or(none),
            found.unwrap_or(none),
        )
        .unified_diff()
        .header("expected", "found")
        .to_string();
        writeln!(failures, "{file}:\n{diff}").unwrap();
    }
}

fn lines(lines: &[String]) -> Option<String> {
    (!lines.is_empty()).then(|| lines.iter().map(|line| format!("{line}\n")).collect())
}

#[test]
fn every_pair_is_as_expected() {
    let mut failures = String::new();
    let fixtures = fixtures();
    for Fixture {
        name,
        object,
        namespace,
    } in &fixtures
    {
        let result = offline::mutate(object, namespace).unwrap();
        let out = result.refusal.is_none().then(|| {
            let documents = std::iter::once(&result.object).chain(&result.anchors);
            documents
                .map(|value| serde_saphyr::to_string(value).unwrap())
                .collect::<Vec<_>>()
                .join("---\n")
        });
        let refused = result
            .refusal
            .as_ref()
            .map(|denial| format!("{} {}\n{}\n", denial.code, denial.reason, denial.message));
        compare(&format!("{name}.out.yaml"), out.as_deref(), &mut failures);
        compare(
            &format!("{name}.refused.txt"),
            refused.as_deref(),
            &mut failures,
        );
        compare(
            &format!("{name}.warnings.txt"),
            lines(&result.warnings).as_deref(),
            &mut failures,
        );
    }
    assert!(failures.is_empty(), "{failures}");
}

/// What `/mutate` answers, as an object or a refusal.
fn review(door: Door, object: &Value, namespace: &Namespace) -> Value {
    let (group, version) = match object["apiVersion"].as_str().unwrap().split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", "v1"),
    };
    let body = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "0b4ff6a3-6f2c-4a62-9f0c-0d1d9a4d5e6f",
            "kind": { "group": group, "version": version, "kind": object["kind"] },
            "operation": "CREATE", "namespace": "shop", "name": "",
            "object": object, "oldObject": null, "dryRun": false,
        },
    });
    let body = serde_json::to_vec(&body).unwrap();
    let review = Review::parse(door, &body).unwrap();
    let answer = review.answer(Ok(namespace), &Policy::builtin());
    serde_json::from_slice::<Value>(&answer.body).unwrap()["response"].clone()
}

fn patched(object: &Value, response: &Value) -> Value {
    use base64::Engine as _;
    let mut object = object.clone();
    if let Some(patch) = response["patch"].as_str() {
        let patch = base64::engine::general_purpose::STANDARD
            .decode(patch)
            .unwrap();
        json_patch::patch(
            &mut object,
            &&serde_json::from_slice::<json_patch::Patch>(&patch).unwrap(),
        )
        .unwrap();
    }
    object
}

#[test]
fn both_doors_agree() {
    for Fixture {
        name,
        object,
        namespace,
    } in fixtures()
    {
        if object["kind"] != "Pod" && object["kind"] != "Service" {
            continue;
        }
        let offline = offline::mutate(&object, &namespace).unwrap();
        let response = review(Door::Mutate, &object, &namespace);
        assert_eq!(response["allowed"], offline.refusal.is_none(), "{name}");
        let message = response["status"]["message"].as_str();
        assert_eq!(
            message,
            offline.refusal.as_ref().map(|d| d.message.as_str()),
            "{name}"
        );
        assert_eq!(patched(&object, &response), offline.object, "{name}");
    }
}

#[test]
fn injected_twice_is_injected_once() {
    for Fixture {
        name,
        object,
        namespace,
    } in fixtures()
    {
        let once = offline::mutate(&object, &namespace).unwrap();
        if once.refusal.is_some() {
            continue;
        }
        let twice = offline::mutate(&once.object, &namespace).unwrap();
        assert_eq!(twice.refusal, None, "{name}");
        assert_eq!(twice.object, once.object, "{name}");
        assert_eq!(twice.anchors, once.anchors, "{name}");
    }
}

#[test]
fn what_was_injected_passes_the_validating_check() {
    for Fixture {
        name,
        object,
        namespace,
    } in fixtures()
    {
        let once = offline::mutate(&object, &namespace).unwrap();
        if object["kind"] != "Pod" || once.refusal.is_some() {
            continue;
        }
        let response = review(Door::Validate, &once.object, &namespace);
        assert_eq!(response["allowed"], true, "{name}: {response}");
        let labelled = object["metadata"]["labels"]
            .get("native-host.io/workload")
            .is_some();
        if labelled && !once.patch.is_empty() {
            let response = review(Door::Validate, &object, &namespace);
            assert_eq!(
                response["allowed"], false,
                "{name}: not injected, and let pass"
            );
        }
    }
}
