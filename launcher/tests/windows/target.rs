//! A target that runs well.

use native_host_launcher::{Cplauncher, Hook};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::container::{COMPARTMENT, Container, IP, line, windows_path};
use super::{entered_and_left, run};

#[test]
fn it_runs_in_the_compartment_with_its_variables_and_gives_its_code() {
    let Some(container) = Container::lease() else {
        return;
    };
    let mut run = run(&["cmd.exe", "/c", "set & exit 3"]);
    run.ip_env = vec!["BIND_ADDRESS".to_owned(), "other".to_owned()];
    let ended = container.run(&run.to_args().unwrap());
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(ended.err.trim(), "", "a good run says nothing");
    let variable = |line: &str| ended.out.lines().any(|found| found.trim_end() == line);
    assert!(variable(&format!("BIND_ADDRESS={IP}")), "{ended:?}");
    assert!(variable("COMPARTMENT_ID_ATTACH=5"), "{ended:?}");
    // The variable of the pod, whatever the case of its name.
    assert!(variable(&format!("other={IP}")), "{ended:?}");
    assert!(!ended.out.contains("of the pod"), "{ended:?}");

    let calls = container.take_calls();
    entered_and_left(&calls);
    let names: Vec<_> = calls
        .iter()
        .map(|(_, call, _)| call.split(' ').next().unwrap())
        .collect();
    let expected = [
        "HcnEnumerateEndpoints",
        "HcnOpenEndpoint",
        "HcnQueryEndpointProperties",
        "HcnCloseEndpoint",
        "HcnOpenNamespace",
        "HcnQueryNamespaceProperties",
        "HcnCloseNamespace",
        "SetJobCompartmentId",
        "GetCurrentThreadCompartmentId",
        "SetJobCompartmentId",
    ];
    assert_eq!(names, expected);
    // The check process is another one, and found itself inside.
    let (check, _, found) = &calls[8];
    assert!(
        *check != calls[7].0 && *found == COMPARTMENT.to_string(),
        "{calls:?}"
    );
}

#[test]
fn every_exit_code_is_passed_on() {
    let Some(container) = Container::lease() else {
        return;
    };
    for (text, code) in [("0", 0), ("-1073741819", 0xc000_0005), ("7000", 7000)] {
        let exit = format!("exit {text}");
        let ended = container.run(&run(&["cmd.exe", "/c", &exit]).to_args().unwrap());
        assert_eq!(ended.code, code, "{ended:?}");
        entered_and_left(&container.take_calls());
    }
}

/// Arguments of all that matters to anyone on the way, NUL and what Windows itself cannot carry left out.
fn argument() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => r"[-qxQX0-9_./\\:@+,=~#]{1,8}",
        4 => r#"[ \t"\\&|<>^()%!$;,=*?'`q]{0,8}"#,
        1 => r#"[\\" ]{0,12}"#,
        1 => "[q äßλж東\u{a0}\u{2028}😀\n]{0,5}",
        1 => Just("$(OTHER)%PATH%$$(OTHER)".to_owned()),
    ]
}

#[test]
fn every_argument_arrives_byte_for_byte() {
    let Some(container) = Container::lease() else {
        return;
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let echo = windows_path(&container.tools.echo);
    let plain = vec(r"[-qxQX0-9_./\\:@+,=~#]{1,8}", 60..=60);
    for arguments in [
        plain.new_tree(&mut runner).unwrap().current(),
        vec(argument(), 90..=90)
            .new_tree(&mut runner)
            .unwrap()
            .current(),
        vec(argument(), 90..=90)
            .new_tree(&mut runner)
            .unwrap()
            .current(),
        vec(argument(), 90..=90)
            .new_tree(&mut runner)
            .unwrap()
            .current(),
    ] {
        let mut argv = vec![echo.as_str()];
        argv.extend(arguments.iter().map(String::as_str));
        let mut run = run(&argv);
        run.declare(["OTHER"]);
        let ended = container.run(&run.to_args().unwrap());
        assert_eq!(ended.code, 0, "{ended:?}");
        let echoed = ended
            .out
            .lines()
            .find_map(|line| line.strip_prefix("echo "));
        let (_, words) = echoed
            .unwrap_or_else(|| panic!("{ended:?}"))
            .split_once(' ')
            .unwrap();
        let arrived: Vec<_> = words.trim_end().split(',').map(unhex).collect();
        // What the kubelet would have expanded, had it seen it.
        let expected: Vec<_> = argv
            .iter()
            .map(|argument| argument.replace("$(OTHER)%PATH%$$(OTHER)", "of the pod%PATH%$(OTHER)"))
            .collect();
        let kubelet = |argument: &String| native_host_launcher::expand(argument, |_| None);
        let expected: Vec<_> = expected
            .iter()
            .map(|argument| {
                if argument.contains("%PATH%$(") {
                    argument.clone()
                } else {
                    kubelet(argument)
                }
            })
            .collect();
        assert_eq!(arrived, expected);
    }
}

/// The inverse of what argv-echo prints: UTF-16 in hexadecimal, `-` for nothing.
pub(crate) fn unhex(word: &str) -> String {
    let digits = word.trim_start_matches('-').as_bytes();
    let unit = |four: &[u8]| u16::from_str_radix(std::str::from_utf8(four).unwrap(), 16).unwrap();
    String::from_utf16(&digits.chunks(4).map(unit).collect::<Vec<_>>()).unwrap()
}

#[test]
fn cplauncher_starts_it_in_the_compartment_that_was_found() {
    let Some(container) = Container::lease() else {
        return;
    };
    let echo = windows_path(&container.tools.echo);
    let mut run = run(&[&echo, "a b", "%PATH%"]);
    run.cplauncher = Some(Cplauncher {
        path: windows_path(&container.tools.cplauncher),
        hook: Hook::None,
    });
    let ended = container.run(&run.to_args().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    let echoed = ended
        .out
        .lines()
        .find_map(|line| line.strip_prefix("echo "));
    let (_, words) = echoed
        .unwrap_or_else(|| panic!("{ended:?}"))
        .split_once(' ')
        .unwrap();
    let arrived: Vec<_> = words.trim_end().split(',').map(unhex).collect();
    assert_eq!(arrived, [&echo, "a b", "%PATH%"]);
    // The job stays where it is, and cplauncher says what it was given.
    let calls = container.take_calls();
    assert!(
        calls.iter().all(|(_, call, _)| !call.starts_with("Set")),
        "{calls:?}"
    );
    let given = |(_, call, _): &(u32, String, String)| {
        call.contains("cplauncher") && call.contains("compartment=5")
    };
    assert!(calls.iter().any(given), "{calls:?}");
}

#[test]
fn it_has_nothing_on_stdin() {
    let Some(container) = Container::lease() else {
        return;
    };
    // It reads commands until stdin ends; the launcher's own never does.
    let ended = container.run(&run(&["cmd.exe"]).to_args().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_sandbox_that_is_not_up_yet_is_waited_for() {
    let Some(container) = Container::lease() else {
        return;
    };
    container.set_endpoints(&line(0, 0, IP));
    let args = run(&["cmd.exe", "/c", "exit"]).to_args().unwrap();
    let started = container.start(&args);
    container.wait_for("native-host-stand-in/calls");
    container.set_endpoints(&line(COMPARTMENT, 0, IP));
    assert_eq!(started.end().code, 0);
    entered_and_left(&container.take_calls());
}
