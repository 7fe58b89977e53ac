//! Policy, refusals and warnings.

use crate::{ALBUMS, folder, inject, namespace, run};

/// A Pod whose program nobody knows: it has no command.
const REFUSED: &str = r"apiVersion: v1
kind: Pod
metadata: {name: refused, labels: {native-host.io/workload: refused}}
spec: {containers: [{name: c, image: i}]}
";

#[test]
fn a_refusal_reads_as_the_api_servers_and_spoils_nothing_else() {
    let ran = inject(&[], &format!("{REFUSED}---\n{ALBUMS}"));
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stdout, inject(&[], &format!("---\n{ALBUMS}")).stdout);
    let start = "Error from server (Invalid): error when creating \"STDIN\": admission webhook \
                 \"pods.native-host.io\" denied the request: spec.containers[0]";
    let (refusals, warnings): (Vec<&str>, Vec<&str>) =
        ran.stderr.lines().partition(|line| line.starts_with(start));
    assert_eq!(refusals.len(), 1, "{}", ran.stderr);
    assert!(
        warnings.iter().all(|line| line.starts_with("Warning: ")),
        "{}",
        ran.stderr
    );
    for arguments in [
        &[][..],
        &["-o", "json"],
        &["-o", "patch"],
        &["--diff"],
        &["--anchors"],
    ] {
        let ran = inject(arguments, REFUSED);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    }
}

#[test]
fn guard_rails_of_the_policy_hold() {
    let guard = namespace(r"native-host.io/allowed-executables: C:\tools\*");
    let folder = folder(&[("albums.yaml", ALBUMS), ("policy.yaml", &guard)]);
    let run = |arguments: &[&str]| {
        let arguments = [&["inject", "-f", "albums.yaml"], arguments].concat();
        run(folder.path(), &arguments, "", &[])
    };
    let ran = run(&["--policy", "policy.yaml"]);
    assert_eq!(ran.code, 1);
    let start = "Error from server (Forbidden): error when creating \"albums.yaml\": admission webhook \
                 \"pods.native-host.io\" denied the request: spec.template.spec.containers[0].command[0]";
    assert!(ran.stderr.starts_with(start), "{}", ran.stderr);
    assert!(!ran.stdout.contains("kind: Deployment") && ran.stdout.contains("kind: Service"));
    // Objects of another namespace are not under it, and that is said.
    let ran = run(&["--policy", "policy.yaml", "-n", "music"]);
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.stderr,
        "Warning: namespace \"music\" is not in --policy policy.yaml; the policy of the flags was used\n"
    );
    // A flag is the same policy for every namespace.
    assert_eq!(run(&["--allowed-executables", r"C:\tools\*"]).code, 1);
    assert_eq!(run(&["--allowed-executables", r"C:\apps\*"]).code, 0);
}

#[test]
fn namespaces_among_the_manifests_are_policy_too() {
    const UNTOUCHED: &str = "selector: {matchLabels: {app: albums}}";
    let off = namespace("native-host.io/mode: \"off\"");
    let manifests = format!("{off}---\n{ALBUMS}").replace(
        "  name: albums\nspec:",
        "  name: albums\n  namespace: albums\nspec:",
    );
    let ran = inject(&[], &manifests);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains(UNTOUCHED), "{}", ran.stdout);
    // What --policy says of the same Namespace goes before it.
    let folder = folder(&[("policy.yaml", &namespace("native-host.io/mode: enforce"))]);
    let ran = run(
        folder.path(),
        &["inject", "--policy", "policy.yaml"],
        &manifests,
        &[],
    );
    assert!(!ran.stdout.contains(UNTOUCHED), "{}", ran.stdout);
}

#[test]
fn a_bad_policy_is_told_where_it_is_written_and_where_it_hurts() {
    let bad = namespace("native-host.io/mode: soft");
    let ran = inject(&["-n", "albums"], &format!("{bad}---\n{ALBUMS}"));
    assert_eq!(ran.code, 1);
    let message = "annotation native-host.io/mode: \"soft\" is not valid. Expected enforce, warn or off, for example \"warn\"";
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.stderr);
    assert!(
        lines[0].starts_with(&format!("Warning: {message}")),
        "{}",
        ran.stderr
    );
    for (line, webhook) in lines[1..].iter().zip(["pods", "services"]) {
        let start = format!(
            "Error from server (Forbidden): error when creating \"STDIN\": admission webhook \
             \"{webhook}.native-host.io\" denied the request: "
        );
        assert!(
            line.starts_with(&start) && line.contains(message),
            "{}",
            ran.stderr
        );
    }
    assert!(
        ran.stdout.starts_with(&bad),
        "the Namespace itself is not refused"
    );
}

#[test]
fn a_file_that_is_no_policy_is_refused() {
    let folder = folder(&[
        ("policy.yaml", ALBUMS),
        ("broken.yaml", "a: ["),
        ("empty.yaml", "# nothing\n"),
    ]);
    for (file, message) in [
        (
            "policy.yaml",
            "error: --policy policy.yaml: expected Namespaces and nothing else",
        ),
        (
            "empty.yaml",
            "error: --policy empty.yaml: expected Namespaces and nothing else",
        ),
        ("broken.yaml", "error: error parsing broken.yaml: "),
        (
            "absent.yaml",
            "error: the path \"absent.yaml\" does not exist",
        ),
    ] {
        let ran = run(folder.path(), &["inject", "--policy", file], ALBUMS, &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{file}");
        assert!(ran.stderr.starts_with(message), "{}", ran.stderr);
    }
}

#[test]
fn warnings_read_as_kubectls_and_come_once() {
    let pod = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{native-host.io/workload: w}}}}\n\
             spec: {{containers: [{{name: c, image: i, command: ['C:\\x.exe']}}]}}\n"
        )
    };
    let ran = inject(&[], &(pod("a") + &pod("b")));
    assert_eq!(ran.code, 0);
    let warnings: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(
        warnings.len(),
        1,
        "a container without ports and probes is warned of: {}",
        ran.stderr
    );
    assert!(warnings[0].starts_with("Warning: "), "{}", ran.stderr);
}

#[test]
fn what_only_a_cluster_can_tell_is_said_not_to_be_asked() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {native-host.io/workload: w}}\n\
        spec: {containers: [{name: c, image: i, command: ['C:\\x.exe'], ports: [{containerPort: 80}]}]}\n";
    let ran = inject(&["--authorize", "serviceaccount"], pod);
    assert_eq!(ran.code, 0);
    let expected = r#"Warning: spec.serviceAccountName: "default": not asked here: the cluster admits the pod only if this ServiceAccount has the verb use on accounts.native-host.io named nt authority\system (annotation native-host.io/authorize)"#;
    assert!(
        ran.stderr.lines().any(|line| line == expected),
        "{}",
        ran.stderr
    );
    assert!(!inject(&[], pod).stderr.contains("not asked"));
    let off = inject(&["--authorize", "serviceaccount", "--mode", "off"], pod);
    assert!(!off.stderr.contains("not asked"), "{}", off.stderr);
}
