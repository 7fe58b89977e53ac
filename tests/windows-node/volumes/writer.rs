//! How the kubelet puts files into a volume's folder (`pkg/volume/util/atomic_writer.go`).
//!
//! ```text
//! volume/
//!   status                      -> ..data/status
//!   ..data                      -> ..2026_11_21_20_31_00.123456789
//!   ..2026_11_21_20_31_00.123456789/status
//! ```
//!
//! Files are written whole into a new folder, and then `..data` is turned to it. On Linux that is one
//! rename. On Windows it is not: `..data` is removed and made anew (`runtime.GOOS == "windows"` in
//! `Write`), since a rename there does not replace a link to a folder. So a reader sees:
//!
//! - the old files, or the new ones, each of them whole; of two files one old and one new;
//! - **no file at all**, for as long as `..data` is away: ERROR_PATH_NOT_FOUND, though nothing was
//!   deleted. How long that is nobody promises; here it lasts for [`GAP`];
//! - no file, where it looked at `..data` before the change and opens the file after the old folder is gone.
//!
//! Imitated as it is, step by step. What differs: an open file keeps Windows from removing the old
//! folder, which then stays; Linux, on which this runs, removes it all the same.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::payload::Payload;

/// For how long `..data` is away. Long for Windows, where it is below a millisecond mostly; it is to be
/// seen by what polls.
pub const GAP: Duration = Duration::from_millis(20);

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// Makes a volume have these files and no others. Does nothing where it has them.
pub async fn write(volume: &Path, payload: &Payload, gap: Duration) -> Result<(), String> {
    for path in payload.keys() {
        check(path)?;
    }
    turn(volume, payload, gap)
        .await
        .map_err(|error| format!("{}: {error}", volume.display()))
}

async fn turn(volume: &Path, payload: &Payload, gap: Duration) -> io::Result<()> {
    let data = volume.join(DATA);
    let old = match fs::read_link(&data) {
        Ok(old) => Some(volume.join(old)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let removed = match &old {
        Some(old) => removed(old, payload)?,
        None => BTreeSet::new(),
    };
    let changed = match &old {
        Some(old) => !removed.is_empty() || differs(old, payload)?,
        None => true,
    };
    if changed {
        let new = timestamped(volume)?;
        for (path, file) in payload {
            let path = new.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, &file.data)?;
            // Of a mode, Windows has one bit: without the owner's `w` a file is read-only
            // (Go's `os.Chmod`).
            let mode = if file.mode & 0o200 == 0 { 0o444 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        let name = new.file_name().unwrap_or_default();
        // Made on Windows too, and left there if the kubelet dies now; then the next write fails.
        symlink(name, volume.join(NEW_DATA))?;
        match fs::remove_file(&data) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if old.is_some() {
            tokio::time::sleep(gap).await;
        }
        symlink(name, &data)?;
        fs::remove_file(volume.join(NEW_DATA))?;
    }
    for path in payload.keys() {
        let top = path.split('/').next().unwrap_or_default();
        match symlink(Path::new(DATA).join(top), volume.join(top)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    // Only what is right in the volume is a link there.
    for path in removed.iter().filter(|path| !path.contains('/')) {
        fs::remove_file(volume.join(path))?;
    }
    match old {
        Some(old) if changed => fs::remove_dir_all(old),
        _ => Ok(()),
    }
}

/// `validatePath`.
fn check(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("invalid path: must not be empty: \"\"".into());
    }
    if path.starts_with('/') {
        return Err(format!("invalid path: must be relative path: {path}"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("invalid path: must not contain '..': {path}"));
    }
    if path.starts_with("..") {
        return Err(format!("invalid path: must not start with '..': {path}"));
    }
    Ok(())
}

/// What the old folder has, and its folders, that the payload has not.
fn removed(old: &Path, payload: &Payload) -> io::Result<BTreeSet<String>> {
    let mut there = BTreeSet::new();
    match walk(old, "", &mut there) {
        // It may have been removed, and the link to it not.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other?,
    }
    for path in payload.keys() {
        let mut path = path.as_str();
        loop {
            there.remove(path);
            match path.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None => break,
            }
        }
    }
    Ok(there)
}

fn walk(folder: &Path, below: &str, there: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), there)?;
        }
        there.insert(path);
    }
    Ok(())
}

fn differs(old: &Path, payload: &Payload) -> io::Result<bool> {
    for (path, file) in payload {
        match fs::read(old.join(path)) {
            Ok(data) if data == file.data => {}
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// A folder of its own for each write; Go ends its name in random digits.
fn timestamped(volume: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S").to_string();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = volume.join(format!("{now}.{count:09}"));
    fs::create_dir(&folder)?;
    Ok(folder)
}
