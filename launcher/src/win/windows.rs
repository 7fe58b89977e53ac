//! Asking windows to close, as the task manager does first. user32.dll is loaded only then: most programs that
//! run here have no window, and loading it makes a process part of a desktop.

use windows_sys::Win32::Foundation::{HWND, LPARAM, WPARAM};

use super::library::{Function, Library};

/// `WM_CLOSE` (winuser.h)
const CLOSE: u32 = 0x0010;

type Callback = unsafe extern "system" fn(HWND, LPARAM) -> i32;
type Enumerate = unsafe extern "system" fn(Option<Callback>, LPARAM) -> i32;
type Owner = unsafe extern "system" fn(HWND, *mut u32) -> u32;
type Post = unsafe extern "system" fn(HWND, u32, WPARAM, LPARAM) -> i32;

struct Search<'a> {
    processes: &'a [u32],
    owner: Owner,
    post: Post,
}

/// Posts WM_CLOSE to every top-level window of these processes.
pub(super) fn close(processes: &[u32]) -> Result<(), String> {
    let user = Library::load("user32.dll")?;
    let (all, owner, post) = (
        user.function(c"EnumWindows")?,
        user.function(c"GetWindowThreadProcessId")?,
        user.function(c"PostMessageW")?,
    );
    // SAFETY: the functions are of these types (winuser.h). The search lives through the call, and the
    // callback takes the number that it is given here for its address.
    unsafe {
        let search = Search {
            processes,
            owner: std::mem::transmute::<Function, Owner>(owner),
            post: std::mem::transmute::<Function, Post>(post),
        };
        let all = std::mem::transmute::<Function, Enumerate>(all);
        all(
            Some(visit),
            (&raw const search).expose_provenance().cast_signed(),
        );
    }
    Ok(())
}

unsafe extern "system" fn visit(window: HWND, search: LPARAM) -> i32 {
    let search = std::ptr::with_exposed_provenance::<Search<'_>>(search.cast_unsigned());
    let mut process = 0;
    // SAFETY: the number is the address of the search, which lives through `EnumWindows`; a window that is
    // gone by now has no owner, and the message then goes nowhere.
    unsafe {
        let search = &*search;
        (search.owner)(window, &raw mut process);
        if search.processes.contains(&process) {
            (search.post)(window, CLOSE, 0, 0);
        }
    }
    1
}
