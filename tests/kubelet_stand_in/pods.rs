//! Pods that start, run and are restarted.

use serde_json::{Value, json};

use crate::{Stage, condition, is, pod};

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
