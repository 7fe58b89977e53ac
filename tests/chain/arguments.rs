//! Arguments of every nasty kind, byte for byte from YAML to the program's own argv: through admission,
//! the API server, the kubelet's expansion, containerd's quoting, `cmd /c`, the launcher and Windows'
//! parsing of a command line.

use native_host::names::label;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::node::Node;
use crate::world::World;
use crate::{PATIENCE, wait_until};

/// Pods, and the arguments of each; a command line on Windows has 8191 characters at most.
const PODS: usize = 12;
const EACH: usize = 300;

/// What has a meaning to somebody on the way.
const NASTY: &[&str] = &[
    "",
    " ",
    "\"",
    "\\",
    "\\\\",
    "\\\"",
    "%PATH%",
    "%",
    "%%",
    "^",
    "&",
    "|",
    "<",
    ">",
    "&&",
    "!",
    "!PATH!",
    "(",
    ")",
    "'",
    "`",
    "$",
    "$$",
    "$$(HOME)",
    "$(UNKNOWN)",
    ",",
    ";",
    "=",
    "@",
    "~",
    "*",
    "?",
    "\t",
    "\n",
    "\r\n",
    "ü",
    "日本",
    "🎷",
    "\u{7f}",
    "\u{feff}",
    "--",
    "-",
    "/c",
    "a b",
    "C:\\Program Files\\x\\",
    "\\\\server\\share\\",
    "{\"a\": [1]}",
];

/// Words of such pieces.
fn words() -> impl Strategy<Value = Vec<String>> {
    let piece = proptest::sample::select(NASTY).prop_map(str::to_owned);
    let word = proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat());
    proptest::collection::vec(word, EACH)
}

/// A Job whose program writes its arguments to a file.
pub fn job(name: &str, arguments: &[String]) -> Value {
    let mut command = vec![
        r"C:\apps\albums.exe".to_owned(),
        "--print-args".into(),
        format!(r"C:\apps\{name}.json"),
    ];
    command.extend_from_slice(arguments);
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "backoffLimit": 0,
        "template": {
            "metadata": {"labels": {label::WORKLOAD: "arguments"}},
            "spec": {"restartPolicy": "Never", "containers": [{
                "name": "arguments", "image": "registry.example.com/base", "command": command,
            }]},
        },
    }})
}

/// Waits until the program of such a Job has the arguments that were sent.
pub fn arrive(node: &Node, name: &str, sent: &[String]) {
    let file = node.host_file(&format!("apps/{name}.json"));
    let what = format!("{name} wrote its arguments");
    let arrived: Vec<String> = wait_until(&what, PATIENCE, || {
        serde_json::from_str(&std::fs::read_to_string(&file).ok()?).ok()
    });
    let expected: Vec<String> = sent.iter().map(|word| expanded(word)).collect();
    for (place, (expected, arrived)) in expected.iter().zip(&arrived).enumerate() {
        assert_eq!(expected, arrived, "argument {place} of {name}");
    }
    assert_eq!(expected.len(), arrived.len(), "{name}");
}

/// Lists of nasty words, the same in every run.
pub fn nasty(lists: usize) -> Vec<Vec<String>> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..lists)
        .map(|_| words().new_tree(&mut runner).unwrap().current())
        .collect()
}

/// `$$` is one dollar sign to the kubelet, and so to the launcher.
fn expanded(argument: &str) -> String {
    native_host_launcher::expand::expand(argument, |_| None)
}

#[test]
#[ignore = "run by the_chain_holds, in a network of its own"]
fn thousands_of_nasty_arguments_arrive_as_they_were_written() {
    let world = World::get();
    world.namespace("arguments", "endings");
    let sent = nasty(PODS);
    let name = |number: usize| format!("arguments-{number}");
    let jobs = sent.iter().enumerate();
    let jobs: Vec<_> = jobs
        .map(|(number, words)| job(&name(number), words))
        .collect();
    world.apply("arguments", &jobs);
    for (number, words) in sent.iter().enumerate() {
        arrive(&world.nodes[2], &name(number), words);
    }
}
