//! The node's own Windows: its drive C and its `C:\windows`, which every container sees, and the registry
//! that every container begins with.
//!
//! All of it is made once, of wine's shared prefix (`hack/wine`), by symbolic links: nothing that a
//! container writes gets back there.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Services of wine that no container here needs, and that would start with each. Those that stay are
/// for drives and for network adapters.
const SERVICES: [&str; 3] = ["Eventlog", "PlugPlay", "winebus"];

/// Our launcher takes `iphlpapi.dll` from `C:\windows\system32`, where the stand-in for it lies; wine
/// takes its own one unless it is told otherwise.
const OVERRIDES: &str = r#"
[Software\\Wine\\AppDefaults\\native-host-launcher.exe\\DllOverrides] 1
"computenetwork"="native"
"iphlpapi"="native"
"#;

/// What the host is made of.
#[derive(Debug, Default)]
pub struct Parts {
    /// Files of the host: the path on drive C, and the file to be there.
    pub files: Vec<(String, PathBuf)>,
    /// Files to be in `C:\windows\system32` besides wine's, or in place of them.
    pub system: Vec<PathBuf>,
}

/// The host of all containers of the node.
#[derive(Debug)]
pub struct Host {
    /// Its drive C, without `C:\windows`.
    pub drive: PathBuf,
    /// `C:\windows`.
    pub windows: PathBuf,
    /// What a prefix needs besides its drives.
    registry: PathBuf,
    /// `hack/wine`.
    wine: PathBuf,
    /// The program that is started first in each container, as Windows names it.
    pub shim: String,
}

impl Host {
    /// Makes it in a folder.
    pub fn new(folder: &Path, parts: &Parts) -> io::Result<Self> {
        let hack = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack");
        let host = Self {
            drive: folder.join("c"),
            windows: folder.join("windows"),
            registry: folder.join("registry"),
            wine: hack.join("wine"),
            shim: built(&hack.join("build-windows"), "tests/wine/shim")?,
        };
        let prefix = host.shared_prefix()?;
        for name in ["Program Files", "ProgramData", "users"] {
            fs::create_dir_all(host.drive.join(name))?;
        }
        fs::create_dir_all(host.drive.join("users/Public"))?;
        for (path, file) in &parts.files {
            let there = host.path(path)?;
            fs::create_dir_all(there.parent().unwrap_or(&host.drive))?;
            fs::copy(file, &there)?;
        }
        let shared = prefix.join("drive_c/windows");
        farm(&shared, &host.windows, &["system32", "temp"])?;
        fs::create_dir_all(host.windows.join("temp"))?;
        let system = host.windows.join("system32");
        let names: Vec<_> = parts.system.iter().filter_map(|f| f.file_name()).collect();
        farm(&shared.join("system32"), &system, &names)?;
        for file in &parts.system {
            fs::copy(file, system.join(file.file_name().unwrap_or_default()))?;
        }
        host.make_registry(&prefix)?;
        Ok(host)
    }

    /// Where a path of drive C lies.
    pub fn path(&self, path: &str) -> io::Result<PathBuf> {
        let parts = parts(path)
            .ok_or_else(|| io::Error::other(format!("`{path}` is no absolute path on drive C")))?;
        Ok(parts
            .iter()
            .fold(self.drive.clone(), |at, part| at.join(part)))
    }

    /// Puts the registry into a prefix.
    pub fn copy_registry(&self, prefix: &Path) -> io::Result<()> {
        for file in fs::read_dir(&self.registry)? {
            let file = file?;
            fs::copy(file.path(), prefix.join(file.file_name()))?;
        }
        Ok(())
    }

    /// A command that runs a Windows program in a prefix, with nothing of our own environment.
    pub fn wine(&self, prefix: &Path) -> Command {
        let mut command = Command::new(&self.wine);
        in_prefix(&mut command, prefix);
        command
    }

    /// wine's prefix that all share; made by `hack/wine` where it is not there yet.
    fn shared_prefix(&self) -> io::Result<PathBuf> {
        let status = Command::new(&self.wine)
            .args(["cmd", "/c", "exit"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(io::Error::other(format!("hack/wine: {status}")));
        }
        let own = std::env::var_os("WINEPREFIX").map(PathBuf::from);
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
        Ok(own.unwrap_or_else(|| cache.unwrap_or_else(home).join("native-host/wine")))
    }

    fn make_registry(&self, prefix: &Path) -> io::Result<()> {
        fs::create_dir_all(&self.registry)?;
        for name in ["userdef.reg", ".update-timestamp"] {
            fs::copy(prefix.join(name), self.registry.join(name))?;
        }
        // hack/wine's sign that a prefix has been made.
        fs::write(self.registry.join(".ready"), "")?;
        let user = fs::read_to_string(prefix.join("user.reg"))?;
        fs::write(self.registry.join("user.reg"), user + OVERRIDES)?;
        let system = fs::read_to_string(prefix.join("system.reg"))?;
        fs::write(self.registry.join("system.reg"), slim(&system))
    }
}

/// A command in a prefix, with what hack/wine needs of our environment and nothing else.
pub fn in_prefix(command: &mut Command, prefix: &Path) {
    command.env_clear();
    for name in ["PATH", "HOME", "XDG_CACHE_HOME", "CI"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // wine's code page for the names of files.
    command.env("LANG", "C.UTF-8").env("WINEPREFIX", prefix);
}

/// The components of an absolute path on drive C, with either slash.
pub fn parts(path: &str) -> Option<Vec<&str>> {
    let rest = path
        .strip_prefix("C:")
        .or_else(|| path.strip_prefix("c:"))
        .unwrap_or(path);
    let rest = rest.strip_prefix(['\\', '/'])?;
    let parts: Vec<_> = rest
        .split(['\\', '/'])
        .filter(|part| !part.is_empty())
        .collect();
    let plain = |part: &&str| !part.contains(':') && *part != "." && *part != "..";
    parts.iter().all(plain).then_some(parts)
}

/// The system's registry, with the services that are not needed switched off (`Start` 4, winsvc.h's
/// `SERVICE_DISABLED`), and without the two thirds of it that are about COM: each prefix reads all of it at its
/// start, and writes it at its end.
fn slim(registry: &str) -> String {
    let (mut left_out, mut of_one) = (false, false);
    let mut all = String::with_capacity(registry.len());
    for line in registry.lines() {
        if let Some(key) = line.strip_prefix('[') {
            let key = key.split(']').next().unwrap_or_default();
            left_out = key.starts_with(r"Software\\Classes\\");
            let name = key.strip_prefix(r"System\\CurrentControlSet\\Services\\");
            of_one = name.is_some_and(|name| SERVICES.contains(&name));
        }
        if left_out {
            continue;
        }
        if of_one && line.starts_with("\"Start\"=") {
            all.push_str("\"Start\"=dword:00000004");
        } else {
            all.push_str(line);
        }
        all.push('\n');
    }
    all
}

/// A folder of links to what is in another one, but for some names.
pub fn farm(of: &Path, folder: &Path, without: &[impl AsRef<std::ffi::OsStr>]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(of)? {
        let entry = entry?;
        let name = entry.file_name();
        let left_out =
            |other: &&_| name.eq_ignore_ascii_case(AsRef::<std::ffi::OsStr>::as_ref(*other));
        if without.iter().find(left_out).is_none() {
            symlink(entry.path(), folder.join(&name))?;
        }
    }
    Ok(())
}

/// Builds a package for Windows, or finds it built; gives the program as wine names it.
fn built(script: &Path, package: &str) -> io::Result<String> {
    let output = Command::new(script)
        .arg(package)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!(
            "hack/build-windows {package}: {}",
            output.status
        )));
    }
    let path = String::from_utf8_lossy(&output.stdout);
    Ok(format!("Z:{}", path.trim_end().replace('/', r"\")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_on_drive_c() {
        assert_eq!(
            parts(r"C:\apps\albums.exe").unwrap(),
            ["apps", "albums.exe"]
        );
        assert_eq!(
            parts("/var/run/secrets").unwrap(),
            ["var", "run", "secrets"]
        );
        assert_eq!(parts(r"c:/").unwrap(), Vec::<&str>::new());
        for bad in [r"D:\apps", r"apps\albums", r"C:\a\..\b", r"C:\a:b", ""] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_registry_keeps_what_is_needed() {
        let key = |name: &str, value: &str| format!("[{}] 1\n{value}\n", name.replace('\\', r"\\"));
        let service = |name: &str, start: u32| {
            let name = format!(r"System\CurrentControlSet\Services\{name}");
            key(&name, &format!("\"Start\"=dword:0000000{start}"))
        };
        let com = key(r"Software\Classes\CLSID\{1}", "@=\"one\"");
        let other = key(r"Software\Microsoft\Cryptography", "\"a\"=\"b\"");
        let all = [
            com,
            service("PlugPlay", 2),
            service("MountMgr", 2),
            other.clone(),
        ];
        let wanted = [service("PlugPlay", 4), service("MountMgr", 2), other];
        assert_eq!(slim(&all.concat()), wanted.concat());
    }
}
