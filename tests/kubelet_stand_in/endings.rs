//! Pods that are stopped, that end, and that are lost.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::kubelet::{Program, Settings, pods};
use crate::{Stage, condition, is, pod};

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
