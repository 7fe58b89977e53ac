//! The fuzz target's corpus, on stable: what once was worth keeping is answered, today too.
//!
//! Its seeds are the golden pairs' inputs, one review each; `hack/update-golden` writes them. What
//! fuzzing found lies beside them, as `found-*`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../fuzz/handler.rs"]
mod handler;

mod fixtures;

use fixtures::Fixture;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/review")
}

fn seed(object: &Value) -> Vec<u8> {
    let mut review = fixtures::review(object, "CREATE");
    // Short, since a fuzzer changes bytes, and these say little.
    review["request"]["uid"] = json!("1");
    serde_json::to_vec(&review).unwrap()
}

/// The corpus stays small: of the long ones, those that show an injected pod are enough.
fn is_seed(fixture: &Fixture) -> bool {
    const LONG: usize = 4096;
    fixture.name.starts_with("injected-") || seed(&fixture.object).len() <= LONG
}

#[test]
fn fixtures_are_seeds() {
    for fixture in fixtures::fixtures().iter().filter(|one| is_seed(one)) {
        let path = folder().join(format!("{}.json", fixture.name));
        let wanted = seed(&fixture.object);
        if fixtures::update() {
            std::fs::write(path, wanted).unwrap();
        } else {
            let found = std::fs::read(&path).unwrap_or_default();
            assert!(
                found == wanted,
                "{}: run hack/update-golden",
                path.display()
            );
        }
    }
}

#[test]
fn every_input_is_answered() {
    let mut inputs = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        handler::every_door(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    let seeds = fixtures::fixtures()
        .iter()
        .filter(|one| is_seed(one))
        .count();
    assert!(inputs >= seeds || fixtures::update());
}

/// Cut anywhere, and with any byte changed, a review is still answered or refused.
#[test]
fn no_cut_and_no_changed_byte_panics() {
    for fixture in fixtures::fixtures().iter().step_by(10) {
        let body = seed(&fixture.object);
        for at in (0..body.len()).step_by(31) {
            handler::every_door(&body[..at]);
            let mut changed = body.clone();
            changed[at] ^= 1 << (at % 8);
            handler::every_door(&changed);
        }
    }
}
