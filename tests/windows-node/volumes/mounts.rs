//! What of a volume a container sees, and where (`makeMounts`, `pkg/kubelet/kubelet_pods.go`).

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::VolumeMount;

use crate::env::Environment;

/// A mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The volume's name.
    pub volume: String,
    /// The folder or file on the node.
    pub host: PathBuf,
    /// The path in the container, with a drive, as containerd is told.
    pub container: String,
    /// Whether the container may not write there.
    pub read_only: bool,
}

/// The mount of a volume that lies in `folder`.
pub fn mount(
    mount: &VolumeMount,
    folder: &Path,
    read_only: bool,
    environment: &Environment,
) -> Result<Mount, String> {
    let sub_path = match mount
        .sub_path_expr
        .as_deref()
        .filter(|text| !text.is_empty())
    {
        Some(expression) => environment.sub_path(expression)?,
        None => mount.sub_path.clone().unwrap_or_default(),
    };
    let host = if sub_path.is_empty() {
        folder.to_owned()
    } else {
        below(folder, &sub_path, &mount.name)?
    };
    Ok(Mount {
        volume: mount.name.clone(),
        host,
        container: absolute(&mount.mount_path),
        read_only: read_only || mount.read_only == Some(true),
    })
}

/// A path below the volume; a folder is made where there is nothing. What is a link there is followed
/// now, so a file of a ConfigMap that is mounted so never changes.
fn below(folder: &Path, sub_path: &str, volume: &str) -> Result<PathBuf, String> {
    if sub_path.starts_with(['/', '\\']) || sub_path.contains(':') {
        return Err(format!(
            "error SubPath `{sub_path}` must not be an absolute path"
        ));
    }
    let parts: Vec<_> = sub_path
        .split(['/', '\\'])
        .filter(|part| !part.is_empty())
        .collect();
    if parts.contains(&"..") {
        return Err(format!(
            "unable to provision SubPath `{sub_path}`: must not contain '..'"
        ));
    }
    let path = parts
        .iter()
        .fold(folder.to_owned(), |path, part| path.join(part));
    let failed = |_| format!("failed to create subPath directory for volumeMount {volume:?}");
    if !path.exists() {
        fs::create_dir_all(&path).map_err(failed)?;
    }
    path.canonicalize().map_err(failed)
}

/// `MakeAbsolutePath` (`pkg/volume/util/util.go`), on Windows.
fn absolute(path: &str) -> String {
    if path.contains(':') || path.starts_with(r"\\") {
        path.to_owned()
    } else if path.starts_with(['/', '\\']) {
        format!("c:{path}")
    } else {
        format!(r"c:\{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_get_a_drive() {
        for (path, expected) in [
            (r"C:\native-host\bin", r"C:\native-host\bin"),
            (r"D:\data", r"D:\data"),
            ("/data", "c:/data"),
            (r"\data", r"c:\data"),
            ("data", r"c:\data"),
            (r"\\.\pipe\x", r"\\.\pipe\x"),
        ] {
            assert_eq!(absolute(path), expected);
        }
    }
}
