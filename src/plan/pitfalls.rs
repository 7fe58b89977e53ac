//! What the API server accepts of a HostProcess pod and its node does not, or does otherwise than elsewhere.
//! Warnings only. `docs/host-process.md` has the whole list, with what cannot be seen in a manifest.

use super::container::Container;
use super::mounts::Folder;
use super::pod::{Place, Pod};
use super::sheet::Sheet;
use crate::json::{Cursor, Error};
use std::borrow::Cow;

/// Folders that Windows itself lives in. A mount in a HostProcess container is bound over the host's own
/// folder, for the processes of that container (`setupMounts`, internal/jobcontainers/mounts.go of hcsshim,
/// which logs that it shadows it).
const OF_WINDOWS: [&str; 5] = [
    r"C:\Windows",
    r"C:\Program Files",
    r"C:\Program Files (x86)",
    r"C:\ProgramData",
    r"C:\Users",
];

/// What paths of named pipes begin with.
const PIPE: &str = r"\\.\pipe\";

/// Warns of named pipes among the volumes.
pub(super) fn warn_of_volumes(pod: &Pod<'_>, sheet: &mut Sheet) {
    for (i, (_, volume)) in pod.spec.volumes.iter().flatten().enumerate() {
        let Ok(Some(path)) = host_path(volume.clone()) else {
            continue; // the API server says what is wrong with it
        };
        if path.replace('/', r"\").starts_with(PIPE) {
            let field = sheet.field(format_args!("spec.volumes[{i}].hostPath.path"));
            sheet.warn(
                &field,
                format_args!(
                    "a HostProcess container cannot mount a named pipe, and does not start (hcsshim); the \
                     program is on the host and opens {path} itself"
                ),
            );
        }
    }
}

/// `hostPath.path`
fn host_path(mut volume: Cursor<'_>) -> Result<Option<Cow<'_, str>>, Error> {
    let mut path = None;
    volume.object(|key, value| {
        if key == "hostPath" && !value.null()? {
            return value.object(|key, value| {
                match key {
                    "path" => path = value.string_or_null()?,
                    _ => value.skip()?,
                }
                Ok(())
            });
        }
        value.skip()
    })?;
    Ok(path)
}

/// Warns of mounts that hide what Windows needs.
pub(super) fn warn_of_mounts(place: Place, container: &Container<'_>, sheet: &mut Sheet) {
    for (i, mount) in container.mounts.iter().flatten().enumerate() {
        let Some(folder) = Folder::parse(&mount.path) else {
            continue; // refused
        };
        let hidden = OF_WINDOWS
            .iter()
            .find(|path| Folder::parse(path).is_some_and(|own| folder.holds(&own)));
        if let Some(hidden) = hidden {
            let field = sheet.container_field(place, &format!("volumeMounts[{i}].mountPath"));
            sheet.warn(
                &field,
                format_args!(
                    "{} lies over {hidden} of the host for everything in this container, cmd.exe among it; \
                     choose a folder of your own",
                    mount.path
                ),
            );
        }
    }
}
