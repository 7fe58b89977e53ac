//! `install DIR`: the launcher copies itself to where a pod's containers find it.
//!
//! Whoever looks there finds the whole program or none: it is written beside its place and then renamed to it. On
//! Windows a program that runs can be renamed but neither overwritten nor removed, so one that is in use is moved aside
//! first; what was moved aside goes with the next installation that finds it unused.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::names::LAUNCHER_EXE;

/// What follows the launcher's name while it is being written.
const NEW: &str = "new";
/// And when it was moved aside.
const OLD: &str = "old";

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// There was none.
    Installed(PathBuf),
    /// Another one was there.
    Replaced(PathBuf),
    /// Another one was there and is in use. It runs on, under the second name.
    MovedAside(PathBuf, PathBuf),
    /// The very same is there.
    Same(PathBuf),
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed(path) => write!(f, "installed {}", path.display()),
            Self::Replaced(path) => write!(f, "replaced {}", path.display()),
            Self::MovedAside(path, aside) => {
                write!(
                    f,
                    "replaced {}; the one in use is now {}",
                    path.display(),
                    aside.display()
                )
            }
            Self::Same(path) => write!(f, "{} is the same already", path.display()),
        }
    }
}

/// Why it was not installed: what was being done, with which file, and the system's error.
#[derive(Debug)]
pub struct Fault {
    what: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot {} {}: {}",
            self.what,
            self.path.display(),
            self.error
        )
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Installs the program `own` in a folder, which is made where it is missing.
pub fn install(own: &Path, dir: &Path) -> Result<Done, Fault> {
    place(own, dir, &|from, to| fs::rename(from, to))
}

/// As [`install`], with the system's way to rename (`MoveFileExW` with `MOVEFILE_REPLACE_EXISTING`, or its like).
fn place(
    own: &Path,
    dir: &Path,
    rename: &dyn Fn(&Path, &Path) -> io::Result<()>,
) -> Result<Done, Fault> {
    let fault = |what, path: &Path| {
        let path = path.to_owned();
        move |error| Fault { what, path, error }
    };
    fs::create_dir_all(dir).map_err(fault("make the folder", dir))?;
    let at = dir.join(LAUNCHER_EXE);
    if is_same(own, &at).map_err(fault("compare with", &at))? {
        return Ok(Done::Same(at));
    }
    sweep(dir);
    let new = beside(&at, NEW, 0);
    let written = Written(&new);
    write(own, &new).map_err(fault("write", &new))?;
    let was_there = at.try_exists().map_err(fault("look for", &at))?;
    let Err(error) = rename(&new, &at) else {
        std::mem::forget(written);
        return Ok(if was_there {
            Done::Replaced(at)
        } else {
            Done::Installed(at)
        });
    };
    // Another installation may have been quicker.
    if is_same(own, &at).unwrap_or(false) {
        return Ok(Done::Same(at));
    }
    if !was_there {
        return Err(fault("rename the new file to", &at)(error));
    }
    let aside = (0..1000)
        .map(|number| beside(&at, OLD, number))
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| beside(&at, OLD, 0));
    rename(&at, &aside).map_err(fault("move aside, which is in use,", &at))?;
    if let Err(error) = rename(&new, &at) {
        // Better the old one than none.
        let _ = rename(&aside, &at);
        return Err(fault("rename the new file to", &at)(error));
    }
    std::mem::forget(written);
    if fs::remove_file(&aside).is_ok() {
        return Ok(Done::Replaced(at));
    }
    Ok(Done::MovedAside(at, aside))
}

/// A file that is removed again unless it was renamed.
struct Written<'a>(&'a Path);

impl Drop for Written<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

/// `native-host-launcher.exe.new-4711-0`: by the process's number no two installations share a name.
fn beside(at: &Path, what: &str, number: u32) -> PathBuf {
    let mut name = OsString::from(at);
    name.push(format!(".{what}-{}-{number}", std::process::id()));
    name.into()
}

/// Writes a copy to its last byte.
fn write(own: &Path, new: &Path) -> io::Result<()> {
    let mut from = File::open(own)?;
    let mut to = File::create(new)?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()?;
    #[cfg(unix)]
    fs::set_permissions(new, fs::metadata(own)?.permissions())?;
    Ok(())
}

/// Whether two files hold the same, if there is a second.
fn is_same(own: &Path, at: &Path) -> io::Result<bool> {
    let there = match File::open(at) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let own = File::open(own)?;
    if own.metadata()?.len() != there.metadata()?.len() {
        return Ok(false);
    }
    let all = |mut file: File| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map(|_| bytes)
    };
    Ok(all(own)? == all(there)?)
}

/// Removes what earlier installations moved aside, where it is not in use any more.
fn sweep(dir: &Path) {
    let start = format!("{LAUNCHER_EXE}.{OLD}-");
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(&start))
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A folder of the test's own, and the program to be installed.
    struct Stage {
        root: PathBuf,
        own: PathBuf,
        dir: PathBuf,
    }

    impl Stage {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir()
                .join(format!("native-host-install-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).unwrap();
            let own = root.join("own.exe");
            fs::write(&own, "version 2").unwrap();
            let dir = root.join("a").join("bin");
            Self { root, own, dir }
        }

        fn with_version_1(name: &str) -> Self {
            let stage = Self::new(name);
            fs::create_dir_all(&stage.dir).unwrap();
            fs::write(stage.at(), "version 1").unwrap();
            stage
        }

        fn at(&self) -> PathBuf {
            self.dir.join(LAUNCHER_EXE)
        }

        fn holds(&self) -> String {
            fs::read_to_string(self.at()).unwrap()
        }

        /// What lies there besides the launcher.
        fn others(&self) -> Vec<String> {
            let names = fs::read_dir(&self.dir).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name != LAUNCHER_EXE).collect()
        }
    }

    impl Drop for Stage {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    fn denied() -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    #[test]
    fn it_is_put_where_there_is_none() {
        let stage = Stage::new("none");
        assert_eq!(
            install(&stage.own, &stage.dir).unwrap(),
            Done::Installed(stage.at())
        );
        assert_eq!(
            (stage.holds().as_str(), stage.others().len()),
            ("version 2", 0)
        );
        // And is left alone after that.
        let rename = |_: &Path, _: &Path| -> io::Result<()> { unreachable!("nothing is renamed") };
        assert_eq!(
            place(&stage.own, &stage.dir, &rename).unwrap(),
            Done::Same(stage.at())
        );
    }

    #[test]
    fn another_one_is_replaced() {
        let stage = Stage::with_version_1("other");
        assert_eq!(
            install(&stage.own, &stage.dir).unwrap(),
            Done::Replaced(stage.at())
        );
        assert_eq!(
            (stage.holds().as_str(), stage.others().len()),
            ("version 2", 0)
        );
    }

    #[test]
    fn one_in_use_is_moved_aside_and_swept_later() {
        let stage = Stage::with_version_1("in-use");
        let at = stage.at();
        // As Windows has it: no rename to a file that is in use.
        let rename = |from: &Path, to: &Path| {
            if to == at && to.exists() {
                return denied();
            }
            fs::rename(from, to)
        };
        // Here an open file can be removed; there it would stay.
        let done = place(&stage.own, &stage.dir, &rename).unwrap();
        assert_eq!(done, Done::Replaced(stage.at()));
        assert_eq!(stage.holds(), "version 2");

        fs::write(beside(&stage.at(), OLD, 7), "version 0").unwrap();
        fs::write(&stage.own, "version 3").unwrap();
        install(&stage.own, &stage.dir).unwrap();
        assert_eq!(
            (stage.holds().as_str(), stage.others().len()),
            ("version 3", 0)
        );
    }

    #[test]
    fn the_old_one_comes_back_if_the_new_one_cannot_come() {
        let stage = Stage::with_version_1("back");
        let at = stage.at();
        let rename = |from: &Path, to: &Path| {
            if to == at && from.to_str().unwrap().contains(".new-") {
                return denied();
            }
            fs::rename(from, to)
        };
        let fault = place(&stage.own, &stage.dir, &rename)
            .unwrap_err()
            .to_string();
        assert!(
            fault.starts_with("cannot rename the new file to "),
            "{fault}"
        );
        assert_eq!(
            (stage.holds().as_str(), stage.others().len()),
            ("version 1", 0)
        );
    }

    #[test]
    fn who_comes_second_is_content() {
        let stage = Stage::with_version_1("second");
        let raced = Cell::new(false);
        let rename = |_: &Path, to: &Path| {
            raced.set(true);
            fs::write(to, "version 2").unwrap();
            denied()
        };
        assert_eq!(
            place(&stage.own, &stage.dir, &rename).unwrap(),
            Done::Same(stage.at())
        );
        assert!(raced.get());
        assert_eq!(stage.others().len(), 0);
    }

    #[test]
    fn faults_name_the_file() {
        let stage = Stage::new("faults");
        fs::write(stage.root.join("a"), "no folder").unwrap();
        let fault = install(&stage.own, &stage.dir).unwrap_err().to_string();
        assert!(
            fault.starts_with("cannot make the folder ") && fault.contains("bin"),
            "{fault}"
        );
        let missing = stage.root.join("missing.exe");
        let fault = install(&missing, &stage.root.join("b"))
            .unwrap_err()
            .to_string();
        assert!(fault.contains("new-"), "{fault}");
    }

    #[test]
    fn it_says_what_it_did() {
        let path = PathBuf::from("x");
        assert_eq!(Done::Installed(path.clone()).to_string(), "installed x");
        assert_eq!(
            Done::Same(path.clone()).to_string(),
            "x is the same already"
        );
        let aside = Done::MovedAside(path, "y".into()).to_string();
        assert_eq!(aside, "replaced x; the one in use is now y");
    }
}
