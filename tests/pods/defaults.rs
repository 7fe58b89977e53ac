//! What the API server fills in.

use serde_json::{Value, json};

/// A pod as the API server stores it, as far as it fills in what admission wrote
/// (`pkg/apis/core/v1/defaults.go`).
pub fn defaulted(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let fill = |value: &mut Value, fields: &[(&str, Value)]| {
        if let Value::Object(map) = value {
            for (name, default) in fields {
                if map.get(*name).is_none_or(Value::is_null) {
                    map.insert((*name).to_owned(), default.clone());
                }
            }
        }
    };
    let probe_defaults = [
        ("timeoutSeconds", json!(1)),
        ("periodSeconds", json!(10)),
        ("successThreshold", json!(1)),
        ("failureThreshold", json!(3)),
    ];
    for array in ["initContainers", "containers"] {
        for container in pod["spec"][array].as_array_mut().into_iter().flatten() {
            fill(
                container,
                &[
                    ("imagePullPolicy", json!("IfNotPresent")),
                    ("resources", json!({})),
                    ("terminationMessagePath", json!("/dev/termination-log")),
                    ("terminationMessagePolicy", json!("File")),
                ],
            );
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                if container.get(probe).is_some() {
                    fill(&mut container[probe], &probe_defaults);
                }
            }
            for var in container["env"].as_array_mut().into_iter().flatten() {
                if let Some(field) = var.pointer_mut("/valueFrom/fieldRef") {
                    fill(field, &[("apiVersion", json!("v1"))]);
                }
            }
        }
    }
    for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        if let Some(source) = volume.get_mut("downwardAPI") {
            fill(source, &[("defaultMode", json!(420))]);
            for item in source["items"].as_array_mut().into_iter().flatten() {
                fill(&mut item["fieldRef"], &[("apiVersion", json!("v1"))]);
            }
        }
    }
    fill(
        &mut pod["spec"],
        &[
            ("dnsPolicy", json!("ClusterFirst")),
            ("restartPolicy", json!("Always")),
            ("schedulerName", json!("default-scheduler")),
            ("securityContext", json!({})),
            ("terminationGracePeriodSeconds", json!(30)),
        ],
    );
    pod
}
