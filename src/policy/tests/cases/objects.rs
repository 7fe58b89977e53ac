//! Keys about pods and anchors.

use super::*;

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
