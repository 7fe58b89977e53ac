//! The control plane that the other tests stand on does what they take for granted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::time::Duration;

use native_host::names::{label, policy};
use support::{ControlPlane, NodeOptions, Options, wait_until};

/// What native-host makes of a pod, in its bones: HostProcess on the host's network.
const HOST_PROCESS_POD: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: albums}
spec:
  os: {name: windows}
  hostNetwork: true
  nodeSelector: {kubernetes.io/os: windows}
  securityContext:
    windowsOptions: {hostProcess: true, runAsUserName: 'NT AUTHORITY\SYSTEM'}
  containers:
  - name: albums
    image: registry.example/albums
    command: ['C:\apps\albumswin.exe']
";

const DEPLOYMENT: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations: [{key: os, value: windows}]
      nodeSelector: {kubernetes.io/hostname: win-tainted}
      containers: [{name: web, image: registry.example/web}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

#[test]
fn binds_a_host_process_pod_to_a_windows_node() {
    let Some(plane) = ControlPlane::shared() else {
        return;
    };
    plane.windows_node("win-1");
    plane.apply(HOST_PROCESS_POD);
    assert_eq!(plane.wait_for(&["pod/albums"], "{.spec.nodeName}"), "win-1");
}

#[test]
fn runs_the_controllers_of_workloads() {
    let Some(plane) = ControlPlane::shared() else {
        return;
    };
    let tainted = NodeOptions {
        tainted: true,
        ..NodeOptions::default()
    };
    plane.windows_node_with("win-tainted", &tainted);
    plane.apply(DEPLOYMENT);
    wait_until("both pods bound", Duration::from_secs(60), || {
        let pods = plane.get(&["pods", "-l", "app=web"]);
        let bound = pods["items"].as_array()?.iter();
        (bound
            .filter(|pod| pod["spec"]["nodeName"] == "win-tainted")
            .count()
            == 2)
            .then_some(())
    });
    plane.wait_for(
        &["endpointslices", "-l", "kubernetes.io/service-name=web"],
        "{.items[0].metadata.name}",
    );
    // Who asks is who would ask in a real cluster.
    let manager = plane.kubectl_ok(&[
        "auth",
        "can-i",
        "create",
        "pods",
        "--as=system:serviceaccount:kube-system:replicaset-controller",
    ]);
    assert_eq!(manager.trim(), "yes");
}

#[test]
fn fills_the_roles_of_ordinary_users() {
    let Some(plane) = ControlPlane::shared() else {
        return;
    };
    plane.kubectl_ok(&[
        "create",
        "rolebinding",
        "jane",
        "--clusterrole=edit",
        "--user=jane",
    ]);
    let can = |verb: &str, what: &str| {
        let output = plane.kubectl(&["auth", "can-i", verb, what, "--as=jane"]);
        String::from_utf8(output.stdout).unwrap().trim() == "yes"
    };
    wait_until("edit may create pods", Duration::from_secs(60), || {
        can("create", "pods").then_some(())
    });
    assert!(!can("create", "nodes"));
}

#[test]
fn keeps_its_objects_when_the_api_server_crashes() {
    let Some(mut plane) = ControlPlane::start_or_skip(&Options::apiserver_only()) else {
        return;
    };
    plane.kubectl_ok(&["create", "configmap", "kept"]);
    plane.stop_apiserver();
    let output = plane.kubectl(&["get", "configmap", "kept"]);
    assert!(!output.status.success(), "nobody answers");
    plane.restart_apiserver();
    assert_eq!(
        plane.get(&["configmap", "kept"])["metadata"]["name"],
        "kept"
    );
    // Without controllers a pod needs no ServiceAccount.
    plane.apply(HOST_PROCESS_POD);
}

#[test]
fn accepts_the_webhook_configurations_of_deploy() {
    let Some(plane) = ControlPlane::start_or_skip(&Options::apiserver_only()) else {
        return;
    };
    // Nobody listens there, so Fail and Ignore, selectors and conditions all show.
    let ca = std::fs::read_to_string(plane.ca_file()).unwrap();
    let url = format!("https://127.0.0.1:{}", support::free_port());
    plane.register_webhooks(&url, &ca);
    let labelled = HOST_PROCESS_POD.replace(
        "{name: albums}",
        &format!(
            "{{name: labelled, labels: {{{}: albums}}}}",
            label::WORKLOAD
        ),
    );
    let refusal = wait_until("the webhook is asked", Duration::from_secs(30), || {
        let output = plane.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], &labelled);
        (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
    });
    assert!(
        refusal.contains("failed calling webhook \"pods.native-host.io\""),
        "{refusal}"
    );
    // Everything else goes on as if there were no webhook.
    plane.apply(HOST_PROCESS_POD);
    plane.apply(DEPLOYMENT);
    plane.apply(&DEPLOYMENT.replace(
        "{labels: {app: web}}",
        &format!("{{labels: {{app: web, {}: web}}}}", label::WORKLOAD),
    ));
    plane.kubectl_ok(&["create", "namespace", "guarded"]);
    plane.kubectl_ok(&[
        "annotate",
        "namespace",
        "guarded",
        &format!("{}=warn", policy::MODE),
    ]);
    plane.remove_webhooks();
    wait_until("it is asked no more", Duration::from_secs(30), || {
        let output = plane.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], &labelled);
        output.status.success().then_some(())
    });
}

#[test]
fn leaves_nothing_behind() {
    let Some(plane) = ControlPlane::start_or_skip(&Options::apiserver_only()) else {
        return;
    };
    let (pids, folder) = (plane.pids(), plane.folder().to_owned());
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| runs(*pid)) && folder.exists());
    drop(plane);
    assert!(!pids.iter().any(|pid| runs(*pid)), "processes live on");
    assert!(!folder.exists(), "{} is still there", folder.display());
}

#[test]
fn a_server_dies_with_whoever_started_it() {
    let folder = tempfile::tempdir().unwrap();
    let sleep = Path::new("/bin/sleep");
    let mut server =
        support::process::Server::start("sleep", sleep, &["1000".into()], folder.path()).unwrap();
    server.check().unwrap();
    // The kernel closes our pipes when we die, so this is what the server sees then.
    server.let_go();
    wait_until("it is gone", Duration::from_secs(10), || {
        server.check().err()
    });
}

#[test]
fn says_why_a_server_ended() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["-c", "echo no such flag >&2; exit 3"].map(String::from);
    let mut server =
        support::process::Server::start("broken", Path::new("/bin/sh"), &args, folder.path())
            .unwrap();
    let error = wait_until("it is gone", Duration::from_secs(10), || {
        server.check().err()
    });
    let text = error.to_string();
    assert!(
        text.contains("exit status: 3") && text.contains("no such flag"),
        "{text}"
    );
}

/// Whether a process is there and not only waiting to be reaped.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z')
    })
}
