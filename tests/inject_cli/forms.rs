//! The other forms of output, and the command line itself.

use std::path::Path;

use serde_json::{Value, json};

use crate::{ALBUMS, inject, objects, run};

#[test]
fn a_patch_makes_of_each_object_what_is_printed() {
    let before = objects(&inject(&["-o", "json", "--mode", "off"], ALBUMS).stdout);
    let after = objects(&inject(&["-o", "json"], ALBUMS).stdout);
    let printed = inject(&["-o", "patch"], ALBUMS).stdout;
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["Deployment", "Service"]);
    for line in lines {
        assert_eq!(
            (&line["file"], &line["namespace"], &line["name"]),
            (&json!("STDIN"), &json!("default"), &json!("albums"))
        );
        let place = before
            .iter()
            .position(|object| object["kind"] == line["kind"])
            .unwrap();
        let mut object = before[place].clone();
        let patch: json_patch::Patch = serde_json::from_value(line["patch"].clone()).unwrap();
        json_patch::patch(&mut object, &patch).unwrap();
        assert_eq!(object, after[place]);
    }
}

#[test]
fn anchors_are_printed_as_the_controller_creates_them() {
    let plain = inject(&[], ALBUMS).stdout;
    let with = inject(&["--anchors"], ALBUMS);
    assert_eq!((with.code, with.stderr.as_str()), (0, ""));
    let anchor = with
        .stdout
        .split("---\n")
        .find(|text| text.contains("native-host.io/role: anchor"))
        .unwrap();
    let anchor = anchor.split("---  # the Service").next().unwrap();
    assert!(anchor.contains("kind: Pod\n"), "{anchor}");
    assert_eq!(with.stdout.replace(&format!("---\n{anchor}"), ""), plain);
    let items = objects(&inject(&["--anchors", "-o", "json"], ALBUMS).stdout);
    assert_eq!(items.iter().filter(|item| item["kind"] == "Pod").count(), 1);
    let patches = inject(&["--anchors", "-o", "patch"], ALBUMS).stdout;
    let first: Value = serde_json::from_str(patches.lines().next().unwrap()).unwrap();
    assert_eq!(first["anchors"][0]["kind"], "Pod");
}

#[test]
fn a_diff_shows_what_admission_does_and_nothing_else() {
    let ran = inject(&["--diff"], ALBUMS);
    assert_eq!(ran.code, 0);
    let heading = "--- STDIN: Deployment/default/albums\n+++ STDIN: Deployment/default/albums as admitted\n@@ -";
    assert!(ran.stdout.starts_with(heading), "{}", ran.stdout);
    let service = ran.stdout.split("--- STDIN: Service").nth(1).unwrap();
    let changed: Vec<&str> = service
        .lines()
        .skip(2)
        .filter(|line| line.starts_with(['+', '-']))
        .collect();
    assert_eq!(
        changed,
        ["-    app: albums", "+    native-host.io/anchor: albums"]
    );
    assert!(
        !ran.stdout.contains('\u{1b}'),
        "colours belong on a terminal"
    );
    let ran = inject(&["--diff", "--anchors"], ALBUMS);
    assert!(
        ran.stdout
            .contains("--- /dev/null\n+++ STDIN: Deployment/default/albums, its anchor\n")
    );
}

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [
        &["inject", "--no-such-flag"][..],
        &["inject", "-o", "xml"],
        &["inject", "--diff", "-o", "json"],
        &["inject", "-f", "-", "-f", "-"],
        &["inject", "-f", "https://example.com/x.yaml"],
        &["inject", "--mode", "soft"],
        &["inject", "albums.yaml"],
        &["injekt"],
        &[],
    ] {
        let ran = run(Path::new("."), arguments, "", &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!ran.stderr.is_empty());
    }
    assert_eq!(
        inject(&["--mode", "soft", "--probes", "of"], "").stderr,
        "error: --mode: \"soft\" is not valid. Expected enforce, warn or off, for example \"warn\"\n\
         error: --probes: \"of\" is not valid. Expected auto or none, for example \"none\"\n"
    );
}

#[test]
fn every_flag_is_a_variable_and_goes_before_it() {
    let off = [("NATIVE_HOST_MODE", "off")];
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        run(Path::new("."), arguments, ALBUMS, variables)
    };
    assert_eq!(run(&["inject"], &off).stdout, ALBUMS);
    assert_eq!(
        run(&["inject", "--mode", "enforce"], &off).stdout,
        inject(&[], ALBUMS).stdout
    );
    let ran = run(
        &["inject"],
        &[
            ("NATIVE_HOST_OUTPUT", "json"),
            ("NATIVE_HOST_ANCHORS", "true"),
        ],
    );
    assert_eq!(
        ran.stdout,
        inject(&["-o", "json", "--anchors"], ALBUMS).stdout
    );
    assert_eq!(
        run(&["inject"], &[("NATIVE_HOST_DRAIN_SECONDS", "x")]).code,
        2
    );
}

#[test]
fn help_teaches() {
    let help = inject(&["--help"], "");
    assert_eq!(help.code, 0);
    let headings = ["Examples:", "Exit codes:", "Policy defaults:"];
    for text in headings.into_iter().chain([
        "--launcher-image <VALUE>",
        "[env: NATIVE_HOST_LAUNCHER_IMAGE]",
    ]) {
        assert!(help.stdout.contains(text), "{text}");
    }
}

#[test]
fn version_is_told_in_three_forms() {
    let run = |arguments: &[&str]| run(Path::new("."), arguments, "", &[]).stdout;
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["version"]), format!("native-host {version}\n"));
    let json: Value = serde_json::from_str(&run(&["version", "-o", "json"])).unwrap();
    assert_eq!(json["version"], version);
    let yaml: Value = serde_saphyr::from_str(&run(&["version", "-o", "yaml"])).unwrap();
    assert_eq!(yaml, json);
}
