//! What ends a target that runs.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener};
use std::process::Stdio;
use std::time::SystemTime;

use native_host_launcher::names;
use native_host_launcher::timestamp::Timestamp;
use native_host_launcher::{Action, Exit, Probe, Run, Stop};

use super::container::{Container, Ended, IP, POD_UID, Started, hex, status};
use super::{entered_and_left, run};

/// A target that runs for long: `ping.exe`, a child of `cmd.exe`.
fn lasting() -> Run {
    run(&["cmd.exe", "/c", "ping -n 600 127.0.0.1 > nul"])
}

fn start(container: &Container, run: &Run) -> Started {
    let started = container.start(&run.to_args().unwrap());
    container.wait_until_runs(true, "ping", "600");
    started
}

#[track_caller]
fn ended_by(container: &Container, ended: &Ended, exit: Exit, why: &str) {
    assert_eq!(ended.code, exit.code(), "{ended:?}");
    let line = ended.last_line();
    assert!(
        line.contains(&format!(" exit={} ", exit.code())) && line.contains(why),
        "{ended:?}"
    );
    entered_and_left(&container.take_calls());
    container.wait_until_runs(false, "ping", "600");
}

#[test]
fn another_anchor() {
    let Some(container) = Container::lease() else {
        return;
    };
    let started = start(&container, &lasting());
    // One that is being written is not another one.
    container.set_status("");
    container.set_status("{\"ip\"");
    container.set_status(&status(
        "127.20.3.9",
        Timestamp::of(SystemTime::now()),
        "a-b",
    ));
    let ended = started.end();
    ended_by(&container, &ended, Exit::AnchorChanged, "is now 127.20.3.9");
}

#[test]
fn a_stop_or_two_at_once() {
    let Some(container) = Container::lease() else {
        return;
    };
    let started = start(&container, &lasting());
    let stop = Stop {
        container: "albums".to_owned(),
        drain_seconds: 1,
        grace_seconds: 2,
    };
    let (one, two) = (
        container.start(&stop.to_args()),
        container.start(&stop.to_args()),
    );
    // wine delivers no CTRL_BREAK, so the target stays to the end of its grace.
    let (one, two, ended) = (one.end(), two.end(), started.end());
    ended_by(
        &container,
        &ended,
        Exit::StopTimeout,
        "still there at the end of the time",
    );
    let codes = [one.code, two.code];
    assert!(codes.contains(&Exit::StopTimeout.code()), "{one:?} {two:?}");
    assert!(one.err.contains("still there after 2 s") || two.err.contains("still there after 2 s"));
}

/// With CTRL_BREAK delivered, which the stand-in does where it is told to: the target ends when it is asked.
#[test]
fn a_stop_that_is_listened_to() {
    let Some(container) = Container::lease() else {
        return;
    };
    container.deliver_ctrl_break(true);
    let started = start(&container, &lasting());
    let stop = Stop {
        container: "albums".to_owned(),
        drain_seconds: 1,
        grace_seconds: 300,
    };
    let (stopped, ended) = (container.run(&stop.to_args()), started.end());
    container.deliver_ctrl_break(false);
    assert_eq!((stopped.code, stopped.err.trim()), (0, ""));
    // The code that the event gave it, and no failure of the launcher's.
    assert_eq!(Exit::from_code(ended.code), None, "{ended:?}");
    assert_eq!(ended.err.trim(), "");
    entered_and_left(&container.take_calls());
    container.wait_until_runs(false, "ping", "600");
}

#[test]
fn a_stop_of_a_target_that_ends_by_itself_meanwhile() {
    let Some(container) = Container::lease() else {
        return;
    };
    let target =
        r"for /l %i in (1,1,600) do (ping -n 3 127.0.0.1 > nul & if exist C:\enough exit 9)";
    let started = container.start(&run(&["cmd.exe", "/c", target]).to_args().unwrap());
    container.wait_until_runs(true, "ping", "3");
    let stop = Stop {
        container: "albums".to_owned(),
        drain_seconds: 300,
        grace_seconds: 300,
    };
    let stopping = container.start(&stop.to_args());
    container.wait_until_runs(true, "native-host-launcher", "stop");
    fs::write(container.file("enough"), "").unwrap();
    let stopped = stopping.end();
    fs::remove_file(container.file("enough")).unwrap();
    assert_eq!((stopped.code, stopped.err.trim()), (0, ""));
    assert_eq!(started.end().code, 9);
    // Another container's `run` is none of its business.
    let other = Stop {
        container: "other".to_owned(),
        ..stop
    };
    assert_eq!(
        container.run(&other.to_args()).code,
        Exit::NothingToStop.code()
    );
}

#[test]
fn its_own_end_takes_its_children_along() {
    let Some(container) = Container::lease() else {
        return;
    };
    let target = r"start /b ping -n 600 127.0.0.1 > nul & for /l %i in (1,1,600) do (ping -n 2 127.0.0.1 > nul & if exist C:\enough exit 4)";
    let started = container.start(&run(&["cmd.exe", "/c", target]).to_args().unwrap());
    container.wait_until_runs(true, "ping", "600");
    fs::write(container.file("enough"), "").unwrap();
    let ended = started.end();
    fs::remove_file(container.file("enough")).unwrap();
    assert_eq!(ended.code, 4, "{ended:?}");
    entered_and_left(&container.take_calls());
    container.wait_until_runs(false, "ping", "600");
}

#[test]
fn the_launchers_own_end() {
    let Some(container) = Container::lease() else {
        return;
    };
    let started = start(&container, &lasting());
    let killed = container
        .start_line("taskkill /F /IM native-host-launcher.exe")
        .end();
    assert_eq!(killed.code, 0, "{killed:?}");
    started.end();
    container.wait_until_runs(false, "ping", "600");
    // Nobody waits for a launcher that is not there.
    let stop = Stop {
        container: "albums".to_owned(),
        drain_seconds: 300,
        grace_seconds: 300,
    };
    assert_eq!(
        container.run(&stop.to_args()).code,
        Exit::NothingToStop.code()
    );
}

fn probe(port: u16) -> Probe {
    Probe {
        action: Action::Tcp { port },
        initial_delay: 0,
        period: 1,
        timeout: 1,
        failure_threshold: 2,
        success_threshold: 1,
        grace: Some(1),
    }
}

#[test]
fn a_probe_that_fails() {
    let Some(container) = Container::lease() else {
        return;
    };
    // A port of the pod's IP that nothing listens on: one that was free a moment ago.
    let free = TcpListener::bind((IP, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for (liveness, exit) in [(true, Exit::LivenessFailed), (false, Exit::StartupFailed)] {
        let mut run = lasting();
        *(if liveness {
            &mut run.liveness
        } else {
            &mut run.startup
        }) = Some(probe(free));
        let ended = start(&container, &run).end();
        let calls = container.file("native-host-stand-in/calls");
        let calls = fs::read_to_string(calls).unwrap();
        assert!(
            calls.contains("SetCurrentThreadCompartmentId compartment=5 -> 0"),
            "{calls}"
        );
        ended_by(&container, &ended, exit, "connection refused");
    }
}

#[test]
fn a_probe_that_would_not_be_in_the_compartment() {
    let Some(container) = Container::lease() else {
        return;
    };
    // It would succeed, on the host's network.
    let listener = TcpListener::bind((IP, 0)).unwrap();
    for (fault, why) in [
        (
            "SetCurrentThreadCompartmentId 5",
            "SetCurrentThreadCompartmentId 5: ",
        ),
        (
            "SetCurrentThreadCompartmentId ignored",
            "was put into compartment 5 is in 1",
        ),
    ] {
        container.set_faults(fault);
        let mut run = lasting();
        run.liveness = Some(probe(listener.local_addr().unwrap().port()));
        // It may have ended before its program did anything.
        let ended = container.run(&run.to_args().unwrap());
        ended_by(&container, &ended, Exit::CompartmentRefused, why);
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it was probed all the same");
}

/// A stop without `stop`, as hcsshim makes it: CTRL_SHUTDOWN to `cmd.exe`, and when that has ended, to all other
/// processes of the container; 5 seconds later all are ended (`internal/jobcontainers/jobcontainer.go`).
#[test]
fn a_shutdown_of_the_container() {
    let Some(container) = Container::lease() else {
        return;
    };
    let node = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = node.local_addr().unwrap().to_string();
    let mut shim = container
        .wine(&container.tools.shim)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut shims, _) = node.accept().unwrap();
    // What the shim never says fails the test, and does not hold it for ever.
    shims
        .set_read_timeout(Some(std::time::Duration::from_secs(120)))
        .unwrap();
    let mut said = BufReader::new(shims.try_clone().unwrap()).lines();
    let mut until = |word: &str| {
        let mut lines = said.by_ref().map(Result::unwrap);
        lines.find(|line| line.starts_with(word)).unwrap()
    };
    until("ready");
    let line = format!(
        r"cmd /c {}\{} {}",
        names::LAUNCHER_DIR,
        names::LAUNCHER_EXE,
        lasting().to_args().unwrap().join(" ")
    );
    let variables = format!("{}={POD_UID}\0", names::POD_UID);
    let words = [&line, r"C:\", &variables].map(hex).join(" ");
    writeln!(shims, "run 0 {words}").unwrap();
    container.wait_until_runs(true, "ping", "600");
    writeln!(shims, "signal").unwrap();
    until("gone");
    entered_and_left(&container.take_calls());
    shims.shutdown(Shutdown::Both).unwrap();
    assert!(shim.wait().unwrap().success());
    container.wait_until_runs(false, "ping", "600");
}
