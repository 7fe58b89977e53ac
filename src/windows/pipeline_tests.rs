//! Tests of [`super`]: what survives comes out unchanged, and what the launcher's contract writes
//! always survives.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use native_host_launcher::expand::{expand, references};
use native_host_launcher::{Action, Install, Probe, ProbeCommand, Run, Stop};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const LAUNCHER: &str = r"C:\native-host\bin\native-host-launcher.exe";

fn mangled(argv: &[&str]) -> (usize, Fault) {
    let Mangled {
        index,
        argument,
        fault,
    } = survives(argv).unwrap_err();
    assert_eq!(argument, argv.get(index).copied().unwrap_or_default());
    (index, fault)
}

/// The cases of golang.org/x/sys `windows/syscall_windows_test.go` and of "Everyone quotes command
/// line arguments the wrong way", in our words.
#[test]
fn escapes_as_go_does() {
    for (argument, escaped) in [
        ("", r#""""#),
        ("a", "a"),
        (" ", r#"" ""#),
        ("a\tb", "\"a\tb\""),
        ("a\nb", "a\nb"),
        (r"\", r"\"),
        (r"C:\a b\", r#""C:\a b\\""#),
        (r#"""#, r#"\""#),
        (r#"\""#, r#"\\\""#),
        (r#"say "hi" now"#, r#""say \"hi\" now""#),
        (r"\\server\share", r"\\server\share"),
        (r"a\\ b", r#""a\\ b""#),
        (r"a b\\", r#""a b\\\\""#),
    ] {
        assert_eq!(escape_arg(argument), escaped);
    }
}

/// The table of "Parsing C command-line arguments", and what its rules say besides.
#[test]
fn splits_as_the_run_time_does() {
    for (line, expected) in [
        (r#"e "a b c" d e"#, &["e", "a b c", "d", "e"][..]),
        (r#"e "ab\"c" "\\" d"#, &["e", "ab\"c", r"\", "d"]),
        (r#"e a\\\b d"e f"g h"#, &["e", r"a\\\b", "de fg", "h"]),
        (r#"e a\\\"b c d"#, &["e", r#"a\"b"#, "c", "d"]),
        (r#"e a\\\\"b c" d e"#, &["e", r"a\\b c", "d", "e"]),
        (r#"e a"b"" c d"#, &["e", r#"ab" c d"#]),
        (r#"e "a""b""#, &["e", r#"a"b"#]),
        (r#"e "" x"#, &["e", "", "x"]),
        (r#"e """#, &["e", ""]),
        (r#"e ""#, &["e", ""]),
        ("e \t a \t", &["e", "a"]),
        ("e", &["e"]),
        ("", &[""]),
        (r#""C:\a b\" x"#, &[r"C:\a b\", "x"]),
        (r#"C:\"a b"\c x"#, &[r"C:\a b\c", "x"]),
        (r"C:\a\\ x", &[r"C:\a\\", "x"]),
    ] {
        assert_eq!(argv(line), expected, "{line}");
    }
}

#[test]
fn ordinary_command_lines_survive() {
    for argv in [
        &[r"C:\apps\albumswin.exe", "--config", r"C:\apps\prod.json"][..],
        &[
            r"C:\k2s\cplauncher.exe",
            "-label",
            "example.com/x=1-2",
            "--",
            r"C:\My Apps\a.exe",
            "",
        ],
        &[
            "a.exe",
            "a & b",
            "100%",
            "{\"json\": [1, 2]}",
            "größe 東京 😀",
            r"C:\dir\",
        ],
        &[r"C:\Program Files\a.exe", "--x"],
    ] {
        survives(argv).unwrap_or_else(|mangled| panic!("{mangled}"));
    }
}

#[test]
fn says_which_argument_does_not_arrive() {
    let a = r"C:\apps\a.exe";
    for (argv, expected) in [
        (&[][..], (0, Fault::NoProgram)),
        (&["", "x"], (0, Fault::NoProgram)),
        (&[a, "x", "a&b"], (2, Fault::Operator('&'))),
        (&[a, "x", "a\"b & c"], (2, Fault::Operator('&'))),
        (&[a, "5%", "x", "6%"], (1, Fault::Percent)),
        (&[a, "x", "hi!"], (2, Fault::Exclamation)),
        (&[a, "x\ny"], (1, Fault::Control('\n'))),
        (&[a, "\0"], (1, Fault::Nul)),
        (
            &[a, r"$env:CONTAINER_SANDBOX_MOUNT_POINT\x"],
            (1, Fault::MountPoint),
        ),
        (
            &[r"%CONTAINER_SANDBOX_MOUNT_POINT%\a.exe"],
            (0, Fault::MountPoint),
        ),
        (&["a\"b.exe"], (0, Fault::ProgramCharacter('"'))),
        (&["a\u{b}b.exe"], (0, Fault::ProgramCharacter('\u{b}'))),
        (&[r"C:\My Apps\a.exe", "x y"], (0, Fault::OuterQuotes)),
    ] {
        assert_eq!(mangled(argv), expected, "{argv:?}");
    }
}

#[test]
fn says_why_in_a_sentence() {
    assert_eq!(
        survives(&[r"C:\a.exe", "x", "a&b"])
            .unwrap_err()
            .to_string(),
        "argument 2 `a&b`: cmd.exe acts on `&` here, which lies outside of what it takes for quotes"
    );
    let long = "ä".repeat(100) + "!";
    let message = survives(&[r"C:\a.exe", &long]).unwrap_err().to_string();
    assert!(
        message.starts_with(&format!("argument 1 `{}...`: ", "ä".repeat(60))),
        "{message}"
    );
}

#[test]
fn counts_the_line_in_utf16_with_what_comes_before_it() {
    assert_eq!(line_length(&["a.exe"]), "cmd /c a.exe".len());
    assert_eq!(line_length(&["a.exe", "😀"]), "cmd /c a.exe ".len() + 2);
    let room = LINE_LIMIT - line_length(&["a.exe", ""]) + 2;
    let (fits, over) = ("x".repeat(room), "x".repeat(room + 1));
    assert_eq!(survives(&["a.exe", &fits]), Ok(()));
    assert_eq!(
        mangled(&["a.exe", &over]),
        (
            0,
            Fault::TooLong {
                length: LINE_LIMIT + 1
            }
        )
    );
    assert!(deliver(&["a.exe", &over], false).is_ok());
}

/// Arguments that often hold what hurts.
fn argument() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => r"[-a-zA-Z0-9_./\\:@+,=~#]{0,10}",
        3 => r#"[ \t"\\%&|<>^!()$a;*?=]{0,10}"#,
        1 => any::<String>(),
    ]
}

fn program() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(r"C:\apps\a.exe".to_owned()),
        1 => Just(r"C:\My Apps\a.exe".to_owned()),
        1 => r#"[a-c :\\/"&%]{0,8}(\.exe)?"#,
        1 => argument(),
    ]
}

fn any_argv() -> impl Strategy<Value = Vec<String>> {
    (program(), vec(argument(), 0..5)).prop_map(|(program, mut argv)| {
        argv.insert(0, program);
        argv
    })
}

/// What a pod can ask the launcher to run: any text but NUL.
fn any_run() -> impl Strategy<Value = Run> {
    let target =
        prop_oneof![argument(), any::<String>()].prop_map(|text| text.replace('\0', "") + "x");
    let rest = vec(argument().prop_map(|text| text.replace('\0', "")), 0..5);
    let http = (
        1..=u16::MAX,
        any::<String>(),
        any::<bool>(),
        vec((".+", ".*"), 0..2),
    );
    let probe = http.prop_map(|(port, path, https, headers)| Probe {
        action: Action::Http {
            port,
            path,
            https,
            headers,
        },
        initial_delay: 0,
        period: 10,
        timeout: 1,
        failure_threshold: 3,
        success_threshold: 1,
        grace: None,
    });
    (".+", option::of(".+"), option::of(probe), target, rest).prop_map(
        |(container, ip_env, liveness, target, mut argv)| {
            argv.insert(0, target);
            let mut run = Run::new(container, argv);
            run.ip_env.extend(ip_env);
            run.liveness = liveness;
            let names: Vec<_> = run
                .argv
                .iter()
                .flat_map(|a| references(a))
                .map(str::to_owned)
                .collect();
            run.declare(
                names
                    .iter()
                    .map(String::as_str)
                    .filter(|name| !name.is_empty()),
            );
            run
        },
    )
}

fn wrapped(args: Vec<String>) -> Vec<String> {
    let mut argv = vec![LAUNCHER.to_owned()];
    argv.extend(args);
    argv
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_survives_comes_out_unchanged(argv in any_argv()) {
        if survives(&argv).is_ok() {
            prop_assert_eq!(&deliver(&argv, true).unwrap(), &argv);
            prop_assert_eq!(&deliver(&argv, false).unwrap(), &argv);
        }
    }

    /// The short way says yes only where the long one does.
    #[test]
    fn the_short_way_agrees(
        program in r"([A-C]:\\)?[a-c:/.]{0,4}(echo|cd)?[.]?(exe|COM|bat)?",
        words in vec(prop_oneof![4 => r"[-a-zA-Z0-9_./\\:@+,=~#]{0,9}", 1 => argument()], 0..4),
        long in prop_oneof![9 => Just(0_usize), 1 => 8100..8200_usize],
    ) {
        let mut argv = vec![program];
        argv.extend(words);
        argv.push("x".repeat(long));
        let long_way = deliver(&argv, true).and_then(|_| deliver(&argv, false));
        prop_assert_eq!(survives(&argv), long_way.map(|_| ()));
    }

    /// Escaping and splitting are inverses but for the program's name.
    #[test]
    fn arguments_come_back_without_cmd(rest in vec("[^\0]*", 0..5)) {
        let mut argv = vec!["a.exe".to_owned()];
        argv.extend(rest);
        prop_assert_eq!(self::argv(&command_line(&argv)), argv);
    }

    #[test]
    fn what_the_launcher_is_given_always_survives(run in any_run()) {
        let argv = wrapped(run.to_args().unwrap());
        // A line that is too long is refused by who composes it; here it is not the question.
        prop_assume!(line_length(&argv) <= LINE_LIMIT);
        prop_assert_eq!(survives(&argv), Ok(()));
        // The kubelet finds nothing to expand in it,
        for argument in &argv {
            prop_assert_eq!(&expand(argument, |_| Some("changed".to_owned())), argument);
        }
        // and what arrives is the run, which the launcher expands as the kubelet would have.
        let arrived = deliver(&argv, true).unwrap();
        let read = Run::parse(&arrived[1..]).unwrap();
        prop_assert_eq!(&read, &run);
        let lookup = |name: &str| (name.len() < 3).then(|| format!("<{name}>"));
        for (original, arrived) in run.argv.iter().zip(&read.argv) {
            prop_assert_eq!(expand(original, lookup), expand(arrived, lookup));
        }
    }

    #[test]
    fn so_do_its_other_commands(
        container in ".+", dir in ".+", path in any::<String>(), value in any::<String>(),
    ) {
        let headers = vec![("Host".to_owned(), value)];
        let action = Action::Http { port: 1, path, https: true, headers };
        let probe = ProbeCommand { action, timeout_seconds: 4 };
        let stop = Stop { container, drain_seconds: 5, grace_seconds: 30 };
        for args in [probe.to_args(), stop.to_args(), Install { dir }.to_args()] {
            let argv = wrapped(args);
            prop_assume!(line_length(&argv) <= LINE_LIMIT);
            prop_assert_eq!(survives(&argv), Ok(()));
        }
    }

    #[test]
    fn no_line_panics(
        line in prop_oneof![any::<String>(), r#"["\\ %&a]{0,8}"#],
        argv in vec(any::<String>(), 0..4),
    ) {
        let _ = self::argv(&line);
        let _ = through_cmd(&line);
        let _ = survives(&argv).map_err(|mangled| mangled.to_string());
    }
}
