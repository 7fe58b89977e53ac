//! The few calls of Windows that are needed, and all `unsafe` code.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

type Handle = *mut c_void;

/// `STARTUPINFOW`
#[repr(C)]
#[derive(Default)]
struct StartupInfo {
    size: u32,
    strings: [usize; 3],
    numbers: [u32; 8],
    show_window: u16,
    reserved_size: u16,
    pointers: [usize; 4],
}

/// `PROCESS_INFORMATION`
#[repr(C)]
struct ProcessInformation {
    process: Handle,
    thread: Handle,
    process_id: u32,
    thread_id: u32,
}

#[link(name = "kernel32")]
unsafe extern "system" {
    fn GetCommandLineW() -> *const u16;
    fn LocalFree(memory: *mut c_void) -> *mut c_void;
    fn CreateProcessW(
        application: *const u16,
        command_line: *mut u16,
        process_attributes: *const c_void,
        thread_attributes: *const c_void,
        inherit_handles: i32,
        flags: u32,
        environment: *const c_void,
        directory: *const u16,
        startup: *const StartupInfo,
        information: *mut ProcessInformation,
    ) -> i32;
    fn WaitForSingleObject(handle: Handle, milliseconds: u32) -> u32;
    fn GetExitCodeProcess(process: Handle, code: *mut u32) -> i32;
    fn CloseHandle(handle: Handle) -> i32;
    fn GetLastError() -> u32;
    fn LoadLibraryW(name: *const u16) -> Handle;
    fn GetProcAddress(library: Handle, name: *const u8) -> *const c_void;
    fn GetFullPathNameW(path: *const u16, size: u32, full: *mut u16, file: *mut *mut u16) -> u32;
}

#[link(name = "ntdll")]
unsafe extern "system" {
    fn RtlUpcaseUnicodeChar(unit: u16) -> u16;
}

type CommandLineToArgvW = unsafe extern "system" fn(*const u16, *mut i32) -> *mut *mut u16;

/// The text up to its NUL.
///
/// # Safety
/// `text` points to a string of UTF-16 that ends with a NUL.
unsafe fn text(text: *const u16) -> Vec<u16> {
    let mut length = 0;
    // SAFETY: every unit up to the NUL is there, says the caller.
    unsafe {
        while *text.add(length) != 0 {
            length += 1;
        }
        std::slice::from_raw_parts(text, length).to_vec()
    }
}

/// This process's command line.
pub fn command_line() -> Vec<u16> {
    // SAFETY: Windows keeps the string for as long as the process lives.
    unsafe { text(GetCommandLineW()) }
}

/// The shell's own function that splits a command line. Loaded when asked for, since shell32 brings
/// much with it that would have each of thousands of children start slowly.
pub struct Shell(CommandLineToArgvW);

impl Shell {
    /// Loads it.
    pub fn load() -> Self {
        let name = closed(&"shell32.dll".encode_utf16().collect::<Vec<_>>());
        // SAFETY: both names end with a NUL, the library is never unloaded, and the function is of
        // the type that shellapi.h declares.
        unsafe {
            let library = LoadLibraryW(name.as_ptr());
            let function = GetProcAddress(library, c"CommandLineToArgvW".as_ptr().cast());
            assert!(!function.is_null(), "CommandLineToArgvW: {}", GetLastError());
            Self(std::mem::transmute::<*const c_void, CommandLineToArgvW>(function))
        }
    }

    /// The arguments as it splits them.
    pub fn split(&self, line: &str) -> Vec<Vec<u16>> {
        let line = closed(&line.encode_utf16().collect::<Vec<_>>());
        let mut count = 0;
        // SAFETY: the line ends with a NUL; what comes back is an array of `count` strings in one
        // block that is freed once.
        unsafe {
            let argv = (self.0)(line.as_ptr(), &mut count);
            assert!(!argv.is_null(), "CommandLineToArgvW: {}", GetLastError());
            let count = usize::try_from(count).expect("a count");
            let arguments = (0..count).map(|i| text(*argv.add(i))).collect();
            LocalFree(argv.cast());
            arguments
        }
    }
}

/// The path as Windows resolves it, before it asks any file system.
pub fn full_path(path: &str) -> Vec<u16> {
    let path = closed(&path.encode_utf16().collect::<Vec<_>>());
    let mut full = vec![0; 1024];
    let size = u32::try_from(full.len()).expect("small");
    // SAFETY: the path ends with a NUL, and the buffer is as long as is said.
    let length = unsafe { GetFullPathNameW(path.as_ptr(), size, full.as_mut_ptr(), null_mut()) };
    full.truncate(usize::try_from(length).expect("small"));
    full
}

/// The text in the upper case by which names of files are compared.
pub fn upcase(text: &str) -> Vec<u16> {
    // SAFETY: a function of its argument alone.
    text.encode_utf16().map(|unit| unsafe { RtlUpcaseUnicodeChar(unit) }).collect()
}

/// How long a child may run, in milliseconds.
const PATIENCE: u32 = 60_000;

/// Starts a program with this very command line, waits, and returns its exit code, or the error of
/// Windows as `!CODE`.
pub fn run(application: Option<&[u16]>, line: &str) -> String {
    let application = application.map(closed);
    let mut line = closed(&line.encode_utf16().collect::<Vec<_>>());
    let startup = StartupInfo {
        size: u32::try_from(size_of::<StartupInfo>()).expect("small"),
        ..StartupInfo::default()
    };
    let mut child = ProcessInformation {
        process: null_mut(),
        thread: null_mut(),
        process_id: 0,
        thread_id: 0,
    };
    let mut code = 0;
    // SAFETY: all strings end with a NUL and live until the call is back, the line may be written
    // to, the structures are laid out as Windows declares them, and both handles are closed once.
    unsafe {
        let application = application.as_ref().map_or(null(), |path| path.as_ptr());
        let (none, line) = (null(), line.as_mut_ptr());
        if CreateProcessW(application, line, none, none, 1, 0, none, null(), &startup, &mut child) == 0 {
            return format!("!{}", GetLastError());
        }
        if WaitForSingleObject(child.process, PATIENCE) != 0 {
            return "!timeout".to_owned();
        }
        GetExitCodeProcess(child.process, &mut code);
        CloseHandle(child.thread);
        CloseHandle(child.process);
    }
    code.to_string()
}

fn closed(text: &[u16]) -> Vec<u16> {
    text.iter().copied().chain([0]).collect()
}
