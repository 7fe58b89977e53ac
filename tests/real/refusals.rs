//! What is refused, and what a person reads of it in the terminal.

use native_host::names::webhook;
use serde_json::{Value, json};

use super::{World, named, pod, stderr, yaml};

/// One row: what is merged into the pod and into its one container, and what kubectl says.
struct Row {
    pod: &'static str,
    container: &'static str,
    says: &'static [&'static str],
}

const fn on_pod(pod: &'static str, says: &'static [&'static str]) -> Row {
    Row {
        pod,
        container: "{}",
        says,
    }
}

const fn on_container(container: &'static str, says: &'static [&'static str]) -> Row {
    Row {
        pod: "{}",
        container,
        says,
    }
}

/// Everything that section 4 of the contract refuses whatever the namespace says.
const INVALID: &[Row] = &[
    on_pod(r"{spec: {securityContext: {fsGroup: 1000}}}", &[""]),
    on_pod(
        r"{spec: {securityContext: {runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}}}",
        &[""],
    ),
    on_container(r"{securityContext: {capabilities: {drop: [ALL]}}}", &[""]),
    on_container(r"{securityContext: {readOnlyRootFilesystem: true}}", &[""]),
    on_pod(r"{spec: {hostPID: true}}", &[""]),
    on_pod(r"{spec: {securityContext: {runAsNonRoot: true}}}", &[""]),
    on_container(r"{securityContext: {runAsNonRoot: true}}", &[""]),
    on_pod(r"{spec: {os: {name: linux}}}", &[""]),
    on_pod(r"{spec: {nodeSelector: {kubernetes.io/os: linux}}}", &[""]),
    on_pod(
        r"{spec: {securityContext: {windowsOptions: {hostProcess: false}}}}",
        &[""],
    ),
    on_container(
        r"{securityContext: {windowsOptions: {hostProcess: false}}}",
        &[""],
    ),
    on_container(
        r"{securityContext: {windowsOptions: {runAsUserName: 'SHOP\albums'}}}",
        &[""],
    ),
    on_container(
        r"{securityContext: {windowsOptions: {runAsUserName: 'a/b'}}}",
        &[""],
    ),
    on_container(r"{command: null}", &[""]),
    on_container(r"{command: null, args: [--port, '8080']}", &[""]),
    on_container(r"{env: [{name: COMPARTMENT_ID_ATTACH, value: '7'}]}", &[""]),
    on_container(r"{env: [{name: native_host_pod_uid, value: x}]}", &[""]),
    on_pod(r"{metadata: {labels: {'@/anchor-for': x}}}", &[""]),
    on_pod(r"{metadata: {labels: {'@/role': anchor}}}", &[""]),
    on_pod(r"{metadata: {labels: {'@/workload': ''}}}", &[""]),
    on_pod(r"{metadata: {labels: {'@/workloads': albums}}}", &[""]),
    on_pod(
        r"{metadata: {annotations: {'@/launcher': cplaunch}}}",
        &[""],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/launcherr': cplauncher}}}",
        &[""],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/allowed-users': 'NT AUTHORITY\SYSTEM'}}}",
        &[""],
    ),
    on_pod(r"{metadata: {annotations: {'@/network': host}}}", &[""]),
    on_pod(
        r"{metadata: {annotations: {'@/containers': 'album'}}}",
        &[""],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/drain-seconds': '301', '@/probes': 'yes'}}}",
        &[""],
    ),
    on_pod(r"{metadata: {annotations: {'@/injected': v0}}}", &[""]),
    on_pod(r"{metadata: {annotations: {'@/injected': v1}}}", &[""]),
    on_pod(r"{metadata: {annotations: {'@/anchor-spec': '{}'}}}", &[""]),
    on_pod(
        r"{spec: {initContainers: [{name: linkerd-proxy, image: registry.example/proxy, command: ['C:\p.exe'], restartPolicy: Always}]}}",
        &[""],
    ),
    on_pod(
        r"{spec: {initContainers: [{name: native-host-launcher, image: registry.example/own, command: ['C:\p.exe']}]}}",
        &[""],
    ),
    on_pod(
        r"{spec: {volumes: [{name: native-host-anchor, emptyDir: {}}]}}",
        &[""],
    ),
    on_container(
        r"{name: albums, volumeMounts: [{name: kube-api-access, mountPath: 'c:/native-host/BIN/x'}]}",
        &[""],
    ),
    on_container(r"{livenessProbe: {grpc: {port: 8080}}}", &[""]),
    on_container(r"{livenessProbe: {httpGet: {port: health}}}", &[""]),
    on_container(
        r"{readinessProbe: {httpGet: {port: 8081, host: 127.0.0.1}}}",
        &[""],
    ),
    on_container(
        r"{startupProbe: {tcpSocket: {port: 8080, host: 127.0.0.1}}}",
        &[""],
    ),
    Row {
        pod: r"{metadata: {annotations: {'@/launcher': cplauncher}}}",
        container: r"{command: ['C:\apps\albumswin.exe', '50%', '60%']}",
        says: &[""],
    },
    Row {
        pod: r"{metadata: {annotations: {'@/launcher': cplauncher}}}",
        container: r"{command: ['albumswin.exe']}",
        says: &[""],
    },
    Row {
        pod: r"{metadata: {annotations: {'@/launcher': cplauncher}}}",
        container: r"{command: ['C:\apps\albumswin.exe', 'a&b']}",
        says: &[""],
    },
];

fn changed(row: &Row) -> Value {
    let mut pod = pod();
    json_patch::merge(&mut pod, &yaml(row.pod));
    json_patch::merge(&mut pod["spec"]["containers"][0], &yaml(row.container));
    pod
}

/// kubectl's stderr for a pod that has to be refused by us.
fn refusal(world: &World, namespace: &str, pod: &Value) -> String {
    let output = world.apply(namespace, pod);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}\n{pod}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{said}");
    said
}

fn check(world: &World, namespace: &str, begin: &str, rows: &[Row]) {
    let mut wrong = Vec::new();
    for row in rows {
        let said = refusal(world, namespace, &changed(row));
        let begin = format!(
            "{begin}admission webhook \"{}\" denied the request: ",
            webhook::PODS
        );
        let whole = match row.says {
            [only] => said == format!("{begin}{}\n", named(only)),
            several => {
                let count = format!("{begin}{} problems:\n", several.len());
                let line = |text: &&str| said.contains(&format!("\n  * {}\n", named(text)));
                said.starts_with(&count) && several.iter().all(line)
            }
        };
        if !whole {
            wrong.push(format!(
                "pod {} container {}\n{said}",
                row.pod, row.container
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let left = world.plane.get(&["pods", "-n", namespace]);
    assert_eq!(left["items"], json!([]));
}

#[test]
fn what_cannot_be_a_host_process_pod_is_refused_with_the_way_out() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("invalid", &[], &[]);
    check(world, "invalid", "The request is invalid: ", INVALID);
}
