//! kubectl against the control plane, as a user would type it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{ControlPlane, wait_until};

impl ControlPlane {
    /// kubectl as the administrator. Nothing of the user's own settings plays a part.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(self.tool("kubectl"));
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            // Its discovery cache and kuberc lie under HOME.
            .env("HOME", self.folder())
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null());
        command
    }

    /// Runs kubectl and gives what came of it.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        self.kubectl_command().args(args).output().unwrap()
    }

    /// Runs kubectl with something on stdin (`-f -`).
    pub fn kubectl_stdin(&self, args: &[&str], stdin: &str) -> Output {
        let mut child = self
            .kubectl_command()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        // kubectl reads all of its stdin before it prints, so this cannot block on its output. It
        // may end without reading (a usage error): then its answer says more than a broken pipe.
        let _ = pipe.write_all(stdin.as_bytes());
        drop(pipe);
        child.wait_with_output().unwrap()
    }

    /// Runs kubectl, which has to succeed; gives its stdout.
    pub fn kubectl_ok(&self, args: &[&str]) -> String {
        succeeded(args, &self.kubectl(args))
    }

    /// Applies manifests (YAML or JSON), which has to succeed; gives kubectl's stdout.
    pub fn apply(&self, manifests: &str) -> String {
        let args = ["apply", "--validate=strict", "-f", "-"];
        succeeded(&args, &self.kubectl_stdin(&args, manifests))
    }

    /// `kubectl get ARGS -o json`, which has to succeed.
    pub fn get(&self, args: &[&str]) -> Value {
        let args = [&["get", "-o", "json"], args].concat();
        serde_json::from_str(&self.kubectl_ok(&args)).unwrap()
    }

    /// Waits until a field of an object is there and not empty; gives its text. `jsonpath` is
    /// kubectl's, e.g. `{.spec.nodeName}`.
    pub fn wait_for(&self, args: &[&str], jsonpath: &str) -> String {
        let output = format!("jsonpath={jsonpath}");
        let args = [&["get", "-o", &output], args].concat();
        wait_until(&args.join(" "), Duration::from_secs(60), || {
            let output = self.kubectl(&args);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.success() && !text.is_empty()).then_some(text)
        })
    }
}

/// stdout of a kubectl that had to succeed.
fn succeeded(args: &[&str], output: &Output) -> String {
    assert!(
        output.status.success(),
        "kubectl {}: {}\n{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
