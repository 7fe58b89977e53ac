//! Held against the kubelet's own code: what that makes of answers, and how it asks, stands in `fixtures`, written by
//! `hack/update-probes`, which runs it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use super::{Connection, Outcome, Timed, Tls, attempt};
use crate::probe::Action;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENT: Duration = Duration::from_secs(120);
/// For an answer that is held back. What comes before it must come in this time on any machine, or an answer that is
/// good would be taken for one that is not.
const SHORT: Duration = Duration::from_secs(5);
const HOLD: &str = "<hold>";

struct Plain;

impl Tls for Plain {
    fn client(&self, _: Timed) -> io::Result<Box<dyn Connection>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A text in Go's escapes.
fn unescaped(text: &str) -> Vec<u8> {
    fn code(rest: &mut std::str::Chars<'_>, length: usize) -> char {
        let digits: String = rest.take(length).collect();
        char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
    }
    let mut bytes = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        bytes.push(match c {
            '\\' => match rest.next().unwrap() {
                'r' => '\r',
                'n' => '\n',
                't' => '\t',
                'x' => code(&mut rest, 2),
                'u' => code(&mut rest, 4),
                other => other,
            },
            c => c,
        });
    }
    bytes.into_bytes()
}

/// A program that gives everybody this answer, and hands the requests on.
fn program(answer: Vec<u8>, held: bool) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind((LOCAL, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, requests) = mpsc::channel();
    let answer = String::from_utf8(answer)
        .unwrap()
        .replace("{port}", &port.to_string());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = Vec::new();
            let mut byte = [0];
            while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1)
            {
                text.push(byte[0]);
            }
            if tell.send(String::from_utf8(text).unwrap()).is_err() {
                return;
            }
            let _ = stream.write_all(answer.as_bytes());
            if held {
                let _ = stream.read(&mut byte);
            }
        }
    });
    (port, requests)
}

fn lines(fixture: &str) -> impl Iterator<Item = &str> {
    fixture
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Whoever moves the tests' control plane to another version asks its kubelet again, too.
#[test]
fn the_kubelet_is_that_of_the_control_plane() {
    let pins = include_str!("../../../hack/tools/kubernetes/go.mod");
    for fixture in [
        include_str!("fixtures/answers.txt"),
        include_str!("fixtures/requests.txt"),
    ] {
        let by = fixture
            .lines()
            .find_map(|line| line.strip_prefix("# k8s.io/kubernetes "));
        let pin = format!("k8s.io/kubernetes {} ", by.unwrap());
        assert!(
            pins.lines()
                .any(|line| format!("{} ", line.trim()).starts_with(&pin)),
            "run hack/update-probes and read the diff: {pin} is not in go.mod"
        );
    }
}

/// What is wrong with how a line's answer is taken.
fn wrong(line: &str) -> Option<String> {
    let (kind, escaped) = line.split_once(' ').unwrap();
    let (text, held) = match escaped.strip_suffix(HOLD) {
        Some(text) => (text, true),
        None => (escaped, false),
    };
    let (port, _requests) = program(unescaped(text), held);
    let action = Action::Http {
        port,
        path: "/live".to_owned(),
        https: false,
        headers: Vec::new(),
    };
    let outcome = attempt(&action, LOCAL, if held { SHORT } else { PATIENT }, &Plain);
    let taken = match &outcome {
        Outcome::Success => "success",
        Outcome::Warning(_) => "warning",
        Outcome::Failure(_) => "failure",
        Outcome::Unknown(_) => "unknown",
    };
    (taken != kind).then(|| format!("{escaped}\n  the kubelet: {kind}\n  here: {outcome:?}"))
}

#[test]
fn answers_are_taken_for_what_the_kubelet_takes_them_for() {
    let all: Vec<_> = lines(include_str!("fixtures/answers.txt")).collect();
    assert!(all.len() > 150);
    let (held, quick): (Vec<&str>, _) = all.into_iter().partition(|line| line.ends_with(HOLD));
    let mut found: Vec<_> = quick.into_iter().filter_map(wrong).collect();
    // Each of these takes its time.
    std::thread::scope(|scope| {
        let threads: Vec<_> = held
            .iter()
            .map(|line| scope.spawn(|| wrong(line)))
            .collect();
        found.extend(
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap()),
        );
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn requests_are_those_of_the_kubelet() {
    let version = concat!(env!("CARGO_PKG_VERSION"), " (native-host-launcher)");
    let mut wrong = Vec::new();
    for line in lines(include_str!("fixtures/requests.txt")) {
        let (asked, expected) = line.split_once(" => ").unwrap();
        let asked_for = String::from_utf8(unescaped(asked)).unwrap();
        let mut parts = asked_for.split('|');
        let path = parts.next().unwrap().to_owned();
        let header = |part: &str| {
            let (name, value) = part.split_once(':').unwrap();
            (name.to_owned(), value.to_owned())
        };
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
        let (port, requests) = program(answer, false);
        let action = Action::Http {
            port,
            path,
            https: false,
            headers: parts.map(header).collect(),
        };
        let outcome = attempt(&action, LOCAL, PATIENT, &Plain);
        let seen = requests.try_recv().ok();
        let expected = (expected != "none").then(|| {
            let text = String::from_utf8(unescaped(expected)).unwrap();
            text.replace("{port}", &port.to_string())
                .replace("{version}", version)
        });
        if seen != expected {
            wrong.push(format!(
                "{asked}\n  the kubelet: {expected:?}\n  here: {seen:?} {outcome:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
