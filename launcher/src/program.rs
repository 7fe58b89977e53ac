//! Which file a target's name means.
//!
//! An absolute path is that file. Any other name is looked up where hcsshim would have looked for it had it
//! not been wrapped (`internal/jobcontainers/path.go`, `getApplicationName`): the working folder, `PATH`, the
//! system's folders; never the launcher's own, which `CreateProcess` by itself would begin with. A name
//! without an extension gets `.exe`, as there. The result is absolute, and nothing else is tried.

/// Where names are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    /// The working folder.
    pub current: String,
    /// The value of `PATH`.
    pub path: String,
    /// Windows' own: `C:\Windows\system32`, `C:\Windows\System`, `C:\Windows`.
    pub system: Vec<String>,
}

/// The file that `name` means; else why there is none.
pub fn locate(
    name: &str,
    folders: &Folders,
    is_file: impl Fn(&str) -> bool,
) -> Result<String, String> {
    if name.is_empty() {
        return Err("the program's name is empty".to_owned());
    }
    let file = with_extension(name);
    if is_absolute(name) {
        return if is_file(&file) {
            Ok(file)
        } else {
            Err(format!("there is no file {file}"))
        };
    }
    if name.as_bytes().get(1) == Some(&b':') || name.starts_with(['\\', '/']) {
        // Relative to a drive's current folder, or to the current drive: nobody means that in a pod.
        return Err(format!(
            "{name} depends on the current drive; write the program's absolute path"
        ));
    }
    let in_path = folders.path.split(';').map(|part| part.trim_matches('"'));
    let all = std::iter::once(folders.current.as_str())
        .chain(in_path)
        .chain(folders.system.iter().map(String::as_str))
        // An entry that is not absolute would mean the current folder again.
        .filter(|folder| is_absolute(folder));
    for folder in all {
        let candidate = format!(r"{}\{file}", folder.trim_end_matches(['\\', '/']));
        if is_file(&candidate) {
            return Ok(candidate);
        }
    }
    Err(format!(
        "there is no {file} in the working folder, in PATH or in Windows' own folders; write the program's \
         absolute path"
    ))
}

/// `C:\…` or `\\server\share\…`, with either slash.
fn is_absolute(path: &str) -> bool {
    let slash = |byte: Option<&u8>| matches!(byte, Some(b'\\' | b'/'));
    let bytes = path.as_bytes();
    let drive = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.get(1) == Some(&b':')
        && slash(bytes.get(2));
    drive || (slash(bytes.first()) && slash(bytes.get(1)) && bytes.len() > 2)
}

fn with_extension(name: &str) -> String {
    let file = name.rsplit(['\\', '/']).next().unwrap_or(name);
    if file.contains('.') {
        name.to_owned()
    } else {
        format!("{name}.exe")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folders() -> Folders {
        Folders {
            current: r"C:\work".to_owned(),
            path: r#"relative;;"C:\Program Files\a";C:\b\;.;C:\Windows"#.to_owned(),
            system: vec![r"C:\Windows\system32".to_owned(), r"C:\Windows".to_owned()],
        }
    }

    fn found(name: &str, files: &[&str]) -> Result<String, String> {
        locate(name, &folders(), |path| files.contains(&path))
    }

    #[test]
    fn an_absolute_path_is_that_file_only() {
        for name in [
            r"C:\apps\a.exe",
            r"\\server\share\a.exe",
            "C:/apps/a.exe",
            r"c:\a\b.cmd",
        ] {
            assert_eq!(found(name, &[name]).unwrap(), name);
        }
        assert_eq!(
            found(r"C:\apps\a", &[r"C:\apps\a.exe"]).unwrap(),
            r"C:\apps\a.exe"
        );
        let why = found(r"C:\apps\a.exe", &[r"C:\work\a.exe", r"C:\apps\a.exe.exe"]).unwrap_err();
        assert_eq!(why, r"there is no file C:\apps\a.exe");
    }

    #[test]
    fn a_name_is_looked_up_as_the_node_would() {
        for (name, files, expected) in [
            (
                "a",
                &[r"C:\b\a.exe", r"C:\work\a.exe"][..],
                r"C:\work\a.exe",
            ),
            (
                "a.exe",
                &[r"C:\b\a.exe", r"C:\Program Files\a\a.exe"],
                r"C:\Program Files\a\a.exe",
            ),
            (
                "cmd",
                &[r"C:\Windows\system32\cmd.exe"],
                r"C:\Windows\system32\cmd.exe",
            ),
            (r"bin\a.exe", &[r"C:\work\bin\a.exe"], r"C:\work\bin\a.exe"),
        ] {
            assert_eq!(found(name, files).unwrap(), expected, "{name}");
        }
        // Neither an entry that is relative, nor one that is empty.
        assert!(found("a", &[r"relative\a.exe", r"\a.exe", "a.exe", r".\a.exe"]).is_err());
    }

    #[test]
    fn what_depends_on_the_current_drive_is_refused() {
        for name in [r"\a.exe", r"C:a.exe", "/a.exe", ""] {
            assert!(locate(name, &folders(), |_| true).is_err(), "{name}");
        }
    }
}
