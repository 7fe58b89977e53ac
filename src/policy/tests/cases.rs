//! What each key takes, and what it does not.

use super::*;

/// Every text is accepted.
fn accepts(key: &str, values: &[&str]) {
    for value in values {
        let result = namespace(&[(key, value)]);
        assert!(result.is_ok(), "{key}={value:?}: {}", refusal(result));
    }
}

/// Every text is refused.
fn rejects(key: &str, values: &[&str]) {
    for value in values {
        assert!(namespace(&[(key, value)]).is_err(), "{key}={value:?}");
    }
}

#[test]
fn words() {
    accepts(key::MODE, &["enforce", "warn", "off", " off\n"]);
    rejects(key::MODE, &["", "Enforce", "on", "enforce,warn"]);
    accepts(key::NETWORK, &["anchor"]);
    rejects(key::NETWORK, &["", "host", "pod"]);
    accepts(
        key::LAUNCHER,
        &["native-host", "cplauncher", "native-host-cplauncher"],
    );
    rejects(key::LAUNCHER, &["", "cplauncher.exe", "none"]);
    accepts(key::PROBES, &["auto", "none"]);
    rejects(key::PROBES, &["", "true", "off"]);
    accepts(key::MESH, &["none", "linkerd"]);
    rejects(key::MESH, &["", "istio", "enabled"]);
    accepts(key::AUTHORIZE, &["none", "serviceaccount"]);
    rejects(key::AUTHORIZE, &["", "ServiceAccount", "user"]);
}

#[test]
fn launcher_paths() {
    for key in [key::CPLAUNCHER_PATH, key::LAUNCHER_PATH] {
        accepts(
            key,
            &[
                r"C:\k\bin\x.exe",
                "d:/tools/x.EXE",
                r"C:\x_y-1.2\x.exe",
                r"C:\Größe\x.exe",
            ],
        );
        rejects(
            key,
            &[
                "",
                "x.exe",
                r"C:\Program Files\x.exe",
                r"C:\x.exe\",
                r"C:\x",
                r"C:x.exe",
            ],
        );
        rejects(
            key,
            &[
                r"\\?\C:\x.exe",
                r"C:\a\..\x.exe",
                r"C:\PROGRA~1\x.exe",
                r"C:\x.exe:s.exe",
            ],
        );
        for special in [
            "&", "|", "<", ">", "^", "%", "!", ",", ";", "=", "(", ")", "'", "\"", "\t",
        ] {
            rejects(key, &[&format!(r"C:\a{special}b\x.exe")]);
        }
    }
    let policy = namespace(&[(key::LAUNCHER_PATH, "d:/tools/x.exe")]).unwrap();
    assert_eq!(policy.launcher_path.unwrap().to_string(), r"d:\tools\x.exe");
}

#[test]
fn cplaunchers_dll() {
    let dll =
        |value| namespace(&[(key::CPLAUNCHER_DLL, value)]).map(|policy| policy.cplauncher_dll);
    assert_eq!(dll("none"), Ok(CplauncherDll::None));
    let path = WindowsPath::parse(r"C:\Program Files\K2s\cphook.dll").unwrap();
    assert_eq!(
        dll(r"C:\Program Files\K2s\cphook.dll"),
        Ok(CplauncherDll::Path(path))
    );
    rejects(
        key::CPLAUNCHER_DLL,
        &["", "cphook.dll", "None", r"..\cphook.dll"],
    );
}

#[test]
fn images() {
    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    accepts(
        key::ANCHOR_IMAGE,
        &[
            "pause",
            "pause:3.10",
            "library/pause",
            "registry.k8s.io/pause:3.10.1",
            "localhost/pause",
            "localhost:5000/a/b-c/d_e/f__g/h.i:v1",
            "[fd00::1]:5000/pause",
            "k2s.registry.local:30500/pause-win:v1.5.0",
            "UPPER.example.com/pause",
            "a---b/c:_x.Y-z",
            &format!("registry.k8s.io/pause@sha256:{HEX}"),
            &format!("registry.k8s.io:443/pause:3.10@sha256:{HEX}"),
            &format!("pause@sha512:{HEX}{HEX}"),
        ],
    );
    rejects(
        key::ANCHOR_IMAGE,
        &[
            "",
            "none:",
            "pause:",
            "Pause",
            "example.com/Pause",
            "https://example.com/pause",
            "example.com/pa use",
            "example.com//pause",
            "example.com/pause/",
            "/pause",
            "a..b/c",
            "a/b..c",
            "a/b___c",
            "a/-b",
            "a/b-",
            "-a.example/b",
            "example.com:/b",
            "example.com:99999/b",
            "example.com:x/b",
            "[fd00::1/b",
            "[]/b",
            "pause:.x",
            "pause@sha256:abc",
            "pause@md5:0123456789abcdef0123456789abcdef",
            "pause@",
            HEX,
            &format!("pause@sha256:{}", HEX.to_uppercase()),
            &format!("pause:{}", "x".repeat(129)),
            &"x".repeat(256),
        ],
    );
    let image = |value| {
        namespace(&[(key::LAUNCHER_IMAGE, value)])
            .unwrap()
            .launcher_image
    };
    assert_eq!(image("none"), None);
    assert_eq!(image("none:1"), Some("none:1".to_owned()));
}

#[test]
fn durations() {
    let seconds = |value| {
        namespace(&[(key::LAUNCHER_TIMEOUT, value)])
            .map(|policy| policy.launcher_timeout_seconds)
            .ok()
    };
    assert_eq!(seconds("180s"), Some(180));
    assert_eq!(seconds("3m"), Some(180));
    assert_eq!(seconds("1h"), Some(3600));
    assert_eq!(seconds("1m30s"), Some(90));
    assert_eq!(seconds("0h1m0s"), Some(60));
    assert_eq!(seconds("60m"), Some(3600));
    for bad in [
        "",
        "180",
        "0s",
        "0h",
        "1h1s",
        "1h30m",
        "-5s",
        "+5s",
        "1.5m",
        "500ms",
        "s",
        "3 m",
        "3M",
        "1d",
        "5s3",
        "99999999999999999999s",
        "4294967295h4294967295h",
        "٣s",
    ] {
        assert_eq!(seconds(bad), None, "{bad:?}");
    }
}

#[test]
fn lists() {
    let names = |value: &str| {
        namespace(&[(key::IP_ENV, value)])
            .map(|policy| policy.ip_env)
            .ok()
    };
    assert_eq!(names("A").unwrap(), ["A"]);
    assert_eq!(names("A,B").unwrap(), ["A", "B"]);
    assert_eq!(names(" A ,\n\tB\n,,C,A\r\n").unwrap(), ["A", "B", "C"]);
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("V{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(names(&many(500)).unwrap().len(), 500);
    for bad in ["", ",", " ,\n", "A B", &many(501)] {
        assert_eq!(names(bad), None, "{bad:?}");
    }
}

#[test]
fn environment_variables() {
    accepts(key::IP_ENV, &["BIND_ADDRESS", "_x", "a.b-c", "Server.Host"]);
    rejects(key::IP_ENV, &["1A", "-A", ".A", "A=B", "Ä", "%A%", "$(A)"]);
    rejects(
        key::IP_ENV,
        &[
            "NATIVE_HOST_POD_UID",
            "native_host_pod_namespace",
            "COMPARTMENT_ID_ATTACH",
        ],
    );
}

#[test]
fn labels() {
    accepts(
        key::ANCHOR_LABELS,
        &["app", "app.kubernetes.io/name", "a/B_c.d-1", "team,tier"],
    );
    rejects(
        key::ANCHOR_LABELS,
        &[
            "",
            "a b",
            "/a",
            "a/",
            "a/b/c",
            "-a",
            "a-",
            "A.example/x",
            "app=x",
            "native-host.io/anchor",
        ],
    );
    rejects(
        key::ANCHOR_LABELS,
        &[&"x".repeat(64), &format!("{}/x", "x.".repeat(127) + "xx")],
    );
    accepts(key::ANCHOR_LABELS, &[&"x".repeat(63)]);
}

#[test]
fn node_selectors() {
    let pairs =
        |value| namespace(&[(key::NODE_SELECTOR, value)]).map(|policy| policy.node_selector);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        pairs("b = 2, a/x=1\nempty="),
        Ok(vec![pair("b", "2"), pair("a/x", "1"), pair("empty", "")])
    );
    assert_eq!(pairs("a=1,a=1"), Ok(vec![pair("a", "1")]));
    rejects(
        key::NODE_SELECTOR,
        &["", "a", "=1", "a==1", "a=b=c", "a b=1", "a=x y", "a=1,a=2"],
    );
}

#[test]
fn tolerations() {
    let read = |value| namespace(&[(key::TOLERATIONS, value)]).map(|policy| policy.tolerations);
    let full = r#"[{"key":"os","value":"windows","effect":"NoExecute","tolerationSeconds":30},
                   {"operator":"Exists"},{"key":"k","operator":"","effect":""}]"#;
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        read(full),
        Ok(vec![
            Toleration {
                key: some("os"),
                value: some("windows"),
                effect: some("NoExecute"),
                toleration_seconds: Some(30),
                ..Toleration::default()
            },
            Toleration {
                operator: some("Exists"),
                ..Toleration::default()
            },
            Toleration {
                key: some("k"),
                ..Toleration::default()
            },
        ])
    );
    rejects(
        key::TOLERATIONS,
        &[
            "",
            "[]",
            "{}",
            "os=windows",
            "[1]",
            r#"[{"operator":"Equal"}]"#,
            r"[{}]",
            r#"[{"key":"a b","operator":"Exists"}]"#,
            r#"[{"key":"a","operator":"exists"}]"#,
            r#"[{"key":"a","operator":"Exists","value":"x"}]"#,
            r#"[{"key":"a","value":"x y"}]"#,
            r#"[{"key":"a","effect":"NoRun"}]"#,
            r#"[{"key":"a","tolerationSeconds":3}]"#,
            r#"[{"key":"a","effect":"NoSchedule","tolerationSeconds":3}]"#,
            r#"[{"key":"a","effect":"NoExecute","tolerationSeconds":3.5}]"#,
            r#"[{"key":"a","effects":"NoExecute"}]"#,
            r#"[{"key":1}]"#,
        ],
    );
}

#[test]
fn health() {
    let port = |value| {
        namespace(&[(key::HEALTH_PORT, value)])
            .map(|policy| policy.health_port)
            .ok()
    };
    assert_eq!(port("8081"), Some(PortRef::Number(8081)));
    assert_eq!(port("65535"), Some(PortRef::Number(65535)));
    assert_eq!(
        port("http-health-1"),
        Some(PortRef::Name("http-health-1".to_owned()))
    );
    for bad in [
        "",
        "0",
        "65536",
        "Health",
        "-a",
        "a-",
        "a--b",
        "a_b",
        "a-name-of-16-chs",
        "-1",
        "8-1",
    ] {
        assert_eq!(port(bad), None, "{bad:?}");
    }
    let path = |value| {
        namespace(&[(key::HEALTH_PATH, value)])
            .map(|policy| policy.health_path)
            .ok()
    };
    assert_eq!(path("/"), Some(String::new()));
    assert_eq!(path("/health/"), Some("/health".to_owned()));
    assert_eq!(path("/a/b%20c"), Some("/a/b%20c".to_owned()));
    for bad in [
        "",
        "health",
        "http://x/",
        "/a b",
        "/a?b",
        "/a#b",
        "/ä",
        "/a\u{0}",
    ] {
        assert_eq!(path(bad), None, "{bad:?}");
    }
}

#[test]
fn drains() {
    let seconds = |value| {
        namespace(&[(key::DRAIN_SECONDS, value)])
            .map(|policy| policy.drain_seconds)
            .ok()
    };
    assert_eq!(seconds("0"), Some(0));
    assert_eq!(seconds("300"), Some(300));
    for bad in ["", "301", "-1", "+1", "5s", "1e2", "5.0", "99999999999"] {
        assert_eq!(seconds(bad), None, "{bad:?}");
    }
}

#[test]
fn accounts() {
    accepts(
        key::RUN_AS,
        &[
            r"NT AUTHORITY\SYSTEM",
            r"nt authority\localservice",
            "native-users",
        ],
    );
    rejects(key::RUN_AS, &["", r"a\b\c", "a\"b", r"\x"]);
    let users = namespace(&[(key::ALLOWED_USERS, "NT AUTHORITY\\SYSTEM,\nnative-users")]).unwrap();
    let users = users.allowed_users.unwrap();
    assert_eq!(users.len(), 2);
    assert!(users.contains(&Account::parse(r"nt authority\system").unwrap()));
    rejects(key::ALLOWED_USERS, &["", ",", r"ok,a\b\c"]);
}

#[test]
fn executables() {
    let allowed =
        namespace(&[(key::ALLOWED_EXECUTABLES, "C:\\apps\\*,\n c:/tools/l.exe")]).unwrap();
    let allowed = allowed.allowed_executables.unwrap();
    let any = |path| {
        allowed
            .iter()
            .any(|p| p.matches(&WindowsPath::parse(path).unwrap()))
    };
    assert!(any(r"c:\APPS\x\y.exe"));
    assert!(any(r"C:\Tools\L.exe"));
    assert!(!any(r"C:\other\y.exe"));
    rejects(
        key::ALLOWED_EXECUTABLES,
        &["", "*", r"apps\*", r"C:\apps\..\*", r"C:\a*\x.exe"],
    );
    let launchers = namespace(&[(key::ALLOWED_LAUNCHERS, "cplauncher,native-host")]).unwrap();
    assert_eq!(
        launchers.allowed_launchers,
        Some(vec![LauncherKind::Cplauncher, LauncherKind::NativeHost])
    );
    rejects(key::ALLOWED_LAUNCHERS, &["", "any", "cplauncher,x"]);
}

#[test]
fn containers() {
    let names = |value| {
        namespace(&[(key::CONTAINERS, value)])
            .map(|policy| policy.containers)
            .ok()
    };
    assert_eq!(
        names("a,b-1"),
        Some(Some(vec!["a".to_owned(), "b-1".to_owned()]))
    );
    assert_eq!(Policy::builtin().containers, None);
    rejects(
        key::CONTAINERS,
        &["", "A", "-a", "a-", "a.b", "a_b", "*", &"x".repeat(64)],
    );
}

#[test]
fn networks() {
    let cidrs =
        |value| namespace(&[(key::EXTERNAL_CIDRS, value)]).map(|policy| policy.external_cidrs);
    let read = cidrs("172.19.1.0/24, fd00::/8\n0.0.0.0/0, 10.1.2.3/32").unwrap();
    assert!(read[0].contains(&"172.19.1.1".parse::<std::net::IpAddr>().unwrap()));
    assert!(!read[0].contains(&"172.19.2.1".parse::<std::net::IpAddr>().unwrap()));
    assert_eq!(read.len(), 4);
    rejects(
        key::EXTERNAL_CIDRS,
        &[
            "",
            "172.19.1.1",
            "172.19.1.1/24",
            "172.19.1.0/33",
            "172.019.1.0/24",
            "fd00::1/8",
            "x/8",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
        ],
    );
}
