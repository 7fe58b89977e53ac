//! Pods that are stopped, that end, and that are lost.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::kubelet::{Program, Settings, pods};
use crate::support::{ControlPlane, Kubelet, Options, wait_until};
use crate::{PATIENCE, Stage, condition, is, pod};

const SLEEPER: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: sleeper, labels: {app: sleeper}}
spec:
  nodeName: '@'
  terminationGracePeriodSeconds: 30
  containers:
  - name: main
    image: registry.example/main
    ports: [{containerPort: 80}]
    readinessProbe: {tcpSocket: {port: 80}}
    lifecycle: {preStop: {sleep: {seconds: 4}}}
---
apiVersion: v1
kind: Service
metadata: {name: sleeper}
spec: {selector: {app: sleeper}, ports: [{port: 80}]}
";

/// The conditions of the one endpoint of the one slice.
fn endpoint(slices: &Value) -> Value {
    slices["items"][0]["endpoints"][0]["conditions"].clone()
}

#[test]
fn what_sleeps_before_it_stops_serves_until_then() {
    let Some(stage) = Stage::new("sleeps") else {
        return;
    };
    stage.apply(SLEEPER);
    stage.until("pod/sleeper", "is ready", |pod| is(pod, "Ready"));
    let open = json!({"ready": true, "serving": true, "terminating": false});
    stage.until("endpointslices", "hold it", |slices| {
        endpoint(slices) == open
    });

    let deleted = Instant::now();
    stage.kubectl(&["delete", "pod/sleeper", "--wait=false"]);
    let drained = json!({"ready": false, "serving": true, "terminating": true});
    stage.until(
        "endpointslices",
        "say that it terminates and serves",
        |slices| endpoint(slices) == drained,
    );
    // A kubelet does not hear the second delete while it sleeps for the first.
    stage.kubectl(&["delete", "pod/sleeper", "--grace-period=1", "--wait=false"]);
    let pod = stage.get("pod/sleeper").unwrap();
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 1);
    stage.until_gone("pod/sleeper");
    let took = deleted.elapsed();
    assert!(
        (Duration::from_secs(4)..Duration::from_secs(10)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn a_mended_kubelet_hears_a_shorter_grace_period() {
    let settings = Settings {
        shorter_grace_cuts: true,
        ..Settings::default()
    };
    let Some(stage) = Stage::with("mended", settings) else {
        return;
    };
    stage.apply(&SLEEPER.replace("seconds: 4", "seconds: 25"));
    stage.until("pod/sleeper", "is ready", |pod| is(pod, "Ready"));
    stage.kubectl(&["delete", "pod/sleeper", "--wait=false"]);
    let again = Instant::now();
    stage.kubectl(&["delete", "pod/sleeper", "--grace-period=1", "--wait=false"]);
    stage.until_gone("pod/sleeper");
    let took = again.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(10)).contains(&took),
        "{took:?}"
    );
}

const JOB: &str = r"
apiVersion: batch/v1
kind: Job
metadata: {name: done}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {kubernetes.io/hostname: '@'}
      initContainers:
      - {name: sidecar, image: registry.example/sidecar, restartPolicy: Always}
      containers: [{name: main, image: registry.example/main}]
";

#[test]
fn a_job_completes_or_fails() {
    let Some(stage) = Stage::new("jobs") else {
        return;
    };
    let main = |prefix: &'static str| {
        move |pod: &_, container: &str| container == "main" && pods("jobs", prefix)(pod, container)
    };
    let second = Duration::from_secs(1);
    stage
        .kubelet
        .program(main("done"), Program::that_ends(second, 0));
    stage
        .kubelet
        .program(main("fails"), Program::that_ends(second, 7));
    stage.apply(JOB);
    stage.apply(&JOB.replace("done", "fails"));
    let done = stage.until("job/done", "is complete", |job| is(job, "Complete"));
    assert_eq!(done["status"]["succeeded"], 1);
    stage.until("job/fails", "has failed", |job| is(job, "Failed"));
    let pods = stage.get("pods").unwrap();
    for pod in pods["items"].as_array().unwrap() {
        let done = pod["metadata"]["labels"]["job-name"] == "done";
        let (phase, reason, code) = if done {
            ("Succeeded", "PodCompleted", 0)
        } else {
            ("Failed", "PodFailed", 7)
        };
        assert_eq!(pod["status"]["phase"], phase);
        assert_eq!(
            condition(pod, "Ready"),
            ("False".to_owned(), reason.to_owned())
        );
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!(status["state"]["terminated"]["exitCode"], code);
        // The sidecar ran until the job was done, and is gone.
        let sidecar = &pod["status"]["initContainerStatuses"][0]["state"];
        assert!(sidecar["terminated"].is_object(), "{sidecar}");
    }
    stage.kubectl(&["delete", "job/done", "job/fails"]);
    stage.until_gone("pods");
}

#[test]
fn a_program_that_does_not_stop_is_killed() {
    let Some(stage) = Stage::new("killed") else {
        return;
    };
    let hour = Duration::from_secs(3600);
    stage
        .kubelet
        .program(pods("killed", "deaf"), Program::that_stops_in(hour));
    let finalizer = json!({"metadata": {"finalizers": ["example.com/keep"]}}).to_string();
    stage.apply(&pod("deaf", &json!({"terminationGracePeriodSeconds": 3})));
    stage.until("pod/deaf", "is ready", |pod| is(pod, "Ready"));
    stage.kubectl(&["patch", "pod/deaf", "-p", &finalizer]);
    let deleted = Instant::now();
    stage.kubectl(&["delete", "pod/deaf", "--wait=false"]);
    let pod = stage.until("pod/deaf", "has failed", |pod| {
        pod["status"]["phase"] == "Failed"
    });
    assert!(deleted.elapsed() >= Duration::from_secs(3));
    let state = &pod["status"]["containerStatuses"][0]["state"];
    assert_eq!(state["terminated"]["exitCode"], 137);
    stage.kubectl(&[
        "patch",
        "pod/deaf",
        "-p",
        r#"{"metadata": {"finalizers": null}}"#,
    ]);
    stage.until_gone("pod/deaf");
}

#[test]
fn a_node_under_pressure_evicts() {
    let Some(stage) = Stage::new("pressure") else {
        return;
    };
    stage.apply(&pod("evicted", &json!({})));
    stage.until("pod/evicted", "is ready", |pod| is(pod, "Ready"));
    stage.kubelet.evict_locally("pressure", "evicted");
    let pod = stage.until("pod/evicted", "has failed", |pod| {
        pod["status"]["phase"] == "Failed"
    });
    assert_eq!(pod["status"]["reason"], "Evicted");
    assert_eq!(
        condition(&pod, "DisruptionTarget").1,
        "TerminationByKubelet"
    );
    assert_eq!(condition(&pod, "Ready").1, "PodFailed");
    stage.kubectl(&["delete", "pod/evicted"]);
}

#[test]
fn a_lost_node_does_nothing_until_it_is_back() {
    let Some(stage) = Stage::new("lost") else {
        return;
    };
    stage.apply(&pod("before", &json!({})));
    stage.until("pod/before", "is ready", |pod| is(pod, "Ready"));
    stage.kubelet.pause("lost");
    stage.apply(&pod("meanwhile", &json!({})));
    stage.kubectl(&["delete", "pod/before", "--wait=false"]);
    std::thread::sleep(Duration::from_secs(3));
    let before = stage.get("pod/before").unwrap();
    assert!(is(&before, "Ready"), "nobody tells");
    let meanwhile = stage.get("pod/meanwhile").unwrap();
    assert_eq!(meanwhile["status"]["phase"], "Pending");
    stage.kubelet.resume("lost");
    stage.until_gone("pod/before");
    stage.until("pod/meanwhile", "is ready", |pod| is(pod, "Ready"));
}

#[test]
fn a_deleted_pod_ends_though_it_never_started() {
    let Some(stage) = Stage::new("unborn") else {
        return;
    };
    stage.kubelet.refuse_to_start("unborn", "", "ErrImagePull");
    let init = json!([{"name": "init", "image": "registry.example/init"}]);
    stage.apply(&pod("plain", &json!({})));
    stage.apply(&pod("with-init", &json!({"initContainers": init})));
    for (name, statuses) in [
        ("plain", "containerStatuses"),
        ("with-init", "initContainerStatuses"),
    ] {
        let what = format!("pod/{name}");
        stage.until(&what, "waits", |pod| {
            pod["status"][statuses][0]["state"]["waiting"]["reason"] == "ErrImagePull"
        });
        stage.kubectl(&["delete", &what]);
    }
}

/// On a control plane of its own: the API server goes away.
#[test]
fn a_pod_ends_though_the_api_server_was_away() {
    let Some(mut plane) = ControlPlane::start_or_skip(&Options::apiserver_only()) else {
        return;
    };
    plane.windows_node("win-1");
    let kubelet = Kubelet::start(&plane, &[]);
    plane.apply(&pod("alone", &json!({})).replace('@', "win-1"));
    plane.apply(&pod("forced", &json!({})).replace('@', "win-1"));
    let ready = |plane: &ControlPlane| {
        let jsonpath = "{.status.conditions[?(@.status=='True')].type}";
        wait_until("it is ready", PATIENCE, || {
            let types = plane.wait_for(&["pod/alone"], jsonpath);
            types.contains("ContainersReady").then_some(())
        });
    };
    ready(&plane);
    plane.stop_apiserver();
    kubelet.exit("default", "alone", "main", 1);
    plane.restart_apiserver();
    let count = "{.status.containerStatuses[?(@.restartCount==1)].name}";
    plane.wait_for(&["pod/alone"], count);
    ready(&plane);
    plane.kubectl_ok(&["delete", "pod/forced", "--grace-period=0", "--force"]);
    plane.kubectl_ok(&["delete", "pod/alone"]);
}
