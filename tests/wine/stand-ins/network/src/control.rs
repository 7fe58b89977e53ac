//! CTRL_BREAK for another process group. wine knows of CTRL_C only, and of that nothing in a group of its own
//! (`propagate_console_signal` in wine's server/console.c). Where the folder has a file `ctrl-break`, the process that
//! loads this DLL, which is the launcher, has its `GenerateConsoleCtrlEvent` replaced: the event begins as a thread at
//! `CtrlRoutine` in each process of the group, as Windows itself delivers it.
//!
//! A group is taken to be its first process and all that come of it.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use windows_sys::Wdk::System::Threading::{NtQueryInformationProcess, ProcessBasicInformation};
use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Diagnostics::Debug::{
    FlushInstructionCache, ReadProcessMemory, WriteProcessMemory,
};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Memory::{PAGE_EXECUTE_READWRITE, VirtualProtect};
use windows_sys::Win32::System::SystemServices::DLL_PROCESS_ATTACH;
use windows_sys::Win32::System::Threading::{
    CreateRemoteThread, GetCurrentProcess, OpenProcess, PROCESS_ALL_ACCESS,
    PROCESS_BASIC_INFORMATION,
};

use crate::folder;

/// `mov rax, ADDRESS; jmp rax`, with the address at its place.
const JUMP: [u8; 12] = [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0];

/// Windows calls it when the DLL is loaded.
#[unsafe(no_mangle)]
extern "system" fn DllMain(_: *mut c_void, reason: u32, _: *mut c_void) -> i32 {
    if reason == DLL_PROCESS_ATTACH && folder::has("ctrl-break") {
        replace();
    }
    1
}

fn replace() {
    let Some(function) = function("kernelbase.dll", c"GenerateConsoleCtrlEvent") else {
        return;
    };
    let mut jump = JUMP;
    jump[2..10].copy_from_slice(&(generate as *const () as u64).to_le_bytes());
    let mut before = 0;
    // SAFETY: the function is longer than the jump, and the one thread of this process that could be in it is
    // this one, which loads a DLL.
    unsafe {
        if VirtualProtect(
            function,
            JUMP.len(),
            PAGE_EXECUTE_READWRITE,
            &raw mut before,
        ) != 0
        {
            std::ptr::copy_nonoverlapping(jump.as_ptr(), function.cast(), JUMP.len());
            FlushInstructionCache(GetCurrentProcess(), function, JUMP.len());
        }
    }
}

/// In place of `GenerateConsoleCtrlEvent`.
extern "system" fn generate(event: u32, group: u32) -> i32 {
    let reached = with_descendants(group)
        .into_iter()
        .filter(|pid| begin(*pid, event))
        .count();
    folder::called(
        "GenerateConsoleCtrlEvent",
        &format!("event={event} group={group}"),
        reached,
    );
    i32::from(reached > 0)
}

/// Begins a thread at `CtrlRoutine` in a process.
fn begin(pid: u32, event: u32) -> bool {
    let Some(routine) = function("kernel32.dll", c"CtrlRoutine") else {
        return false;
    };
    // SAFETY: the routine is at the same place in every process, and takes the event as its argument; each
    // handle is closed once.
    unsafe {
        let process = OpenProcess(PROCESS_ALL_ACCESS, 0, pid);
        if process.is_null() {
            return false;
        }
        heed(process);
        let routine = std::mem::transmute::<
            *const c_void,
            unsafe extern "system" fn(*mut c_void) -> u32,
        >(routine.cast_const());
        let event = event as usize as *const c_void;
        let thread = CreateRemoteThread(process, null(), 0, Some(routine), event, 0, null_mut());
        if !thread.is_null() {
            CloseHandle(thread);
        }
        CloseHandle(process);
        !thread.is_null()
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

/// A process and all that come of it.
fn with_descendants(first: u32) -> Vec<u32> {
    let parents = parents();
    let mut all = vec![first];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        let new: Vec<_> = children
            .map(|(pid, _)| *pid)
            .filter(|pid| !all.contains(pid))
            .collect();
        all.extend(new);
        at += 1;
    }
    all
}

/// All processes, each with its parent.
fn parents() -> Vec<(u32, u32)> {
    let mut all = Vec::new();
    let mut entry = PROCESSENTRY32W::default();
    entry.dwSize = size_of::<PROCESSENTRY32W>() as u32;
    // SAFETY: the structure is as long as it says, and the handle is closed once.
    unsafe {
        let snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
        if snapshot == INVALID_HANDLE_VALUE {
            return all;
        }
        let mut more = Process32FirstW(snapshot, &raw mut entry);
        while more != 0 {
            all.push((entry.th32ProcessID, entry.th32ParentProcessID));
            more = Process32NextW(snapshot, &raw mut entry);
        }
        CloseHandle(snapshot);
    }
    all
}

fn function(library: &str, name: &std::ffi::CStr) -> Option<*mut c_void> {
    let library: Vec<u16> = library.encode_utf16().chain([0]).collect();
    // SAFETY: both names end with a NUL; these two libraries are in every process.
    let function =
        unsafe { GetProcAddress(GetModuleHandleW(library.as_ptr()), name.as_ptr().cast()) };
    function.map(|function| function as *mut c_void)
}
