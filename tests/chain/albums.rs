//! `examples/albums` as the tests use it: what users copy, with what a test changes in it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use native_host::names::policy;
use serde_json::{Value, json};

/// The port of albums.
pub const PORT: u16 = 8080;

/// The Deployment and the Service of the example, with the knobs on.
pub fn example(replicas: usize) -> (Value, Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/albums/albums.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let [mut deployment, service] = <[Value; 2]>::try_from(all).unwrap();
    deployment["spec"]["replicas"] = json!(replicas);
    // What serves no purpose in a test, and takes time when a pod goes: albums.exe has no state.
    let spec = &mut deployment["spec"]["template"]["spec"];
    spec["terminationGracePeriodSeconds"] = json!(3);
    variable(&mut deployment, "ALBUMS_TEST_KNOBS", "1");
    (deployment, service)
}

/// Sets a variable of the container.
pub fn variable(deployment: &mut Value, name: &str, value: &str) {
    let env = &mut deployment["spec"]["template"]["spec"]["containers"][0]["env"];
    let env = env.as_array_mut().unwrap();
    env.retain(|one| one["name"] != name);
    env.push(json!({"name": name, "value": value}));
}

/// Serves on long enough, when it is told to go, for an answer that takes four seconds: kube-proxy takes
/// one to stop sending, a connection gets one second old, and that answer may come then.
pub fn drains_for_slow_answers(deployment: &mut Value) {
    variable(deployment, "MAX_CONNECTION_AGE", "1s");
    let annotations = &mut deployment["spec"]["template"]["metadata"]["annotations"];
    annotations[policy::DRAIN_SECONDS] = json!("8");
}

/// Whether a program on another port answers well.
pub fn answers(ip: &str, port: u16, path: &str) -> bool {
    ask_at(ip, port, path).is_some_and(|answer| answer.contains(" 200 "))
}

/// Asks a program; None where it does not answer within the time that a probe has.
pub fn ask(ip: &str, path: &str) -> Option<String> {
    ask_at(ip, PORT, path)
}

fn ask_at(ip: &str, port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((ip, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    // What hangs after its answer has answered.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// Turns one of its knobs.
pub fn turn(ip: &str, knob: &str) {
    let answer = ask(ip, &format!("/admin/{knob}"));
    assert!(
        answer.as_ref().is_some_and(|it| it.contains(" 200 ")),
        "{knob}: {answer:?}"
    );
}

/// Whether it serves.
pub fn serves(ip: &str) -> bool {
    ask(ip, "/albums").is_some_and(|answer| answer.contains(" 200 "))
}
