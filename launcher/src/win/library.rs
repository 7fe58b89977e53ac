//! Libraries that are loaded at run time.

use std::ffi::CStr;
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::HMODULE;
use windows_sys::Win32::System::LibraryLoader::{
    GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW,
};

use super::handle::{failed, wide};

/// A function of some type; the caller makes it the right one.
pub(super) type Function = unsafe extern "system" fn() -> isize;

/// A library of system32. It is never unloaded, so its functions stay where they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Library {
    module: HMODULE,
    name: &'static str,
}

// SAFETY: a module's handle is its address, the same for every thread, and it is never unloaded.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Loads it from system32 only: a file of the same name beside a program is not ours.
    pub(super) fn load(name: &'static str) -> Result<Self, String> {
        let file = wide(name);
        // SAFETY: the name ends with a NUL.
        let module =
            unsafe { LoadLibraryExW(file.as_ptr(), null_mut(), LOAD_LIBRARY_SEARCH_SYSTEM32) };
        if module.is_null() {
            return Err(failed(name));
        }
        Ok(Self { module, name })
    }

    /// One of its functions.
    pub(super) fn function(self, name: &CStr) -> Result<Function, String> {
        // SAFETY: the module is loaded, and the name ends with a NUL.
        let function = unsafe { GetProcAddress(self.module, name.as_ptr().cast()) };
        function.ok_or_else(|| format!("{} has no {}", self.name, name.to_string_lossy()))
    }
}
