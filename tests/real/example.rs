//! `examples/albums` as it is applied, against the table of section 4 of the contract.

use std::path::Path;

use native_host::names::{annotation, env, gate, injected, label, policy};
use native_host::plan::MARKER;
use native_host::plan::anchor_spec::AnchorSpec;
use native_host::policy::Policy;
use serde_json::{Value, json};

use super::{World, stderr};

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
    let annotations = json!({policy::IP_ENV: "BIND_ADDRESS"});
    assert_eq!(template["metadata"]["annotations"], annotations);
    assert_eq!(
        template["spec"]["containers"][0]["command"][0],
        r"C:\apps\albums.exe"
    );
}

/// A mount that the API server gives every pod before it asks us.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A container's mounts but for that.
pub fn mounts_of(container: &Value) -> Value {
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
    let liveness = "http:8081/health/liveness,delay=0,period=5,timeout=1,failures=3,successes=1";
    let startup = "http:8081/health/startup,delay=0,period=1,timeout=1,failures=60,successes=1";
    assert_eq!(
        container["args"],
        items(&[
            "run",
            "--container",
            "albums",
            "--timeout",
            "180s",
            "--ip-env",
            "BIND_ADDRESS",
            "--liveness",
            liveness,
            "--startup",
            startup,
            "--grace",
            "13",
            "--",
            r"C:\apps\albums.exe",
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
            {"name": "RESOURCE", "value": "albums"},
            {"name": "MAX_CONNECTION_AGE", "value": "3s"},
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
            "13",
        ])
    );
    assert_eq!(spec["terminationGracePeriodSeconds"], 20);
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
                        "initialDelaySeconds": 0, "periodSeconds": 2, "timeoutSeconds": 1,
                        "successThreshold": 1, "failureThreshold": 3,
                    },
                },
            }],
        })
    );
    AnchorSpec::parse(anchor).unwrap();
}
