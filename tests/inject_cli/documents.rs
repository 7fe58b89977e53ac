//! Which manifests are read, and what is printed of each.

use serde_json::{Value, json};

use crate::{ALBUMS, folder, inject, objects, run};

#[test]
fn what_is_not_changed_is_printed_byte_for_byte() {
    let ran = inject(&[], ALBUMS);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let config_map = ALBUMS.split("---\n").next().unwrap();
    assert!(ran.stdout.starts_with(config_map), "{}", ran.stdout);
    let heading = "---\n# The program itself.\napiVersion: apps/v1\nkind: Deployment\n";
    assert!(ran.stdout.contains(heading), "{}", ran.stdout);
    assert!(ran.stdout.contains("---  # the Service\nkind: Service\n"));
    for text in [
        "\u{feff}# only a comment\r\n---\r\na:   [1,2 ,3]\r\n---\n\n---\nkind: Pod\nmetadata: {}\n\n# end",
        "---\n# begins with a separator\n---\n---\na: 1\n---",
        "a: 1\n...\n---\nb: 2\n",
        "\n\n",
    ] {
        let ran = inject(&[], text);
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (0, text, "")
        );
    }
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
