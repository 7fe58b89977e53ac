//! `native-host adopt`, from manifests.
//!
//! `tests/adopt/NAME.in.yaml` is what somebody wrote by hand, after K2s's guides. Beside it stands what is printed
//! (`NAME.out.yaml`) and what is said (`NAME.said.txt`). `hack/update-golden` writes them anew: read the diff.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Ran, run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adopt")
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix(".in.yaml")?.to_owned())
        })
        .collect();
    names.sort();
    assert!(names.len() > 5, "{names:?}");
    names
}

fn command(command: &str, file: &str, more: &[&str]) -> Ran {
    let arguments = [&[command, "-f", file], more].concat();
    run(&folder(), &arguments, "", &[])
}

fn adopt(name: &str) -> Ran {
    command("adopt", &format!("{name}.in.yaml"), &[])
}

#[test]
fn every_pair_is_as_expected() {
    for name in names() {
        let ran = adopt(&name);
        for (file, found) in [
            (format!("{name}.out.yaml"), &ran.stdout),
            (format!("{name}.said.txt"), &ran.stderr),
        ] {
            let path = folder().join(&file);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(path, found).unwrap();
                continue;
            }
            let expected = std::fs::read_to_string(path).unwrap_or_default();
            let diff = similar::TextDiff::from_lines(&expected, found);
            let diff = diff.unified_diff().to_string();
            assert!(diff.is_empty(), "{file}:\n{diff}");
        }
        // What is not understood is an exit code, too.
        assert_eq!(ran.code, i32::from(name == "what-cannot-be"), "{name}");
    }
}

#[test]
fn what_is_printed_is_adopted_already() {
    for name in names() {
        let once = adopt(&name);
        let twice = run(&folder(), &["adopt", "-f", "-"], &once.stdout, &[]);
        if name == "what-cannot-be" {
            // What was not understood is not understood a second time, and nothing else.
            assert_eq!(twice.stderr.lines().count(), 2, "{}", twice.stderr);
            continue;
        }
        assert_eq!(twice.stdout, once.stdout, "{name}");
        assert!(
            twice.stderr.starts_with("Nothing to adopt"),
            "{name}: {}",
            twice.stderr
        );
    }
}

#[test]
fn what_is_printed_is_taken_by_admission() {
    for name in names().into_iter().filter(|name| name != "what-cannot-be") {
        let once = adopt(&name);
        // As what is said to be done before would have it.
        let allowed = "--external-cidrs=10.0.0.9/32";
        let arguments = ["inject", "-f", "-", "-o", "json", "--anchors", allowed];
        let ran = run(&folder(), &arguments, &once.stdout, &[]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        let list: Value = serde_json::from_str(&ran.stdout).unwrap();
        let all: Vec<&Value> = match list["items"].as_array() {
            Some(items) => items.iter().collect(),
            None => vec![&list],
        };
        // Each Service that is pointed at anchors finds one, and each named port of it is there.
        for service in all.iter().filter(|one| one["kind"] == "Service") {
            let wanted = &service["spec"]["selector"]["native-host.io/anchor"];
            if wanted.is_null() {
                continue;
            }
            let label =
                |one: &&&Value| one["metadata"]["labels"]["native-host.io/anchor"] == *wanted;
            let anchors: Vec<_> = all.iter().filter(label).collect();
            assert!(!anchors.is_empty(), "{name}: {service}");
            for port in service["spec"]["ports"].as_array().unwrap() {
                let target = if port["targetPort"].is_null() {
                    &port["port"]
                } else {
                    &port["targetPort"]
                };
                for anchor in &anchors {
                    let containers = anchor["spec"]["containers"].as_array().unwrap().iter();
                    let mut ports =
                        containers.flat_map(|one| one["ports"].as_array().into_iter().flatten());
                    let found =
                        ports.any(|one| one["containerPort"] == *target || one["name"] == *target);
                    assert!(found, "{name}: {target} of {anchor}");
                }
            }
        }
    }
}

#[test]
fn json_is_the_same_without_comments() {
    for name in names() {
        let yaml = adopt(&name).stdout;
        let json = command("adopt", &format!("{name}.in.yaml"), &["-o", "json"]);
        let list: Value = serde_json::from_str(&json.stdout).unwrap();
        let mut objects: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
        objects.retain(|object| !object.is_null());
        let flat: Vec<Value> = objects
            .iter()
            .flat_map(|object| match object["items"].as_array() {
                Some(items) => items.clone(),
                None => vec![object.clone()],
            })
            .collect();
        assert_eq!(list["items"].as_array().unwrap(), &flat, "{name}");
    }
}
