//! Tests of [`super`].

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::compartment::Way;
use std::cell::{Cell, RefCell};

const STATUS: &str = r#"{"ip":"10.244.1.7","started":"2026-11-21T10:00:00Z","uid":"a-b"}"#;

/// A node in memory, on which each step may go wrong.
struct Node {
    now: Cell<Duration>,
    booted: &'static str,
    /// What the file holds, one look after the other; then always the last.
    files: RefCell<Vec<&'static str>>,
    compartment: Result<u32, &'static str>,
    enters: Result<(), &'static str>,
    outcome: Outcome,
    done: RefCell<Vec<String>>,
}

impl Node {
    fn well() -> Self {
        Self {
            now: Cell::new(Duration::from_secs(1000)),
            booted: "2026-11-20T00:00:00Z",
            files: RefCell::new(vec![STATUS]),
            compartment: Ok(5),
            enters: Ok(()),
            outcome: Outcome::Success,
            done: RefCell::default(),
        }
    }

    fn done(&self) -> Vec<String> {
        self.done.borrow().clone()
    }
}

impl Place for Node {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn pause(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    fn booted(&self) -> Timestamp {
        Timestamp::parse(self.booted).unwrap()
    }

    fn status(&self) -> io::Result<Vec<u8>> {
        let mut files = self.files.borrow_mut();
        let text = if files.len() > 1 {
            files.remove(0)
        } else {
            files[0]
        };
        match text {
            "none" => Err(io::ErrorKind::NotFound.into()),
            text => Ok(text.into()),
        }
    }

    fn find(&self, _: IpAddr) -> Result<Found, String> {
        let compartment = self.compartment?;
        Ok(Found {
            compartment,
            way: Way::Hcn,
        })
    }

    fn enter(&self, compartment: u32) -> Result<(), String> {
        self.done.borrow_mut().push(format!("enter {compartment}"));
        Ok(self.enters?)
    }

    fn attempt(&self, _: &Action, ip: IpAddr, timeout: Duration) -> Outcome {
        self.done
            .borrow_mut()
            .push(format!("attempt {ip} within {timeout:?}"));
        self.outcome.clone()
    }
}

fn run(node: &Node) -> Answer {
    let command = ProbeCommand {
        action: Action::Tcp { port: 80 },
        timeout_seconds: 4,
    };
    probe(&command, node)
}

fn failed(node: &Node) -> (Exit, String) {
    match run(node) {
        Answer::Failed(exit, line) => (exit, line),
        other @ Answer::Well(_) => panic!("{other:?}"),
    }
}

#[test]
fn it_enters_and_then_probes() {
    let node = Node::well();
    assert_eq!(run(&node), Answer::Well(None));
    assert_eq!(node.done(), ["enter 5", "attempt 10.244.1.7 within 4s"]);
}

#[test]
fn whoever_cannot_enter_probes_nobody() {
    let node = Node {
        enters: Err("access denied"),
        ..Node::well()
    };
    let (exit, line) = failed(&node);
    assert_eq!(exit, Exit::CompartmentRefused);
    assert_eq!(
        line,
        "native-host-launcher error=CompartmentRefused exit=7704 container=- anchor=a-b ip=10.244.1.7 \
         compartment=5 by=hcn program=- after=0.0s why=\"access denied\""
    );
    assert_eq!(node.done(), ["enter 5"]);

    let node = Node {
        compartment: Err("no endpoint"),
        ..Node::well()
    };
    assert_eq!(failed(&node).0, Exit::CompartmentNotFound);
    assert_eq!(node.done(), Vec::<String>::new());
}

#[test]
fn a_status_that_is_being_swapped_is_waited_for() {
    let node = Node::well();
    node.files.replace(vec!["none", "", &STATUS[..20], STATUS]);
    assert_eq!(run(&node), Answer::Well(None));
    assert_eq!(node.done(), ["enter 5", "attempt 10.244.1.7 within 3.85s"]);
}

#[test]
fn without_a_status_there_is_nobody_to_probe() {
    for (files, booted, expected, why) in [
        (
            vec!["none"],
            "2026-11-20T00:00:00Z",
            Exit::AnchorTimeout,
            "no status file",
        ),
        (
            vec!["{]"],
            "2026-11-20T00:00:00Z",
            Exit::AnchorStatus,
            "something else",
        ),
        (
            vec![STATUS],
            "2026-11-22T00:00:00Z",
            Exit::AnchorTimeout,
            "before the node's last boot",
        ),
    ] {
        let node = Node {
            files: RefCell::new(files),
            booted,
            ..Node::well()
        };
        let (exit, line) = failed(&node);
        assert_eq!(exit, expected);
        assert!(line.contains(why), "{line}");
        assert_eq!(node.done(), Vec::<String>::new());
        assert!(node.now.get() < Duration::from_secs(1004));
    }
}

#[test]
fn outcomes_are_exit_codes() {
    let with = |outcome: Outcome| {
        run(&Node {
            outcome,
            ..Node::well()
        })
    };
    let why = || "it says no".to_owned();
    assert_eq!(with(Outcome::Warning(why())), Answer::Well(Some(why())));
    for outcome in [Outcome::Failure(why()), Outcome::Unknown(why())] {
        match with(outcome) {
            Answer::Failed(Exit::ProbeFailed, line) => {
                assert!(line.ends_with("why=\"it says no\""), "{line}");
            }
            other => panic!("{other:?}"),
        }
    }
}
