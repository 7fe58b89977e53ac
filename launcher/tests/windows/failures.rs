//! Each of the launcher's own failures before a target runs: its code, its line, and nothing left behind.

use native_host_launcher::timestamp::Timestamp;
use native_host_launcher::{Exit, Stop};

use super::container::{Container, IP, line, status};
use super::{entered_and_left, run};

/// What is wrong with the node.
type Wrong = fn(&Container);

#[track_caller]
fn fails(container: &Container, args: &[String], exit: Exit, why: &str) {
    let ended = container.run(args);
    assert_eq!(ended.code, exit.code(), "{ended:?}");
    let line = ended.last_line();
    let begin = format!("native-host-launcher error={exit:?} exit={} ", exit.code());
    assert!(line.starts_with(&begin) && line.contains(why), "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
}

#[test]
fn each_has_its_code_and_its_line() {
    let Some(container) = Container::lease() else {
        return;
    };
    let good = status(IP, Timestamp::of(std::time::SystemTime::now()), "a-b");
    let cases: [(Exit, &str, bool, Wrong); 7] = [
        (
            Exit::AnchorTimeout,
            "container=albums anchor=- ip=-",
            false,
            |c| c.set_status(""),
        ),
        (Exit::AnchorStatus, "unknown member `x`", false, |c| {
            c.set_status(r#"{"x":1}"#);
        }),
        (
            Exit::AnchorTimeout,
            "before the node's last boot at",
            false,
            |c| {
                c.set_status(&status(IP, Timestamp(0), "a-b"));
            },
        ),
        (
            Exit::CompartmentNotFound,
            "no endpoint has 127.20.3.4",
            false,
            |c| {
                c.set_endpoints(&line(6, 0, "127.20.3.5"));
            },
        ),
        (
            Exit::CompartmentNotFound,
            "in compartment 1, the host's own",
            false,
            |c| {
                c.set_endpoints(&line(1, 0, IP));
            },
        ),
        (
            Exit::CompartmentRefused,
            "compartment=5 by=hcn",
            true,
            |c| {
                c.set_faults("SetJobCompartmentId 5");
            },
        ),
        (
            Exit::FailClosed,
            "in compartment 1, the host's own",
            true,
            |c| {
                c.set_faults("SetJobCompartmentId ignored");
            },
        ),
    ];
    let mut run = run(&["cmd.exe", "/c", "echo it ran"]);
    run.timeout_seconds = 3;
    let args = run.to_args().unwrap();
    for (exit, why, entered, wrong) in cases {
        container.set_faults("");
        container.set_endpoints(&line(5, 0, IP));
        container.set_status(&good);
        container.take_calls();
        wrong(&container);
        fails(&container, &args, exit, why);
        let calls = container.take_calls();
        if entered {
            entered_and_left(&calls);
        } else {
            assert!(
                calls.iter().all(|(_, call, _)| !call.starts_with("Set")),
                "{calls:?}"
            );
        }
    }
}

#[test]
fn an_address_that_cannot_be_bound_stops_the_start() {
    let Some(container) = Container::lease() else {
        return;
    };
    // Of the networks for documentation (RFC 5737): it is bound, not spoken to, and nobody has it.
    let foreign = "192.0.2.7";
    container.set_endpoints(&line(5, 0, foreign));
    container.set_status(&status(
        foreign,
        Timestamp::of(std::time::SystemTime::now()),
        "a-b",
    ));
    let args = run(&["cmd.exe", "/c", "echo it ran"]).to_args().unwrap();
    // WSAEADDRNOTAVAIL
    fails(&container, &args, Exit::FailClosed, "error 10049");
    entered_and_left(&container.take_calls());
}

#[test]
fn programs_that_cannot_be_started_are_named() {
    let Some(container) = Container::lease() else {
        return;
    };
    std::fs::write(container.file("text.exe"), "no program").unwrap();
    for (program, why) in [
        (r"C:\nothing.exe", r"there is no file C:\nothing.exe"),
        ("nothing", "write the program's absolute path"),
        (r"C:\text.exe", r"C:\text.exe: CreateProcessW"),
    ] {
        let args = run(&[program]).to_args().unwrap();
        fails(&container, &args, Exit::TargetNotStarted, why);
    }
    let calls = container.take_calls();
    entered_and_left(&calls);
}

#[test]
fn the_other_ways_to_a_compartment_are_gone_and_said() {
    let Some(container) = Container::lease() else {
        return;
    };
    let args = run(&[r"C:\nothing.exe"]).to_args().unwrap();
    container.set_faults("HcnEnumerateEndpoints 0x800706ba\n");
    fails(
        &container,
        &args,
        Exit::TargetNotStarted,
        "compartment=5 by=adapters",
    );
    // wine's ipconfig knows no compartments.
    container.set_faults("HcnEnumerateEndpoints 0x800706ba\nGetAdaptersAddresses 50\n");
    let mut short = run(&["cmd.exe"]);
    short.timeout_seconds = 1;
    let args = short.to_args().unwrap();
    fails(
        &container,
        &args,
        Exit::CompartmentNotFound,
        "adapters: GetAdaptersAddresses: ",
    );
    let ended = container.run(&args);
    for part in [
        "hcn: HcnEnumerateEndpoints: 0x800706ba",
        "ipconfig.exe: exit code 1",
    ] {
        assert!(ended.last_line().contains(part), "{ended:?}");
    }
}

#[test]
fn a_line_that_is_none_and_a_stop_without_a_run_are_said() {
    let Some(container) = Container::lease() else {
        return;
    };
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    fails(
        &container,
        &words("run --container albums"),
        Exit::Usage,
        "expected `-- EXE ARG...`",
    );
    let stop = Stop {
        container: "albums".to_owned(),
        drain_seconds: 60,
        grace_seconds: 60,
    };
    fails(
        &container,
        &stop.to_args(),
        Exit::NothingToStop,
        "no `run` of container albums",
    );
    assert!(container.take_calls().is_empty());
}
