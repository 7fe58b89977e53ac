//! From one label to a pod on a Windows node, for every kind of workload.

use native_host::names::label;
use serde_json::{Value, json};

use super::example::mounts_of;
use super::{PATIENCE, World, is_injected, pod, stderr, yaml};
use crate::support::wait_until;

#[test]
fn a_labelled_service_is_pointed_at_the_anchors_and_stays_so() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("service", &[], &[]);
    let service = |port: u16, label: &str| {
        yaml(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: albums{label}}}, \
             spec: {{selector: {{app: albums}}, ports: [{{port: {port}}}]}}}}"
        ))
    };
    let selector =
        || world.plane.get(&["service", "albums", "-n", "service"])["spec"]["selector"].clone();
    world.apply_ok("service", &service(80, ""));
    assert_eq!(selector(), json!({"app": "albums"}), "not ours");
    for port in [80, 81] {
        world.apply_ok(
            "service",
            &service(port, ", labels: {'@/workload': albums}"),
        );
        assert_eq!(selector(), json!({label::ANCHOR: "albums"}));
    }
}

/// A workload around the pod of the tests; `extra` is merged into its spec.
fn workload(api: &str, kind: &str, extra: &str) -> Value {
    let mut template = pod();
    template["metadata"]["labels"]["app"] = json!("albums");
    let mut object = json!({
        "apiVersion": api, "kind": kind, "metadata": {"name": "albums"},
        "spec": {"template": {"metadata": template["metadata"], "spec": template["spec"]}},
    });
    object["spec"]["template"]["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("name");
    json_patch::merge(&mut object["spec"], &yaml(extra));
    object
}

const SELECTOR: &str = "selector: {matchLabels: {app: albums}}";

#[test]
fn a_stateful_set_s_pods_keep_their_names() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("statefulset", &[], &[]);
    let extra =
        format!("{{{SELECTOR}, serviceName: albums, replicas: 2, podManagementPolicy: Parallel}}");
    world.apply_ok("statefulset", &workload("apps/v1", "StatefulSet", &extra));
    let pods = world.bound("statefulset", "app=albums", 2);
    assert!(pods.iter().all(is_injected));
    let mut names: Vec<_> = pods
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["albums-0", "albums-1"]);
    assert!(
        pods.iter().all(|pod| pod["spec"]["hostname"].is_string()),
        "who it is in its Service"
    );
}

#[test]
fn a_daemon_set_puts_one_on_each_of_its_nodes() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("daemonset", &[], &[]);
    // The 2019 node too is a Windows node, and the launcher does not run there.
    let selector = format!(
        "{{{}: windows, {}: 10.0.20348}}",
        label::OS,
        label::WINDOWS_BUILD
    );
    let extra = format!("{{{SELECTOR}, template: {{spec: {{nodeSelector: {selector}}}}}}}");
    world.apply_ok("daemonset", &workload("apps/v1", "DaemonSet", &extra));
    let pods = world.bound("daemonset", "app=albums", 1);
    assert!(is_injected(&pods[0]));
    assert_eq!(pods[0]["spec"]["nodeName"], "win-2022");
    let term = &pods[0]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"][0];
    assert_eq!(
        term["matchFields"][0]["values"][0], "win-2022",
        "its controller's own pin is left"
    );
    let status = world.plane.get(&["daemonset", "albums", "-n", "daemonset"])["status"].clone();
    assert_eq!(status["desiredNumberScheduled"], 1);
    assert_eq!(status["numberMisscheduled"], 0);
}

#[test]
fn jobs_and_cron_jobs_get_their_pods() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("job", &[], &[]);
    let never = "{template: {spec: {restartPolicy: Never}}}";
    let job = workload("batch/v1", "Job", never);
    world.apply_ok("job", &job);
    let pods = world.bound("job", "batch.kubernetes.io/job-name=albums", 1);
    assert!(is_injected(&pods[0]));

    // Made by the controller of CronJobs, at the next full minute.
    let mut template = job["spec"]["template"].clone();
    template["metadata"]["labels"]["app"] = json!("nightly");
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}},
    });
    world.apply_ok("job", &cron_job);
    let pod = wait_until("the CronJob's pod is bound", PATIENCE, || {
        let pods = world.plane.get(&["pods", "-n", "job", "-l", "app=nightly"]);
        let pod = pods["items"].get(0)?.clone();
        pod["spec"]["nodeName"].is_string().then_some(pod)
    });
    assert!(is_injected(&pod));
    world
        .plane
        .kubectl_ok(&["delete", "cronjob", "nightly", "-n", "job"]);
}

#[test]
fn a_bare_pod_works_and_a_dry_run_of_it_leaves_nothing() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("bare", &[], &[]);
    let args = [
        "apply",
        "--dry-run=server",
        "-o",
        "json",
        "-n",
        "bare",
        "-f",
        "-",
    ];
    let output = world.plane.kubectl_stdin(&args, &pod().to_string());
    assert!(output.status.success(), "{}", stderr(&output));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(is_injected(&shown));
    assert_eq!(shown["spec"]["containers"][0]["args"][0], "run");
    let left = world
        .plane
        .get(&["pods,events,services,configmaps", "-n", "bare"]);
    let left: Vec<_> = left["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["metadata"]["name"])
        .collect();
    assert_eq!(left, ["kube-root-ca.crt"]);
    let decisions = world.program.decisions("bare", 2);
    assert!(
        decisions.iter().all(|line| line["dry_run"] == true),
        "{decisions:?}"
    );

    world.apply_ok("bare", &pod());
    let node = world
        .plane
        .wait_for(&["pod/albums", "-n", "bare"], "{.spec.nodeName}");
    assert_eq!(node, "win-2022");
    let stored = world.plane.get(&["pod", "albums", "-n", "bare"]);
    let plain = |pod: &Value| {
        let mut container = pod["spec"]["containers"][0].clone();
        // The token's volume has a name of its own in each pod.
        container["volumeMounts"] = mounts_of(&container);
        container
    };
    assert_eq!(plain(&stored), plain(&shown), "as the dry run said");
}
