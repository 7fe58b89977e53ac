//! Up to the target's start.

use super::super::*;
use super::stage::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn the_targets_exit_code_is_the_launchers() {
    let mut stage = stage([(7, Signal::Exited(3))]);
    assert_eq!(supervise(&run(), &mut stage), End::Target(3));
    assert_eq!(*stage.log.borrow(), through_the_middle(&["end", "leave"]));
    assert_eq!(End::Target(0xc000_0005).code(), 0xc000_0005);
}

#[test]
fn the_target_gets_address_compartment_and_its_own_arguments() {
    let mut run = run();
    run.ip_env = vec!["BIND".to_owned()];
    run.argv = [
        r"%CONTAINER_SANDBOX_MOUNT_POINT%\a.exe",
        "--ip=$(BIND)",
        "$(OTHER)",
        "$(EMPTY)",
        "$(NONE)",
    ]
    .map(str::to_owned)
    .to_vec();
    run.declared = vec!["EMPTY".to_owned()];
    let mut stage = stage([(1, Signal::Exited(0))]);
    let variables = [
        ("OTHER", "o"),
        ("BIND", "the node's"),
        (MOUNT_POINT, r"C:\hpc\"),
    ];
    stage.variables = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    assert_eq!(supervise(&run, &mut stage), End::Target(0));
    let expected = r#"start C:\hpc\a.exe ["C:\\hpc\\a.exe", "--ip=10.244.1.7", "o", "", "$(NONE)"] [("BIND", "10.244.1.7"), ("COMPARTMENT_ID_ATTACH", "5")]"#;
    assert_eq!(stage.log.borrow()[3], expected);
}

#[test]
fn cplauncher_starts_the_target_in_the_compartment_that_was_found() {
    for (hook, words) in [
        (Hook::Own, ""),
        (
            Hook::Dll(r"C:\cphook.dll".to_owned()),
            r#""-dll", "C:\\cphook.dll", "#,
        ),
        (Hook::None, r#""-no-inject", "#),
    ] {
        let mut run = run();
        run.cplauncher = Some(Cplauncher {
            path: r"C:\cplauncher.exe".to_owned(),
            hook,
        });
        let mut stage = stage([(1, Signal::Exited(0))]);
        assert_eq!(supervise(&run, &mut stage), End::Target(0));
        let start = format!(
            r#"start C:\cplauncher.exe ["C:\\cplauncher.exe", "-compartment", "5", "-wait-tree", {words}"--", "C:\\a.exe", "-x"] [("COMPARTMENT_ID_ATTACH", "5")]"#
        );
        // The job stays where it is, so there is nothing to check nor to leave.
        let expected = ["find 10.244.1.7", &start, "probe 10.244.1.7 in 5", "end"];
        assert_eq!(*stage.log.borrow(), expected);
    }
}

#[test]
fn waits_for_status_and_compartment() {
    let mut stage = stage([(40, Signal::Exited(0))]);
    let torn = Some(STATUS[..30].to_owned());
    stage.status = vec![
        (seconds(10), torn),
        (seconds(11), Some(String::new())),
        (seconds(12), Some(STATUS.to_owned())),
    ];
    stage.compartment_at = seconds(20);
    assert_eq!(supervise(&run(), &mut stage), End::Target(0));
    let log = stage.log.borrow();
    // From 12 s to 20 s, twice a second.
    assert_eq!(
        log.iter().filter(|what| what.starts_with("find")).count(),
        17
    );
    assert_eq!(log.last().unwrap(), "leave");
}

#[test]
fn a_status_that_never_comes_ends_at_the_deadline() {
    let mut stage = stage([]);
    stage.status.clear();
    let end = ends(
        &run(),
        stage,
        Exit::AnchorTimeout,
        "there is no status file",
        &[],
    );
    assert_eq!(end, seconds(180));
}

#[test]
fn a_status_that_is_something_else_ends_it() {
    let mut stage = stage([]);
    stage.status = vec![(Duration::ZERO, Some("{\"ip\":7}".to_owned()))];
    ends(
        &run(),
        stage,
        Exit::AnchorStatus,
        "`ip` is missing or no string",
        &[],
    );
}

#[test]
fn an_anchor_from_before_the_boot_is_waited_out() {
    let mut old = stage([]);
    old.boot = "2026-11-21T10:00:01Z";
    ends(
        &run(),
        old,
        Exit::AnchorTimeout,
        "before the node's last boot at 2026-11-21T10:00:01Z",
        &[],
    );

    let mut renewed = stage([(70, Signal::Exited(0))]);
    renewed.boot = "2026-11-21T10:00:01Z";
    renewed
        .status
        .push((seconds(60), Some(STATUS.replace("10:00:00", "10:05:00"))));
    assert_eq!(supervise(&run(), &mut renewed), End::Target(0));
}

#[test]
fn a_compartment_that_never_comes_ends_at_the_deadline() {
    let mut stage = stage([]);
    stage.compartment_at = seconds(1000);
    let mut run = run();
    run.timeout_seconds = 1;
    let end = ends(
        &run,
        stage,
        Exit::CompartmentNotFound,
        "anchor=a-b ip=10.244.1.7 compartment=- by=- program=C:\\a.exe after=1.0s why=\"hcn: no endpoint",
        &["find 10.244.1.7"; 3],
    );
    assert_eq!(end, seconds(1));
}

#[test]
fn told_to_stop_while_it_waits_it_ends() {
    for signal in [Signal::Stop(Step::Drain), Signal::Closing] {
        let mut stage = stage([(3, signal)]);
        stage.status.clear();
        let end = ends(
            &run(),
            stage,
            Exit::AnchorTimeout,
            "told to stop while it waited",
            &[],
        );
        assert_eq!(end, seconds(3));
    }
}

/// Each way out before the target runs: its code, its reason, and what was done, the leaving included.
#[test]
fn each_failure_before_the_start_leaves_nothing_behind() {
    let find = "find 10.244.1.7";
    let check = "check 5 10.244.1.7";
    let none = Faults::default();
    for (faults, exit, why, log) in [
        (
            Faults {
                program: true,
                ..none
            },
            Exit::TargetNotStarted,
            "no such file",
            &[find][..],
        ),
        (
            Faults { job: true, ..none },
            Exit::System,
            "CreateJobObjectW: 8",
            &[find],
        ),
        (
            Faults {
                enter: true,
                ..none
            },
            Exit::CompartmentRefused,
            "compartment=5 by=hcn program=C:\\a.exe after=0.0s why=ERROR_ACCESS_DENIED",
            &[find, "enter 5", "end", "leave"],
        ),
        (
            Faults {
                check: true,
                ..none
            },
            Exit::FailClosed,
            "CreateProcessW: 5",
            &[find, "enter 5", check, "end", "leave"],
        ),
        (
            Faults {
                verdict: Some(Verdict::Elsewhere(1)),
                ..none
            },
            Exit::FailClosed,
            "compartment 1, the host's own",
            &[find, "enter 5", check, "end", "leave"],
        ),
        (
            Faults {
                verdict: Some(Verdict::NoAddress(10049)),
                ..none
            },
            Exit::FailClosed,
            "error 10049",
            &[find, "enter 5", check, "end", "leave"],
        ),
        (
            Faults {
                start: true,
                ..none
            },
            Exit::TargetNotStarted,
            "CreateProcessW: 193",
            &[find, "enter 5", check, STARTED, "end", "leave"],
        ),
    ] {
        let mut stage = stage([]);
        stage.faults = faults;
        ends(&run(), stage, exit, why, log);
    }
}

#[test]
fn an_error_of_ours_leaves_the_compartment_too() {
    let mut stage = stage([]);
    stage.faults.check_panics = true;
    let log = stage.log.clone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = catch_unwind(AssertUnwindSafe(|| supervise(&run(), &mut stage)));
    std::panic::set_hook(hook);
    assert!(caught.is_err());
    assert_eq!(log.borrow().last().unwrap(), "leave");
}
