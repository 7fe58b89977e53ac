//! Nobody gets round a pod's disruption budget by evicting its anchor.

use std::process::Output;
use std::time::{Duration, Instant};

use native_host::anchor;
use native_host::names::{label, webhook};
use serde_json::{Value, json};

use super::program::{Certificate, Program};
use super::{ALONE, ControlPlane, own_plane, pod, put_in_force, stderr, yaml};

/// Its controller does not run here: what counts is that it is there, and owns its pod.
const DAEMONSET: &str = r"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agents}
spec:
  selector: {matchLabels: {app: agents}}
  template:
    metadata: {labels: {app: agents}}
    spec: {nodeSelector: {kubernetes.io/os: windows}, containers: [{name: agent, image: registry.example/agent}]}
";

const BUDGET: &str = r"
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: albums}
spec: {minAvailable: 1, selector: {matchLabels: {'@/workload': albums}}}
";

/// An API server with a node, and the program in front of it. Deletion of what is on the node
/// waits for a kubelet that is not there.
struct Fleet {
    plane: ControlPlane,
    program: Program,
}

impl Fleet {
    fn start() -> Option<Self> {
        let plane = own_plane()?;
        plane.windows_node("win-1");
        let program = Program::start(&plane, "native-host", Certificate::SelfSigned);
        put_in_force(&plane, &program.url(), &program.ca(), &[&program]);
        Some(Self { plane, program })
    }

    /// A running pod on the node.
    fn run(&self, mut manifest: Value) -> Value {
        manifest["spec"]["nodeName"] = json!("win-1");
        self.plane.apply(&manifest.to_string());
        let name = manifest["metadata"]["name"].as_str().unwrap();
        self.phase(name, "Running");
        self.plane.get(&["pod", name])
    }

    /// What its kubelet would say of it.
    fn phase(&self, pod: &str, phase: &str) {
        let ready = if phase == "Running" { "True" } else { "False" };
        let conditions = json!([{"type": "Ready", "status": ready}]);
        let status = json!({"phase": phase, "conditions": conditions});
        self.status("pod", pod, &status);
    }

    fn status(&self, kind: &str, name: &str, status: &Value) {
        let patch = json!({"status": status}).to_string();
        let args = ["patch", kind, name, "--subresource=status", "--type=merge"];
        self.plane
            .kubectl_ok(&[&args[..], &["-p", &patch]].concat());
    }

    /// A running workload's pod, and the name of its anchor, which runs too.
    fn pair(&self, name: &str, owner: Option<&Value>) -> String {
        let mut hp = pod();
        hp["metadata"]["name"] = json!(name);
        if let Some(owner) = owner {
            hp["metadata"]["ownerReferences"] = controlled_by("apps/v1", owner);
            hp["spec"]["nodeSelector"] = json!({label::OS: label::OS_WINDOWS});
        }
        let hp = self.run(hp);
        let anchor = anchor::name(name, hp["metadata"]["uid"].as_str().unwrap());
        self.run(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": anchor,
                "labels": {label::ROLE: label::ROLE_ANCHOR, label::ANCHOR: "albums"},
                "ownerReferences": controlled_by("v1", &hp),
            },
            "spec": {"containers": [{"name": "anchor", "image": "registry.example/pause"}]},
        }));
        anchor
    }

    /// Asks for an eviction as its API has it, by `kubectl create --raw`.
    fn evict(&self, pod: &str) -> Output {
        self.evict_with(pod, &[], &json!({}))
    }

    fn evict_with(&self, pod: &str, flags: &[&str], options: &Value) -> Output {
        let path = format!("/api/v1/namespaces/default/pods/{pod}/eviction");
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": "default"}, "deleteOptions": options});
        let args = [&["create", "--raw", &path, "-f", "-"], flags].concat();
        self.plane.kubectl_stdin(&args, &eviction.to_string())
    }

    fn evict_ok(&self, pod: &str) {
        let output = self.evict(pod);
        assert!(output.status.success(), "{pod}: {}", stderr(&output));
        assert!(self.is_going(pod), "{pod}");
    }

    fn is_going(&self, pod: &str) -> bool {
        let pod = self.plane.get(&["pod", pod]);
        pod["metadata"]["deletionTimestamp"].is_string()
    }

    /// Grace 0, since no kubelet ends a longer one.
    fn drain(&self, flags: &[&str]) -> Output {
        let args = [
            "drain",
            "win-1",
            "--force",
            "--delete-emptydir-data",
            "--grace-period=0",
        ];
        self.plane.kubectl(&[&args[..], flags].concat())
    }

    fn pods(&self) -> Vec<String> {
        let names = self.plane.kubectl_ok(&["get", "pods", "-o", "name"]);
        let names = names.lines().map(|name| name.trim_start_matches("pod/"));
        names.map(str::to_owned).collect()
    }

    fn clear(&self) {
        let args = ["delete", "pods", "--all", "--force", "--grace-period=0"];
        self.plane.kubectl_ok(&args);
    }

    fn decided(&self, reason: &str) -> f64 {
        let series = "native_host_review_reasons_total{door=\"evict\",reason=";
        self.program.metric(&format!("{series}\"{reason}\""))
    }
}

fn controlled_by(version: &str, owner: &Value) -> Value {
    json!([{
        "apiVersion": version, "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true,
    }])
}

#[test]
fn an_anchor_goes_with_its_pod_and_not_before() {
    let _alone = ALONE.blocking_lock();
    let Some(mut fleet) = Fleet::start() else {
        return;
    };
    let anchor = fleet.pair("albums", None);

    // Refused, with its reason, and at once: nothing tells client-go to try again unseen.
    let begin = Instant::now();
    let refused = fleet.evict_with(&anchor, &["-v=8"], &json!({}));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    for part in [
        "Error from server (TooManyRequests)",
        &format!(
            "admission webhook \"{}\" denied the request",
            webhook::EVICTIONS
        ),
        &format!("{anchor} is the anchor of pod albums, which still runs"),
        "Evict albums instead",
        // What programs go by, as the API server passes it on.
        r#""code":429"#,
        r#""reason":"DisruptionBudget""#,
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(!fleet.is_going(&anchor));

    // A dry run of an eviction says what would be; nothing happens.
    let dry = fleet.evict_with(&anchor, &[], &json!({"dryRun": ["All"]}));
    assert!(dry.status.success(), "{}", stderr(&dry));
    assert!(
        stderr(&dry).contains("in earnest its eviction is refused"),
        "{}",
        stderr(&dry)
    );
    assert!(!fleet.is_going(&anchor));

    // Its pod terminating.
    fleet
        .plane
        .kubectl_ok(&["delete", "pod", "albums", "--wait=false"]);
    fleet.evict_ok(&anchor);
    fleet.clear();

    // Gone, and back under the same name as another pod.
    let anchor = fleet.pair("albums", None);
    fleet
        .plane
        .kubectl_ok(&["delete", "pod", "albums", "--force", "--grace-period=0"]);
    fleet.run(pod());
    fleet.evict_ok(&anchor);
    fleet.clear();

    // Finished.
    for phase in ["Succeeded", "Failed"] {
        let anchor = fleet.pair("albums", None);
        fleet.phase("albums", phase);
        fleet.evict_ok(&anchor);
        fleet.clear();
    }

    // Who bears an anchor's name and is none.
    let foreign = "boat-anchor-0123abcd";
    fleet.run(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": foreign},
        "spec": {"containers": [{"name": "boat", "image": "registry.example/boat"}]}}),
    );
    fleet.evict_ok(foreign);
    assert!((fleet.decided("not-an-anchor") - 1.0).abs() < 0.1);
    fleet.clear();

    // Who does not bear one never reaches the program.
    let reviews = "native_host_reviews_total{door=\"evict\"";
    let before = fleet.program.metric(reviews);
    for name in ["boat-anchor-shop", "boat-anchor-0123abcd-0"] {
        fleet.run(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "boat", "image": "registry.example/boat"}]}}),
        );
        fleet.evict_ok(name);
    }
    assert!((fleet.program.metric(reviews) - before).abs() < 0.1);
    fleet.clear();

    // While the program is down nothing is held up.
    let anchor = fleet.pair("albums", None);
    fleet.program.kill();
    fleet.evict_ok(&anchor);
}

#[test]
fn a_drain_asks_the_pods_budget_and_takes_the_anchor_along() {
    let _alone = ALONE.blocking_lock();
    let Some(fleet) = Fleet::start() else {
        return;
    };
    fleet.plane.apply(&yaml(BUDGET).to_string());
    let allowed = |disruptions: u32| {
        let status = json!({"observedGeneration": 1, "disruptionsAllowed": disruptions,
            "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1});
        fleet.status("poddisruptionbudget", "albums", &status);
    };
    let anchor = fleet.pair("albums", None);

    // A dry run comes to an end, whatever the anchor's answer would be.
    allowed(1);
    let dry = fleet.drain(&["--dry-run=server", "--timeout=30s"]);
    assert!(dry.status.success(), "{}", stderr(&dry));
    assert_eq!(fleet.pods(), ["albums", &anchor]);

    // No disruption allowed: neither goes.
    allowed(0);
    let held = fleet.drain(&["--timeout=8s"]);
    assert_eq!(held.status.code(), Some(1));
    let said = stderr(&held);
    assert!(
        said.contains("would violate the pod's disruption budget"),
        "{said}"
    );
    assert!(
        said.contains("is the anchor of pod albums, which still runs"),
        "{said}"
    );
    assert_eq!(fleet.pods(), ["albums", &anchor]);
    assert!(!fleet.is_going("albums") && !fleet.is_going(&anchor));

    // One allowed: both do.
    allowed(1);
    let drained = fleet.drain(&["--timeout=60s"]);
    assert!(drained.status.success(), "{}", stderr(&drained));
    assert_eq!(fleet.pods(), [""; 0]);
}

#[test]
fn a_drain_leaves_a_daemonsets_pod_and_its_anchor() {
    let _alone = ALONE.blocking_lock();
    let Some(fleet) = Fleet::start() else {
        return;
    };
    fleet.plane.apply(DAEMONSET);
    let daemonset = fleet.plane.get(&["daemonset", "agents"]);
    let anchor = fleet.pair("agents-x2x9k", Some(&daemonset));

    let drained = fleet.drain(&["--ignore-daemonsets", "--timeout=60s"]);
    assert!(drained.status.success(), "{}", stderr(&drained));
    assert_eq!(fleet.pods(), ["agents-x2x9k", &anchor]);
    assert!(!fleet.is_going("agents-x2x9k") && !fleet.is_going(&anchor));
    assert!((fleet.decided("of-daemonset") - 1.0).abs() < 0.1);

    let refused = fleet.evict(&anchor);
    let said = stderr(&refused);
    assert!(said.contains("Error from server (NotFound)"), "{said}");
    assert!(
        said.contains("pod agents-x2x9k, which belongs to a DaemonSet"),
        "{said}"
    );
}
