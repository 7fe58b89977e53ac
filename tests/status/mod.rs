//! What the tests of `status` and `explain` share: pairs made by hand.

mod explain;
mod table;
mod watch;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use native_host::names::PREFIX;
use serde_json::{Value, json};

use crate::support::{ControlPlane, wait_until};

/// A busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// An HP pod as admission leaves it, in its bones; `@/` is our prefix.
const HP: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  labels: {'@/workload': albums, app: albums}
  annotations:
    '@/injected': v1
    '@/anchor-spec': '{"version":1,"image":"pause","containers":[{"name":"albums","readiness":{"check":{"httpGet":{"port":8081,"path":"/ready"}},"timing":{"initialDelaySeconds":0,"periodSeconds":10,"timeoutSeconds":1,"successThreshold":1,"failureThreshold":3}}}]}'
spec:
  containers:
  - name: albums
    image: registry.example/albums
    command: ['C:\native-host\bin\native-host-launcher.exe']
    args: [run, --container, albums, --timeout, 180s, --, 'C:\apps\albums.exe']
  terminationGracePeriodSeconds: 35
"#;

/// What came of a command.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

/// The program with a kubeconfig, and nothing of the user's own settings.
fn command(plane: &ControlPlane, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_native-host"));
    command
        .args(args)
        .env_clear()
        .env("HOME", plane.folder())
        .env("KUBECONFIG", plane.kubeconfig())
        .stdin(Stdio::null());
    command
}

fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(plane: &ControlPlane, args: &[&str]) -> Ran {
    finish(command(plane, args))
}

/// Runs it, which has to succeed; gives what it printed.
fn ok(plane: &ControlPlane, args: &[&str]) -> String {
    let ran = run(plane, args);
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
    ran.stdout
}

/// A control plane that all tests share, each in a namespace of its own.
fn plane() -> Option<&'static ControlPlane> {
    // Tests run at once, and a node is made once.
    static NODE: Once = Once::new();
    let plane = ControlPlane::shared()?;
    NODE.call_once(|| plane.windows_node("win-1"));
    Some(plane)
}

fn named(text: &str) -> String {
    text.replace("@/", PREFIX)
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(&named(text)).expect(text)
}

/// A namespace in which pairs are made by hand.
struct Place<'p> {
    plane: &'p ControlPlane,
    name: &'static str,
}

impl<'p> Place<'p> {
    fn new(plane: &'p ControlPlane, name: &'static str, metadata: &str) -> Self {
        let mut namespace = yaml(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{{metadata}}}}}"
        ));
        namespace["metadata"]["name"] = json!(name);
        plane.apply(&namespace.to_string());
        Place { plane, name }
    }

    /// The same, with controllers: the ServiceAccount is made by one.
    fn with_account(self) -> Self {
        let account = ["serviceaccount", "default", "-n", self.name];
        self.plane.wait_for(&account, "{.metadata.name}");
        self
    }

    fn create(&self, object: &Value) -> Value {
        let args = ["create", "-n", self.name, "-o", "json", "-f", "-"];
        let output = self.plane.kubectl_stdin(&args, &object.to_string());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes an HP pod, with a merge patch on it.
    fn hp(&self, name: &str, change: &str) -> Value {
        let mut pod = yaml(HP);
        pod["metadata"]["name"] = json!(name);
        json_patch::merge(&mut pod, &yaml(change));
        self.create(&pod)
    }

    /// Makes the anchor of an HP pod.
    fn anchor(&self, hp: &Value) -> String {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (owner, uid) = (text(&hp["metadata"]["name"]), text(&hp["metadata"]["uid"]));
        let name = native_host::anchor::name(&owner, &uid);
        let mut anchor = yaml(
            "{apiVersion: v1, kind: Pod, metadata: {labels: {'@/role': anchor, '@/anchor': albums}}, spec: {nodeName: \
             win-1, containers: [{name: albums, image: pause}]}}",
        );
        anchor["metadata"]["name"] = json!(name);
        anchor["metadata"]["labels"][named("@/anchor-for")] = json!(uid);
        anchor["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": uid, "controller": true}]);
        self.create(&anchor);
        name
    }

    /// Says of a pod what its kubelet or its scheduler would.
    fn status(&self, pod: &str, status: &str) {
        let patch = json!({ "status": yaml(status) }).to_string();
        self.kubectl(&[
            "patch",
            "pod",
            pod,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ]);
    }

    fn kubectl(&self, args: &[&str]) -> String {
        self.plane.kubectl_ok(&[&["-n", self.name], args].concat())
    }

    /// A pair that serves at this IP; gives the anchor's name.
    fn ready_pair(&self, pod: &str, ip: &str) -> String {
        let hp = self.hp(pod, "spec: {nodeName: win-1}");
        let anchor = self.anchor(&hp);
        self.status(&anchor, &running(ip, "'True'", ""));
        let uid = self.kubectl(&["get", "pod", &anchor, "-o", "jsonpath={.metadata.uid}"]);
        let status = json!({"ip": ip, "started": "2026-01-01T00:00:00Z", "uid": uid}).to_string();
        let annotation = format!("{}={status}", named("@/anchor-status"));
        self.kubectl(&["annotate", "pod", pod, &annotation]);
        self.status(
            pod,
            "{phase: Running, conditions: [{type: PodScheduled, status: 'True'}, {type: ContainersReady, status: 'True'}]}",
        );
        anchor
    }

    /// `native-host status` there.
    fn status_of(&self, args: &[&str]) -> Ran {
        run(self.plane, &[&["status", "-n", self.name], args].concat())
    }

    /// The states of the pairs there, by pod.
    fn states(&self) -> Vec<(String, String)> {
        let ran = self.status_of(&["-o", "json"]);
        let list: Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
        let items = list["items"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        items
            .map(|item| (text(&item["pod"]["name"]), text(&item["state"])))
            .collect()
    }
}

/// The status of an anchor whose containers run.
fn running(ip: &str, ready: &str, why: &str) -> String {
    format!(
        "{{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}], conditions: [{{type: PodScheduled, status: 'True'}}, {{type: \
         ContainersReady, status: {ready}, lastTransitionTime: '2026-01-01T00:00:00Z'}}, {{type: Ready, status: {ready}, \
         lastTransitionTime: '2026-01-01T00:00:00Z'{why}}}], containerStatuses: [{{name: albums, image: pause, imageID: '', \
         ready: true, restartCount: 0, state: {{running: {{startedAt: '2026-01-01T00:00:00Z'}}}}}}]}}"
    )
}

const UNREADY: &str =
    ", reason: ContainersNotReady, message: 'containers with unready status: [albums]'";

/// A kubeconfig by which one is somebody else.
fn as_user(plane: &ControlPlane, user: &str) -> PathBuf {
    let mut config: Value =
        serde_json::from_str(&plane.kubectl_ok(&["config", "view", "--raw", "-o", "json"]))
            .unwrap();
    config["users"][0]["user"]["as"] = json!(user);
    let path = plane.folder().join(format!("kubeconfig-{user}"));
    std::fs::write(&path, config.to_string()).unwrap();
    path
}
