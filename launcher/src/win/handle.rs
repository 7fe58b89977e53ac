//! Handles that are closed, strings that end with NUL, and what a failed call says.

use std::io;

use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, INVALID_HANDLE_VALUE};

/// A handle of a kernel object, closed when it goes.
#[derive(Debug)]
pub(super) struct Handle(HANDLE);

// SAFETY: a kernel object's handle is a number that every thread of the process may use.
unsafe impl Send for Handle {}
// SAFETY: as above; the kernel serializes what is done with the object.
unsafe impl Sync for Handle {}

impl Handle {
    /// Takes over what `call` returned; else says why it failed.
    ///
    /// # Safety
    /// `raw` is null, `INVALID_HANDLE_VALUE`, or a handle that nobody else closes.
    pub(super) unsafe fn own(raw: HANDLE, call: &str) -> Result<Self, String> {
        if raw.is_null() || raw == INVALID_HANDLE_VALUE {
            Err(failed(call))
        } else {
            Ok(Self(raw))
        }
    }

    /// For a call; it lives as long as `self`.
    pub(super) fn raw(&self) -> HANDLE {
        self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and this is the only place that closes it.
        unsafe { CloseHandle(self.0) };
    }
}

/// What the last call of this thread failed with.
pub(super) fn failed(call: &str) -> String {
    format!("{call}: {}", io::Error::last_os_error())
}

/// Whether a call that returns a `BOOL` went well; else why not.
pub(super) fn done(result: i32, call: &str) -> Result<(), String> {
    if result == 0 {
        Err(failed(call))
    } else {
        Ok(())
    }
}

/// What a call that returns an error's code failed with.
pub(super) fn code(code: u32, call: &str) -> Result<(), String> {
    match i32::try_from(code) {
        Ok(0) => Ok(()),
        Ok(code) => Err(format!("{call}: {}", io::Error::from_raw_os_error(code))),
        Err(_) => Err(format!("{call}: {code:#010x}")),
    }
}

/// The size of a value as Windows counts it.
pub(super) fn size<T: ?Sized>(value: &T) -> u32 {
    // Structures and short lists only.
    u32::try_from(size_of_val(value)).unwrap_or(u32::MAX)
}

/// A text as Windows takes it.
pub(super) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// The text up to its NUL.
///
/// # Safety
/// `text` points to UTF-16 that ends with a NUL.
pub(super) unsafe fn text(text: *const u16) -> String {
    let mut length = 0;
    // SAFETY: every unit up to the NUL is there, says the caller.
    let units = unsafe {
        while *text.add(length) != 0 {
            length += 1;
        }
        std::slice::from_raw_parts(text, length)
    };
    String::from_utf16_lossy(units)
}
