#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::*;
use crate::compartment::{self, Way, tests::node_with_compartment_5};
use crate::probing::{Failed, Which};
use crate::timestamp::Timestamp;

const STATUS: &str = r#"{"ip":"10.244.1.7","started":"2026-11-21T10:00:00Z","uid":"a-b"}"#;
const BOOT: &str = "2026-11-21T09:00:00Z";

type Log = Rc<RefCell<Vec<String>>>;

/// A machine in which time passes only while somebody waits, and what happens is written down before.
struct Stage {
    now: Cell<Duration>,
    /// The status file's content from a time on.
    status: Vec<(Duration, Option<String>)>,
    boot: &'static str,
    /// From when on the compartment is there.
    compartment_at: Duration,
    variables: HashMap<String, String>,
    signals: VecDeque<(Duration, Signal)>,
    faults: Faults,
    log: Log,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Faults {
    job: bool,
    enter: bool,
    verdict: Option<Verdict>,
    check: bool,
    check_panics: bool,
    start: bool,
    program: bool,
}

struct FakeJob {
    log: Log,
    faults: Faults,
}

impl FakeJob {
    fn say(&self, what: impl Into<String>) {
        self.log.borrow_mut().push(what.into());
    }
}

fn fail(whether: bool, why: &str) -> Result<(), String> {
    if whether { Err(why.to_owned()) } else { Ok(()) }
}

impl Job for FakeJob {
    fn enter(&self, compartment: u32) -> Result<(), String> {
        self.say(format!("enter {compartment}"));
        fail(self.faults.enter, "ERROR_ACCESS_DENIED")
    }

    fn leave(&self) {
        self.say("leave");
    }

    fn check(&self, compartment: u32, ip: IpAddr) -> Result<Verdict, String> {
        self.say(format!("check {compartment} {ip}"));
        assert!(!self.faults.check_panics, "an error of ours");
        fail(self.faults.check, "CreateProcessW: 5")?;
        Ok(self.faults.verdict.unwrap_or(Verdict::Inside))
    }

    fn start(&mut self, target: &Target) -> Result<(), String> {
        self.say(format!(
            "start {} {:?} {:?}",
            target.file, target.argv, target.set
        ));
        fail(self.faults.start, "CreateProcessW: 193")
    }

    fn ask(&self) {
        self.say("ask");
    }

    fn end(&self) {
        self.say("end");
    }
}

impl Machine for Stage {
    type Job = FakeJob;

    fn now(&self) -> Duration {
        self.now.get()
    }

    fn booted(&self) -> Timestamp {
        Timestamp::parse(self.boot).unwrap()
    }

    fn status(&self) -> io::Result<Vec<u8>> {
        let past = self
            .status
            .iter()
            .rev()
            .find(|(from, _)| *from <= self.now());
        let content = past.and_then(|(_, content)| content.clone());
        content
            .map(Into::into)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn find(&self, ip: IpAddr) -> Result<Found, String> {
        self.log.borrow_mut().push(format!("find {ip}"));
        if self.now() < self.compartment_at {
            return Err("hcn: no endpoint has it".to_owned());
        }
        compartment::find(&node_with_compartment_5(), ip)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn locate(&self, name: &str) -> Result<String, String> {
        fail(self.faults.program, "there is no such file")?;
        Ok(name.to_owned())
    }

    fn job(&mut self) -> Result<FakeJob, String> {
        fail(self.faults.job, "CreateJobObjectW: 8")?;
        let (log, faults) = (self.log.clone(), self.faults);
        Ok(FakeJob { log, faults })
    }

    fn probe(&mut self, _: &Run, ip: IpAddr, compartment: u32) {
        self.log
            .borrow_mut()
            .push(format!("probe {ip} in {compartment}"));
    }

    fn next(&mut self, until: Duration) -> Option<Signal> {
        assert!(
            self.now() < Duration::from_secs(100_000),
            "it waits for ever"
        );
        match self.signals.front() {
            Some((at, _)) if *at <= until => {
                let (at, signal) = self.signals.pop_front().unwrap();
                self.now.set(at.max(self.now()));
                Some(signal)
            }
            _ => {
                self.now.set(until.max(self.now()));
                None
            }
        }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn stage(signals: impl IntoIterator<Item = (u64, Signal)>) -> Stage {
    let signals = signals
        .into_iter()
        .map(|(at, signal)| (seconds(at), signal));
    Stage {
        now: Cell::default(),
        status: vec![(Duration::ZERO, Some(STATUS.to_owned()))],
        boot: BOOT,
        compartment_at: Duration::ZERO,
        variables: HashMap::new(),
        signals: signals.collect(),
        faults: Faults::default(),
        log: Log::default(),
    }
}

fn run() -> Run {
    Run::new("albums", vec![r"C:\a.exe".to_owned(), "-x".to_owned()])
}

const STARTED: &str = r#"start C:\a.exe ["C:\\a.exe", "-x"] [("COMPARTMENT_ID_ATTACH", "5")]"#;

/// What is done up to the target's start, and after it.
fn through_the_middle<'a>(after: &[&'a str]) -> Vec<&'a str> {
    let before = [
        "find 10.244.1.7",
        "enter 5",
        "check 5 10.244.1.7",
        STARTED,
        "probe 10.244.1.7 in 5",
    ];
    before.into_iter().chain(after.iter().copied()).collect()
}

#[track_caller]
fn ends(run: &Run, mut stage: Stage, exit: Exit, why: &str, log: &[&str]) -> Duration {
    match supervise(run, &mut stage) {
        End::Own(found, line) => {
            assert_eq!(found, exit, "{line}");
            assert!(line.contains(why), "{line}");
            assert!(line.contains("container=albums"), "{line}");
        }
        End::Target(code) => panic!("the target's code {code}"),
    }
    assert_eq!(*stage.log.borrow(), log);
    stage.now()
}

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

#[test]
fn another_anchor_ends_the_target_at_once() {
    for (from, to) in [
        ("10.244.1.7", "10.244.1.9"),
        ("10:00:00", "10:00:05"),
        ("a-b", "c-d"),
    ] {
        let mut stage = stage([]);
        // Before the new status, one that is being written: that is no other anchor.
        stage.status.push((seconds(20), Some(String::new())));
        stage.status.push((seconds(21), Some("{".to_owned())));
        stage.status.push((seconds(25), None));
        stage
            .status
            .push((seconds(30), Some(STATUS.replace(from, to))));
        let log = through_the_middle(&["end", "end", "leave"]);
        let end = ends(
            &run(),
            stage,
            Exit::AnchorChanged,
            "the anchor was 10.244.1.7 (uid a-b",
            &log,
        );
        assert_eq!(end, seconds(30));
    }
}

fn failed(which: Which, why: &str, grace: Option<u32>) -> Signal {
    Signal::ProbeFailed(Failed {
        which,
        times: 3,
        why: why.to_owned(),
        grace,
    })
}

#[test]
fn a_failed_probe_asks_first_and_ends_after_the_grace() {
    for (which, exit, own, pods, after) in [
        (Which::Liveness, Exit::LivenessFailed, None, Some(12), 12),
        (Which::Liveness, Exit::LivenessFailed, Some(4), Some(12), 4),
        (Which::Startup, Exit::StartupFailed, None, None, 30),
        (Which::Startup, Exit::StartupFailed, Some(0), Some(12), 0),
    ] {
        let mut run = run();
        run.grace_seconds = pods;
        let stage = stage([(50, failed(which, "http status 503", own))]);
        let log = through_the_middle(&["ask", "end", "end", "leave"]);
        let end = ends(&run, stage, exit, "http status 503", &log);
        assert_eq!(end, seconds(50 + after));
    }
}

#[test]
fn a_failed_probe_is_the_reason_even_if_the_target_then_ends_well() {
    let failed = failed(Which::Liveness, "no answer", None);
    let stage = stage([(50, failed.clone()), (51, failed), (52, Signal::Exited(0))]);
    let log = through_the_middle(&["ask", "end", "leave"]);
    let end = ends(&run(), stage, Exit::LivenessFailed, "no answer", &log);
    assert_eq!(end, seconds(52));
}

#[test]
fn a_probe_that_would_go_elsewhere_ends_the_target() {
    let stage = stage([(5, Signal::ProbeAstray("thread in compartment 1".to_owned()))]);
    let log = through_the_middle(&["end", "end", "leave"]);
    ends(
        &run(),
        stage,
        Exit::CompartmentRefused,
        "thread in compartment 1",
        &log,
    );
}

#[test]
fn a_stop_drains_asks_and_waits_for_the_target() {
    let failed = failed(Which::Liveness, "it is stopping", None);
    let mut stage = stage([
        (10, Signal::Stop(Step::Drain)),
        (12, failed.clone()),
        (15, Signal::Stop(Step::Ask)),
        (16, failed),
        (17, Signal::Stop(Step::Ask)),
        (500, Signal::Exited(0)),
    ]);
    assert_eq!(supervise(&run(), &mut stage), End::Target(0));
    assert_eq!(
        *stage.log.borrow(),
        through_the_middle(&["ask", "end", "leave"])
    );
}

#[test]
fn a_stop_that_has_waited_long_enough_ends_the_target() {
    let stage = stage([
        (10, Signal::Stop(Step::Drain)),
        (15, Signal::Stop(Step::Ask)),
        (45, Signal::Stop(Step::Kill)),
    ]);
    let log = through_the_middle(&["ask", "end", "end", "leave"]);
    ends(&run(), stage, Exit::StopTimeout, "still there", &log);
}

#[test]
fn a_shutdown_leaves_three_and_a_half_seconds() {
    // Whether or not it was asked before, and whether or not that left more time.
    for first in [Signal::Closing, Signal::Stop(Step::Ask)] {
        let stage = stage([(10, first), (11, Signal::Closing)]);
        let was_closing = stage.signals[0].1 == Signal::Closing;
        let log = through_the_middle(&["ask", "end", "end", "leave"]);
        let end = ends(&run(), stage, Exit::StopTimeout, "still there", &log);
        let began = if was_closing { 10 } else { 11 };
        assert_eq!(end, seconds(began) + Duration::from_millis(3500));
    }
    let mut quick = stage([(10, Signal::Closing), (12, Signal::Exited(7))]);
    assert_eq!(supervise(&run(), &mut quick), End::Target(7));
}

#[test]
fn the_way_that_found_the_compartment_is_said() {
    let found = compartment::find(&node_with_compartment_5(), IpAddr::from([10, 244, 1, 7]));
    assert_eq!(found.unwrap().way, Way::Hcn);
}
