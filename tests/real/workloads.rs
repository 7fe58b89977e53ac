//! From one label to a pod on a Windows node, for every kind of workload.

use std::path::Path;

use native_host::names::{annotation, env, gate, injected, label};
use native_host::plan::MARKER;
use native_host::plan::anchor_spec::AnchorSpec;
use native_host::policy::Policy;
use serde_json::{Value, json};

use super::{PATIENCE, World, is_injected, pod, stderr, yaml};
use crate::support::wait_until;

/// A mount that the API server gives every pod before it asks us.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn mounts_of(container: &Value) -> Value {
    let mounts = container["volumeMounts"].as_array().unwrap().iter();
    mounts
        .filter(|mount| mount["mountPath"] != TOKEN)
        .cloned()
        .collect()
}

fn items(pairs: &[&str]) -> Value {
    json!(pairs)
}

/// The table of section 4 of the contract, row by row, on the pod of `examples/albums` as stored.
fn assert_is_the_table(pod: &Value) {
    let (spec, container) = (&pod["spec"], &pod["spec"]["containers"][0]);
    host_process_and_user(spec, container);
    placement(spec);
    launcher_probes_and_ports(container);
    variables_and_mounts(container);
    installer_volumes_and_gate(spec);
    stop_and_failure_text(spec, container);
    marker_mesh_and_anchor(&pod["metadata"]["annotations"]);
}

/// The launcher's path on the node.
fn launcher() -> String {
    format!(r"{}\{}", injected::LAUNCHER_DIR, injected::LAUNCHER_EXE)
}

/// On each container, and none on the pod.
fn host_process_and_user(spec: &Value, container: &Value) {
    let system = json!({"windowsOptions": {
        "hostProcess": true, "runAsUserName": r"NT AUTHORITY\SYSTEM",
    }});
    assert_eq!(container["securityContext"], system);
    assert_eq!(spec["initContainers"][0]["securityContext"], system);
    assert_eq!(spec["securityContext"].get("windowsOptions"), None);
    assert_eq!(spec["hostNetwork"], true);
    assert_eq!(spec["os"], json!({"name": "windows"}));
}

fn placement(spec: &Value) {
    assert_eq!(spec["nodeSelector"], json!({label::OS: label::OS_WINDOWS}));
    let not_2019 = json!({
        "key": label::WINDOWS_BUILD, "operator": "NotIn", "values": [label::WINDOWS_BUILD_2019],
    });
    let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [not_2019]}]});
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": terms});
    assert_eq!(spec["affinity"], json!({"nodeAffinity": required}));
    assert_eq!(spec["nodeName"], "win-2022");
}

fn launcher_probes_and_ports(container: &Value) {
    let launcher = launcher();
    assert_eq!(container["command"], json!([launcher]));
    let liveness = "http:8081/health/liveness,delay=0,period=10,timeout=1,failures=3,successes=1";
    assert_eq!(
        container["args"],
        items(&[
            "run",
            "--container",
            "albums",
            "--timeout",
            "180s",
            "--liveness",
            liveness,
            "--grace",
            "28",
            "--",
            r"C:\apps\albumswin.exe",
            "--config",
            r"C:\apps\prod.json",
        ])
    );
    for probe in ["livenessProbe", "readinessProbe", "startupProbe", "ports"] {
        assert_eq!(container.get(probe), None, "{probe}");
    }
}

fn variables_and_mounts(container: &Value) {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    assert_eq!(
        container["env"],
        json!([
            field(env::POD_UID, "metadata.uid"),
            field(env::POD_NAMESPACE, "metadata.namespace"),
        ])
    );
    let read_only =
        |name: &str, path: &str| json!({"name": name, "mountPath": path, "readOnly": true});
    assert_eq!(
        mounts_of(container),
        json!([
            read_only(injected::LAUNCHER, injected::LAUNCHER_DIR),
            read_only(injected::ANCHOR_VOLUME, injected::ANCHOR_DIR),
        ])
    );
}

fn installer_volumes_and_gate(spec: &Value) {
    let init = &spec["initContainers"][0];
    assert_eq!(init["name"], injected::LAUNCHER);
    assert_eq!(init["image"], json!(Policy::builtin().launcher_image));
    assert_eq!(
        init["command"],
        json!([
            injected::LAUNCHER_IN_IMAGE,
            "install",
            injected::LAUNCHER_DIR
        ])
    );
    assert_eq!(
        mounts_of(init),
        json!([
            {"name": injected::LAUNCHER, "mountPath": injected::LAUNCHER_DIR},
        ])
    );
    let volume = |name: &str| -> Value {
        let mut volumes = spec["volumes"].as_array().unwrap().iter();
        volumes
            .find(|volume| volume["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(volume(injected::LAUNCHER)["emptyDir"], json!({}));
    let status = format!("metadata.annotations['{}']", annotation::ANCHOR_STATUS);
    assert_eq!(
        volume(injected::ANCHOR_VOLUME)["downwardAPI"]["items"],
        json!([
            {"path": injected::ANCHOR_FILE, "fieldRef": {"apiVersion": "v1", "fieldPath": status}},
        ])
    );
    assert_eq!(
        spec["readinessGates"],
        json!([{"conditionType": gate::ANCHOR_READY}])
    );
}

fn stop_and_failure_text(spec: &Value, container: &Value) {
    let launcher = launcher();
    assert_eq!(
        container["lifecycle"]["preStop"]["exec"]["command"],
        items(&[
            &launcher,
            "stop",
            "--container",
            "albums",
            "--drain",
            "5",
            "--grace",
            "28",
        ])
    );
    assert_eq!(spec["terminationGracePeriodSeconds"], 35);
    assert_eq!(
        container["terminationMessagePolicy"],
        "FallbackToLogsOnError"
    );
}

fn marker_mesh_and_anchor(annotations: &Value) {
    assert_eq!(annotations[annotation::INJECTED], MARKER);
    assert_eq!(annotations[annotation::LINKERD_INJECT], "disabled");
    assert_eq!(
        annotations[annotation::SAFE_TO_EVICT_LOCAL_VOLUMES],
        injected::LAUNCHER
    );
    let anchor = annotations[annotation::ANCHOR_SPEC].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(anchor).unwrap(),
        json!({
            "version": 1, "image": Policy::builtin().anchor_image, "containers": [{
                "name": "albums",
                "ports": [{"name": "http", "port": 8080}, {"name": "health", "port": 8081}],
                "readiness": {
                    "check": {"httpGet": {"port": 8081, "path": "/health/readiness"}},
                    "timing": {
                        "initialDelaySeconds": 0, "periodSeconds": 10, "timeoutSeconds": 1,
                        "successThreshold": 1, "failureThreshold": 3,
                    },
                },
            }],
        })
    );
    AnchorSpec::parse(anchor).unwrap();
}

#[test]
fn the_albums_example_becomes_three_host_process_pods_on_the_windows_node() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("example", &[], &[]);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/albums");
    let args = [
        "apply",
        "--validate=strict",
        "-n",
        "example",
        "-f",
        example.to_str().unwrap(),
    ];
    let output = world.plane.kubectl(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "no warnings");
    let pods = world.bound("example", "app=albums", 3);
    pods.iter().for_each(assert_is_the_table);
    // The Deployment itself stays as its author wrote it: nothing drifts.
    let deployment = world.plane.get(&["deployment", "albums", "-n", "example"]);
    let template = &deployment["spec"]["template"];
    assert_eq!(template["metadata"].get("annotations"), None);
    assert_eq!(
        template["spec"]["containers"][0]["command"][0],
        r"C:\apps\albumswin.exe"
    );
}

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
