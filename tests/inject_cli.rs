//! `native-host inject` as a person runs it: the very binary, its output, its messages, its exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// A Deployment that is injected, and things beside it that are not.
const ALBUMS: &str = r"# SPDX-License-Identifier: MIT
# Albums, all of it.

apiVersion: v1
kind: ConfigMap   # a comment that stays
metadata: {name: settings}
data: {verbose: 'yes', mode: '0644'}
---
# The program itself.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: albums
spec:
  selector: {matchLabels: {app: albums}}
  template:
    metadata:
      labels: {app: albums, native-host.io/workload: albums}
      annotations: {answer: 'yes', mode: '0644'}
    spec:
      containers:
      - name: albums
        image: base
        command: ['C:\apps\albums.exe']
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {tcpSocket: {port: http}}
---  # the Service
kind: Service
apiVersion: v1
metadata: {name: albums, labels: {native-host.io/workload: albums}}
spec: {selector: {app: albums}, ports: [{port: 80}]}
";

/// A Pod whose program nobody knows: it has no command.
const REFUSED: &str = r"apiVersion: v1
kind: Pod
metadata: {name: refused, labels: {native-host.io/workload: refused}}
spec: {containers: [{name: c, image: i}]}
";

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(folder: &Path, arguments: &[&str], stdin: &str, variables: &[(&str, &str)]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_native-host"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A command that does not read closes the pipe.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `inject` with manifests on standard input.
fn inject(arguments: &[&str], stdin: &str) -> Ran {
    run(
        Path::new("."),
        &[&["inject"], arguments].concat(),
        stdin,
        &[],
    )
}

/// A folder with files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// A Namespace called `albums` with this annotation.
fn namespace(annotation: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: albums\n  annotations:\n    {annotation}\n"
    )
}

/// The objects of `-o json`.
fn objects(json: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(json).unwrap();
    value["items"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![value])
}

#[test]
fn what_is_not_changed_is_printed_byte_for_byte() {
    let ran = inject(&[], ALBUMS);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let config_map = ALBUMS.split("---\n").next().unwrap();
    assert!(ran.stdout.starts_with(config_map), "{}", ran.stdout);
    let heading = "---\n# The program itself.\napiVersion: apps/v1\nkind: Deployment\n";
    assert!(ran.stdout.contains(heading), "{}", ran.stdout);
    assert!(ran.stdout.contains("---  # the Service\nkind: Service\n"));
    let odd = "\u{feff}# only a comment\r\n---\r\na:   [1,2 ,3]\r\n---\n\n---\nkind: Pod\nmetadata: {}\n\n# end";
    let ran = inject(&[], odd);
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (0, odd, "")
    );
    assert_eq!(inject(&[], "").stdout, "");
}

#[test]
fn what_is_changed_says_what_it_said_before() {
    let printed = inject(&[], ALBUMS).stdout;
    let annotations = "      annotations:\n        answer: \"yes\"\n        mode: \"0644\"\n        native-host.io/injected: ";
    assert!(printed.contains(annotations), "{printed}");
    assert!(
        printed.contains("        - C:\\apps\\albums.exe\n"),
        "{printed}"
    );
    assert!(
        printed
            .ends_with("  selector:\n    native-host.io/anchor: albums\n  ports:\n  - port: 80\n")
    );
}

#[test]
fn output_fed_back_in_comes_out_unchanged() {
    for policy in [
        &[][..],
        &["--launcher", "cplauncher"],
        &["--mesh", "linkerd", "--drain-seconds", "0"],
    ] {
        for form in [&[][..], &["-o", "json"]] {
            let arguments = [policy, form].concat();
            let once = inject(&arguments, ALBUMS);
            assert_eq!(
                (once.code, once.stdout.is_empty()),
                (0, false),
                "{}",
                once.stderr
            );
            let twice = inject(&arguments, &once.stdout);
            assert_eq!(
                (twice.code, &twice.stdout),
                (0, &once.stdout),
                "{arguments:?}"
            );
            assert_eq!(
                inject(&[policy, &["--diff"]].concat(), &once.stdout).stdout,
                ""
            );
        }
    }
}

#[test]
fn files_folders_and_standard_input_are_read_in_order() {
    let config = |name: &str| format!("kind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let (a, b, c, d) = (config("a"), config("b"), config("c"), config("d"));
    let json = "{\"kind\": \"ConfigMap\"}";
    let folder = folder(&[
        ("f/b.yml", &b),
        ("f/a.yaml", &a),
        ("f/notes.txt", "{{ not a manifest }}"),
        ("f/sub/c.json", json),
        ("d.txt", &d),
    ]);
    let run = |arguments: &[&str]| run(folder.path(), &[&["inject"], arguments].concat(), &c, &[]);
    let ran = run(&["-f", "f", "-f", "-", "-f", "d.txt"]);
    assert_eq!(
        (ran.code, ran.stdout),
        (0, format!("{a}---\n{b}---\n{c}---\n{d}")),
        "{}",
        ran.stderr
    );
    let ran = run(&["-f", "f,d.txt", "-R"]);
    assert_eq!(ran.stdout, format!("{a}---\n{b}---\n{json}\n---\n{d}"));
    let ran = run(&["-f", "f/sub", "-f", "nowhere.yaml"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (1, "error: the path \"nowhere.yaml\" does not exist\n")
    );
    let ran = run(&["-f", "."]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.stderr,
        "error: reading [.]: recognized file extensions are [.json .yaml .yml]\n"
    );
}

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
fn lists_are_gone_through() {
    let list = inject(&["-o", "json", "--mode", "off"], ALBUMS).stdout;
    let ran = inject(&[], &list);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(
        ran.stdout
            .starts_with("apiVersion: v1\nkind: List\nitems:\n"),
        "{}",
        ran.stdout
    );
    let items = objects(&inject(&["-o", "json"], &list).stdout);
    assert_eq!(items, objects(&inject(&["-o", "json"], ALBUMS).stdout));
    // A list of which nothing changes stays as it is.
    let untouched =
        "{\"kind\": \"PodList\", \"apiVersion\": \"v1\",\n\"items\": [ {\"metadata\":{}} ]}";
    assert_eq!(inject(&[], untouched).stdout, untouched);
}

#[test]
fn items_of_a_list_need_not_say_what_they_are_and_the_refused_one_is_left_out() {
    let pod = |name: &str, container: Value| {
        let labels = json!({"native-host.io/workload": name});
        json!({"metadata": {"name": name, "labels": labels}, "spec": {"containers": [container]}})
    };
    let list = json!({
        "apiVersion": "v1",
        "kind": "PodList",
        "items": [
            pod("bad", json!({"name": "c", "image": "i"})),
            pod("good", json!({"name": "c", "image": "i", "command": [r"C:\x.exe"]})),
            {"metadata": {"name": "other"}},
        ],
    });
    let ran = inject(&["-o", "json", "--probes", "none"], &list.to_string());
    assert_eq!(ran.code, 1);
    let items = objects(&ran.stdout);
    let names: Vec<_> = items
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["good", "other"]);
    assert_eq!(items[0]["spec"]["hostNetwork"], true);
}

#[test]
fn json_is_read_and_written() {
    let stream = "{\"kind\":\"A\"} {\"kind\":\"B\"}\n";
    assert_eq!(inject(&[], stream).stdout, stream);
    let metadata = json!({"name": "s", "labels": {"native-host.io/workload": "s"}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}});
    let ran = inject(
        &[],
        &format!("{{\"kind\":\"A\"}}{service}{{\"kind\":\"B\"}}"),
    );
    let changed = "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n  labels:\n    native-host.io/workload: s\n\
                   spec:\n  selector:\n    native-host.io/anchor: s\n";
    assert_eq!(
        ran.stdout,
        format!("{{\"kind\":\"A\"}}\n---\n{changed}---\n{{\"kind\":\"B\"}}")
    );
    let value: Value =
        serde_json::from_str(&inject(&["-o", "json"], &service.to_string()).stdout).unwrap();
    assert_eq!(
        value["spec"]["selector"],
        json!({"native-host.io/anchor": "s"})
    );
}

#[test]
fn a_patch_makes_of_each_object_what_is_printed() {
    let before = objects(&inject(&["-o", "json", "--mode", "off"], ALBUMS).stdout);
    let after = objects(&inject(&["-o", "json"], ALBUMS).stdout);
    let printed = inject(&["-o", "patch"], ALBUMS).stdout;
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["Deployment", "Service"]);
    for line in lines {
        assert_eq!(
            (&line["file"], &line["namespace"], &line["name"]),
            (&json!("STDIN"), &json!("default"), &json!("albums"))
        );
        let place = before
            .iter()
            .position(|object| object["kind"] == line["kind"])
            .unwrap();
        let mut object = before[place].clone();
        let patch: json_patch::Patch = serde_json::from_value(line["patch"].clone()).unwrap();
        json_patch::patch(&mut object, &patch).unwrap();
        assert_eq!(object, after[place]);
    }
}

#[test]
fn anchors_are_printed_as_the_controller_creates_them() {
    let plain = inject(&[], ALBUMS).stdout;
    let with = inject(&["--anchors"], ALBUMS);
    assert_eq!((with.code, with.stderr.as_str()), (0, ""));
    let anchor = with
        .stdout
        .split("---\n")
        .find(|text| text.contains("native-host.io/role: anchor"))
        .unwrap();
    let anchor = anchor.split("---  # the Service").next().unwrap();
    assert!(anchor.contains("kind: Pod\n"), "{anchor}");
    assert_eq!(with.stdout.replace(&format!("---\n{anchor}"), ""), plain);
    let items = objects(&inject(&["--anchors", "-o", "json"], ALBUMS).stdout);
    assert_eq!(items.iter().filter(|item| item["kind"] == "Pod").count(), 1);
    let patches = inject(&["--anchors", "-o", "patch"], ALBUMS).stdout;
    let first: Value = serde_json::from_str(patches.lines().next().unwrap()).unwrap();
    assert_eq!(first["anchors"][0]["kind"], "Pod");
}

#[test]
fn a_diff_shows_what_admission_does_and_nothing_else() {
    let ran = inject(&["--diff"], ALBUMS);
    assert_eq!(ran.code, 0);
    let heading = "--- STDIN: Deployment/default/albums\n+++ STDIN: Deployment/default/albums as admitted\n@@ -";
    assert!(ran.stdout.starts_with(heading), "{}", ran.stdout);
    let service = ran.stdout.split("--- STDIN: Service").nth(1).unwrap();
    let changed: Vec<&str> = service
        .lines()
        .skip(2)
        .filter(|line| line.starts_with(['+', '-']))
        .collect();
    assert_eq!(
        changed,
        ["-    app: albums", "+    native-host.io/anchor: albums"]
    );
    assert!(
        !ran.stdout.contains('\u{1b}'),
        "colours belong on a terminal"
    );
    let ran = inject(&["--diff", "--anchors"], ALBUMS);
    assert!(
        ran.stdout
            .contains("--- /dev/null\n+++ STDIN: Deployment/default/albums, its anchor\n")
    );
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
fn what_cannot_be_read_is_told_by_file_and_line_and_the_rest_is_printed() {
    let ran = inject(&[], &format!("a: 1\n---\nb: 1\nc: x: y\n---\n{ALBUMS}"));
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.starts_with("error: error parsing STDIN: "),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("STDIN:4:"), "{}", ran.stderr);
    assert_eq!(
        ran.stdout,
        format!("a: 1\n---\n{}", inject(&[], ALBUMS).stdout)
    );
    let folder = folder(&[]);
    let utf16 = "\u{feff}kind: Pod"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect::<Vec<u8>>();
    std::fs::write(folder.path().join("x.yaml"), utf16).unwrap();
    let ran = run(folder.path(), &["inject", "-f", "x.yaml"], "", &[]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .starts_with("error: x.yaml is not UTF-8 (PowerShell"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [
        &["inject", "--no-such-flag"][..],
        &["inject", "-o", "xml"],
        &["inject", "--diff", "-o", "json"],
        &["inject", "-f", "-", "-f", "-"],
        &["inject", "-f", "https://example.com/x.yaml"],
        &["inject", "--mode", "soft"],
        &["inject", "albums.yaml"],
        &["injekt"],
        &[],
    ] {
        let ran = run(Path::new("."), arguments, "", &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!ran.stderr.is_empty());
    }
    assert_eq!(
        inject(&["--mode", "soft", "--probes", "of"], "").stderr,
        "error: --mode: \"soft\" is not valid. Expected enforce, warn or off, for example \"warn\"\n\
         error: --probes: \"of\" is not valid. Expected auto or none, for example \"none\"\n"
    );
}

#[test]
fn every_flag_is_a_variable_and_goes_before_it() {
    let off = [("NATIVE_HOST_MODE", "off")];
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        run(Path::new("."), arguments, ALBUMS, variables)
    };
    assert_eq!(run(&["inject"], &off).stdout, ALBUMS);
    assert_eq!(
        run(&["inject", "--mode", "enforce"], &off).stdout,
        inject(&[], ALBUMS).stdout
    );
    let ran = run(
        &["inject"],
        &[
            ("NATIVE_HOST_OUTPUT", "json"),
            ("NATIVE_HOST_ANCHORS", "true"),
        ],
    );
    assert_eq!(
        ran.stdout,
        inject(&["-o", "json", "--anchors"], ALBUMS).stdout
    );
    assert_eq!(
        run(&["inject"], &[("NATIVE_HOST_DRAIN_SECONDS", "x")]).code,
        2
    );
}

#[test]
fn help_teaches() {
    let help = inject(&["--help"], "");
    assert_eq!(help.code, 0);
    let headings = ["Examples:", "Exit codes:", "Policy defaults:"];
    for text in headings.into_iter().chain([
        "--launcher-image <VALUE>",
        "[env: NATIVE_HOST_LAUNCHER_IMAGE]",
    ]) {
        assert!(help.stdout.contains(text), "{text}");
    }
}

#[test]
fn version_is_told_in_three_forms() {
    let run = |arguments: &[&str]| run(Path::new("."), arguments, "", &[]).stdout;
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["version"]), format!("native-host {version}\n"));
    let json: Value = serde_json::from_str(&run(&["version", "-o", "json"])).unwrap();
    assert_eq!(json["version"], version);
    let yaml: Value = serde_saphyr::from_str(&run(&["version", "-o", "yaml"])).unwrap();
    assert_eq!(yaml, json);
}
