//! docs/security.md names the test that shows each of its sentences.

use std::path::Path;

/// The modules whose every test belongs on that page.
const MODULES: [&str; 5] = ["editor", "sessions", "node", "token", "neighbour"];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The tests of a module, by the line after `#[test]` or `#[tokio::test]`.
fn tests(module: &str) -> Vec<String> {
    let text = read(&format!("tests/guard_rails/{module}.rs"));
    let parts = text.split("test]\n").skip(1);
    let names = parts.map(|part| {
        let (_, rest) = part.split_once("fn ").unwrap();
        rest.split_once('(').unwrap().0.to_owned()
    });
    names.collect()
}

#[test]
fn the_page_names_every_test_and_no_other() {
    let page = read("docs/security.md");
    let mut wrong = Vec::new();
    for module in MODULES {
        for test in tests(module) {
            let name = format!("{module}::{test}");
            if !page.contains(&format!("`{name}`")) {
                wrong.push(format!("not named: {name}"));
            }
        }
    }
    // Every second part of the text stands between backticks.
    for quoted in page.split('`').skip(1).step_by(2) {
        if let Some((module, test)) = quoted.split_once("::")
            && test != "*"
            && !tests(module).iter().any(|name| name == test)
        {
            wrong.push(format!("no such test: {quoted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
