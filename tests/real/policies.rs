//! What a Namespace says: its guard rails, its mistakes, and when an edit is in force.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use native_host::names::{label, policy};
use serde_json::{Value, json};

use super::load::{client, nameless};
use super::{World, is_injected, named, namespace, pod, stderr, yaml};

/// The lines of what kubectl says that are warnings of ours.
fn warnings(said: &str) -> Vec<&str> {
    said.lines()
        .filter_map(|line| line.strip_prefix("Warning: "))
        .collect()
}

fn deployment() -> Value {
    let mut template = pod();
    template["metadata"]["labels"]["app"] = json!("albums");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "albums"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "albums"}},
            "template": {"metadata": {"labels": template["metadata"]["labels"]}, "spec": template["spec"]},
        },
    })
}

const RAILS: &[(&str, &str)] = &[
    ("@/allowed-executables", r"C:\apps\*"),
    ("@/allowed-users", r"NT AUTHORITY\SYSTEM"),
    ("@/allowed-launchers", "native-host"),
];

/// What the guard rails above forbid, and the sentence for it.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    (
        "{}",
        r"{command: ['C:\tools\albums.exe']}",
        r#"spec.containers[0].command[0]: "C:\tools\albums.exe": this namespace allows only C:\apps\* (annotation @/allowed-executables)"#,
    ),
    (
        "{}",
        r"{command: ['C:\apps\..\tools\albums.exe']}",
        r#"spec.containers[0].command[0]: "C:\apps\..\tools\albums.exe": has a segment `..`: write the path that it leads to; this namespace allows only C:\apps\* (annotation @/allowed-executables)"#,
    ),
    (
        "{}",
        r"{command: ['C:\apps\ALBUMS~1.EXE']}",
        r#"spec.containers[0].command[0]: "C:\apps\ALBUMS~1.EXE": has a segment `ALBUMS~1.EXE` that may be a short (8.3) name: write the long one; this namespace allows only C:\apps\* (annotation @/allowed-executables)"#,
    ),
    (
        "{}",
        r"{command: ['C:\apps\albums.exe:stream']}",
        r#"spec.containers[0].command[0]: "C:\apps\albums.exe:stream": names an alternate data stream (a second colon); this namespace allows only C:\apps\* (annotation @/allowed-executables)"#,
    ),
    (
        "{}",
        r"{command: [albums.exe]}",
        r#"spec.containers[0].command[0]: "albums.exe": is relative: expected an absolute path such as `C:\apps\albums.exe`; this namespace allows only C:\apps\* (annotation @/allowed-executables)"#,
    ),
    (
        "{}",
        r"{readinessProbe: {exec: {command: ['C:\Windows\System32\cmd.exe', /c, whoami]}}}",
        r#"spec.containers[0].readinessProbe.exec.command[0]: "C:\Windows\System32\cmd.exe": this namespace allows only C:\apps\* (annotation @/allowed-executables)"#,
    ),
    (
        "{}",
        r"{securityContext: {windowsOptions: {runAsUserName: 'NT AUTHORITY\LocalService'}}}",
        r#"spec.containers[0].securityContext.windowsOptions.runAsUserName: "NT AUTHORITY\LocalService": this namespace allows only "NT AUTHORITY\SYSTEM" (annotation @/allowed-users); set one of them as runAsUserName"#,
    ),
    (
        "{metadata: {annotations: {'@/launcher': cplauncher}}}",
        "{}",
        r#"metadata.annotations[@/launcher]: "cplauncher": this namespace allows only native-host (annotation @/allowed-launchers)"#,
    ),
];

fn changed(pod_patch: &str, container_patch: &str) -> Value {
    let mut pod = pod();
    json_patch::merge(&mut pod, &yaml(pod_patch));
    json_patch::merge(&mut pod["spec"]["containers"][0], &yaml(container_patch));
    pod
}

#[test]
fn guard_rails_hold_and_say_what_they_allow() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("guarded", RAILS, &[]);
    let begin = format!(
        "Error from server (Forbidden): error when creating \"STDIN\": admission webhook \"{}\" denied the request: ",
        native_host::names::webhook::PODS
    );
    let mut wrong = Vec::new();
    for (pod, container, says) in FORBIDDEN {
        let output = world.apply("guarded", &changed(pod, container));
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{container}");
        let denied = said.lines().filter(|line| !line.starts_with("Warning: "));
        if !denied.eq([format!("{begin}{}", named(says))]) {
            wrong.push(format!("{pod} {container}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // As Windows compares: any case, either slash.
    world.apply_ok(
        "guarded",
        &changed("{}", "{command: ['c:/APPS/sub/Albums.exe']}"),
    );
}

#[test]
fn mode_warn_lets_pass_what_guard_rails_forbid_and_says_so() {
    let Some(world) = World::shared() else {
        return;
    };
    let lenient = [RAILS, &[("@/mode", "warn")]].concat();
    world.namespace("lenient", &lenient, &[]);
    let output = world.apply(
        "lenient",
        &changed("{}", r"{command: ['C:\tools\albums.exe']}"),
    );
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let warned = warnings(&said);
    assert_eq!(warned.len(), 1, "{said}");
    assert!(warned[0].contains(r#"spec.containers[0].command[0]: "C:\tools\albums.exe": this namespace allows only C:\apps\*"#), "{said}");
    assert!(
        warned[0].ends_with("(let pass, since mode is warn)"),
        "{said}"
    );
    assert!(is_injected(
        &world.plane.get(&["pod", "albums", "-n", "lenient"])
    ));
    // What cannot work at all is still refused.
    let output = world.apply(
        "lenient",
        &changed("{metadata: {name: broken}}", "{command: null}"),
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn mode_off_leaves_labelled_pods_alone() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("off", &[("@/mode", "off")], &[]);
    world.apply_ok("off", &pod());
    let stored = world.plane.get(&["pod", "albums", "-n", "off"]);
    assert!(!is_injected(&stored));
    assert_eq!(
        stored["spec"]["containers"][0]["command"],
        json!([r"C:\apps\albumswin.exe"])
    );
}

#[test]
fn a_bad_policy_warns_where_it_is_written_and_refuses_pods_until_it_is_mended() {
    let Some(world) = World::shared() else {
        return;
    };
    let apply = |annotations: &[(&str, &str)]| {
        let manifest = namespace("mistaken", annotations, &[]);
        let output = world.plane.kubectl_stdin(&["apply", "-f", "-"], &manifest);
        assert!(
            output.status.success(),
            "never refused: {}",
            stderr(&output)
        );
        stderr(&output)
    };
    let said = apply(&[("@/mode", "warm"), ("@/alowed-users", "SYSTEM")]);
    let account = ["serviceaccount", "default", "-n", "mistaken"];
    world.plane.wait_for(&account, "{.metadata.name}");
    let warned = warnings(&said);
    assert_eq!(warned.len(), 2, "{said}");
    let one = named("annotation @/mode: \"warm\"");
    let two = named("annotation @/alowed-users: ");
    assert!(warned.iter().any(|line| line.starts_with(&one)), "{said}");
    let suggests = |line: &&str| line.starts_with(&two) && line.contains(policy::ALLOWED_USERS);
    assert!(warned.iter().any(suggests), "{said}");
    let until = "; until then native-host workloads here are refused";
    assert!(warned.iter().all(|line| line.ends_with(until)), "{said}");

    let refused = world.apply("mistaken", &pod());
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.starts_with("Error from server (Forbidden): "),
        "{said}"
    );
    let begin = "denied the request: the namespace's native-host policy is invalid";
    assert!(
        said.contains(begin) && said.contains(&one) && said.contains(&two),
        "{said}"
    );
    let said = stderr(&world.apply("mistaken", &deployment()));
    assert!(
        warnings(&said)[0].contains("native-host policy is invalid"),
        "{said}"
    );

    assert_eq!(apply(&[("@/mode", "warn")]), "", "mended");
    crate::support::wait_until("pods are taken", Duration::from_secs(10), || {
        world
            .apply("mistaken", &pod())
            .status
            .success()
            .then_some(())
    });
}

#[test]
fn a_workload_that_will_be_refused_warns_when_it_is_applied() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("template", &[], &[]);
    let mut broken = deployment();
    let container = &mut broken["spec"]["template"]["spec"]["containers"][0];
    container["command"] = json!(null);
    container["securityContext"] = json!({"runAsNonRoot": true});
    let output = world.apply("template", &broken);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let warned = warnings(&said);
    assert_eq!(warned.len(), 2, "{said}");
    let at = "pods will be refused: spec.template.spec.containers[0].";
    for field in ["command: ", "securityContext.runAsNonRoot: \"true\": "] {
        let begin = format!("{at}{field}");
        assert!(warned.iter().any(|line| line.starts_with(&begin)), "{said}");
    }
    // And so it is: what its ReplicaSet's events say is what the webhook said.
    let events = [
        "events",
        "-n",
        "template",
        "--field-selector",
        "reason=FailedCreate",
    ];
    let event = world.plane.wait_for(&events, "{.items[0].message}");
    assert!(
        event.contains("spec.containers[0].securityContext.runAsNonRoot"),
        "{event}"
    );

    let template = broken["spec"]["template"].clone();
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "albums"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template}}},
    });
    let mut cron_job = cron_job;
    cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    let said = stderr(&world.apply("template", &cron_job));
    let at = "Warning: pods will be refused: spec.jobTemplate.spec.template.spec.containers[0].command: ";
    assert!(said.contains(at), "{said}");
}

#[test]
fn a_daemon_set_that_could_never_finish_is_refused() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("endless", &[], &[]);
    let mut daemon_set = deployment();
    daemon_set["kind"] = json!("DaemonSet");
    daemon_set["spec"]
        .as_object_mut()
        .unwrap()
        .remove("replicas");
    let output = world.apply("endless", &daemon_set);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    let expected = format!(
        "denied the request: spec.template.spec.nodeSelector[{os}]: a DaemonSet reads its template to \
         choose nodes, so the template itself must say {os}: windows",
        os = label::OS
    );
    assert!(said.contains(&expected), "{said}");
    assert!(
        world.plane.get(&["daemonsets", "-n", "endless"])["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn pod_security_is_warned_of_and_refuses_the_injected_pod() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace(
        "baseline",
        &[],
        &[(label::POD_SECURITY_ENFORCE, "baseline")],
    );
    let output = world.apply("baseline", &deployment());
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let warning = format!(
        "Warning: pods will be refused by Pod Security: the namespace enforces the level baseline, which \
         forbids HostProcess; set the Namespace's label {}=privileged\n",
        label::POD_SECURITY_ENFORCE
    );
    assert!(said.contains(&warning), "{said}");

    // As written the pod would be fine; as injected it is not, and Pod Security comes after us.
    let output = world.apply("baseline", &pod());
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for part in [
        "violates PodSecurity \"baseline:latest\"",
        "host namespaces (hostNetwork=true)",
        "hostProcess",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_policy_is_in_force_for_the_next_pods() {
    const EDITS: usize = 20;
    // How long it took is printed; this only ends a test that waits for what never comes.
    const NEVER: Duration = Duration::from_secs(60);
    let Some(world) = tokio::task::block_in_place(World::shared) else {
        return;
    };
    world.namespace("edited", &[("@/drain-seconds", "0")], &[]);
    let client = client(world.plane).await;
    let pods = Api::<Pod>::namespaced(client.clone(), "edited");
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(client);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut took = Vec::new();
    let mut at_once = 0;
    for edit in 1..=EDITS {
        let change =
            json!({"metadata": {"annotations": {policy::DRAIN_SECONDS: edit.to_string()}}});
        let change = kube::api::Patch::Merge(change);
        namespaces
            .patch("edited", &kube::api::PatchParams::default(), &change)
            .await
            .unwrap();
        let edited = Instant::now();
        let drain = ["--drain".to_owned(), edit.to_string()];
        for attempt in 0.. {
            let begun = edited.elapsed();
            let pod = pods.create(&dry_run, &nameless()).await.unwrap();
            let pod = json!(pod);
            let stop = &pod["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"];
            let stop: Vec<String> = serde_json::from_value(stop.clone()).unwrap_or_default();
            if stop.windows(2).any(|two| two == drain) {
                // The first pod that got it: the policy was there when it was created.
                took.push(begun);
                at_once += usize::from(attempt == 0);
                break;
            }
            assert!(begun < NEVER, "edit {edit}: {pod}");
        }
    }
    took.sort();
    println!(
        "policy in force: {at_once} of {EDITS} edits for the very next pod; the slowest after {:.1?}",
        took[EDITS - 1]
    );
}
