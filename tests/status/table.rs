//! What `native-host status` prints once.

use super::*;

/// The words of each line.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| {
            line.split("   ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect()
}

#[test]
fn shows_a_pair_in_each_state() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "status-states", "").with_account();
    let anchor = place.ready_pair("a-ready", "10.244.1.7");
    let unready = place.ready_pair("b-running", "10.244.1.8");
    place.status(&unready, &running("10.244.1.8", "'False'", UNREADY));
    // No node has that label, and the real scheduler says so.
    place.hp("c-unscheduled", "spec: {nodeSelector: {disk: none-such}}");
    place.hp("d-pending", "spec: {nodeName: win-1}");
    let starting = place.hp("e-starting", "spec: {nodeName: win-1}");
    place.anchor(&starting);
    place.ready_pair("f-draining", "10.244.1.9");
    place.kubectl(&["delete", "pod", "f-draining", "--wait=false"]);
    let lost = place.ready_pair("g-lost", "10.244.1.10");
    place.kubectl(&["delete", "pod", &lost, "--force"]);
    place.hp(
        "h-not-injected",
        "{metadata: {annotations: null}, spec: {nodeName: win-1}}",
    );
    let ended = place.ready_pair("i-ended", "10.244.1.11");
    place.kubectl(&["annotate", "pod", &ended, "kept=yes"]);
    place.kubectl(&[
        "patch",
        "pod",
        &ended,
        "-p",
        "{\"metadata\":{\"finalizers\":[\"example.com/kept\"]}}",
    ]);
    place.kubectl(&["delete", "pod", "i-ended", "--force"]);
    let wanted = [
        ("a-ready", "Ready"),
        ("b-running", "Running"),
        ("c-unscheduled", "Unscheduled"),
        ("d-pending", "Pending"),
        ("e-starting", "Starting"),
        ("f-draining", "Draining"),
        ("g-lost", "Lost"),
        ("h-not-injected", "NotInjected"),
        ("i-ended", "Ending"),
    ]
    .map(|(pod, state)| (pod.to_owned(), state.to_owned()));
    assert_eq!(place.states(), wanted);

    let said = wait_until("the scheduler looked", PATIENCE, || {
        let table = place.status_of(&[]).stdout;
        table.contains("node(s) didn't match").then_some(table)
    });
    let lines = words(&said);
    assert_eq!(
        lines[0],
        [
            "WORKLOAD", "POD", "NODE", "ANCHOR", "IP", "STATE", "SINCE", "WHY"
        ]
    );
    assert_eq!(
        lines[1][..6],
        ["albums", "a-ready", "win-1", &anchor, "10.244.1.7", "Ready"]
    );
    assert_eq!(lines[1].len(), 7, "all is well, so there is no why");
    assert_eq!(
        lines[2][7],
        format!("anchor {unready}: containers with unready status: [albums]")
    );
    assert_eq!(
        lines[3][2..6],
        ["<none>", "<none>", "<none>", "Unscheduled"]
    );
    assert_eq!(lines[4][2..6], ["win-1", "<none>", "<none>", "Pending"]);
    assert!(lines[7][7].ends_with("is gone"), "{said}");
    assert_eq!(
        lines[9][..6],
        [
            "albums",
            "i-ended",
            "win-1",
            &ended,
            "10.244.1.11",
            "Ending"
        ]
    );
    place.kubectl(&[
        "patch",
        "pod",
        &ended,
        "--type=merge",
        "-p",
        "{\"metadata\":{\"finalizers\":null}}",
    ]);
}

#[test]
fn finds_pairs_by_name_by_label_and_everywhere() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "status-names", "").with_account();
    let other = Place::new(plane, "status-names-2", "").with_account();
    let anchor = place.ready_pair("albums-0", "10.244.2.7");
    place.hp(
        "books-0",
        "{metadata: {labels: {'@/workload': books, app: books}}, spec: {nodeName: win-1}}",
    );
    other.ready_pair("albums-0", "10.244.2.8");
    let pods = |args: &[&str]| -> Vec<String> {
        let text = ok(plane, &[&["status", "--no-headers"], args].concat());
        words(&text)
            .iter()
            .map(|line| line[..3].join(" "))
            .collect()
    };
    let here = ["-n", place.name];
    let with = |args: &[&'static str]| pods(&[&here[..], args].concat());
    let albums = ["albums albums-0 win-1"];
    assert_eq!(with(&[]), ["albums albums-0 win-1", "books books-0 win-1"]);
    assert_eq!(with(&["albums"]), albums, "by workload");
    assert_eq!(with(&["albums-0"]), albums, "by pod");
    assert_eq!(pods(&["-n", place.name, &anchor]), albums, "by anchor");
    assert_eq!(with(&["-l", "app=albums"]), albums);
    assert_eq!(with(&["-l", "app notin (albums)"]), ["books books-0 win-1"]);
    // As with kubectl, -A goes before -n.
    let everywhere = pods(&["-A", "-n", other.name, "albums-0"]);
    assert!(
        everywhere.contains(&"status-names albums albums-0".to_owned()),
        "{everywhere:?}"
    );
    assert!(
        everywhere.contains(&"status-names-2 albums albums-0".to_owned()),
        "{everywhere:?}"
    );
    assert!(ok(plane, &["status", "-A"]).starts_with("NAMESPACE "));
    // By its variable, as every flag.
    let mut by_variable = command(plane, &["status", "--no-headers"]);
    by_variable.env("NATIVE_HOST_NAMESPACE", other.name);
    assert!(
        finish(by_variable)
            .stdout
            .starts_with("albums   albums-0   win-1")
    );
    // A label taken off is no orphan's.
    place.kubectl(&["label", "pod", "albums-0", &named("@/workload-")]);
    assert_eq!(
        place.states()[0],
        ("albums-0".to_owned(), "Ready".to_owned())
    );
}

#[test]
fn prints_documents() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "status-documents", "").with_account();
    let anchor = place.ready_pair("albums-0", "10.244.3.7");
    let list: Value = serde_json::from_str(&place.status_of(&["-o", "json"]).stdout).unwrap();
    assert_eq!(list["kind"], "PairList");
    let pair = &list["items"][0];
    assert_eq!(pair["anchor"]["name"], json!(anchor));
    assert_eq!(pair["pod"]["publishedIp"], "10.244.3.7");
    assert_eq!(
        (&pair["state"], &pair["since"]),
        (&json!("Ready"), &json!("2026-01-01T00:00:00Z"))
    );
    let yaml: Value = serde_saphyr::from_str(&place.status_of(&["-o", "yaml"]).stdout).unwrap();
    assert_eq!(yaml, list);
    let wide = place.status_of(&["-o", "wide"]).stdout;
    assert!(
        words(&wide)[1].contains(&pair["pod"]["uid"].as_str().unwrap()),
        "{wide}"
    );
}

#[test]
fn says_what_is_not_there() {
    let Some(plane) = plane() else { return };
    let place = Place::new(plane, "status-empty", "");
    let ran = place.status_of(&[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert_eq!(ran.stderr, "No pairs found in namespace status-empty.\n");
    let ran = place.status_of(&["-o", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list["items"], json!([]));
    let ran = place.status_of(&["albums"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(
        ran.stderr
            .starts_with("error: no pair \"albums\" in namespace status-empty: "),
        "{}",
        ran.stderr
    );
    assert_eq!(run(plane, &["status", "-o", "xml"]).code, 2);
    let ran = run(plane, &["status", "-l", "a b"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.starts_with("Error from server (BadRequest): "),
        "{}",
        ran.stderr
    );
}

#[test]
fn says_which_rights_are_missing_and_where_nobody_answers() {
    let Some(plane) = plane() else { return };
    let jane = as_user(plane, "jane");
    let ran = run(
        plane,
        &[
            "status",
            "--kubeconfig",
            jane.to_str().unwrap(),
            "-n",
            "default",
        ],
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(
        ran.stderr.starts_with(
            "Error from server (Forbidden): pods is forbidden: User \"jane\" cannot list"
        ),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("needs the rights get and list on pods"),
        "{}",
        ran.stderr
    );
    let ran = run(plane, &["status", "--context", "none-such"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("none-such") && ran.stderr.contains("--context"),
        "{}",
        ran.stderr
    );
    let mut config: Value =
        serde_json::from_str(&plane.kubectl_ok(&["config", "view", "--raw", "-o", "json"]))
            .unwrap();
    config["clusters"][0]["cluster"]["server"] =
        json!(format!("https://127.0.0.1:{}", crate::support::free_port()));
    let path = plane.folder().join("kubeconfig-nobody");
    std::fs::write(&path, config.to_string()).unwrap();
    let ran = run(plane, &["status", "--kubeconfig", path.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .starts_with("error: cannot reach the API server: "),
        "{}",
        ran.stderr
    );
}
