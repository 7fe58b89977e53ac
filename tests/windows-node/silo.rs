//! A container's own Windows: a wine prefix, as HostProcess containers on hosts with the bind filter have
//! a silo (hcsshim `internal/jobcontainers/jobcontainer.go`, `bindSetup`).
//!
//! Its drive C is the host's, but for what is bound into it: its mounts, each in this container only, and
//! its image's files at `C:\hpc`. Links do what the bind filter does, so that what is written through a
//! mount or into a folder of the host is there for all; only files that are made in a folder which holds a
//! mount, or in `C:\` itself, stay in the container.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::host::{Host, parts};

/// What is bound where.
#[derive(Debug)]
pub struct Binding {
    /// An absolute path on drive C.
    pub path: String,
    /// The file or folder that is there.
    pub target: PathBuf,
}

/// Makes a container's prefix: bindings into the host's drive C, and the image's folder, if it has one, at
/// `C:\hpc`.
pub fn make(
    host: &Host,
    prefix: &Path,
    image: Option<&Path>,
    bindings: &[Binding],
) -> io::Result<()> {
    let mut root = Place::default();
    root.child("windows").target = Some(host.windows.clone());
    let rootfs = root.child("hpc");
    rootfs.below = Some(image.map(Path::to_owned).unwrap_or_default());
    for binding in bindings {
        let at = parts(&binding.path);
        let at = at.filter(|parts| !parts.is_empty()).ok_or_else(|| {
            io::Error::other(format!("`{}` is no place for a mount", binding.path))
        })?;
        root.at(&at).target = Some(binding.target.clone());
        // As before there was a bind filter, mounts lie below the image's folder too (`setupMounts`).
        root.child("hpc").at(&at).target = Some(binding.target.clone());
    }
    host.copy_registry(prefix)?;
    root.make(&prefix.join("drive_c"), Some(&host.drive))?;
    let devices = prefix.join("dosdevices");
    fs::create_dir(&devices)?;
    symlink("../drive_c", devices.join("c:"))?;
    symlink("/", devices.join("z:"))
}

/// A place in the container's file system, where it differs from the host's.
#[derive(Debug, Default)]
struct Place {
    /// By name in lower case, for names have none; with the name as it was written first.
    children: BTreeMap<String, (String, Place)>,
    /// What is bound here.
    target: Option<PathBuf>,
    /// Another folder than the host's, whose entries are here beside the children.
    below: Option<PathBuf>,
}

impl Place {
    fn child(&mut self, name: &str) -> &mut Self {
        let new = || (name.to_owned(), Self::default());
        &mut self
            .children
            .entry(name.to_lowercase())
            .or_insert_with(new)
            .1
    }

    fn at(&mut self, parts: &[&str]) -> &mut Self {
        parts.iter().fold(self, |place, part| place.child(part))
    }

    /// Makes a folder of it: what is bound, and around that links to what a folder of the host has.
    fn make(&self, folder: &Path, host: Option<&Path>) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let below = self.target.as_deref().or(self.below.as_deref()).or(host);
        let mut entries = BTreeMap::new();
        for entry in below
            .into_iter()
            .filter(|below| below.is_dir())
            .map(fs::read_dir)
        {
            for entry in entry? {
                let entry = entry?;
                let name = entry.file_name();
                entries.insert(name.to_string_lossy().to_lowercase(), (name, entry.path()));
            }
        }
        for (key, (name, place)) in &self.children {
            let of_host = entries.remove(key);
            let name = of_host
                .as_ref()
                .map_or(name.as_ref(), |(name, _)| name.as_os_str());
            let path = folder.join(name);
            match &place.target {
                Some(target) if place.children.is_empty() => symlink(target, path)?,
                _ => place.make(&path, of_host.as_ref().map(|(_, path)| path.as_path()))?,
            }
        }
        for (name, path) in entries.into_values() {
            symlink(path, folder.join(name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn mounts_lie_over_the_host_and_beside_it() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        write(&at("host/Apps/albums.exe"), "albums");
        write(&at("host/Apps/data/old"), "old");
        write(&at("volume/new"), "new");
        write(&at("inner/most"), "most");
        let mut root = Place::default();
        root.at(&["apps", "Data"]).target = Some(at("volume"));
        root.at(&["Apps", "data", "inner"]).target = Some(at("inner"));
        root.at(&["fresh", "folder"]).target = Some(at("volume"));
        root.make(&at("c"), Some(&at("host"))).unwrap();

        let read = |path: &str| fs::read_to_string(at("c").join(path)).ok();
        assert_eq!(read("Apps/albums.exe").as_deref(), Some("albums"));
        assert_eq!(read("Apps/data/new").as_deref(), Some("new"));
        assert_eq!(read("Apps/data/old"), None);
        assert_eq!(read("Apps/data/inner/most").as_deref(), Some("most"));
        assert_eq!(read("fresh/folder/new").as_deref(), Some("new"));
        assert!(!at("volume/inner").exists());
        // What is written through a mount is in the volume.
        fs::write(at("c/fresh/folder/more"), "more").unwrap();
        assert!(at("volume/more").exists());
    }
}
