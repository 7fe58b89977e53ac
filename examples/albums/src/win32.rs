//! The few calls of Windows that the standard library lacks, and all `unsafe` code.
#![allow(unsafe_code)]

use std::sync::{Arc, OnceLock};
use std::thread;

use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::Win32::System::LibraryLoader::{
    GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW,
};

use crate::state::State;

/// `NETIO_STATUS SetCurrentThreadCompartmentId(NET_IF_COMPARTMENT_ID)`; neither windows-sys nor mingw's
/// import library has it, so it is asked for at run time.
type SetCurrentThreadCompartmentId = unsafe extern "system" fn(u32) -> u32;

/// Moves this thread into a network compartment.
pub(crate) fn attach(compartment: u32) -> Result<(), String> {
    let library: Vec<u16> = "iphlpapi.dll\0".encode_utf16().collect();
    // SAFETY: the name ends with a NUL; only system32 is searched.
    let library = unsafe {
        LoadLibraryExW(
            library.as_ptr(),
            std::ptr::null_mut(),
            LOAD_LIBRARY_SEARCH_SYSTEM32,
        )
    };
    if library.is_null() {
        return Err(format!("iphlpapi.dll: {}", std::io::Error::last_os_error()));
    }
    // SAFETY: the library is loaded and the name ends with a NUL.
    let Some(call) =
        (unsafe { GetProcAddress(library, c"SetCurrentThreadCompartmentId".as_ptr().cast()) })
    else {
        // Every Windows since Server 2012 has it. What has none has no compartments either.
        eprintln!("albums: this machine has no network compartments, so not in {compartment}");
        return Ok(());
    };
    // SAFETY: that is its signature (netioapi.h).
    let call: SetCurrentThreadCompartmentId = unsafe { std::mem::transmute(call) };
    // SAFETY: it takes a number.
    match unsafe { call(compartment) } {
        0 => {
            println!("albums: in compartment {compartment}");
            Ok(())
        }
        // Listening elsewhere would be worse than not to start.
        error => Err(format!(
            "cannot get into compartment {compartment}: {}",
            std::io::Error::from_raw_os_error(error.cast_signed())
        )),
    }
}

/// What the handler, which gets no argument of ours, has to know.
static STATE: OnceLock<Arc<State>> = OnceLock::new();

/// Ends in good order at CTRL_C, CTRL_BREAK, and when the console is closed or Windows shuts down.
pub(crate) fn stop_on_control_events(state: Arc<State>) -> Result<(), String> {
    // It is set once, since this is called once.
    let _ = STATE.set(state);
    // SAFETY: the handler is a function of this program and takes what Windows gives it.
    if unsafe { SetConsoleCtrlHandler(Some(on_event), 1) } == 0 {
        let error = std::io::Error::last_os_error();
        return Err(format!("cannot hear console events: {error}"));
    }
    Ok(())
}

/// Called by Windows on a thread of its own.
unsafe extern "system" fn on_event(event: u32) -> i32 {
    if let Some(state) = STATE.get() {
        state.stop();
    }
    if event != CTRL_BREAK_EVENT && event != CTRL_C_EVENT {
        // Of those (CTRL_CLOSE, CTRL_LOGOFF, CTRL_SHUTDOWN) Windows ends the process as soon as the
        // handler returns; the main thread ends it when all is answered.
        loop {
            thread::park();
        }
    }
    1
}
