//! Pods that start, run and are restarted.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use native_host::names::{annotation, injected};
use native_host_launcher::Exit;
use serde_json::{Value, json};

use crate::support::kubelet::{Program, Settings, pods};
use crate::support::wait_until;
use crate::{PATIENCE, Stage, condition, is, pod};

const GATED: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: gated}
spec:
  replicas: 2
  selector: {matchLabels: {app: gated}}
  template:
    metadata: {labels: {app: gated}}
    spec:
      nodeSelector: {kubernetes.io/hostname: '@'}
      readinessGates: [{conditionType: example.com/open}]
      containers: [{name: main, image: registry.example/main}]
";

#[test]
fn a_pod_is_ready_once_its_gates_are_open() {
    let Some(stage) = Stage::new("gates") else {
        return;
    };
    stage.apply(GATED);
    let pods = stage.until("pods", "have containers that are ready", |pods| {
        let pods = pods["items"].as_array().unwrap();
        pods.len() == 2 && pods.iter().all(|pod| is(pod, "ContainersReady"))
    });
    for pod in pods["items"].as_array().unwrap() {
        assert_eq!(pod["status"]["phase"], "Running");
        let shut = ("False".to_owned(), "ReadinessGatesNotReady".to_owned());
        assert_eq!(condition(pod, "Ready"), shut);
        let name = format!("pod/{}", pod["metadata"]["name"].as_str().unwrap());
        let open = json!({"status": {"conditions": [
            {"type": "example.com/open", "status": "True"},
        ]}});
        let patch = open.to_string();
        stage.kubectl(&[
            "patch",
            &name,
            "--subresource=status",
            "--type=strategic",
            "-p",
            &patch,
        ]);
        let pod = stage.until(&name, "is ready", |pod| is(pod, "Ready"));
        assert!(is(&pod, "example.com/open"), "it is the other's condition");
    }
    stage.until("deployment/gated", "is available", |deployment| {
        deployment["status"]["availableReplicas"] == 2
    });
}

/// The status of a container by its name.
fn container<'a>(pod: &'a Value, kind: &str, name: &str) -> &'a Value {
    let statuses = pod["status"][kind].as_array().unwrap();
    let mut statuses = statuses.iter();
    statuses.find(|status| status["name"] == name).unwrap()
}

#[test]
fn init_containers_run_first_and_sidecars_run_on() {
    let Some(stage) = Stage::new("inits") else {
        return;
    };
    let ours = |_: &_, container: &str| container == "first";
    let slow = Program::that_ends(Duration::from_secs(2), 0);
    stage.kubelet.program(ours, slow);
    let spec = json!({"initContainers": [
        {"name": "first", "image": "registry.example/first"},
        {"name": "sidecar", "image": "registry.example/sidecar", "restartPolicy": "Always"},
        {"name": "second", "image": "registry.example/second"},
    ]});
    stage.apply(&pod("inits", &spec));
    let early = stage.until("pod/inits", "runs its first", |pod| {
        let statuses = &pod["status"]["initContainerStatuses"];
        statuses[0]["state"]["running"].is_object()
    });
    assert_eq!(early["status"]["phase"], "Pending");
    assert!(!is(&early, "Initialized") && is(&early, "PodReadyToStartContainers"));
    let waits = json!({"waiting": {"reason": "PodInitializing"}});
    assert_eq!(
        container(&early, "initContainerStatuses", "sidecar")["state"],
        waits
    );
    assert_eq!(
        container(&early, "containerStatuses", "main")["state"],
        waits
    );

    let pod = stage.until("pod/inits", "is ready", |pod| is(pod, "Ready"));
    assert!(is(&pod, "Initialized"));
    let init = |name| container(&pod, "initContainerStatuses", name);
    assert_eq!(init("first")["state"]["terminated"]["reason"], "Completed");
    assert_eq!(init("second")["state"]["terminated"]["exitCode"], 0);
    assert!(init("sidecar")["state"]["running"].is_object());
    assert_eq!(init("sidecar")["ready"], true);
}

#[test]
fn a_container_is_ready_when_its_probe_says_so() {
    let Some(stage) = Stage::new("probes") else {
        return;
    };
    stage
        .kubelet
        .program(pods("probes", "probed"), Program::never_ready());
    let probe = json!({"tcpSocket": {"port": 80}});
    let spec = json!({"containers": [
        {"name": "main", "image": "registry.example/main", "readinessProbe": probe},
        {"name": "plain", "image": "registry.example/plain"},
    ]});
    stage.apply(&pod("probed", &spec));
    let unready = stage.until("pod/probed", "runs", |pod| {
        pod["status"]["phase"] == "Running"
    });
    let not = ("False".to_owned(), "ContainersNotReady".to_owned());
    assert_eq!(condition(&unready, "Ready"), not);
    assert_eq!(
        container(&unready, "containerStatuses", "plain")["ready"],
        true
    );
    for ready in [true, false, true] {
        stage.kubelet.readiness("probes", "probed", "main", ready);
        stage.until("pod/probed", "is as its probe says", |pod| {
            is(pod, "Ready") == ready && is(pod, "ContainersReady") == ready
        });
    }
}

#[test]
fn what_crashes_is_restarted_and_then_waits() {
    let backoff = Duration::from_secs(3);
    let settings = Settings {
        crash_backoff: backoff,
        ..Settings::default()
    };
    let Some(stage) = Stage::with("crashes", settings) else {
        return;
    };
    stage.apply(&pod("crashes", &json!({})));
    stage.until("pod/crashes", "is ready", |pod| is(pod, "Ready"));
    stage.kubelet.exit("crashes", "crashes", "main", 3);
    let again = stage.until("pod/crashes", "was restarted", |pod| {
        pod["status"]["containerStatuses"][0]["restartCount"] == 1
    });
    let main = container(&again, "containerStatuses", "main");
    assert_eq!(main["lastState"]["terminated"]["exitCode"], 3);
    assert!(main["state"]["running"].is_object());

    let crashed = Instant::now();
    stage.kubelet.exit("crashes", "crashes", "main", 4);
    let waiting = stage.until("pod/crashes", "waits", |pod| {
        let state = &pod["status"]["containerStatuses"][0]["state"];
        state["waiting"]["reason"] == "CrashLoopBackOff"
    });
    assert_eq!(waiting["status"]["phase"], "Running");
    assert!(!is(&waiting, "ContainersReady"));
    stage.until("pod/crashes", "is back", |pod| {
        is(pod, "Ready") && pod["status"]["containerStatuses"][0]["restartCount"] == 2
    });
    assert!(crashed.elapsed() >= backoff);
}

#[test]
fn a_lost_sandbox_brings_a_new_ip() {
    let Some(stage) = Stage::new("sandboxes") else {
        return;
    };
    stage.apply(&pod("pods", &json!({})));
    stage.apply(&pod("host", &json!({"hostNetwork": true})));
    let ip = |pod: &Value| pod["status"]["podIP"].as_str().unwrap().to_owned();
    let ready = |name: &str, restarts: u32| {
        stage.until(&format!("pod/{name}"), "is ready", |pod| {
            let count = &pod["status"]["containerStatuses"][0]["restartCount"];
            is(pod, "Ready") && *count == restarts
        })
    };
    let (first, host) = (ready("pods", 0), ready("host", 0));
    assert_ne!(ip(&first), ip(&host));
    assert_eq!(host["status"]["hostIP"], host["status"]["podIP"]);

    stage.kubelet.new_ip("sandboxes", "pods");
    let second = ready("pods", 1);
    assert_ne!(ip(&second), ip(&first));
    assert_eq!(second["status"]["podIPs"], json!([{"ip": ip(&second)}]));
    assert_eq!(ready("host", 0)["status"], host["status"]);

    stage.kubelet.reboot("sandboxes");
    let third = ready("pods", 2);
    assert_ne!(ip(&third), ip(&second));
    assert_eq!(ip(&ready("host", 1)), ip(&host));
}

#[test]
fn what_cannot_be_pulled_waits() {
    let Some(stage) = Stage::new("refused") else {
        return;
    };
    stage
        .kubelet
        .refuse_to_start("refused", "no", "ErrImagePull");
    stage.apply(&pod("no-image", &json!({})));
    stage.apply(&pod("image", &json!({})));
    stage.until("pod/image", "is ready", |pod| is(pod, "Ready"));
    let waiting = stage.until("pod/no-image", "waits", |pod| {
        let state = &pod["status"]["containerStatuses"][0]["state"];
        state["waiting"]["reason"] == "ErrImagePull"
    });
    assert_eq!(waiting["status"]["phase"], "Pending");
    stage.kubelet.allow_to_start("refused", "no");
    stage.until("pod/no-image", "is ready", |pod| is(pod, "Ready"));
}

#[test]
fn a_launcher_ends_when_its_anchor_changes() {
    let Some(stage) = Stage::new("launchers") else {
        return;
    };
    stage
        .kubelet
        .settings(|settings| settings.launcher_waits = true);
    let spec = json!({
        "containers": [{
            "name": "main", "image": "registry.example/main",
            "volumeMounts": [{"name": injected::ANCHOR_VOLUME, "mountPath": injected::ANCHOR_DIR}],
        }],
        "volumes": [{"name": injected::ANCHOR_VOLUME, "emptyDir": {}}],
    });
    stage.apply(&pod("albums", &spec));
    let waiting = stage.until("pod/albums", "runs", |pod| {
        pod["status"]["phase"] == "Running"
    });
    assert!(!is(&waiting, "ContainersReady"), "there is no anchor yet");
    let publish = |status: &str| {
        let annotation = format!("{}={status}", annotation::ANCHOR_STATUS);
        stage.kubectl(&["annotate", "--overwrite", "pod/albums", &annotation]);
    };
    publish("one");
    stage.until("pod/albums", "is ready", |pod| is(pod, "ContainersReady"));
    publish("two");
    let ended = stage.until("pod/albums", "was restarted", |pod| {
        pod["status"]["containerStatuses"][0]["restartCount"] == 1
    });
    let last = &ended["status"]["containerStatuses"][0]["lastState"];
    assert_eq!(last["terminated"]["exitCode"], Exit::AnchorChanged as i32);
}

#[test]
fn many_pods_are_played_at_once() {
    const COUNT: usize = 500;
    let Some(stage) = Stage::new("many") else {
        return;
    };
    let all: Vec<_> = (0..COUNT)
        .map(|n| pod(&format!("pod-{n}"), &json!({})))
        .collect();
    stage.apply(&all.join("\n---\n"));
    let started = Instant::now();
    wait_until("all pods are ready", PATIENCE, || {
        let pods = stage.get("pods")?;
        let pods = pods["items"].as_array()?;
        let ips: HashSet<_> = pods
            .iter()
            .map(|pod| pod["status"]["podIP"].as_str())
            .collect();
        let ready = pods.iter().filter(|pod| is(pod, "Ready")).count();
        (ready == COUNT && ips.len() == COUNT).then_some(())
    });
    stage.kubectl(&["delete", "pods", "--all", "--wait=false"]);
    stage.until_gone("pods");
    println!("{COUNT} pods there and gone in {:?}", started.elapsed());
}
