//! YAML that `native-host inject` reads and writes means the same to the real kubectl.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// What comes out of a program that is given `stdin`.
fn through(command: &mut Command, stdin: &str) -> String {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let text = stdin.to_owned();
    // Both ends at once: what is written here may be more than a pipe holds.
    let writer = std::thread::spawn(move || pipe.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn inject(arguments: &[&str], stdin: &str) -> String {
    through(
        Command::new(env!("CARGO_BIN_EXE_native-host"))
            .arg("inject")
            .args(arguments),
        stdin,
    )
}

/// The object as kubectl reads it; it asks no server for that.
fn kubectl(stdin: &str) -> Option<Value> {
    let folder = support::tools::folder()
        .map_err(|reason| support::skip_or_fail(&reason))
        .ok()?;
    let arguments = [
        "annotate",
        "--local",
        "-f",
        "-",
        "read-by=kubectl",
        "-o",
        "json",
    ];
    let text = through(Command::new(folder.join("kubectl")).args(arguments), stdin);
    let mut object: Value = serde_json::from_str(&text).unwrap();
    let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.remove("read-by");
    if annotations.is_empty() {
        object["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("annotations");
    }
    Some(object)
}

#[test]
fn texts_are_written_so_that_kubectl_reads_them() {
    let mut runner = TestRunner::deterministic();
    let strategy = proptest::prop_oneof![
        "[-ab01yn.e:#,\\[\\]{}&*!|>'\"%@` \\n\\t\\\\~?=<]{0,14}",
        "(yes|no|on|off|y|n|true|null|~|0644|0x1F|1e3|1_000|1:30|2001-01-01|=|<<|\\.inf|C:\\\\apps\\\\)",
        "(\\PC|\\n|\\t|\\r|\u{85}|\u{2028}|\u{feff}){0,40}",
        "([a-z]{1,9} ){30,60}",
    ];
    let mut annotations = serde_json::Map::new();
    for index in 0..4000 {
        let text: String = strategy.new_tree(&mut runner).unwrap().current();
        annotations.insert(format!("n{index}"), text.into());
    }
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "w", "labels": {"native-host.io/workload": "w"}, "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "i", "command": [r"C:\x.exe"], "ports": [{"containerPort": 80}]}]},
    });
    let yaml = inject(&[], &pod.to_string());
    assert!(
        yaml.starts_with("apiVersion: v1\n"),
        "it was changed, and so written anew"
    );
    let Some(read) = kubectl(&yaml) else { return };
    let ours: Value = serde_json::from_str(&inject(&["-o", "json"], &pod.to_string())).unwrap();
    let (theirs, ours) = (
        &read["metadata"]["annotations"],
        &ours["metadata"]["annotations"],
    );
    for (name, text) in ours.as_object().unwrap() {
        assert_eq!(&theirs[name], text, "{name}");
    }
    assert!(ours.as_object().unwrap().len() > 4000);
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    let scalars = "y Y n N yes Yes YES no on On off OFF true True false ~ null Null 0 00 0644 0777 08 -08 0o17 0x1F 0X1f \
        0b101 -0b101 1_000 _1 0x_f 1e3 1E3 1e+3 1e-3 .5 5. -.5 +.5 +1 -0 1.0 1.10 0.1 0.30000000000000004 1e23 \
        -9223372036854775808 9223372036854775807 1:30 1:30:00 2001-01-01 2001-01-01T00:00:00Z = \
        !!str&yes !!int&'3' !!bool&yes 'yes' \"yes\" '0644' +0x1F -0x1F 0b2 0xg 0o8 é C:\\x a#c inf nan Infinity 0x 0. .. - + \
        1,000 0_7 1e e3 1.e3 1.5e+3 001.5 01e2 -007 1-2 0x7FFFFFFFFFFFFFFF \"\\u00e9\\n\\x41\" 'it''s' [a,&b] {a:&b} []";
    let mut manifest =
        String::from("apiVersion: example.com/v1\nkind: Example\nmetadata: {name: x}\nvalues:\n");
    for (index, scalar) in scalars
        .split_whitespace()
        .filter(|scalar| *scalar != "-")
        .enumerate()
    {
        writeln!(manifest, "  n{index}: {}", scalar.replace('&', " ")).unwrap();
    }
    manifest.push_str("block: |2-\n   x\n\n    y\nfolded: >+\n  a\n  b\n\n  c\n\nalias: &a {b: 1}\nalso: *a\nmerged: {<<: *a, c: 2}\n");
    let Some(theirs) = kubectl(&manifest) else {
        return;
    };
    let ours: Value = serde_json::from_str(&inject(&["-o", "json"], &manifest)).unwrap();
    for (name, value) in theirs["values"].as_object().unwrap() {
        let line = manifest
            .lines()
            .find(|line| line.trim().starts_with(&format!("{name}:")));
        assert_eq!(&ours["values"][name], value, "{line:?}");
    }
    assert_eq!(ours, theirs);
}
