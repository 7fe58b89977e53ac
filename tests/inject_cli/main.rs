//! `native-host inject`, and other commands that ask no cluster, as a person runs them: the very binary, its output, its messages, its exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adopt;
mod documents;
mod forms;
mod linkerd;
mod policies;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A Deployment that is injected, and things beside it that are not.
const ALBUMS: &str = r"# SPDX-License-Identifier: MIT
# Albums, all of it.

apiVersion: v1
kind: ConfigMap   # a comment that stays
metadata: {name: settings}
data: {verbose: 'yes', mode: '0644'}
---
# The program itself.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: albums
spec:
  selector: {matchLabels: {app: albums}}
  template:
    metadata:
      labels: {app: albums, native-host.io/workload: albums}
      annotations: {answer: 'yes', mode: '0644'}
    spec:
      containers:
      - name: albums
        image: base
        command: ['C:\apps\albums.exe']
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {tcpSocket: {port: http}}
---  # the Service
kind: Service
apiVersion: v1
metadata: {name: albums, labels: {native-host.io/workload: albums}}
spec: {selector: {app: albums}, ports: [{port: 80}]}
";

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(folder: &Path, arguments: &[&str], stdin: &str, variables: &[(&str, &str)]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_native-host"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A command that does not read closes the pipe.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `inject` with manifests on standard input.
fn inject(arguments: &[&str], stdin: &str) -> Ran {
    run(
        Path::new("."),
        &[&["inject"], arguments].concat(),
        stdin,
        &[],
    )
}

/// A folder with files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// A Namespace called `albums` with this annotation.
fn namespace(annotation: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: albums\n  annotations:\n    {annotation}\n"
    )
}

/// The objects of `-o json`.
fn objects(json: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(json).unwrap();
    value["items"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![value])
}
