//! The system's folders and its uptime.

use std::time::{Duration, SystemTime};

use windows_sys::Win32::System::SystemInformation::{
    GetSystemDirectoryW, GetTickCount64, GetWindowsDirectoryW,
};

use native_host_launcher::timestamp::Timestamp;

/// Longer than either folder can be (`MAX_PATH`).
const LENGTH: u32 = 261;

/// `C:\Windows\system32`
pub(super) fn system_folder() -> String {
    // SAFETY: the buffer is as long as is said.
    folder(|buffer| unsafe { GetSystemDirectoryW(buffer, LENGTH) })
}

/// `C:\Windows`
pub(super) fn windows_folder() -> String {
    // SAFETY: the buffer is as long as is said.
    folder(|buffer| unsafe { GetWindowsDirectoryW(buffer, LENGTH) })
}

fn folder(call: impl Fn(*mut u16) -> u32) -> String {
    let mut buffer = [0; LENGTH as usize];
    let length = call(buffer.as_mut_ptr()) as usize;
    String::from_utf16_lossy(buffer.get(..length).unwrap_or_default())
}

/// When the system booted, by its own clock. Windows corrects this with the clock, and a container's start is
/// taken from the same clock.
pub(super) fn booted() -> Timestamp {
    // SAFETY: it takes nothing and cannot fail.
    let up = Duration::from_millis(unsafe { GetTickCount64() });
    Timestamp::of(
        SystemTime::now()
            .checked_sub(up)
            .unwrap_or(SystemTime::UNIX_EPOCH),
    )
}
