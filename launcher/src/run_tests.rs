//! Tests of [`super`]: writing and reading are inverses, for whatever the fields hold.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::expand::expand;
use crate::probe::tests::any_probe;
use crate::word::is_plain_argument;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn albums(argv: &[&str]) -> Run {
    Run::new("albums", strings(argv))
}

/// What a YAML author may write as one argument: everything but NUL, and often what hurts.
pub(crate) fn any_argument() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => r"[-a-zA-Z0-9_./\\:@+,=~#]{1,12}",
        2 => r#"[ \t"\\%&|<>^!()$a;*?\n\r]{0,10}"#,
        1 => r"(\$\(|\$\$|\$|\)|A|B){0,8}",
        1 => "[^\0]*",
    ]
}

fn any_argv() -> impl Strategy<Value = Vec<String>> {
    (
        any_argument().prop_filter("a target", |a| !a.is_empty()),
        vec(any_argument(), 0..6),
    )
        .prop_map(|(target, mut argv)| {
            argv.insert(0, target);
            argv
        })
}

fn any_run() -> impl Strategy<Value = Run> {
    let hook = prop_oneof![Just(Hook::Own), Just(Hook::None), ".+".prop_map(Hook::Dll)];
    let cplauncher = (".+", hook).prop_map(|(path, hook)| Cplauncher { path, hook });
    (
        ".+",
        any::<u32>(),
        btree_set(".+", 0..3),
        option::of(any_probe()),
        option::of(any_probe()),
        option::of(any::<u32>()),
        option::of(cplauncher),
        btree_set("A|B|C.*", 0..3),
        any_argv(),
    )
        .prop_map(
            |(container, timeout, ip_env, liveness, startup, grace, cplauncher, names, argv)| {
                let mut run = Run {
                    container,
                    timeout_seconds: timeout,
                    ip_env: ip_env.into_iter().collect(),
                    liveness,
                    startup,
                    grace_seconds: grace,
                    cplauncher,
                    declared: Vec::new(),
                    argv,
                };
                run.declare(names.iter().map(String::as_str));
                run
            },
        )
}

#[test]
fn plain_targets_are_readable() {
    let mut run = albums(&[r"C:\apps\albumswin.exe", "--config", r"C:\apps\prod.json"]);
    run.ip_env = strings(&["BIND_ADDRESS"]);
    run.liveness = Some(
        "http:8081/health/liveness,delay=0,period=10,timeout=1,failures=3,successes=1"
            .parse()
            .unwrap(),
    );
    assert_eq!(
        run.to_args().unwrap().join(" "),
        "run --container albums --timeout 180s --ip-env BIND_ADDRESS --liveness \
         http:8081/health/liveness,delay=0,period=10,timeout=1,failures=3,successes=1 \
         -- C:\\apps\\albumswin.exe --config C:\\apps\\prod.json"
    );
}

#[test]
fn one_argument_that_is_not_plain_encodes_all() {
    let run = albums(&[r"C:\apps\a.exe", "two words"]);
    assert_eq!(
        run.to_args().unwrap().join(" "),
        "run --container albums --timeout 180s \
         --argv64 WyJDOlxcYXBwc1xcYS5leGUiLCJ0d28gd29yZHMiXQ"
    );
}

/// The line that docs/windows-command-line.md shows.
#[test]
fn the_documented_line_is_what_is_written() {
    let mut run = albums(&[r"C:\apps\a.exe", "--port=$(PORT)", "two words"]);
    run.declare(["PORT"]);
    let line = format!(
        "native-host-launcher.exe {}",
        run.to_args().unwrap().join(" ")
    );
    let page = include_str!("../../docs/windows-command-line.md");
    assert!(page.lines().any(|shown| shown == line), "{line}");
}

#[test]
fn cplauncher_is_written_with_its_hook() {
    let mut run = albums(&["a.exe"]);
    let path = r"C:\k2s\cplauncher.exe".to_owned();
    for (hook, expected) in [
        (Hook::Own, ""),
        (Hook::None, " --cplauncher-no-inject"),
        (
            Hook::Dll(r"C:\my hook.dll".to_owned()),
            r" --cplauncher-dll C:\my~20hook.dll",
        ),
    ] {
        run.cplauncher = Some(Cplauncher {
            path: path.clone(),
            hook,
        });
        let expected =
            format!("run --container albums --timeout 180s --cplauncher {path}{expected} -- a.exe");
        assert_eq!(run.to_args().unwrap().join(" "), expected);
    }
}

#[test]
fn only_names_that_encoded_arguments_refer_to_travel() {
    let mut run = albums(&["a.exe", "--port=$(PORT)", "$$(ESCAPED)", "$(UNDECLARED)"]);
    run.declare(["OTHER", "PORT", "PORT", "ESCAPED"]);
    assert_eq!(run.declared, ["PORT"]);
    assert!(
        run.to_args()
            .unwrap()
            .windows(2)
            .any(|pair| pair == ["--var", "PORT"])
    );

    run.argv = strings(&["a.exe"]);
    assert_eq!(
        run.to_args(),
        Err(Unwritable::NotReferenced("PORT".to_owned()))
    );
}

#[test]
fn resolves_what_the_kubelet_and_hcsshim_would_have() {
    let mut run = albums(&[
        r"%CONTAINER_SANDBOX_MOUNT_POINT%\a.exe",
        "--port=$(PORT)",
        "$(EMPTY)",
        "$(UNKNOWN)",
        "$$(PORT)",
        "%PATH%",
    ]);
    run.declare(["PORT", "EMPTY"]);
    let arrived = Run::parse(&run.to_args().unwrap()).unwrap();
    let environment = |name: &str| (name == "PORT").then(|| "8080".to_owned());
    assert_eq!(
        arrived.resolve(environment, Some(r"C:\hpc\")),
        [
            r"C:\hpc\a.exe",
            "--port=8080",
            "",
            "$(UNKNOWN)",
            "$(PORT)",
            "%PATH%"
        ]
    );
    assert_eq!(arrived.resolve(environment, None)[0], run.argv[0]);
}

#[test]
fn refuses_to_write_what_windows_cannot_carry() {
    assert_eq!(albums(&[]).to_args(), Err(Unwritable::NoTarget));
    assert_eq!(albums(&["", "a"]).to_args(), Err(Unwritable::EmptyTarget));
    assert_eq!(
        albums(&["a", "b\0"]).to_args(),
        Err(Unwritable::Nul { index: 1 })
    );
    assert_eq!(
        Run::new("", strings(&["a"])).to_args(),
        Err(Unwritable::Empty("container"))
    );
    let mut run = albums(&["a"]);
    run.ip_env = strings(&["IP", "IP"]);
    assert_eq!(
        run.to_args(),
        Err(Unwritable::Twice("ip-env", "IP".to_owned()))
    );
}

#[test]
fn reads_options_in_any_order_and_the_default_timeout() {
    let run = Run::parse(&strings(&[
        "run",
        "--grace",
        "30",
        "--container",
        "c",
        "--",
        "a",
    ]))
    .unwrap();
    assert_eq!(
        (run.timeout_seconds, run.grace_seconds),
        (DEFAULT_TIMEOUT, Some(30))
    );
}

#[test]
fn refuses_with_the_reason() {
    for (line, reason) in [
        ("", "expected `run`, not ``"),
        ("stop", "expected `run`, not `stop`"),
        ("run", "expected `-- EXE"),
        ("run --container", "--container needs a value"),
        ("run --container c", "expected `-- EXE"),
        ("run --container c --", "there is no command"),
        ("run -- a", "--container is missing"),
        (
            "run --container c --container c -- a",
            "--container is given twice",
        ),
        (
            "run --container c --timeout 180 -- a",
            "expected whole seconds",
        ),
        (
            "run --container c --timeout 3m -- a",
            "expected whole seconds",
        ),
        (
            "run --container c --timeout 007s -- a",
            "expected whole seconds",
        ),
        (
            "run --container c --grace -1 -- a",
            "expected a whole number",
        ),
        ("run --container c~6 -- a", "expected a text"),
        ("run --container ~63 -- a", "expected a text"),
        (
            "run --container c --ip-env A --ip-env A -- a",
            "--ip-env A is given twice",
        ),
        (
            "run --container c --liveness http:80 -- a",
            "expected http:PORT/PATH",
        ),
        (
            "run --container c --verbose -- a",
            "`--verbose` is no option",
        ),
        (
            "run --container c --cplauncher-no-inject -- a",
            "--cplauncher is missing",
        ),
        (
            "run --container c --cplauncher p --cplauncher-dll d --cplauncher-no-inject -- a",
            "--cplauncher-no-inject is given twice",
        ),
        (
            "run --container c --var A -- a",
            "no encoded argument refers to it",
        ),
        ("run --container c -- a $(B)", "travel by --argv64"),
        (
            "run --container c --argv64 WyJhIl0 -- a",
            "one argument too many",
        ),
        ("run --container c --argv64 WyJhIl0=", "is not base64url"),
        ("run --container c --argv64 W10", "there is no command"),
        ("run --container c --argv64 WyIiXQ", "the empty string"),
    ] {
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let error = Run::parse(&args).unwrap_err().to_string();
        assert!(error.contains(reason), "{line}: {error}");
    }
}

proptest! {
    #[test]
    fn every_run_comes_back(run in any_run()) {
        let args = run.to_args().unwrap();
        prop_assert!(args.iter().all(|arg| is_plain_argument(arg)), "{:?}", args);
        let read = Run::parse(&args).unwrap();
        prop_assert_eq!(&read, &run);
        prop_assert_eq!(read.to_args().unwrap(), args);
    }

    /// Expanding after the way is the same as expanding before it, on any of its two forms.
    #[test]
    fn expansion_gives_what_the_kubelet_would_have(run in any_run()) {
        let lookup = |name: &str| (name == "A").then(|| "a value".to_owned());
        let arrived = Run::parse(&run.to_args().unwrap()).unwrap();
        for (original, arrived) in run.argv.iter().zip(&arrived.argv) {
            prop_assert_eq!(expand(original, lookup), expand(arrived, lookup));
            if !original.contains('$') {
                prop_assert_eq!(original.as_str(), expand(arrived, lookup));
            }
        }
    }

    #[test]
    fn no_arguments_panic(args in vec(any::<String>(), 0..8)) {
        let mut with_run = strings(&["run", "--container", "c"]);
        with_run.extend(args.iter().cloned());
        let _ = Run::parse(&args);
        let _ = Run::parse(&with_run);
    }
}
