//! Golden pairs: what admission makes of a manifest.
//!
//! `tests/golden/NAME.in.yaml` holds the object, behind an optional Namespace whose policy is in
//! force. What becomes of it stands beside it: `NAME.out.yaml` (the object, its anchors behind
//! it), or `NAME.refused.txt`; and `NAME.warnings.txt`, if there are any; of a workload besides what
//! is said of it when it is applied (`NAME.template-warnings.txt`), and of a Namespace likewise
//! (`NAME.namespace-warnings.txt`). Run with
//! `UPDATE_GOLDEN=1` (`hack/update-golden`) to write them anew, and read the diff.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod fixtures;

use fixtures::{Fixture, answer, fixtures, folder, patched};
use native_host::admission::{Door, offline};
use native_host::names::label;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Compares with a file, or writes it.
fn compare(file: &str, found: Option<&str>, failures: &mut String) {
    let path = folder().join(file);
    if fixtures::update() {
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
    (!lines.is_empty()).then(|| lines.join("\n") + "\n")
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

/// What is said when the object is applied, apart from what becomes of a pod: of a workload's
/// template, or of a Namespace's policy.
fn said_of(object: &Value, door: Door, response: &Value) -> Option<String> {
    let mut text = String::new();
    for warning in response["warnings"].as_array().into_iter().flatten() {
        writeln!(text, "{}", warning.as_str().unwrap()).unwrap();
    }
    if response["allowed"] == false {
        let status = &response["status"];
        let (code, reason) = (&status["code"], status["reason"].as_str().unwrap());
        let message = status["message"].as_str().unwrap();
        writeln!(text, "refused: {code} {reason}\n{message}").unwrap();
    }
    assert!(response["patch"].is_null(), "{door:?} changed {object}");
    (!text.is_empty()).then_some(text)
}

#[test]
fn what_is_said_of_templates_and_namespaces_is_as_expected() {
    let mut failures = String::new();
    for Fixture {
        name,
        object,
        namespace,
    } in &fixtures()
    {
        let door = match object["kind"].as_str().unwrap() {
            "Pod" | "Service" => continue,
            "Namespace" => Door::Validate,
            _ => Door::ValidateTemplates,
        };
        let said = said_of(object, door, &answer(door, object, namespace));
        let what = if door == Door::Validate {
            "namespace"
        } else {
            "template"
        };
        let file = format!("{name}.{what}-warnings.txt");
        compare(&file, said.as_deref(), &mut failures);
    }
    assert!(failures.is_empty(), "{failures}");
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
        // External Services are changed by nobody, and looked at where nothing changes them any more.
        let external = object["metadata"]["labels"].get(label::EXTERNAL).is_some();
        let door = if external {
            Door::Validate
        } else {
            Door::Mutate
        };
        let response = answer(door, &object, &namespace);
        assert_eq!(response["allowed"], offline.refusal.is_none(), "{name}");
        let message = response["status"]["message"].as_str();
        assert_eq!(
            message,
            offline.refusal.as_ref().map(|d| d.message.as_str()),
            "{name}"
        );
        assert_eq!(patched(&object, &response), offline.object, "{name}");
        let warnings = response["warnings"].as_array().into_iter().flatten();
        let warnings: Vec<_> = warnings.map(|warning| warning.as_str().unwrap()).collect();
        assert_eq!(warnings, offline.warnings, "{name}");
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
        let response = answer(Door::Validate, &once.object, &namespace);
        assert_eq!(response["allowed"], true, "{name}: {response}");
        let labelled = object["metadata"]["labels"]
            .get("native-host.io/workload")
            .is_some();
        if labelled && !once.patch.is_empty() {
            let response = answer(Door::Validate, &object, &namespace);
            assert_eq!(
                response["allowed"], false,
                "{name}: not injected, and let pass"
            );
        }
    }
}

#[test]
fn a_status_that_another_webhook_puts_in_is_named() {
    let all = fixtures();
    let case = all
        .iter()
        .find(|one| one.name == "backup-of-an-injected-pod-loses-its-status")
        .unwrap();
    let response = answer(Door::Validate, &case.object, &case.namespace);
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("metadata.annotations[native-host.io/anchor-status]: "),
        "{message}"
    );
}

/// What `native-host inject` prints for one object, and how it ends.
fn command(folder: &Path, name: &str) -> (Option<i32>, Vec<Value>, String) {
    let mut documents = fixtures::documents(name);
    let object = documents.pop().unwrap();
    let file = folder.join("object.json");
    std::fs::write(&file, object.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_native-host"));
    command.args(["inject", "-o", "json", "--anchors", "-f"]);
    command.arg(file);
    if let Some(mut namespace) = documents.pop() {
        let of_object = &object["metadata"]["namespace"];
        let name = of_object.as_str().unwrap_or("default").to_owned();
        namespace["metadata"]["name"] = name.into();
        let file = folder.join("namespace.json");
        std::fs::write(&file, namespace.to_string()).unwrap();
        command.arg("--policy").arg(file);
    }
    let output = command.output().unwrap();
    let mut printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let printed = match printed["kind"].as_str() {
        None => Vec::new(),
        Some("List") => std::mem::take(printed["items"].as_array_mut().unwrap()),
        Some(_) => vec![printed],
    };
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), printed, said)
}

#[test]
fn the_command_prints_every_pair() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in fixtures() {
        let name = &fixture.name;
        let expected = offline::mutate(&fixture.object, &fixture.namespace).unwrap();
        let (code, printed, said) = command(folder.path(), name);
        if let Some(denial) = &expected.refusal {
            assert_eq!(code, Some(1), "{name}: {said}");
            assert!(said.contains(&denial.message), "{name}: {said}");
            assert!(printed.is_empty(), "{name}: {printed:?}");
        } else {
            assert_eq!(code, Some(0), "{name}: {said}");
            let all: Vec<_> = std::iter::once(expected.object)
                .chain(expected.anchors)
                .collect();
            assert_eq!(printed, all, "{name}");
        }
        for warning in &expected.warnings {
            assert!(
                said.contains(warning.as_str()),
                "{name}: {warning}\nnot in\n{said}"
            );
        }
    }
}
