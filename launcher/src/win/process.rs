//! Starting a process in a job, by `CreateProcessW`. The library's `Command` cannot do that: a process that is put
//! into a job after its start has had a moment outside.

use std::ffi::{OsStr, OsString, c_void};
use std::fs::File;
use std::io::Read as _;
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::io::FromRawHandle as _;
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
use windows_sys::Win32::System::Pipes::CreatePipe;
use windows_sys::Win32::System::Threading::{
    CREATE_NEW_PROCESS_GROUP, CREATE_UNICODE_ENVIRONMENT, CreateProcessW,
    DeleteProcThreadAttributeList, EXTENDED_STARTUPINFO_PRESENT, GetCurrentProcess,
    GetExitCodeProcess, InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST,
    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROC_THREAD_ATTRIBUTE_JOB_LIST, PROCESS_INFORMATION,
    STARTF_USESTDHANDLES, STARTUPINFOEXW, UpdateProcThreadAttribute, WaitForSingleObject,
};

use super::handle::{Handle, done, size, wide};
use super::job::new_job;
use native_host_launcher::CommandLine;
use native_host_launcher::environment::Variable;

/// What to start.
pub(super) struct Spawn<'a> {
    pub(super) line: &'a CommandLine,
    /// All of its variables; none: the launcher's own.
    pub(super) environment: Option<Vec<Variable<OsString>>>,
    /// Its stdout and stderr. stdin is always NUL.
    pub(super) output: Output<'a>,
    pub(super) job: &'a Handle,
}

/// Where a process writes to.
#[derive(Clone, Copy)]
pub(super) enum Output<'a> {
    /// Nowhere.
    Nul,
    /// To the launcher's own stdout and stderr.
    Inherited,
    /// To a handle that it may inherit; stderr goes nowhere.
    To(&'a Handle),
}

/// Without an end.
pub(super) const FOR_EVER: u32 = u32::MAX;

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
    let own = match spawn.output {
        Output::Inherited => [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE].map(inheritable),
        Output::Nul | Output::To(_) => [None, None],
    };
    let [out, err] = own
        .each_ref()
        .map(|own| own.as_ref().map_or(nul.raw(), Handle::raw));
    let out = match spawn.output {
        Output::To(handle) => handle.raw(),
        Output::Nul | Output::Inherited => out,
    };
    let streams = [nul.raw(), out, err];
    // These and no others are inherited; none twice, which Windows refuses.
    let mut inherited = Vec::with_capacity(streams.len());
    for stream in streams {
        if !inherited.contains(&stream) {
            inherited.push(stream);
        }
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

/// What a program prints. In a job of its own, so that it ends with the launcher.
pub(super) fn output(program: &str, argument: &str, system: &str) -> Result<Vec<u8>, String> {
    let argv = [program.to_owned(), argument.to_owned()];
    let line = CommandLine::new(program, &argv, system).map_err(|refused| refused.to_string())?;
    let job = new_job()?;
    let (mut read, write) = pipe()?;
    let process = spawn(&Spawn {
        line: &line,
        environment: None,
        output: Output::To(&write),
        job: &job,
    })?;
    // The program's copy alone is left, so that the pipe ends with it.
    drop(write);
    let mut printed = Vec::new();
    let done = read.read_to_end(&mut printed);
    done.map_err(|error| format!("{program}: {error}"))?;
    match process.wait(FOR_EVER) {
        Some(0) => Ok(printed),
        code => Err(format!("{program}: exit code {}", code.unwrap_or_default())),
    }
}

/// A pipe: to read from, and to give to a child.
fn pipe() -> Result<(File, Handle), String> {
    let security = inherited_by_children();
    let (mut read, mut write): (HANDLE, HANDLE) = (null_mut(), null_mut());
    // SAFETY: the handles are written to places of ours, and then are ours. The reading end stays here: of its
    // children the launcher lets none inherit what is not in a list.
    unsafe {
        let made = CreatePipe(&raw mut read, &raw mut write, &raw const security, 0);
        done(made, "CreatePipe")?;
        Ok((
            File::from_raw_handle(read),
            Handle::own(write, "CreatePipe")?,
        ))
    }
}

fn inherited_by_children() -> SECURITY_ATTRIBUTES {
    let mut security = SECURITY_ATTRIBUTES {
        bInheritHandle: 1,
        ..SECURITY_ATTRIBUTES::default()
    };
    security.nLength = size(&security);
    security
}

/// The NUL device, for a child.
fn nul() -> Result<Handle, String> {
    let security = inherited_by_children();
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
