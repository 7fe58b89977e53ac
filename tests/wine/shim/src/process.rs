//! Processes of the container: how they start, are told to end, and end.

use std::ffi::c_void;
use std::fs::File;
use std::io::Read as _;
use std::os::windows::io::{FromRawHandle as _, RawHandle};
use std::ptr::{null, null_mut};

use windows_sys::Wdk::System::Threading::{NtQueryInformationProcess, ProcessBasicInformation};
use windows_sys::Win32::Foundation::{
    CloseHandle, GetLastError, HANDLE, HANDLE_FLAG_INHERIT, SetHandleInformation,
};
use windows_sys::Win32::System::Console::{
    CTRL_SHUTDOWN_EVENT, GetStdHandle, STD_ERROR_HANDLE, STD_OUTPUT_HANDLE,
};
use windows_sys::Win32::System::Diagnostics::Debug::{ReadProcessMemory, WriteProcessMemory};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Pipes::CreatePipe;
use windows_sys::Win32::System::Threading::{
    CREATE_UNICODE_ENVIRONMENT, CreateProcessW, CreateRemoteThread, DeleteProcThreadAttributeList,
    EXTENDED_STARTUPINFO_PRESENT, GetExitCodeProcess, INFINITE, InitializeProcThreadAttributeList,
    OpenProcess, PROC_THREAD_ATTRIBUTE_JOB_LIST, PROCESS_ALL_ACCESS, PROCESS_BASIC_INFORMATION,
    PROCESS_INFORMATION, QueryFullProcessImageNameW, STARTF_USESTDHANDLES, STARTUPINFOEXW,
    TerminateProcess, UpdateProcThreadAttribute, WaitForSingleObject,
};

use crate::job::Job;
use crate::text::wide;

/// A process that was started here.
pub struct Process {
    handle: HANDLE,
    pid: u32,
}

// SAFETY: a handle of the process, usable from every thread.
unsafe impl Send for Process {}
// SAFETY: as above; Windows orders the calls.
unsafe impl Sync for Process {}

/// The end of a pipe where an exec's output arrives.
pub struct Output(File);

impl Output {
    /// Everything that comes, of which the first bytes are kept.
    pub fn read(&mut self, limit: usize) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(read) = self.0.read(&mut buffer) {
            if read == 0 {
                break;
            }
            all.extend(&buffer[..read]);
            all.truncate(limit);
        }
        all
    }
}

impl Process {
    /// Starts this very command line in the job, with no stdin, and the container's output or one of
    /// its own. The error is Windows' own.
    pub fn start(
        job: &Job,
        line: &str,
        folder: &str,
        environment: &[u16],
        captured: bool,
    ) -> Result<(Self, Option<Output>), u32> {
        let (mut line, folder) = (wide(line), wide(folder));
        let mut startup = STARTUPINFOEXW::default();
        startup.StartupInfo.cb = size_of::<STARTUPINFOEXW>() as u32;
        startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
        let pipe = if captured { Some(pipe()?) } else { None };
        // SAFETY: two constants.
        let own = unsafe {
            (
                GetStdHandle(STD_OUTPUT_HANDLE),
                GetStdHandle(STD_ERROR_HANDLE),
            )
        };
        let (stdout, stderr) = pipe.as_ref().map_or(own, |(_, end)| (*end, *end));
        startup.StartupInfo.hStdOutput = stdout;
        startup.StartupInfo.hStdError = stderr;
        let mut attributes = vec![0_usize; 16];
        let mut size = size_of_val(attributes.as_slice());
        startup.lpAttributeList = attributes.as_mut_ptr().cast();
        let jobs = [job.handle()];
        let mut child = PROCESS_INFORMATION::default();
        // SAFETY: the list's memory, the job's handle, both texts (which end with a NUL; the line may be
        // written to) and the environment (which ends with an empty text) live until the call is back.
        let error = unsafe {
            let list = startup.lpAttributeList;
            let attribute = PROC_THREAD_ATTRIBUTE_JOB_LIST as usize;
            let jobs = jobs.as_ptr().cast::<c_void>();
            if InitializeProcThreadAttributeList(list, 1, 0, &raw mut size) == 0
                || UpdateProcThreadAttribute(
                    list,
                    0,
                    attribute,
                    jobs,
                    size_of::<HANDLE>(),
                    null_mut(),
                    null(),
                ) == 0
            {
                return Err(GetLastError());
            }
            let flags = CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT;
            let started = CreateProcessW(
                null(),
                line.as_mut_ptr(),
                null(),
                null(),
                1,
                flags,
                environment.as_ptr().cast(),
                folder.as_ptr(),
                (&raw const startup).cast(),
                &raw mut child,
            );
            let error = if started == 0 { GetLastError() } else { 0 };
            DeleteProcThreadAttributeList(list);
            error
        };
        let output = pipe.map(|(output, end)| {
            // SAFETY: the child has its own handle; this one would keep the pipe from ending.
            unsafe { CloseHandle(end) };
            output
        });
        if error != 0 {
            return Err(error);
        }
        // SAFETY: a handle of ours that nobody needs.
        unsafe { CloseHandle(child.hThread) };
        let process = Self {
            handle: child.hProcess,
            pid: child.dwProcessId,
        };
        Ok((process, output))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end; gives all 32 bits of its exit code.
    pub fn wait(&self) -> u32 {
        let mut code = 0;
        // SAFETY: a handle of ours, and a variable that lives.
        unsafe {
            WaitForSingleObject(self.handle, INFINITE);
            GetExitCodeProcess(self.handle, &raw mut code);
        }
        code
    }

    /// What becomes of a SIGTERM to a HostProcess container (`internal/signals/signal.go`,
    /// `ValidateWCOW`).
    pub fn shut_down(&self) {
        shut_down(self.pid);
    }

    /// What becomes of a SIGKILL (`internal/jobcontainers/process.go`, `Signal`).
    pub fn kill(&self) {
        // SAFETY: a handle of ours.
        unsafe { TerminateProcess(self.handle, 1) };
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: the last use of it.
        unsafe { CloseHandle(self.handle) };
    }
}

/// A pipe whose writing end children inherit.
fn pipe() -> Result<(Output, HANDLE), u32> {
    let (mut read, mut write): (HANDLE, HANDLE) = (null_mut(), null_mut());
    // SAFETY: two variables that live; the reading end has one owner from here on.
    unsafe {
        if CreatePipe(&raw mut read, &raw mut write, null(), 0) == 0
            || SetHandleInformation(write, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) == 0
        {
            return Err(GetLastError());
        }
        Ok((Output(File::from_raw_handle(read as RawHandle)), write))
    }
}

/// CTRL_SHUTDOWN as hcsshim delivers it (`internal/jobcontainers/process.go`, `signalProcess`): a thread
/// in the process that begins at kernel32's `CtrlRoutine`.
pub fn shut_down(pid: u32) {
    // SAFETY: the routine is at the same place in every process, and takes the event as its argument.
    unsafe {
        let kernel = GetModuleHandleW(wide("kernel32.dll").as_ptr());
        let Some(routine) = GetProcAddress(kernel, c"CtrlRoutine".as_ptr().cast()) else {
            return;
        };
        let process = OpenProcess(PROCESS_ALL_ACCESS, 0, pid);
        if process.is_null() {
            return;
        }
        heed(process);
        let routine = std::mem::transmute::<
            unsafe extern "system" fn() -> isize,
            unsafe extern "system" fn(*mut c_void) -> u32,
        >(routine);
        let event = CTRL_SHUTDOWN_EVENT as usize as *const c_void;
        let thread = CreateRemoteThread(process, null(), 0, Some(routine), event, 0, null_mut());
        if !thread.is_null() {
            CloseHandle(thread);
        }
        CloseHandle(process);
    }
}

/// Has a process heed events. What begins a new process group ignores CTRL_C, and on Windows only that; wine 8's
/// `CtrlRoutine` (dlls/kernelbase/console.c) then ignores every event. The flag is in the process's parameters.
///
/// # Safety
/// `process` is a handle with all rights.
unsafe fn heed(process: HANDLE) {
    // Of the 64-bit structures: PEB.ProcessParameters, RTL_USER_PROCESS_PARAMETERS.ConsoleFlags.
    const PARAMETERS: usize = 0x20;
    const FLAGS: usize = 0x18;
    let mut info = PROCESS_BASIC_INFORMATION::default();
    let (size, none) = (size_of_val(&info) as u32, null_mut());
    let (mut parameters, flags): (usize, u32) = (0, 0);
    // SAFETY: Windows checks addresses of another process; those of ours are variables that live.
    unsafe {
        let into = (&raw mut info).cast();
        if NtQueryInformationProcess(process, ProcessBasicInformation, into, size, none) != 0 {
            return;
        }
        let (peb, into) = (info.PebBaseAddress as usize, (&raw mut parameters).cast());
        let (at, size) = ((peb + PARAMETERS) as *const c_void, size_of::<usize>());
        if ReadProcessMemory(process, at, into, size, null_mut()) != 0 {
            let at = (parameters + FLAGS) as *const c_void;
            WriteProcessMemory(
                process,
                at,
                (&raw const flags).cast(),
                size_of::<u32>(),
                null_mut(),
            );
        }
    }
}

/// Ends a process if it runs from a file of this name.
pub fn kill_if(pid: u32, name: &str) -> bool {
    let mut path = vec![0_u16; 1024];
    let mut length = path.len() as u32;
    // SAFETY: the buffer is as long as is said, and the handle is closed once.
    unsafe {
        let process = OpenProcess(PROCESS_ALL_ACCESS, 0, pid);
        if process.is_null() {
            return false;
        }
        let known = QueryFullProcessImageNameW(process, 0, path.as_mut_ptr(), &raw mut length) != 0;
        let path = String::from_utf16_lossy(&path[..length as usize]);
        let file = path.rsplit('\\').next().unwrap_or_default();
        let same = known && file.eq_ignore_ascii_case(name);
        let killed = same && TerminateProcess(process, 1) != 0;
        CloseHandle(process);
        killed
    }
}
