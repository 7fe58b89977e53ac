//! Mounts: ours, and those of the author that must not lie over what is started.
//!
//! In a HostProcess container a mount appears at its path on the host, for the processes of that
//! container (bind filter, `internal/jobcontainers/mounts.go` of hcsshim). So a mount can put other
//! files in the place of a program.

use super::container::{Container, Mount};
use super::plumbing::Volumes;
use super::pod::Place;
use super::reason::Reason;
use super::sheet::Sheet;
use super::wrap::Wrapping;
use crate::json::{array, quote};
use crate::names::injected;

/// A path as Windows compares paths: drive and folders, in letters of either case.
#[derive(Clone, Debug)]
pub(super) struct Folder<'p>(Vec<&'p str>);

/// Where the kubelet puts a path without a drive (`MakeAbsolutePath`, pkg/volume/util/util.go).
const DRIVE: &str = "c:";

impl PartialEq for Folder<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.holds(other)
    }
}

impl<'p> Folder<'p> {
    /// `None` if the text may name another folder than it seems to.
    pub(super) fn parse(path: &'p str) -> Option<Self> {
        let bytes = path.as_bytes();
        let is_separator = |byte: u8| matches!(byte, b'\\' | b'/');
        if bytes.len() > 1 && is_separator(bytes[0]) && is_separator(bytes[1]) {
            return None; // a device, or another machine's share
        }
        let mut folders = Vec::with_capacity(8);
        if bytes.get(1) != Some(&b':') {
            folders.push(DRIVE);
        }
        let mut start = 0;
        while start < bytes.len() {
            let rest = &bytes[start..];
            let length = rest
                .iter()
                .position(|byte| is_separator(*byte))
                .unwrap_or(rest.len());
            let name = &path[start..start + length];
            let drive = folders.is_empty();
            start += length + 1;
            if name.is_empty() {
                continue;
            }
            // Windows drops dots and spaces at the end of a name, and knows files by short names.
            let odd = match name.as_bytes() {
                [.., b'.' | b' '] => true,
                name => !drive && name.iter().any(|byte| matches!(byte, b':' | b'~')),
            };
            if odd && (name.ends_with(['.', ' ']) || name.contains(':') || is_short(name))
                || (drive && name.len() != 2)
            {
                return None;
            }
            folders.push(name);
        }
        Some(Self(folders))
    }

    /// Whether `other` is this folder, or lies in it at any depth.
    pub(super) fn holds(&self, other: &Self) -> bool {
        self.0.len() <= other.0.len()
            && self
                .0
                .iter()
                .zip(&other.0)
                .all(|(one, two)| one.eq_ignore_ascii_case(two))
    }
}

/// `progra~1`
fn is_short(name: &str) -> bool {
    let after = name.split('~').skip(1);
    after
        .into_iter()
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The first of a container's mounts that lies over a file, or may do so.
pub(super) fn over<'c, 'a>(container: &'c Container<'a>, file: &str) -> Option<&'c Mount<'a>> {
    let file = Folder::parse(file);
    container.mounts.iter().flatten().find(|mount| {
        match (Folder::parse(&mount.path), &file) {
            (Some(mount), Some(file)) => mount.holds(file),
            (None, _) => true,
            // A share cannot be mounted over.
            (Some(_), None) => false,
        }
    })
}

/// `C:\native-host`, the folder that both of our mounts lie in.
fn our_dir() -> &'static str {
    injected::LAUNCHER_DIR
        .rsplit_once('\\')
        .map_or(injected::LAUNCHER_DIR, |(dir, _)| dir)
}

/// Refuses mounts that collide with ours, and adds ours to a container that `wraps`.
pub(super) fn write(
    place: Place,
    container: &Container<'_>,
    wraps: Option<&Wrapping<'_>>,
    volumes: Volumes<'_>,
    marked: bool,
    sheet: &mut Sheet,
) {
    let mounts = container.mounts.as_deref().unwrap_or_default();
    let programs: Vec<_> = wraps
        .iter()
        .flat_map(|wrapping| wrapping.programs())
        .collect();
    let mut missing: Vec<_> = volumes.wanted().filter(|_| wraps.is_some()).collect();
    for (i, mount) in mounts.iter().enumerate() {
        let ours = volumes
            .wanted()
            .find(|(name, path)| mount.name == *name && mount.path == *path && !mount.sub_path);
        let allowed = if wraps.is_some() {
            mount.read_only
        } else {
            container.name == injected::LAUNCHER
        };
        if let Some(ours) = ours.filter(|_| marked && allowed) {
            missing.retain(|wanted| *wanted != ours);
        } else if let Some(fault) = fault(mount, &programs) {
            let field = sheet.container_field(place, &format!("volumeMounts[{i}]"));
            let value = format!("{} at {}", mount.name, mount.path);
            sheet.refuse(Reason::Plumbing, field, value, fault);
        }
    }
    let entries: Vec<_> = missing.iter().map(entry).collect();
    if container.mounts.is_some() {
        for entry in &entries {
            sheet.add_in(place, "/volumeMounts/-", entry);
        }
    } else if !entries.is_empty() {
        sheet.add_in(place, "/volumeMounts", &array(&entries));
    }
}

/// JSON text of a mount of ours. Programs only read what is there.
fn entry((name, path): &(&str, &str)) -> String {
    let mut text = format!(r#"{{"name":"{name}","mountPath":"#);
    quote(path, &mut text);
    text.push_str(r#","readOnly":true}"#);
    text
}

/// What is wrong with a mount that is not ours.
fn fault(mount: &Mount<'_>, programs: &[&str]) -> Option<String> {
    if mount.name == injected::LAUNCHER || mount.name == injected::ANCHOR_VOLUME {
        return Some(format!(
            "only native-host mounts the volume {}, read-only; name yours otherwise",
            mount.name
        ));
    }
    let Some(folder) = Folder::parse(&mount.path) else {
        return Some(
            "this path may lead to another folder than it seems to; write it with a drive and \
             plain names, such as C:\\data (no `.`, `..`, `~1`, device or share, no dot or space at \
             the end of a name)"
                .to_owned(),
        );
    };
    let ours = Folder::parse(our_dir())?;
    if folder.holds(&ours) || ours.holds(&folder) {
        return Some(format!(
            "native-host keeps its own files in {}; choose another folder",
            our_dir()
        ));
    }
    let hides = |program: &&&str| Folder::parse(program).is_some_and(|file| folder.holds(&file));
    let hidden = programs.iter().find(hides)?;
    Some(format!(
        "lies over {hidden}, which starts the program; choose another folder"
    ))
}

/// The first mount of the container that brings the launcher which is neither its own nor a
/// token's, and so could change what it runs.
pub(super) fn foreign<'c, 'a>(installer: &'c Container<'a>) -> Option<&'c Mount<'a>> {
    let secrets = Folder::parse(r"C:\var\run\secrets");
    installer.mounts.iter().flatten().find(|mount| {
        let is_ours = mount.name == injected::LAUNCHER && mount.path == injected::LAUNCHER_DIR;
        let token = match (&secrets, Folder::parse(&mount.path)) {
            (Some(secrets), Some(folder)) => secrets.holds(&folder),
            _ => false,
        };
        !is_ours && !token
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Folder;

    #[test]
    fn compares_as_the_kubelet_and_windows_do() {
        fn folder(text: &str) -> Folder<'_> {
            Folder::parse(text).unwrap()
        }
        for same in [r"C:\apps", "c:/APPS/", "/apps", r"\apps\\", "apps"] {
            assert_eq!(folder(same), folder(r"C:\apps"), "{same}");
        }
        assert!(folder(r"C:\").holds(&folder(r"C:\apps\a.exe")));
        assert!(folder(r"C:\apps").holds(&folder(r"C:\apps\a.exe")));
        assert!(!folder(r"C:\app").holds(&folder(r"C:\apps\a.exe")));
        assert!(!folder(r"D:\apps").holds(&folder(r"C:\apps\a.exe")));
    }

    #[test]
    fn knows_what_may_be_another_folder() {
        for odd in [
            r"C:\x\..\native-host",
            r"C:\.\native-host",
            r"C:\native-host.\bin",
            r"C:\NATIVE~1\bin",
            r"\\?\C:\native-host",
            r"\\server\share",
            r"C:native-host",
            r"C:\data:stream",
        ] {
            assert_eq!(Folder::parse(odd), None, "{odd}");
        }
    }
}
