//! The container's job object.

use std::ffi::c_void;
use std::io::{Error, Result};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{HANDLE, TRUE};
use windows_sys::Win32::System::JobObjects::{
    CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    JOBOBJECT_BASIC_PROCESS_ID_LIST, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JobObjectBasicAccountingInformation, JobObjectBasicProcessIdList,
    JobObjectExtendedLimitInformation, QueryInformationJobObject, SetInformationJobObject,
    TerminateJobObject,
};

/// A job that ends with this program.
pub struct Job(HANDLE);

// SAFETY: a handle of the process, usable from every thread.
unsafe impl Send for Job {}
// SAFETY: as above; Windows orders the calls.
unsafe impl Sync for Job {}

impl Job {
    /// A new one; what is in it ends when its last handle is closed, as hcsshim has it
    /// (`SetTerminateOnLastHandleClose`).
    pub fn new() -> Result<Self> {
        // SAFETY: no name and no attributes.
        let handle = unsafe { CreateJobObjectW(null(), null()) };
        if handle.is_null() {
            return Err(Error::last_os_error());
        }
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        let class = JobObjectExtendedLimitInformation;
        // SAFETY: the structure is the class's, and as long as is said.
        let set = unsafe {
            SetInformationJobObject(
                handle,
                class,
                (&raw const limits).cast(),
                size_of_val(&limits) as u32,
            )
        };
        if set == TRUE {
            Ok(Self(handle))
        } else {
            Err(Error::last_os_error())
        }
    }

    /// For a list of a process's attributes.
    pub fn handle(&self) -> HANDLE {
        self.0
    }

    /// Whether no process is left in it.
    pub fn is_empty(&self) -> bool {
        let mut info = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        let size = size_of_val(&info) as u32;
        // SAFETY: the structure is the class's, and as long as is said.
        let told = unsafe {
            QueryInformationJobObject(
                self.0,
                JobObjectBasicAccountingInformation,
                (&raw mut info).cast::<c_void>(),
                size,
                null_mut(),
            )
        };
        told == TRUE && info.ActiveProcesses == 0
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<u32> {
        // The structure ends with an array of one; in units of usize, for its alignment.
        let mut list = vec![0_usize; 1024];
        let size = (list.len() * size_of::<usize>()) as u32;
        let class = JobObjectBasicProcessIdList;
        // SAFETY: the buffer is as long as is said, and aligned for the structure.
        let told = unsafe {
            QueryInformationJobObject(self.0, class, list.as_mut_ptr().cast(), size, null_mut())
        };
        if told != TRUE {
            return Vec::new();
        }
        // SAFETY: it holds such a structure now.
        let count = unsafe {
            (*list.as_ptr().cast::<JOBOBJECT_BASIC_PROCESS_ID_LIST>()).NumberOfProcessIdsInList
        };
        let first = std::mem::offset_of!(JOBOBJECT_BASIC_PROCESS_ID_LIST, ProcessIdList)
            / size_of::<usize>();
        list[first..]
            .iter()
            .take(count as usize)
            .map(|pid| *pid as u32)
            .collect()
    }

    /// Ends every process in it; hcsshim's code for that is 1 (`Terminate`).
    pub fn end(&self) {
        // SAFETY: a handle of ours.
        unsafe { TerminateJobObject(self.0, 1) };
    }
}
