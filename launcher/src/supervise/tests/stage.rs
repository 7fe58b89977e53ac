//! A machine in memory, for tests of what is done on a real one.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use super::super::*;
use crate::compartment::{self, tests::node_with_compartment_5};
use crate::probing::{Failed, Which};
use crate::timestamp::Timestamp;

pub(super) const STATUS: &str =
    r#"{"ip":"10.244.1.7","started":"2026-11-21T10:00:00Z","uid":"a-b"}"#;
pub(super) const BOOT: &str = "2026-11-21T09:00:00Z";

pub(super) type Log = Rc<RefCell<Vec<String>>>;

/// A machine in which time passes only while somebody waits, and what happens is written down before.
pub(super) struct Stage {
    pub(super) now: Cell<Duration>,
    /// The status file's content from a time on.
    pub(super) status: Vec<(Duration, Option<String>)>,
    pub(super) boot: &'static str,
    /// From when on the compartment is there.
    pub(super) compartment_at: Duration,
    pub(super) variables: HashMap<String, String>,
    pub(super) signals: VecDeque<(Duration, Signal)>,
    pub(super) faults: Faults,
    pub(super) log: Log,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) job: bool,
    pub(super) enter: bool,
    pub(super) verdict: Option<Verdict>,
    pub(super) check: bool,
    pub(super) check_panics: bool,
    pub(super) start: bool,
    pub(super) program: bool,
}

pub(super) struct FakeJob {
    log: Log,
    faults: Faults,
}

impl FakeJob {
    fn say(&self, what: impl Into<String>) {
        self.log.borrow_mut().push(what.into());
    }
}

pub(super) fn fail(whether: bool, why: &str) -> Result<(), String> {
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

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn stage(signals: impl IntoIterator<Item = (u64, Signal)>) -> Stage {
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

pub(super) fn run() -> Run {
    Run::new("albums", vec![r"C:\a.exe".to_owned(), "-x".to_owned()])
}

pub(super) const STARTED: &str =
    r#"start C:\a.exe ["C:\\a.exe", "-x"] [("COMPARTMENT_ID_ATTACH", "5")]"#;

/// What is done up to the target's start, and after it.
pub(super) fn through_the_middle<'a>(after: &[&'a str]) -> Vec<&'a str> {
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
pub(super) fn ends(run: &Run, mut stage: Stage, exit: Exit, why: &str, log: &[&str]) -> Duration {
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

pub(super) fn failed(which: Which, why: &str, grace: Option<u32>) -> Signal {
    Signal::ProbeFailed(Failed {
        which,
        times: 3,
        why: why.to_owned(),
        grace,
    })
}
