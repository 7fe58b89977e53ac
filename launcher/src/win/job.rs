//! The Job object of a target.
//!
//! What cannot be helped: a launcher that is itself ended from outside (`TerminateProcess`; a stop by hcsshim
//! leaves it 5 seconds first) takes its target along, since its handle was the job's last; but nobody takes the job
//! out of its compartment then, and that leaks until the node reboots.

use std::net::IpAddr;
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use windows_sys::Win32::System::JobObjects::{
    CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicAccountingInformation,
    JobObjectBasicProcessIdList, JobObjectExtendedLimitInformation, QueryInformationJobObject,
    SetInformationJobObject, TerminateJobObject,
};

use super::handle::{Handle, done, size};
use super::process::{FOR_EVER, Output, Process, Spawn, spawn};
use super::{Compartments, console, system, windows};
use native_host_launcher::check::{PATIENCE, Verdict, to_args};
use native_host_launcher::environment::merge;
use native_host_launcher::supervise::{Job, Signal, Target};
use native_host_launcher::{CommandLine, Exit};
use std::sync::Arc;

/// How long the check process may take beyond what it waits itself; a machine can be slow.
const CHECK: Duration = Duration::from_secs(30);
/// How long the processes of a job may take to be gone once it was terminated.
const GONE: Duration = Duration::from_secs(5);

/// The job that is in a compartment now. For an end by panic, which drops nothing.
static CONFINED: Mutex<Option<(Arc<Handle>, Compartments)>> = Mutex::new(None);

/// Ends the job that is in a compartment and takes it out again, if there is one.
pub(crate) fn leave_at_once() {
    let confined = CONFINED.lock().map_or(None, |mut confined| confined.take());
    if let Some((job, compartments)) = confined {
        terminate(&job);
        // Nothing is left to tell anybody.
        let _ = compartments.set_job(&job, 0);
    }
}

/// A job whose processes end with it, and cannot leave it.
pub(super) fn new_job() -> Result<Handle, String> {
    // SAFETY: a job without a name; its handle is ours.
    let job = unsafe { Handle::own(CreateJobObjectW(null(), null()), "CreateJobObjectW")? };
    // No BREAKAWAY_OK: what leaves the job would be on the host's network.
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    // SAFETY: the structure is the one that this class takes, and as long as is said.
    let result = unsafe {
        SetInformationJobObject(
            job.raw(),
            JobObjectExtendedLimitInformation,
            (&raw const limits).cast(),
            size(&limits),
        )
    };
    done(result, "SetInformationJobObject")?;
    Ok(job)
}

/// The job of a target.
pub(crate) struct TargetJob {
    job: Arc<Handle>,
    to: Sender<Signal>,
    /// The target's process group.
    group: Option<u32>,
}

impl TargetJob {
    pub(super) fn new(to: Sender<Signal>) -> Result<Self, String> {
        Ok(Self {
            job: Arc::new(new_job()?),
            to,
            group: None,
        })
    }

    /// The identifiers of its processes, of so many as fit: enough for their windows.
    fn processes(&self) -> Vec<u32> {
        // JOBOBJECT_BASIC_PROCESS_ID_LIST: two counts of 4 bytes, then identifiers of pointer size.
        const MOST: usize = 1024;
        let mut list = [0_usize; 1 + MOST];
        // SAFETY: the memory is aligned for the list and as long as is said. An error means that there are
        // more; those that fit are there.
        unsafe {
            QueryInformationJobObject(
                self.job.raw(),
                JobObjectBasicProcessIdList,
                list.as_mut_ptr().cast(),
                size(&list),
                null_mut(),
            );
        }
        let count = (list[0] >> 32).min(MOST);
        let ids = list[1..=count].iter();
        ids.filter_map(|&id| u32::try_from(id).ok()).collect()
    }
}

/// Ends all processes of a job, and waits until they are gone.
fn terminate(job: &Handle) {
    // What the processes end with; nobody but a debugger sees it.
    let code = Exit::StopTimeout.code();
    // SAFETY: the handle lives through the call.
    unsafe { TerminateJobObject(job.raw(), code) };
    let start = Instant::now();
    while active(job) > 0 && start.elapsed() < GONE {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn active(job: &Handle) -> u32 {
    let mut counts = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
    // SAFETY: the structure is the one that this class gives, and as long as is said.
    let result = unsafe {
        QueryInformationJobObject(
            job.raw(),
            JobObjectBasicAccountingInformation,
            (&raw mut counts).cast(),
            size(&counts),
            null_mut(),
        )
    };
    if result == 0 {
        0
    } else {
        counts.ActiveProcesses
    }
}

impl Job for TargetJob {
    fn enter(&self, compartment: u32) -> Result<(), String> {
        let compartments = Compartments::load()?;
        if let Ok(mut confined) = CONFINED.lock() {
            *confined = Some((Arc::clone(&self.job), compartments));
        }
        compartments.set_job(&self.job, compartment)
    }

    fn leave(&self) {
        leave_at_once();
    }

    fn check(&self, compartment: u32, ip: IpAddr) -> Result<Verdict, String> {
        let own = std::env::current_exe().map_err(|error| format!("its own path: {error}"))?;
        let own = own.to_str().ok_or("its own path is no Unicode")?;
        let mut argv = vec![own.to_owned()];
        argv.extend(to_args(compartment, ip));
        let line = CommandLine::new(own, &argv, &system::system_folder())
            .map_err(|refused| refused.to_string())?;
        let process = spawn(&Spawn {
            line: &line,
            environment: None,
            output: Output::Nul,
            job: &self.job,
        })?;
        let patience = u32::try_from((PATIENCE + CHECK).as_millis()).unwrap_or(FOR_EVER - 1);
        match process.wait(patience) {
            Some(code) => Ok(Verdict::from_code(code)),
            None => Err("it did not end".to_owned()),
        }
    }

    fn start(&mut self, target: &Target) -> Result<(), String> {
        let line = CommandLine::new(&target.file, &target.argv, &system::system_folder())
            .map_err(|refused| refused.to_string())?;
        let set = target.set.iter();
        let set = set.map(|(name, value)| (name.into(), value.into()));
        let process = spawn(&Spawn {
            line: &line,
            environment: Some(merge(std::env::vars_os(), set)),
            output: Output::Inherited,
            job: &self.job,
        })?;
        self.group = Some(process.id);
        let to = self.to.clone();
        std::thread::spawn(move || tell_the_end(&process, &to));
        Ok(())
    }

    fn ask(&self) {
        // Each reaches programs that the other does not, and neither all: what does not listen is ended later.
        if let Some(group) = self.group {
            let _ = console::interrupt(group);
        }
        let _ = windows::close(&self.processes());
    }

    fn end(&self) {
        terminate(&self.job);
    }
}

fn tell_the_end(process: &Process, to: &Sender<Signal>) {
    // A handle of ours can be waited for; if it once cannot, nobody may wait for ever.
    let code = process.wait(FOR_EVER).unwrap_or(Exit::System.code());
    // Where nobody listens any more, the launcher is about to end.
    let _ = to.send(Signal::Exited(code));
}
