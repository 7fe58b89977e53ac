//! The program itself: arguments, signals, exit codes, log.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::client::{Client, PATIENCE, trust};

pub struct Program {
    child: Child,
    log: std::sync::mpsc::Receiver<String>,
    https: SocketAddr,
}

impl Program {
    /// One without a cluster.
    pub fn start(folder: &Path, args: &[&str]) -> Program {
        Program::with(folder, &[&["--no-cluster"], args].concat())
    }

    pub fn with(folder: &Path, args: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_native-host"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--http-listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--self-signed", "--self-signed-dir"])
            .arg(folder)
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = std::sync::mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|l| lines.send(l))
        });
        let mut program = Program {
            child,
            log,
            https: "127.0.0.1:0".parse().unwrap(),
        };
        let serving = program.line("serving");
        program.https = serving["https"].as_str().unwrap().parse().unwrap();
        program
    }

    /// The next line of the log whose message is `message`.
    pub fn line(&self, message: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap();
            let value: Value = serde_json::from_str(&line).expect(&line);
            if value["message"].as_str().unwrap().starts_with(message) {
                return value;
            }
        }
    }

    /// Where it answers reviews.
    pub fn address(&self) -> SocketAddr {
        self.https
    }

    /// Its resident memory at its highest, in KiB.
    pub fn highest_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.unwrap().split_whitespace().nth(1);
        number.unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    fn exit(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub async fn client(&self, folder: &Path) -> Client {
        let ca = std::fs::read_to_string(folder.join("ca.crt")).unwrap();
        Client::connect(self.https, &trust(&ca, None))
            .await
            .unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn review(namespace: &str) -> String {
    let label = native_host::names::label::WORKLOAD;
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u1","kind":{{"group":"","version":"v1","kind":"Pod"}},"operation":"CREATE","namespace":"{namespace}","dryRun":true,"object":{{"kind":"Pod","metadata":{{"name":"albums-0","labels":{{"{label}":"albums"}}}},"spec":{{"containers":[{{"name":"albums","image":"i","command":["C:\\albums.exe"]}}]}}}}}}}}"#
    )
}

#[tokio::test]
async fn answers_by_the_file_of_policies_and_logs_one_line_a_decision() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.yaml");
    let mode = native_host::names::policy::MODE;
    let text =
        format!("kind: Namespace\nmetadata: {{name: quiet, annotations: {{{mode}: \"off\"}}}}\n");
    std::fs::write(&policies, text).unwrap();
    let program = Program::start(folder.path(), &["--policies", policies.to_str().unwrap()]);
    let mut client = program.client(folder.path()).await;

    let response = client
        .post("/mutate", review("albums").as_bytes())
        .await
        .unwrap();
    let answer: Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!(answer["response"]["uid"], "u1");
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    let line = program.line("reviewed");
    let fields = ["namespace", "name", "kind", "outcome", "reason", "door"]
        .map(|f| line[f].as_str().unwrap());
    assert_eq!(
        fields,
        ["albums", "albums-0", "Pod", "injected", "none", "mutate"]
    );
    assert_eq!(line["dry_run"], true);
    assert!(line["microseconds"].is_u64());

    let response = client
        .post("/mutate", review("quiet").as_bytes())
        .await
        .unwrap();
    let answer: Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
    assert!(answer["response"].get("patch").is_none());
    assert_eq!(program.line("reviewed")["reason"], "mode-off");
}

#[tokio::test]
async fn what_has_to_be_asked_of_a_cluster_is_refused_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path(), &["--authorize", "serviceaccount"]);
    let mut client = program.client(folder.path()).await;
    let mut review: Value = serde_json::from_str(&review("albums")).unwrap();
    let mut ask = async |path: &str, review: &Value| -> Value {
        let body = review.to_string();
        let response = client.post(path, body.as_bytes()).await.unwrap();
        let answer: Value = serde_json::from_str(&response.body).unwrap();
        answer["response"].clone()
    };
    let injected = ask("/mutate", &review).await;
    assert_eq!(injected["allowed"], true);
    let patch = STANDARD
        .decode(injected["patch"].as_str().unwrap())
        .unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    json_patch::patch(&mut review["request"]["object"], &patch).unwrap();
    let refused = ask("/validate", &review).await;
    assert_eq!(refused["allowed"], false);
    assert_eq!(refused["status"]["code"], 503);
    let message = refused["status"]["message"].as_str().unwrap();
    let why = "could not be asked: this native-host runs with --no-cluster";
    assert!(message.contains(why), "{message}");
    program.line("reviewed");
    let line = program.line("spec.serviceAccountName");
    assert_eq!(line["reason"], "authorization-unavailable");
}

#[tokio::test]
async fn sigterm_drains_and_exits_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path(), &["--shutdown-delay", "0s"]);
    let mut client = program.client(folder.path()).await;
    client
        .post("/mutate", review("a").as_bytes())
        .await
        .unwrap();
    program.signal("TERM");
    client.closed().await;
    assert_eq!(program.exit().code(), Some(0));
    program.line("drained");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path(), &["--shutdown-delay", "10m"]);
    program.signal("INT");
    program.line("going down");
    program.signal("TERM");
    assert_eq!(program.exit().code(), Some(1));
    program.line("second signal");
}

/// Exit code and standard error of a program that is not to start.
fn output(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

#[test]
fn says_what_is_wrong_and_exits_accordingly() {
    let run = |args: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_native-host"));
        program.arg("serve");
        program.args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        output(program.args(args))
    };
    for (args, code, said) in [
        (&["--no-cluster"][..], 2, "--cert-dir"),
        (
            &["--self-signed", "--cert-dir", "/x"],
            2,
            "cannot be used with",
        ),
        (&["--self-signed", "--policies", "x"], 2, "--no-cluster"),
        (
            &["--no-cluster", "--self-signed", "--body-timeout", "5"],
            2,
            "as in 500ms, 5s or 2m",
        ),
        (
            &["--no-cluster", "--cert-dir", "/nowhere"],
            1,
            "cannot read /nowhere/tls.crt",
        ),
        (
            &["--no-cluster", "--self-signed", "--policies", "/nowhere"],
            1,
            "--policies /nowhere",
        ),
        (
            &["--no-cluster", "--self-signed", "--self-signed-name", "a b"],
            1,
            "\"a b\"",
        ),
        (
            &[
                "--no-cluster",
                "--self-signed",
                "--log-level",
                "info,kube=loud",
            ],
            1,
            "--log-level",
        ),
        (
            &["--no-cluster", "--self-signed", "--client-ca", "/nowhere"],
            1,
            "--client-ca /nowhere",
        ),
    ] {
        let (exit, stderr) = run(args);
        assert_eq!(exit, Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
}

#[test]
fn an_address_in_use_is_named_with_its_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut program = Command::new(env!("CARGO_BIN_EXE_native-host"));
    program.args([
        "serve",
        "--no-cluster",
        "--self-signed",
        "--listen",
        &address,
    ]);
    let (code, stderr) = output(&mut program);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains(&format!("cannot listen on {address} (--listen)")),
        "{stderr}"
    );
}
