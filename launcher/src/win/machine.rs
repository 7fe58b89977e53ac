//! The node as `run` sees it.

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{env, io, thread};

use super::hcn::Hcn;
use super::job::TargetJob;
use super::tls::Schannel;
use super::{Compartments, console, process, system};
use native_host_launcher::Run;
use native_host_launcher::compartment::{self, Assigned, Found, Node};
use native_host_launcher::names;
use native_host_launcher::probing::{self, Clock, Due, Outcome, Schedule};
use native_host_launcher::program::{Folders, locate};
use native_host_launcher::supervise::{Machine, Signal};
use native_host_launcher::timestamp::Timestamp;

/// How long a look-up may take before that is said.
const ANSWER: Duration = Duration::from_secs(5);

/// How often it is asked whether it has ended.
const PAUSE: Duration = Duration::from_millis(2);

type LookUp = JoinHandle<Result<Found, String>>;

/// This machine.
pub(crate) struct Windows {
    start: Instant,
    to: Sender<Signal>,
    from: Receiver<Signal>,
    /// A look-up that has not come back yet.
    pending: RefCell<Option<(IpAddr, LookUp)>>,
}

impl Windows {
    /// Begins to listen to control events.
    pub(crate) fn new() -> Result<Self, String> {
        let (to, from) = channel();
        console::listen(to.clone())?;
        Ok(Self {
            start: Instant::now(),
            to,
            from,
            pending: RefCell::default(),
        })
    }

    /// Where signals go.
    pub(crate) fn to(&self) -> Sender<Signal> {
        self.to.clone()
    }
}

/// The network of this machine, for the look-up of compartments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network;

impl Node for Network {
    type Hcn = Hcn;

    fn hcn(&self) -> Result<Hcn, String> {
        Hcn::load()
    }

    fn adapters(&self) -> Result<Vec<Assigned>, String> {
        Compartments::load()?.adapters()
    }

    fn ipconfig(&self) -> Result<Vec<u8>, String> {
        let folder = system::system_folder();
        process::output(
            &format!(r"{folder}\ipconfig.exe"),
            "/allcompartments",
            &folder,
        )
    }
}

impl Machine for Windows {
    type Job = TargetJob;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn booted(&self) -> Timestamp {
        system::booted()
    }

    fn status(&self) -> io::Result<Vec<u8>> {
        std::fs::read(Path::new(names::ANCHOR_DIR).join(names::ANCHOR_FILE))
    }

    fn find(&self, ip: IpAddr) -> Result<Found, String> {
        // On a thread of its own: the Host Network Service can hang, and the deadline is to hold.
        let former = self.pending.take().filter(|(of, _)| *of == ip);
        let pending = match former {
            Some((_, pending)) => pending,
            None => thread::spawn(move || compartment::find(&Network, ip)),
        };
        let end = Instant::now() + ANSWER;
        while !pending.is_finished() {
            if Instant::now() > end {
                self.pending.replace(Some((ip, pending)));
                let seconds = ANSWER.as_secs();
                return Err(format!(
                    "Windows' network services have not answered within {seconds} s"
                ));
            }
            thread::sleep(PAUSE);
        }
        // A thread that panics ends the process.
        pending.join().unwrap_or_else(|_| Err(String::new()))
    }

    fn variable(&self, name: &str) -> Option<String> {
        // Windows ignores case here, the kubelet does not.
        env::vars_os()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.to_string_lossy().into_owned())
    }

    fn locate(&self, name: &str) -> Result<String, String> {
        let windows = system::windows_folder();
        let folders = Folders {
            current: env::current_dir()
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default(),
            path: env::var("PATH").unwrap_or_default(),
            system: vec![
                system::system_folder(),
                format!(r"{windows}\System"),
                windows,
            ],
        };
        locate(name, &folders, |path| Path::new(path).is_file())
    }

    fn job(&mut self) -> Result<TargetJob, String> {
        TargetJob::new(self.to())
    }

    fn probe(&mut self, run: &Run, ip: IpAddr, compartment: u32) {
        if run.startup.is_none() && run.liveness.is_none() {
            return;
        }
        let schedule = Schedule::new(run.startup.clone(), run.liveness.clone());
        let to = self.to();
        thread::spawn(move || probe(schedule, ip, compartment, &to));
    }

    fn next(&mut self, until: Duration) -> Option<Signal> {
        let time = until.saturating_sub(self.now());
        self.from.recv_timeout(time).ok()
    }
}

/// The time of the thread that probes. It ends with the process: what a probe finds while the target is being
/// stopped, `run` does not listen to.
struct Since(Instant);

impl Clock for Since {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait_until(&self, at: Duration) -> bool {
        thread::sleep(at.saturating_sub(self.now()));
        true
    }
}

/// Probes on this thread, in the compartment. The launcher itself is outside of the job and so on the host's
/// network: each attempt makes sure first that its thread is not.
fn probe(schedule: Schedule, ip: IpAddr, compartment: u32, to: &Sender<Signal>) {
    let enter = || Compartments::load().and_then(|calls| calls.enter(compartment));
    let astray = |why: &String| to.send(Signal::ProbeAstray(why.clone()));
    // Now, and not only when the first is due, after an initial delay of minutes.
    if let Err(why) = enter() {
        let _ = astray(&why);
        return;
    }
    let mut attempt = |due: &Due<'_>| {
        if let Err(why) = enter() {
            let _ = astray(&why);
            return Outcome::Unknown(why);
        }
        let timeout = Duration::from_secs(due.probe.timeout.into());
        probing::attempt_with_retries(&due.probe.action, ip, timeout, &Schannel)
    };
    let clock = Since(Instant::now());
    let failed = probing::watch(schedule, &clock, &mut attempt, &mut |_, _, _| {});
    if let Some(failed) = failed {
        let _ = to.send(Signal::ProbeFailed(failed));
    }
}
