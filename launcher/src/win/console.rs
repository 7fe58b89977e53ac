//! Control events of the console.

use std::sync::OnceLock;
use std::sync::mpsc::Sender;
use std::time::Duration;

use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, GenerateConsoleCtrlEvent, SetConsoleCtrlHandler,
};

use super::handle::done;
use super::leave_at_once;
use native_host_launcher::Exit;
use native_host_launcher::supervise::Signal;

/// hcsshim ends every process 5 seconds after such an event.
const LAST: Duration = Duration::from_millis(4300);

static TO: OnceLock<Sender<Signal>> = OnceLock::new();

/// Tells of every control event that this process gets.
pub(super) fn listen(to: Sender<Signal>) -> Result<(), String> {
    // Once in a process; a second call would be for the same channel.
    let _ = TO.set(to);
    // SAFETY: the handler is a function that is always there.
    done(
        unsafe { SetConsoleCtrlHandler(Some(handler), 1) },
        "SetConsoleCtrlHandler",
    )
}

/// Runs on a thread of its own that Windows makes.
unsafe extern "system" fn handler(event: u32) -> i32 {
    let personal = matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT);
    if let Some(to) = TO.get() {
        // Where nobody listens any more, the process is about to end.
        let _ = to.send(if personal {
            Signal::Interrupted
        } else {
            Signal::Closing
        });
    }
    if !personal {
        // Who comes back from such an event is ended at once. `run` ends the process when it is done; if it is
        // not in time, whatever it waits for, the compartment must be left all the same.
        std::thread::sleep(LAST);
        leave_at_once();
        std::process::exit(Exit::StopTimeout.code().cast_signed());
    }
    1
}

/// Sends CTRL_BREAK to a process group: the one of these events that can be sent to a group, and that a new
/// group does not ignore (`CREATE_NEW_PROCESS_GROUP` turns CTRL_C off). To most run times it means "end": .NET, Go,
/// Python, Node. A Java machine prints its threads and goes on; such a program needs a preStop hook of its own, or
/// is ended at the end of its grace.
pub(super) fn interrupt(group: u32) -> Result<(), String> {
    // SAFETY: numbers only.
    done(
        unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group) },
        "GenerateConsoleCtrlEvent",
    )
}
