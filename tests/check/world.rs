//! What the tests share: a control plane on which native-host is installed and well.
//!
//! No kubelet, scheduler or controller of Kubernetes runs: what they would write is written by hand, and
//! stays as it was written.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use native_host::admission::self_signed::Authority;
use native_host::names::{PREFIX, install};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::program::{Certificate, Program, mount};
use crate::support::install::HOME;
use crate::support::{ControlPlane, NodeOptions, Options, wait_until};

/// What came of a command.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// What was said of a check: its mark, all that was found, and its way out.
    pub fn said(&self, check: &str) -> (String, String, String) {
        let report: Value = serde_json::from_str(&self.stdout).expect(&self.stderr);
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|one| one["check"] == check);
        let found = found.unwrap_or_else(|| panic!("{check}: {}", self.stdout));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let words = found["found"].as_array().unwrap().iter().map(text);
        (
            text(&found["result"]),
            words.collect::<Vec<_>>().join("\n"),
            text(&found["hint"]),
        )
    }

    /// The checks that did not end well.
    pub fn odd(&self) -> Vec<(String, String)> {
        let report: Value = serde_json::from_str(&self.stdout).expect(&self.stderr);
        let checks = report["checks"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        checks
            .map(|one| (text(&one["check"]), text(&one["result"])))
            .filter(|(_, result)| result != "ok")
            .collect()
    }
}

/// See the module.
pub struct World {
    pub plane: ControlPlane,
    pub program: Program,
    pub authority: Authority,
    pub pair: (String, String),
}

/// By which name the API server calls the program here.
pub fn names() -> [String; 1] {
    ["127.0.0.1".to_owned()]
}

impl World {
    /// The one that all tests share. Each breaks something and mends it again, so they take turns.
    pub fn alone() -> Option<MutexGuard<'static, World>> {
        static WORLD: OnceLock<Option<Mutex<World>>> = OnceLock::new();
        let world = WORLD.get_or_init(|| World::start().map(Mutex::new));
        let world = world.as_ref()?;
        let guard = world.lock().unwrap_or_else(PoisonError::into_inner);
        // A test that failed has left what it broke.
        if world.is_poisoned() {
            guard.mend();
            world.clear_poison();
        }
        Some(guard)
    }

    /// Makes whole again whatever a test may have broken.
    fn mend(&self) {
        self.plane.install_roles();
        self.guard_rails();
        for name in ["strict", "odd", "passed", "orphans", "shop", "edited"] {
            self.namespace(name, "{'@/mode': 'off'}", "{}");
            let pods = ["delete", "pods,services", "--all", "-n", name];
            self.kubectl(&[&pods[..], &["--grace-period=0", "--force"]].concat());
        }
        self.kubectl(&["delete", "nodes", "--all"]);
        self.plane.windows_node("win-1");
        self.secret(&self.pair);
        self.register(&self.authority.pem());
    }

    /// The guard rails of `deploy/`.
    pub fn guard_rails(&self) {
        self.kubectl(&["apply", "-f", &manifest("policies.yaml")]);
    }

    fn start() -> Option<Self> {
        let plane = ControlPlane::start_or_skip(&Options::apiserver_only())?;
        plane.windows_node("win-1");
        plane.install_roles();
        let authority = Authority::new().unwrap();
        let pair = authority.issue_pem(&names()).unwrap();
        let folder = plane.folder().join("certs");
        mount(&folder, 0, &pair);
        let ca = authority.pem();
        let mounted = Certificate::Mounted {
            folder: &folder,
            ca: &ca,
        };
        let program = Program::start_with(
            &plane,
            "native-host",
            mounted,
            &plane.program_kubeconfig("native-host", None),
            &["--lease-duration=3s", "--audit-interval=1s"],
        );
        let world = World {
            plane,
            program,
            authority,
            pair,
        };
        world.guard_rails();
        world.deployment();
        world.secret(&world.pair);
        world.register(&world.authority.pem());
        world.until_well();
        Some(world)
    }

    /// The Deployment, as the controllers would say of it that it is available.
    fn deployment(&self) {
        let labels = json!({"app": install::NAME});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": install::NAME, "namespace": HOME},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "native-host", "image": "native-host"}]},
            }},
        });
        self.plane.apply(&deployment.to_string());
        let status = json!({"status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2,
            "availableReplicas": 2, "conditions": [{"type": "Available", "status": "True"}]}});
        self.kubectl(&[
            "patch",
            "deployment",
            install::NAME,
            "-n",
            HOME,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status.to_string(),
        ]);
    }

    /// The Secret of the serving certificate.
    pub fn secret(&self, (certificate, key): &(String, String)) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": install::SERVING_SECRET, "namespace": HOME},
            "stringData": {"tls.crt": certificate, "tls.key": key}});
        self.plane.apply(&secret.to_string());
    }

    /// The webhook configurations, with this CA.
    pub fn register(&self, ca: &str) {
        self.plane.register_webhooks(&self.program.url(), ca);
    }

    pub fn kubectl(&self, args: &[&str]) -> String {
        self.plane.kubectl_ok(args)
    }

    /// `kubectl apply -f -`; `@/` is our prefix.
    pub fn apply(&self, manifest: &str) {
        self.plane.apply(&manifest.replace("@/", PREFIX));
    }

    /// Makes a namespace with these annotations and labels (YAML flow maps).
    pub fn namespace(&self, name: &str, annotations: &str, labels: &str) {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, annotations: {annotations}, labels: {labels}}}}}"
        ));
    }

    /// `native-host check`, as the administrator.
    pub fn check(&self, args: &[&str]) -> Ran {
        self.check_with(&self.plane.kubeconfig().to_owned(), args)
    }

    pub fn check_with(&self, kubeconfig: &PathBuf, args: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_native-host"))
            .arg("check")
            .args(args)
            .env_clear()
            .env("HOME", self.plane.folder())
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The whole report, for a program.
    pub fn report(&self) -> Ran {
        self.check(&["-o", "json"])
    }

    /// Waits until nothing is odd: what was mended takes the API server a moment.
    pub fn until_well(&self) {
        let mut last = Vec::new();
        let started = std::time::Instant::now();
        loop {
            let ran = self.report();
            if ran.odd().is_empty() {
                assert_eq!(ran.code, 0);
                return;
            }
            last.clone_from(&ran.odd());
            assert!(started.elapsed() < PATIENCE, "{last:?}\n{}", ran.stdout);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a check fails with these words; gives its way out.
    pub fn until_failed(&self, check: &str, words: &str) -> String {
        wait_until(&format!("{check} fails: {words}"), PATIENCE, || {
            let ran = self.report();
            let (mark, found, hint) = ran.said(check);
            if mark != "failed" || !found.contains(words) {
                return None;
            }
            assert_eq!(ran.code, 1);
            assert!(!hint.is_empty());
            Some(hint)
        })
    }

    /// A kubeconfig by which one is somebody else.
    pub fn as_user(&self, user: &str) -> PathBuf {
        let config = self.kubectl(&["config", "view", "--raw", "-o", "json"]);
        let mut config: Value = serde_json::from_str(&config).unwrap();
        config["users"][0]["user"]["as"] = json!(user);
        let path = self.plane.folder().join(format!("kubeconfig-{user}"));
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Waits until a gauge of the audit has this value.
    pub fn until_audited(&self, problem: &str, count: u32) {
        let series = format!("native_host_audit_findings{{problem=\"{problem}\"}}");
        wait_until(&format!("{series} is {count}"), PATIENCE, || {
            let value = self.program.metric(&series);
            ((value - f64::from(count)).abs() < 0.5).then_some(())
        });
    }

    /// Waits for an Event about an object; gives its text.
    pub fn event(&self, namespace: &str, name: &str, reason: &str) -> String {
        wait_until(&format!("event {reason} on {name}"), PATIENCE, || {
            let events = self.plane.get(&["events", "-n", namespace]);
            let mut events = events["items"].as_array().unwrap().iter();
            let event = events
                .find(|one| one["involvedObject"]["name"] == name && one["reason"] == reason)?;
            assert_eq!(event["type"], "Warning");
            Some(event["message"].as_str().unwrap().to_owned())
        })
    }
}

/// A file of `deploy/base`.
pub fn manifest(name: &str) -> String {
    format!("{}/deploy/base/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A node that differs from a good one.
pub fn node(change: &Value) -> String {
    let mut node = NodeOptions::default().manifest("win-2");
    json_patch::merge(&mut node, change);
    node.to_string()
}
