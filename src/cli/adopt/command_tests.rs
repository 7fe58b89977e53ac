#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::cli::adopt::world::{Fate, Object};
use serde_json::json;

fn world(maps: &[(&str, Value)]) -> World {
    let object = |(name, data): &(&str, Value)| Object {
        value: json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}),
        namespace: "k2s".to_owned(),
        fate: Fate::Untouched,
    };
    World {
        objects: maps.iter().map(object).collect(),
        ..World::default()
    }
}

fn read_in(world: &World, container: &Value, spec: &Value) -> Result<Option<Launch>, Unclear> {
    let env = Env::of(container, "k2s", world);
    let reader = Reader {
        container,
        spec,
        namespace: "k2s",
        world,
        env: &env,
    };
    reader.read()
}

fn read(container: &Value) -> Result<Option<Launch>, Unclear> {
    read_in(&world(&[]), container, &Value::Null)
}

fn found(container: &Value) -> Launch {
    read(container).unwrap().unwrap()
}

fn label(key: &str, value: &str) -> Vec<(String, String)> {
    vec![(key.to_owned(), value.to_owned())]
}

#[test]
fn every_way_to_call_cplauncher_gives_the_same() {
    let expected = Launch {
        argv: [r"C:\apps\my app.exe", "--config", r"C:\apps\prod.json"]
            .map(str::to_owned)
            .into(),
        selectors: vec![label("app", "anchor-1")],
        timeout: Some("120s".to_owned()),
        ..Launch::default()
    };
    let flags = [
        "-label",
        "app=anchor-1",
        "-namespace",
        "k2s",
        "-label-timeout=120s",
        "-no-inject",
        "--",
    ];
    let direct = [&[r"C:\k2s\bin\cni\cplauncher.exe"], &flags[..]].concat();
    let program = [r"C:\apps\my app.exe", "--config", r"C:\apps\prod.json"];
    let direct = [&direct[..], &program].concat();
    let (first, rest) = direct.split_at(3);
    let line = r#"C:\k2s\bin\cni\cplauncher.exe -label app=anchor-1 --namespace=k2s -label-timeout 120s -no-inject -- "C:\apps\my app.exe" --config C:\apps\prod.json"#;
    let shelled = [&["cmd.exe", "/s", "/C"], &direct[..]].concat();
    for container in [
        json!({ "command": direct }),
        json!({ "command": first, "args": rest }),
        json!({ "command": shelled }),
        json!({ "command": ["cmd", "/c"], "args": [line] }),
        json!({ "command": ["cmd", "/c", format!("cmd /c {line}")] }),
        json!({ "command": ["powershell.exe", "-NoLogo", "-ExecutionPolicy", "Bypass", "-Command", format!("& {line}")] }),
        json!({ "command": ["pwsh", line] }),
    ] {
        assert_eq!(found(&container), expected, "{container}");
    }
    let units: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(units);
    assert_eq!(
        found(&json!({"command": ["powershell", "-enc", encoded]})),
        expected
    );
}

#[test]
fn variables_are_what_config_maps_say_and_stay_variables_where_nobody_knows() {
    let world = world(&[(
        "paths",
        json!({"CPLAUNCHER": r"C:\k2s\cplauncher.exe", "APP": r"C:\apps\a.exe"}),
    )]);
    let env = json!([
        {"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "APP", "valueFrom": {"configMapKeyRef": {"name": "paths", "key": "APP"}}},
    ]);
    let container = json!({
        "command": ["cmd.exe", "/c", "%cplauncher% -label a=b -namespace $(NS) -- %APP% --key %KEY%"],
        "env": env, "envFrom": [{"configMapRef": {"name": "paths"}}],
    });
    let launch = read_in(&world, &container, &Value::Null).unwrap().unwrap();
    assert_eq!(launch.argv, [r"C:\apps\a.exe", "--key", "$(KEY)"]);
    assert_eq!(launch.namespace, None);
    let used: Vec<_> = launch.used.iter().map(String::as_str).collect();
    assert_eq!(used, ["APP", "KEY", "NS", "cplauncher"]);
    let container = json!({
        "command": ["powershell", "-Command", r#"& "$env:CPLAUNCHER" -label a=b -namespace $(NS) -- "$env:APP" "$env:KEY""#],
        "env": env, "envFrom": [{"configMapRef": {"name": "paths"}}],
    });
    let launch = read_in(&world, &container, &Value::Null).unwrap().unwrap();
    assert_eq!(launch.argv, [r"C:\apps\a.exe", "$(KEY)"]);
}

#[test]
fn a_script_that_finds_the_compartment_is_seen_through() {
    let script = "$label = 'app=cp'\n$cid = & $kubectl get pods -l $label\n$env:PORT = '8080'\n\
                  $env:COMPARTMENT_ID_ATTACH = \"$cid\"\n& \"$env:APP\" --x\n";
    let world = world(&[("scripts", json!({"start.ps1": script}))]);
    let spec = json!({"volumes": [{"name": "scripts", "configMap": {"name": "scripts"}}]});
    let container = json!({
        "command": ["powershell.exe", "-Command", r#"& "$env:CONTAINER_SANDBOX_MOUNT_POINT\scripts\start.ps1""#],
        "env": [{"name": "APP", "value": r"C:\apps\a.exe"}],
    });
    // The variable is hcsshim's, and in no manifest.
    let launch = read_in(&world, &container, &spec).unwrap().unwrap();
    assert_eq!(launch.argv, [r"C:\apps\a.exe", "--x"]);
    assert_eq!(launch.selectors, [label("app", "cp")]);
    assert_eq!(launch.env, [("PORT".to_owned(), "8080".to_owned())]);
    assert_eq!(launch.scripts, ["scripts".to_owned()].into());
    let file = json!({"command": ["powershell", "-File", r"C:\scripts\start.ps1"], "env": container["env"]});
    assert_eq!(
        read_in(&world, &file, &spec).unwrap().unwrap().argv,
        launch.argv
    );
}

#[test]
fn what_is_not_about_compartments_is_left_alone() {
    for container in [
        json!({"command": [r"C:\apps\a.exe"]}),
        json!({"command": ["cmd.exe", "/c"], "args": ["for /l %i in (1,0,2) do ( curl.exe -s http://x & ping > NUL )"]}),
        json!({"command": ["powershell", "-File", r"C:\scripts\collect.ps1"]}),
        json!({}),
    ] {
        assert_eq!(read(&container), Ok(None), "{container}");
    }
    let attached = json!({"command": [r"C:\apps\a.exe"], "env": [{"name": "COMPARTMENT_ID_ATTACH", "value": "5"}]});
    assert_eq!(found(&attached).argv, [r"C:\apps\a.exe"]);
}

#[test]
fn what_is_not_understood_is_said() {
    for (command, expected) in [
        (
            json!(["cplauncher.exe", "-label", "a=b"]),
            "cplauncher, which is given no program",
        ),
        (
            json!(["cplauncher", "-dry-run", "--", "a.exe"]),
            "-dry-run, with which",
        ),
        (
            json!(["cplauncher", "-label", "a in (b)", "--", "a.exe"]),
            "-label \"a in (b)\", which",
        ),
        (
            json!(["cmd", "/c", "cplauncher -label a=b -- a.exe > log"]),
            "`>`, which cmd.exe acts on",
        ),
        (
            json!(["cmd", "/c", "%CPLAUNCHER% -label a=b -- a.exe"]),
            "%CPLAUNCHER%, which neither",
        ),
        (
            json!(["cmd", "/c", r"C:\k2s\cplauncher-start.bat"]),
            "the batch file",
        ),
    ] {
        let error = read(&json!({ "command": command })).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn flags_that_change_something_are_told_of() {
    let launch = found(
        &json!({"command": ["cplauncher", "-compartment", "5", "-self-env", "-env-name", "CID", "-wait-tree",
        "-dll", r"C:\x.dll", "-v", "debug", "-namespace", "other", "a.exe", "-x"]}),
    );
    assert_eq!(launch.argv, ["a.exe", "-x"]);
    assert_eq!(launch.namespace.as_deref(), Some("other"));
    let lost = launch.lost.join("\n");
    for expected in [
        "-compartment 5",
        "-wait-tree: ",
        r"-dll C:\x.dll",
        "the variable CID is not set",
    ] {
        assert!(lost.contains(expected), "{lost}");
    }
}
