//! Who is none of our business never reaches the program.

use serde_json::json;

use super::program::{Certificate, Program};
use super::{ALONE, own_plane, pod, put_in_force, yaml};

const UNLABELLED: &[&str] = &[
    r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.example/web}]}
",
    r"
apiVersion: batch/v1
kind: CronJob
metadata: {name: web}
spec:
  schedule: '0 3 * * *'
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: web, image: registry.example/web}]}}}}
",
    r"
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
",
    r"
apiVersion: v1
kind: Namespace
metadata: {name: plain, annotations: {team: shop}}
",
];

#[test]
fn nothing_without_our_label_reaches_the_program() {
    let _alone = ALONE.blocking_lock();
    let Some(plane) = own_plane() else {
        return;
    };
    let program = Program::start(&plane, "native-host", Certificate::SelfSigned);
    put_in_force(&plane, &program.url(), &program.ca(), &[&program]);
    let reviews = || program.metric("native_host_reviews_total");
    let bytes = || program.metric("native_host_request_body_bytes_total");
    let before = (reviews(), bytes());

    let mut unlabelled = pod();
    unlabelled["metadata"]["labels"] = json!({"app": "albums"});
    for namespace in ["default", "kube-system"] {
        let args = ["create", "-n", namespace, "-f", "-"];
        let output = plane.kubectl_stdin(&args, &unlabelled.to_string());
        assert!(output.status.success(), "{output:?}");
    }
    plane.kubectl_ok(&["label", "pod", "albums", "tier=front"]);
    for manifest in UNLABELLED {
        plane.apply(&yaml(manifest).to_string());
    }
    plane.kubectl_ok(&["scale", "deployment", "web", "--replicas=2"]);
    plane.kubectl_ok(&["delete", "pod", "albums", "--force", "--grace-period=0"]);
    assert_eq!((reviews(), bytes()), before);

    // And they would have been counted: one that is ours is, at both doors.
    plane.apply(&pod().to_string());
    let counted = reviews() - before.0;
    assert!((counted - 2.0).abs() < 0.1, "{counted}");
    // Its log says the same: what was before is in it by now.
    program.decisions("default", 2);
    assert_eq!(
        program.decisions("kube-system", 0),
        [] as [serde_json::Value; 0]
    );
}
