//! The stand-in for K2s's cplauncher (`tests/wine/stand-ins/cplauncher`) has that one's traps. What our
//! launcher and the webhook make of them is worth no more than that it has.

use std::fs;

use crate::container::{COMPARTMENT, Container, Ended, IP, line, windows_path};

const CMD: &str = r"C:\windows\system32\cmd.exe";

/// Runs it; `pods` is what the API server would say, None where there is no kubeconfig.
fn run(container: &Container, pods: Option<&str>, arguments: &str) -> Ended {
    let file = container.file("native-host-stand-in/pods");
    match pods {
        Some(lines) => fs::write(file, lines).unwrap(),
        None => drop(fs::remove_file(file)),
    }
    let program = windows_path(&container.tools.cplauncher);
    container
        .start_line(&format!("{program} {arguments}"))
        .end()
}

#[test]
fn usage_errors_end_cplauncher_well() {
    let Some(container) = Container::lease() else {
        return;
    };
    for (arguments, code, said) in [
        ("", 0, "Usage: "),
        ("-compartment 5 -no-inject", 0, "Usage: "),
        ("-no-inject -- cmd.exe", 0, "Usage: "),
        (
            "-compartment 5 -label a=b -- cmd.exe",
            0,
            "error: specify either",
        ),
        (
            "-compartment 5 -namespace x -- cmd.exe",
            0,
            "error: -namespace provided",
        ),
        ("-compartment 5 -- cmd.exe", 0, "error: -dll not provided"),
        (
            "-label a=b -label-timeout 5 -no-inject -- cmd.exe",
            0,
            "missing unit",
        ),
        (
            "-label a=b -label-timeout -1s -no-inject -- cmd.exe",
            0,
            "must be > 0",
        ),
        (
            "-compartment x -- cmd.exe",
            2,
            "invalid value \"x\" for flag -compartment",
        ),
        ("-wait-trees -- cmd.exe", 2, "not defined: -wait-trees"),
    ] {
        let ended = run(&container, Some(""), arguments);
        assert_eq!(ended.code, code, "{arguments}: {ended:?}");
        assert!(ended.err.contains(said), "{arguments}: {ended:?}");
    }
    assert_eq!(container.take_calls(), []);
}

#[test]
fn cplauncher_wants_one_pod_with_an_address_that_is_up() {
    let Some(container) = Container::lease() else {
        return;
    };
    let pod = |name: &str, ip: &str| format!("music {name} Running {ip} x=y,workload=a\n");
    let one = pod("a", IP);
    // One that has ended, and one in another namespace.
    let two = format!("{one}music b Failed - workload=a\n");
    let other = format!("{one}films c Running 127.20.9.9 workload=a\n");
    let far = pod("a", "127.20.9.9");
    let by = |timeout: &str, program: &str| {
        format!(
            "-label workload=a -namespace music -label-timeout {timeout} -wait-tree -no-inject -- {program}"
        )
    };
    let echo = format!("{CMD} /c echo %COMPARTMENT_ID_ATTACH% & exit 300");
    for (pods, timeout, program, code, said) in [
        (None, "100s", CMD, 1, "error: kubeconfig load: "),
        (
            Some(""),
            "1s",
            CMD,
            1,
            "no pods match label selector 'workload=a'",
        ),
        (
            Some(two.as_str()),
            "1s",
            CMD,
            1,
            "did not narrow to a single pod",
        ),
        (Some(&pod("a", "-")), "1s", CMD, 1, "still has no IP after"),
        // In spite of the time that there is.
        (
            Some(&far),
            "100s",
            CMD,
            1,
            "ip 127.20.9.9 not found in ipconfig",
        ),
        // It is not looked up.
        (Some(&one), "100s", "cmd.exe", 1, "executable not found: "),
        (
            Some(&one),
            "100s",
            &format!("{CMD} /c exit 300"),
            300,
            "exit=300",
        ),
        (
            Some(&other),
            "100s",
            &format!("{CMD} /c exit -1"),
            u32::MAX,
            "exit=-1",
        ),
    ] {
        let ended = run(&container, pods, &by(timeout, program));
        assert_eq!(ended.code, code, "{pods:?} {program}: {ended:?}");
        let all = format!("{}{}", ended.out, ended.err);
        assert!(all.contains(said), "{pods:?} {program}: {ended:?}");
    }
    // In quotes, for the `&` is the inner cmd's.
    let ended = run(
        &container,
        Some(&one),
        &by("100s", &echo.replace('&', "^&")),
    );
    assert_eq!(ended.code, 300, "{ended:?}");
    assert!(
        ended
            .out
            .lines()
            .any(|line| line.trim_end() == COMPARTMENT.to_string()),
        "{ended:?}"
    );

    // A compartment that comes up too late is one that is not there.
    container.set_endpoints(&line(0, 0, IP));
    let ended = run(&container, Some(&one), &by("100s", CMD));
    assert_eq!(ended.code, 1, "{ended:?}");
    // What kubectl shows of it last is none of its reasons.
    assert_eq!(ended.last_line().trim_end(), "---- end log excerpt ----");
}
