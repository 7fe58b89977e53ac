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
    on_pod(
        r"{spec: {securityContext: {fsGroup: 1000}}}",
        &[
            r#"spec.securityContext.fsGroup: "1000": a Windows pod cannot have this field (the API server refuses it); remove it"#,
        ],
    ),
    on_pod(
        r"{spec: {securityContext: {runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}}}",
        &[
            r#"spec.securityContext.runAsUser: "1000": a Windows pod cannot have this field (the API server refuses it); remove it"#,
            r#"spec.securityContext.seccompProfile: "{"type":"RuntimeDefault"}": a Windows pod cannot have this field (the API server refuses it); remove it"#,
        ],
    ),
    on_container(
        r"{securityContext: {capabilities: {drop: [ALL]}}}",
        &[
            r#"spec.containers[0].securityContext.capabilities: "{"drop":["ALL"]}": a Windows pod cannot have this field (the API server refuses it); remove it"#,
        ],
    ),
    on_container(
        r"{securityContext: {readOnlyRootFilesystem: true}}",
        &[
            r#"spec.containers[0].securityContext.readOnlyRootFilesystem: "true": a Windows pod cannot have this field (the API server refuses it); remove it"#,
        ],
    ),
    on_pod(
        r"{spec: {hostPID: true}}",
        &[
            r#"spec.hostPID: "true": a Windows pod cannot have this field (the API server refuses it); remove it"#,
        ],
    ),
    on_pod(
        r"{spec: {securityContext: {runAsNonRoot: true}}}",
        &[
            r#"spec.securityContext.runAsNonRoot: "true": HostProcess containers run as an account of the host, and the kubelet refuses them with runAsNonRoot; remove it and choose the account by securityContext.windowsOptions.runAsUserName"#,
        ],
    ),
    on_container(
        r"{securityContext: {runAsNonRoot: true}}",
        &[
            r#"spec.containers[0].securityContext.runAsNonRoot: "true": HostProcess containers run as an account of the host, and the kubelet refuses them with runAsNonRoot; remove it and choose the account by securityContext.windowsOptions.runAsUserName"#,
        ],
    ),
    on_pod(
        r"{spec: {os: {name: linux}}}",
        &[
            r#"spec.os.name: "linux": a native-host workload runs on Windows; remove spec.os or say "windows""#,
        ],
    ),
    on_pod(
        r"{spec: {nodeSelector: {kubernetes.io/os: linux}}}",
        &[
            r#"spec.nodeSelector[kubernetes.io/os]: "linux": expected "windows": a native-host workload runs on Windows; remove or change it"#,
        ],
    ),
    on_pod(
        r"{spec: {securityContext: {windowsOptions: {hostProcess: false}}}}",
        &[
            r#"spec.securityContext.windowsOptions.hostProcess: "false": a native-host workload runs as HostProcess containers; remove this field, or the label @/workload to run it as an ordinary container"#,
        ],
    ),
    on_container(
        r"{securityContext: {windowsOptions: {hostProcess: false}}}",
        &[
            r#"spec.containers[0].securityContext.windowsOptions.hostProcess: "false": a native-host workload runs as HostProcess containers; remove this field, or the label @/workload to run it as an ordinary container"#,
        ],
    ),
    on_container(
        r"{securityContext: {windowsOptions: {runAsUserName: 'SHOP\albums'}}}",
        &[
            r#"spec.containers[0].securityContext.windowsOptions.runAsUserName: "SHOP\albums": only NT AUTHORITY\SYSTEM (or, with luck, LocalService and NetworkService) may move a program into its pod's network compartment; use NT AUTHORITY\SYSTEM"#,
        ],
    ),
    on_container(
        r"{securityContext: {windowsOptions: {runAsUserName: 'a/b'}}}",
        &[
            r#"spec.containers[0].securityContext.windowsOptions.runAsUserName: "a/b": has a user's name with `/`: none of "/\:;|=,+*?<>@[] may stand there; expected an account of the node, e.g. NT AUTHORITY\SYSTEM"#,
        ],
    ),
    on_container(
        r"{command: null}",
        &[
            r"spec.containers[0].command: the program is not named, and an image's ENTRYPOINT is not known here; write the program's path as command[0]",
        ],
    ),
    on_container(
        r"{command: null, args: [--port, '8080']}",
        &[
            r"spec.containers[0].command: the program is not named, and an image's ENTRYPOINT is not known here, args alone would go to it; write the program's path as command[0]",
        ],
    ),
    on_container(
        r"{env: [{name: COMPARTMENT_ID_ATTACH, value: '7'}]}",
        &[
            r#"spec.containers[0].env[0].name: "COMPARTMENT_ID_ATTACH": native-host sets this variable itself; remove it"#,
        ],
    ),
    on_container(
        r"{env: [{name: native_host_pod_uid, value: x}]}",
        &[
            r#"spec.containers[0].env[0].name: "native_host_pod_uid": native-host sets this variable itself; remove it"#,
        ],
    ),
    on_pod(
        r"{metadata: {labels: {'@/anchor-for': x}}}",
        &[
            r#"metadata.labels[@/anchor-for]: "x": only the anchor controller sets this label, on anchors; remove it and name the workload by @/workload"#,
        ],
    ),
    on_pod(
        r"{metadata: {labels: {'@/role': anchor}}}",
        &[
            r#"metadata.labels[@/role]: "anchor": only the anchor controller sets this label, on anchors; remove it and name the workload by @/workload"#,
        ],
    ),
    on_pod(
        r"{metadata: {labels: {'@/workload': ''}}}",
        &[
            r#"metadata.labels[@/workload]: "": expected the workload's name: at most 63 letters, digits, `-`, `_` or `.`, a letter or digit first and last, e.g. "albums""#,
        ],
    ),
    on_pod(
        r"{metadata: {labels: {'@/workloads': albums}}}",
        &[
            r#"metadata.labels[@/workloads]: "albums": no such label under @/; did you mean @/workload?"#,
        ],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/launcher': cplaunch}}}",
        &[
            r#"metadata.annotations[@/launcher]: "cplaunch" is not valid, did you mean "cplauncher"? Expected native-host, cplauncher or native-host-cplauncher, for example "cplauncher""#,
        ],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/launcherr': cplauncher}}}",
        &[r"metadata.annotations[@/launcherr]: unknown key, did you mean @/launcher?"],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/allowed-users': 'NT AUTHORITY\SYSTEM'}}}",
        &[
            r#"metadata.annotations[@/allowed-users]: "NT AUTHORITY\SYSTEM": only a Namespace may set it; remove it from the pod, or annotate the pod's Namespace"#,
        ],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/network': pod}}}",
        &[
            r#"metadata.annotations[@/network]: "pod" is not valid. Expected anchor or host, for example "host""#,
        ],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/containers': 'album'}}}",
        &[
            r#"metadata.annotations[@/containers]: "album": the pod has no such container; it has albums"#,
        ],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/drain-seconds': '301', '@/probes': 'yes'}}}",
        &[
            r#"metadata.annotations[@/drain-seconds]: "301" is out of range. Expected a whole number of seconds from 0 to 300, for example "15""#,
            r#"metadata.annotations[@/probes]: "yes" is not valid. Expected auto or none, for example "none""#,
        ],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/injected': v0}}}",
        &[
            r#"metadata.annotations[@/injected]: "v0": this program injects by contract v1; apply the original manifest, without what native-host wrote into it"#,
        ],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/injected': v1}}}",
        &[
            r#"metadata.annotations[@/injected]: "v1": the pod says that it was injected, but has no annotation @/anchor-spec; apply the original manifest, without what native-host wrote into it"#,
        ],
    ),
    on_pod(
        r"{metadata: {annotations: {'@/anchor-spec': '{}'}}}",
        &[
            r"metadata.annotations[@/anchor-spec]: only native-host writes this annotation; apply the original manifest, without what native-host wrote into it",
        ],
    ),
    on_pod(
        r"{spec: {initContainers: [{name: linkerd-proxy, image: registry.example/proxy, command: ['C:\p.exe'], restartPolicy: Always}]}}",
        &[
            r#"spec.initContainers[0].name: "linkerd-proxy": Linkerd has put its proxy into the pod, where it does not run: it would be on the host's network. Let native-host's mutating configuration sort before Linkerd's, which then passes over the pod; Linkerd's proxy goes into the anchor where @/mesh says so"#,
        ],
    ),
    on_pod(
        r"{spec: {initContainers: [{name: native-host-launcher, image: registry.example/own, command: ['C:\p.exe']}]}}",
        &[
            r#"spec.initContainers[0].name: "native-host-launcher": native-host adds a container of this name itself; name yours otherwise"#,
        ],
    ),
    on_pod(
        r"{spec: {volumes: [{name: native-host-anchor, emptyDir: {}}]}}",
        &[
            r#"spec.volumes[0].name: "native-host-anchor": native-host uses this volume itself; name yours otherwise"#,
        ],
    ),
    on_container(
        r"{name: albums, volumeMounts: [{name: kube-api-access, mountPath: 'c:/native-host/BIN/x'}]}",
        &[
            r#"spec.containers[0].volumeMounts[0]: "kube-api-access at c:/native-host/BIN/x": native-host keeps its own files in C:\native-host; choose another folder"#,
        ],
    ),
    on_container(
        r"{livenessProbe: {grpc: {port: 8080}}}",
        &[
            r"spec.containers[0].livenessProbe.grpc: the launcher cannot make gRPC probes, and the kubelet cannot reach the program from this pod; use httpGet or tcpSocket here (readinessProbe may be gRPC: it moves to the anchor)",
        ],
    ),
    on_container(
        r"{livenessProbe: {httpGet: {port: health}}}",
        &[
            r#"spec.containers[0].livenessProbe.httpGet.port: "health": the container has no port of this name; it has http"#,
        ],
    ),
    on_container(
        r"{readinessProbe: {httpGet: {port: 8081, host: 127.0.0.1}}}",
        &[
            r#"spec.containers[0].readinessProbe.httpGet.host: "127.0.0.1": the probe goes to the program on its anchor's IP, which is known only later; remove host (for a Host header use httpHeaders)"#,
        ],
    ),
    on_container(
        r"{startupProbe: {tcpSocket: {port: 8080, host: 127.0.0.1}}}",
        &[
            r#"spec.containers[0].startupProbe.tcpSocket.host: "127.0.0.1": the probe goes to the program on its anchor's IP, which is known only later; remove host (for a Host header use httpHeaders)"#,
        ],
    ),
    Row {
        pod: r"{metadata: {annotations: {'@/launcher': cplauncher}}}",
        container: r"{command: ['C:\apps\albumswin.exe', '50%', '60%']}",
        says: &[
            r#"spec.containers[0].command[1]: "50%": two `%` in one command line: cmd.exe may put a variable's value in place of what they enclose; use the launcher native-host, with which every argument arrives"#,
        ],
    },
    Row {
        pod: r"{metadata: {annotations: {'@/launcher': cplauncher}}}",
        container: r"{command: ['albumswin.exe']}",
        says: &[
            r#"spec.containers[0].command[0]: "albumswin.exe": is relative: expected an absolute path such as `C:\apps\albums.exe`; cplauncher needs the program's absolute path, or use the launcher native-host, with which every argument arrives"#,
        ],
    },
    Row {
        pod: r"{metadata: {annotations: {'@/launcher': cplauncher}}}",
        container: r"{command: ['C:\apps\albumswin.exe', 'a&b']}",
        says: &[
            r#"spec.containers[0].command[1]: "a&b": cmd.exe acts on `&` here, which lies outside of what it takes for quotes; use the launcher native-host, with which every argument arrives"#,
        ],
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

fn check(world: &World, namespace: &str, rows: &[Row]) {
    // kubectl's own words for `reason: Invalid` (checkErr, k8s.io/kubectl/pkg/cmd/util/helpers.go).
    let begin = format!(
        "The request is invalid: error when creating \"STDIN\": admission webhook \"{}\" denied the request: ",
        webhook::PODS
    );
    let mut wrong = Vec::new();
    for row in rows {
        let said = refusal(world, namespace, &changed(row));
        let mut lines = said.lines().filter(|line| !line.starts_with("Warning: "));
        let expected: Vec<String> = match row.says {
            [only] => vec![format!("{begin}{}", named(only))],
            several => {
                let count = format!("{begin}{} problems:", several.len());
                let each = several.iter().map(|text| format!("  * {}", named(text)));
                std::iter::once(count).chain(each).collect()
            }
        };
        if !lines.by_ref().eq(expected) {
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
    check(world, "invalid", INVALID);
}

#[test]
fn a_launcher_that_is_nowhere_is_refused() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("nowhere", &[("@/launcher-image", "none")], &[]);
    let rows = [
        on_pod(
            "{}",
            &[
                "metadata.annotations[@/launcher]: the launcher native-host needs native-host-launcher.exe on the node, and the policy does not say where it comes from; set @/launcher-image or @/launcher-path on the Namespace",
            ],
        ),
        Row {
            pod: "{metadata: {annotations: {'@/launcher': cplauncher}}}",
            container: "{livenessProbe: {tcpSocket: {port: http}}}",
            says: &[
                "spec.containers[0].livenessProbe: a livenessProbe under the launcher cplauncher needs native-host-launcher.exe on the node, and the policy does not say where it comes from; set @/launcher-image or @/launcher-path on the Namespace",
            ],
        },
    ];
    check(world, "nowhere", &rows);
    // Without such a probe cplauncher does it all.
    let mut plain = pod();
    plain["metadata"]["annotations"] = yaml("{'@/launcher': cplauncher, '@/probes': none}");
    world.apply_ok("nowhere", &plain);
}
