//! Keys about nodes, launchers and what runs on them.

use super::*;

#[test]
fn words() {
    accepts(key::MODE, &["enforce", "warn", "off", " off\n"]);
    rejects(key::MODE, &["", "Enforce", "on", "enforce,warn"]);
    accepts(key::NETWORK, &["anchor", "host", " host "]);
    rejects(key::NETWORK, &["", "Host", "pod", "anchor,host"]);
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
