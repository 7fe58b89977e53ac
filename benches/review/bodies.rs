//! Reviews as an API server sends them, of a wanted size.

use serde_json::{Value, json};

/// An `AdmissionReview` of a labelled pod, about `size` bytes long.
pub fn review(size: usize) -> Vec<u8> {
    let empty = build(0).len();
    let one = build(2).len() - build(1).len();
    let text = build(size.saturating_sub(empty) / one);
    assert!(
        text.len().abs_diff(size) < size / 5,
        "{} for {size}",
        text.len()
    );
    text
}

/// With so many variables: what big pods are made of, besides annotations and managedFields.
fn build(variables: usize) -> Vec<u8> {
    let env: Vec<Value> = (0..variables)
        .map(|n| json!({"name": format!("ALBUMS_SETTING_{n:05}"), "value": format!("https://albums.example.com/{n:05}?cache=\"no\"&x=\\")}))
        .collect();
    let fields: serde_json::Map<String, Value> = (0..variables / 4)
        .map(|n| {
            (
                format!("k:{{\"name\":\"ALBUMS_SETTING_{n:05}\"}}"),
                json!({".": {}, "f:name": {}, "f:value": {}}),
            )
        })
        .collect();
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "albums",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:serviceaccounts", "system:authenticated"]},
            "object": {
                "kind": "Pod",
                "apiVersion": "v1",
                "metadata": {
                    "generateName": "albums-6d4cf56db6-",
                    "namespace": "albums",
                    "labels": {"app": "albums", native_host::names::label::WORKLOAD: "albums", "pod-template-hash": "6d4cf56db6"},
                    "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:containers": fields}}}],
                },
                "spec": {
                    "containers": [{
                        "name": "albums",
                        "image": "registry.example.com/albums:1.2.3",
                        "command": ["C:\\apps\\albumswin.exe", "--config", "C:\\apps\\prod.json"],
                        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "health", "containerPort": 8081, "protocol": "TCP"}],
                        "env": env,
                        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "512Mi"}},
                        "readinessProbe": {"httpGet": {"path": "/health/readiness", "port": "health", "scheme": "HTTP"}, "periodSeconds": 10},
                        "livenessProbe": {"httpGet": {"path": "/health/liveness", "port": "health", "scheme": "HTTP"}, "periodSeconds": 10},
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                        "imagePullPolicy": "IfNotPresent",
                    }],
                    "restartPolicy": "Always",
                    "terminationGracePeriodSeconds": 30,
                    "dnsPolicy": "ClusterFirst",
                    "serviceAccountName": "default",
                    "securityContext": {},
                    "schedulerName": "default-scheduler",
                    "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
                    "priority": 0,
                    "enableServiceLinks": true,
                },
                "status": {},
            },
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    });
    serde_json::to_vec(&review).unwrap()
}
