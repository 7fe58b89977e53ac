//! Starting a process in a job, by `CreateProcessW`. The library's `Command` cannot do that: a process that is put
//! into a job after its start has had a moment outside.

use std::ffi::{OsStr, OsString, c_void};
use std::os::windows::ffi::OsStrExt as _;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{
    DUPLICATE_SAME_ACCESS, DuplicateHandle, GENERIC_READ, GENERIC_WRITE, HANDLE,
    INVALID_HANDLE_VALUE, WAIT_OBJECT_0,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
};
use windows_sys::Win32::System::Console::{
    GetStdHandle, STD_ERROR_HANDLE, STD_HANDLE, STD_OUTPUT_HANDLE,
};
use windows_sys::Win32::System::Threading::{
    CREATE_NEW_PROCESS_GROUP, CREATE_UNICODE_ENVIRONMENT, CreateProcessW,
    DeleteProcThreadAttributeList, EXTENDED_STARTUPINFO_PRESENT, GetCurrentProcess,
    GetExitCodeProcess, InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST,
    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROC_THREAD_ATTRIBUTE_JOB_LIST, PROCESS_INFORMATION,
    STARTF_USESTDHANDLES, STARTUPINFOEXW, UpdateProcThreadAttribute, WaitForSingleObject,
};

use super::handle::{Handle, done, size, wide};
use native_host_launcher::CommandLine;
use native_host_launcher::environment::Variable;

/// What to start.
pub(super) struct Spawn<'a> {
    pub(super) line: &'a CommandLine,
    /// All of its variables; none: the launcher's own.
    pub(super) environment: Option<Vec<Variable<OsString>>>,
    /// Whether it gets the launcher's stdout and stderr. stdin is always NUL.
    pub(super) output: bool,
    pub(super) job: &'a Handle,
}

/// A process that was started.
#[derive(Debug)]
pub(super) struct Process {
    handle: Handle,
    /// Its identifier, and that of its process group.
    pub(super) id: u32,
}

impl Process {
    /// Waits for its end, at most so many milliseconds; its exit code.
    pub(super) fn wait(&self, milliseconds: u32) -> Option<u32> {
        let mut code = 0;
        // SAFETY: the handle lives through the calls, and the code is written to a place of ours.
        unsafe {
            if WaitForSingleObject(self.handle.raw(), milliseconds) != WAIT_OBJECT_0 {
                return None;
            }
            (GetExitCodeProcess(self.handle.raw(), &raw mut code) != 0).then_some(code)
        }
    }
}

/// Starts it.
pub(super) fn spawn(spawn: &Spawn<'_>) -> Result<Process, String> {
    let nul = nul()?;
    let (out, err) = if spawn.output {
        (
            inheritable(STD_OUTPUT_HANDLE),
            inheritable(STD_ERROR_HANDLE),
        )
    } else {
        (None, None)
    };
    let raw = |handle: &Option<Handle>| handle.as_ref().map_or(nul.raw(), Handle::raw);
    let streams = [nul.raw(), raw(&out), raw(&err)];
    // These and no others are inherited; none twice, which Windows refuses.
    let mut inherited = streams.to_vec();
    inherited.dedup();
    if !spawn.output {
        inherited.truncate(1);
    }
    let jobs = [spawn.job.raw()];
    let mut attributes = Attributes::new(2)?;
    attributes.set(PROC_THREAD_ATTRIBUTE_JOB_LIST, &jobs)?;
    attributes.set(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &inherited)?;

    let mut startup = STARTUPINFOEXW {
        lpAttributeList: attributes.list(),
        ..STARTUPINFOEXW::default()
    };
    startup.StartupInfo.cb = size(&startup);
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    [
        startup.StartupInfo.hStdInput,
        startup.StartupInfo.hStdOutput,
        startup.StartupInfo.hStdError,
    ] = streams;

    let application = wide(&spawn.line.application);
    let mut line = wide(&spawn.line.line);
    let block = spawn.environment.as_deref().map(block);
    let mut made = PROCESS_INFORMATION::default();
    // In a group of its own, so that CTRL_BREAK can be sent to it alone.
    let flags =
        EXTENDED_STARTUPINFO_PRESENT | CREATE_UNICODE_ENVIRONMENT | CREATE_NEW_PROCESS_GROUP;
    // SAFETY: the texts end with a NUL, the block with two; the line may be written to; all that the startup
    // information points to lives until after the call.
    let started = unsafe {
        CreateProcessW(
            application.as_ptr(),
            line.as_mut_ptr(),
            null(),
            null(),
            1,
            flags,
            block.as_ref().map_or(null(), |block| block.as_ptr().cast()),
            null(),
            &raw const startup.StartupInfo,
            &raw mut made,
        )
    };
    done(started, "CreateProcessW").map_err(|why| format!("{}: {why}", spawn.line.application))?;
    // SAFETY: both handles are ours now; the thread's is closed here.
    unsafe {
        drop(Handle::own(made.hThread, "CreateProcessW"));
        Ok(Process {
            handle: Handle::own(made.hProcess, "CreateProcessW")?,
            id: made.dwProcessId,
        })
    }
}

/// The NUL device, for a child.
fn nul() -> Result<Handle, String> {
    let mut security = SECURITY_ATTRIBUTES {
        bInheritHandle: 1,
        ..SECURITY_ATTRIBUTES::default()
    };
    security.nLength = size(&security);
    let name = wide("NUL");
    let (access, share) = (
        GENERIC_READ | GENERIC_WRITE,
        FILE_SHARE_READ | FILE_SHARE_WRITE,
    );
    // SAFETY: the name ends with a NUL, the attributes live through the call, and the handle is ours.
    unsafe {
        let file = CreateFileW(
            name.as_ptr(),
            access,
            share,
            &raw const security,
            OPEN_EXISTING,
            0,
            null_mut(),
        );
        Handle::own(file, "CreateFileW NUL")
    }
}

/// A copy, for a child, of one of the launcher's own streams; none, if it has none.
fn inheritable(stream: STD_HANDLE) -> Option<Handle> {
    let mut copy: HANDLE = null_mut();
    // SAFETY: the source is not closed here; the copy is ours.
    unsafe {
        let own = GetStdHandle(stream);
        if own.is_null() || own == INVALID_HANDLE_VALUE {
            return None;
        }
        let this = GetCurrentProcess();
        let made = DuplicateHandle(this, own, this, &raw mut copy, 0, 1, DUPLICATE_SAME_ACCESS);
        done(made, "DuplicateHandle").ok()?;
        Handle::own(copy, "DuplicateHandle").ok()
    }
}

/// `NAME=VALUE`, each with a NUL, and another at the end; sorted by name without case, as Windows wants it.
fn block(variables: &[Variable<OsString>]) -> Vec<u16> {
    let upper = |name: &OsStr| name.to_ascii_uppercase();
    let mut sorted: Vec<_> = variables.iter().collect();
    sorted.sort_by_key(|(name, _)| upper(name));
    let mut block = Vec::new();
    for (name, value) in sorted {
        block.extend(name.encode_wide());
        block.push(u16::from(b'='));
        block.extend(value.encode_wide());
        block.push(0);
    }
    if block.is_empty() {
        block.push(0);
    }
    block.push(0);
    block
}

/// A `PROC_THREAD_ATTRIBUTE_LIST`.
struct Attributes {
    memory: Vec<usize>,
}

impl Attributes {
    fn new(count: u32) -> Result<Self, String> {
        const CALL: &str = "InitializeProcThreadAttributeList";
        let mut size = 0;
        // SAFETY: without memory the call only says how much it needs; then it gets that much.
        unsafe {
            InitializeProcThreadAttributeList(null_mut(), count, 0, &raw mut size);
            let mut memory = vec![0_usize; size.div_ceil(size_of::<usize>())];
            let list = memory.as_mut_ptr().cast();
            done(
                InitializeProcThreadAttributeList(list, count, 0, &raw mut size),
                CALL,
            )?;
            Ok(Self { memory })
        }
    }

    fn list(&mut self) -> LPPROC_THREAD_ATTRIBUTE_LIST {
        self.memory.as_mut_ptr().cast()
    }

    /// The handles must live as long as the list is used.
    fn set(&mut self, attribute: u32, handles: &[HANDLE]) -> Result<(), String> {
        let value: *const c_void = handles.as_ptr().cast();
        let size = size_of_val(handles);
        // SAFETY: the list is initialized, and the caller keeps the handles where they are.
        let result = unsafe {
            let (list, attribute) = (self.list(), attribute as usize);
            UpdateProcThreadAttribute(list, 0, attribute, value, size, null_mut(), null())
        };
        done(result, "UpdateProcThreadAttribute")
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the list was initialized, and nothing uses it any more.
        unsafe { DeleteProcThreadAttributeList(self.list()) };
    }
}
