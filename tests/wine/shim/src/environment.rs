//! A process's environment, as hcsshim composes it (`internal/jobcontainers/jobcontainer.go`,
//! `CreateProcess`, and `env.go`): the user's own as the system makes it, then what the pod declares,
//! then where the image is.

use std::ffi::c_void;
use std::ptr::null_mut;

use windows_sys::Win32::System::Environment::{CreateEnvironmentBlock, DestroyEnvironmentBlock};

/// hcsshim's name for where the image is, and the place (`defaultSiloRootfsLocation`).
const MOUNT_POINT: &str = "CONTAINER_SANDBOX_MOUNT_POINT";
const IMAGE: &str = r"C:\hpc\";

/// What hcsshim adds to every PATH, after the image's folder.
const PATHS: &str = r";C:\WINDOWS\System32\WindowsPowerShell\v1.0\;C:\WINDOWS\System32\Wbem";

/// The block for CreateProcessW, of the system's variables and the declared ones.
pub fn block(declared: &str) -> Vec<u16> {
    let mut all = of_the_system();
    for pair in declared.split_terminator('\0') {
        if let Some((name, value)) = pair.split_once('=') {
            set(&mut all, name, &with_image(value));
        }
    }
    set(&mut all, MOUNT_POINT, IMAGE);
    for (name, value) in &mut all {
        if name.eq_ignore_ascii_case("PATH") {
            let separator = if value.ends_with(';') { "" } else { ";" };
            *value = format!("{value}{separator}{IMAGE}{PATHS}");
        }
    }
    // Windows keeps it sorted without case.
    all.sort_by_key(|(name, _)| name.to_uppercase());
    let mut block: Vec<u16> = Vec::new();
    for (name, value) in all {
        block.extend(format!("{name}={value}\0").encode_utf16());
    }
    block.push(0);
    block
}

/// `replaceWithMountPoint`: the image's folder, without its last backslash, in place of the variable.
fn with_image(text: &str) -> String {
    let folder = &IMAGE[..IMAGE.len() - 1];
    text.replace(&format!("%{MOUNT_POINT}%"), folder)
        .replace(&format!("$env:{MOUNT_POINT}"), folder)
}

/// The last of a name counts, and names have no case (Go's `dedupEnvCase`).
fn set(all: &mut Vec<(String, String)>, name: &str, value: &str) {
    all.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    all.push((name.to_owned(), value.to_owned()));
}

fn of_the_system() -> Vec<(String, String)> {
    let mut block: *mut c_void = null_mut();
    // SAFETY: the block's address is written to a variable that lives; no token means the system's own
    // variables.
    if unsafe { CreateEnvironmentBlock(&raw mut block, null_mut(), 0) } == 0 {
        return Vec::new();
    }
    let mut all = Vec::new();
    let mut at = block.cast::<u16>().cast_const();
    loop {
        let mut length = 0;
        // SAFETY: a block is strings that each end with a NUL, and an empty one after the last.
        let units = unsafe {
            while *at.add(length) != 0 {
                length += 1;
            }
            std::slice::from_raw_parts(at, length)
        };
        if length == 0 {
            break;
        }
        let pair = String::from_utf16_lossy(units);
        // A name may begin with `=` (`=C:`).
        if let Some(end) = pair[1..].find('=') {
            all.push((pair[..=end].to_owned(), pair[end + 2..].to_owned()));
        }
        // SAFETY: behind the NUL is the next string, or the empty one.
        at = unsafe { at.add(length + 1) };
    }
    // SAFETY: the block is of CreateEnvironmentBlock and not used any more.
    unsafe { DestroyEnvironmentBlock(block) };
    all
}
