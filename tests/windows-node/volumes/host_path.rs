//! `hostPath` volumes (`pkg/volume/hostpath/host_path.go`): what lies on the node's own drive.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

/// Where a Windows path lies below the folder that is the node's `C:`. Names are compared as Windows
/// does, without case; what is not there keeps the case that it is written in.
pub fn find(drive: &Path, path: &str) -> Result<PathBuf, String> {
    let below = match path.as_bytes() {
        [b'c' | b'C', b':', ..] => &path[2..],
        [_, b':', ..] => return Err(format!("hostPath {path}: the simulated node has C: only")),
        [b'\\', b'\\', ..] => return Err(format!("hostPath {path}: not on a drive")),
        _ => path,
    };
    let mut found = drive.to_owned();
    for part in below
        .split(['/', '\\'])
        .filter(|part| !matches!(*part, "" | "."))
    {
        if part == ".." {
            return Err(format!("hostPath {path}: must not contain '..'"));
        }
        let entries = fs::read_dir(&found).ok();
        let names = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name());
        let same = |name: &std::ffi::OsString| {
            name.to_str()
                .is_some_and(|name| name.to_lowercase() == part.to_lowercase())
        };
        found = match names.into_iter().find(same) {
            Some(name) => found.join(name),
            None => found.join(part),
        };
    }
    Ok(found)
}

/// Checks what has to be there, and makes what may be missing. Without a type nothing is asked; a
/// container whose mount is not there then fails to start.
pub fn check(source: &HostPathVolumeSource, folder: &Path) -> Result<(), String> {
    let path = &source.path;
    let failed = |what: &str| {
        Err(format!(
            "hostPath type check failed: {path} is not a {what}"
        ))
    };
    let io = |error: std::io::Error| format!("{path}: {error}");
    let wanted = source.type_.as_deref().unwrap_or_default();
    match wanted {
        "DirectoryOrCreate" if !folder.exists() => fs::create_dir_all(folder).map_err(io)?,
        // The folder it is to be in is not made.
        "FileOrCreate" if !folder.exists() => fs::write(folder, "").map_err(io)?,
        _ => {}
    }
    match wanted {
        "" => Ok(()),
        "Directory" | "DirectoryOrCreate" if folder.is_dir() => Ok(()),
        "Directory" | "DirectoryOrCreate" => failed("directory"),
        "File" | "FileOrCreate" if folder.is_file() => Ok(()),
        "File" | "FileOrCreate" => failed("file"),
        "Socket" => failed("socket file"),
        "CharDevice" => failed("character device"),
        "BlockDevice" => failed("block device"),
        other => Err(format!("{other} is an invalid volume type")),
    }
}
