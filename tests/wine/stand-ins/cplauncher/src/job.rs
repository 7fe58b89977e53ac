//! `-wait-tree`: a job around the program, ended with cplauncher. All `unsafe` code.

use std::ffi::c_void;
use std::mem::size_of;
use std::ptr::{null, null_mut};
use std::time::Duration;

use windows_sys::Win32::Foundation::{CloseHandle, HANDLE};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JobObjectBasicAccountingInformation, JobObjectExtendedLimitInformation,
    QueryInformationJobObject, SetInformationJobObject,
};

use crate::child::Child;

/// How often it looks whether the job is empty.
const POLL: Duration = Duration::from_millis(500);

/// A job.
pub struct Job(HANDLE);

impl Job {
    /// Puts the program into one. Where that fails, the original goes on without, and so does this.
    pub fn around(child: &Child) -> Option<Self> {
        // SAFETY: no name and no attributes are asked for.
        let handle = unsafe { CreateJobObjectW(null(), null()) };
        if handle.is_null() {
            return None;
        }
        let job = Self(handle);
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        let size = u32::try_from(size_of_val(&limits)).ok()?;
        // SAFETY: the handle is a job's; the structure is the one of that class and lives through the call.
        unsafe {
            let limits = (&raw const limits).cast::<c_void>();
            SetInformationJobObject(job.0, JobObjectExtendedLimitInformation, limits, size);
        }
        // SAFETY: both handles are open.
        let assigned = unsafe { AssignProcessToJobObject(job.0, child.handle()) };
        (assigned != 0).then_some(job)
    }

    /// Waits for all that the program has started.
    pub fn wait_until_empty(&self) {
        while self.processes().is_some_and(|count| count > 0) {
            std::thread::sleep(POLL);
        }
    }

    fn processes(&self) -> Option<u32> {
        let mut count = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        let size = u32::try_from(size_of::<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION>()).ok()?;
        // SAFETY: the handle is a job's; the structure is the one of that class, of the size that is said.
        let known = unsafe {
            let count = (&raw mut count).cast::<c_void>();
            QueryInformationJobObject(
                self.0,
                JobObjectBasicAccountingInformation,
                count,
                size,
                null_mut(),
            )
        };
        (known != 0).then_some(count.ActiveProcesses)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and closed once.
        unsafe { CloseHandle(self.0) };
    }
}
