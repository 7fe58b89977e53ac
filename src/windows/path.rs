//! Absolute Windows paths and patterns of them, for guard rails: compared without case and with
//! either slash, as Windows does, and refused wherever one text could mean two files.
//!
//! After "Naming Files, Paths, and Namespaces" and "File path formats on Windows systems" of the
//! Windows documentation.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::fold::fold;

/// Why a text is not a plain absolute path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// The empty string.
    #[error("is empty: expected an absolute path such as `C:\\apps\\albums.exe`")]
    Empty,
    /// `albums.exe`, `bin\albums.exe`: looked up in the working folder and on `PATH`.
    #[error("is relative: expected an absolute path such as `C:\\apps\\albums.exe`")]
    Relative,
    /// `C:albums.exe`: relative to the working folder of that drive.
    #[error("is relative to the working folder of its drive: write a slash after the colon")]
    DriveRelative,
    /// `\apps\albums.exe`: on whatever drive is the current one.
    #[error("names no drive: begin it with one, as in `C:\\`")]
    RootRelative,
    /// `\\?\C:\...`, `\\.\pipe\...`, `\??\...`: the rules of names do not hold there.
    #[error("is a device path: write it as `C:\\...`")]
    Device,
    /// `\\server` alone.
    #[error("names no share: expected `\\\\server\\share\\...`")]
    NoShare,
    /// `a.exe:stream`
    #[error("names an alternate data stream (a second colon)")]
    Stream,
    /// `.` or `..`
    #[error("has a segment `{0}`: write the path that it leads to")]
    Dots(String),
    /// `PROGRA~1`: the same file by another name.
    #[error("has a segment `{0}` that may be a short (8.3) name: write the long one")]
    ShortName(String),
    /// Windows drops dots and spaces at the end of a name.
    #[error("has a segment `{0}` that ends with a dot or a space, which Windows drops")]
    Trailing(String),
    /// `CON`, `NUL`, `COM1`: a device in every folder.
    #[error("has a segment `{0}`, the name of a device in every folder")]
    Reserved(String),
    /// `$(VAR)`, `%VAR%`, `$env:VAR`: what the file is called is only known on the node.
    #[error(
        "holds `{0}`, in place of which something else may stand on the node: write the path itself"
    )]
    Variable(&'static str),
    /// A character that no name holds.
    #[error("holds {}, which no file's name can", shown(*.0))]
    Character(char),
}

fn shown(c: char) -> String {
    if c.is_control() {
        format!("the character U+{:04X}", u32::from(c))
    } else {
        format!("`{c}`")
    }
}

/// Where a path begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Root {
    Drive(char),
    Share(String, String),
}

/// A plain absolute path: `C:\...` or `\\server\share\...`, without anything by which one file
/// could have two such names (links apart, which only the node knows). Equal are two of which
/// Windows makes the same file.
#[derive(Clone, Debug)]
pub struct WindowsPath {
    text: String,
    root: Root,
    /// The folded segments below the root.
    segments: Vec<String>,
    ends_in_slash: bool,
}

impl WindowsPath {
    /// Parses a plain absolute path.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        if text.is_empty() {
            return Err(PathFault::Empty);
        }
        if let Some(variable) = ["$(", "$$", "$env:", "%"]
            .into_iter()
            .find(|v| text.contains(v))
        {
            return Err(PathFault::Variable(variable));
        }
        let (root, rest) = root(text)?;
        let mut segments = Vec::new();
        for segment in rest.split(is_slash).filter(|segment| !segment.is_empty()) {
            check(segment)?;
            segments.push(fold(segment));
        }
        Ok(Self {
            text: text.to_owned(),
            root,
            segments,
            ends_in_slash: text.ends_with(is_slash),
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name after the last slash, as it was written; none for a root or after a closing slash.
    pub fn file_name(&self) -> Option<&str> {
        if self.segments.is_empty() || self.ends_in_slash {
            return None;
        }
        self.text.rsplit(is_slash).next()
    }

    /// The file name's extension, without its dot. Where there is none, `CreateProcess` and
    /// `SearchPath` may append `.exe`, and `cmd` tries all of `PATHEXT`.
    pub fn extension(&self) -> Option<&str> {
        let (_, extension) = self.file_name()?.rsplit_once('.')?;
        Some(extension)
    }

    /// Whether the path lies below the folder, at any depth.
    pub fn is_below(&self, folder: &Self) -> bool {
        self.root == folder.root
            && self.segments.len() > folder.segments.len()
            && self.segments.starts_with(&folder.segments)
    }
}

impl PartialEq for WindowsPath {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root && self.segments == other.segments
    }
}

impl Eq for WindowsPath {}

impl Hash for WindowsPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.root.hash(state);
        self.segments.hash(state);
    }
}

impl FromStr for WindowsPath {
    type Err = PathFault;

    fn from_str(text: &str) -> Result<Self, PathFault> {
        Self::parse(text)
    }
}

impl fmt::Display for WindowsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A file, or a folder and all below it (`C:\apps\*`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// This file.
    File(WindowsPath),
    /// Every file below this folder.
    Below(WindowsPath),
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// Its path is not plain.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// A `*` in another place than after the last slash.
    #[error(
        "has a `*` in another place than the end: expected a file's path, or a folder's and `\\*`"
    )]
    Star,
    /// A path that ends in a slash.
    #[error("names a folder: write `\\*` after it for all below it")]
    Folder,
    /// A file without an extension, to which Windows may append one.
    #[error("names a file without an extension: write the whole name, such as `albums.exe`")]
    NoExtension,
}

impl PathPattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        let folder = text.strip_suffix('*');
        if folder.unwrap_or(text).contains('*') {
            return Err(PatternFault::Star);
        }
        if let Some(folder) = folder {
            if !folder.ends_with(is_slash) {
                return Err(PatternFault::Star);
            }
            return Ok(Self::Below(WindowsPath::parse(folder)?));
        }
        let file = WindowsPath::parse(text)?;
        if file.file_name().is_none() {
            Err(PatternFault::Folder)
        } else if file.extension().is_none() {
            Err(PatternFault::NoExtension)
        } else {
            Ok(Self::File(file))
        }
    }

    /// Whether the pattern allows this file. `C:\apps\a` never matches `C:\apps\a.exe`: what runs may
    /// be `a`, `a.com` or `a.exe`, each of which lies below `C:\apps`, though.
    pub fn matches(&self, path: &WindowsPath) -> bool {
        path.file_name().is_some()
            && match self {
                Self::File(file) => file == path,
                Self::Below(folder) => path.is_below(folder),
            }
    }
}

impl FromStr for PathPattern {
    type Err = PatternFault;

    fn from_str(text: &str) -> Result<Self, PatternFault> {
        Self::parse(text)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.fmt(f),
            Self::Below(folder) => write!(f, "{folder}*"),
        }
    }
}

fn is_slash(c: char) -> bool {
    matches!(c, '\\' | '/')
}

/// The root, and what follows it.
fn root(text: &str) -> Result<(Root, &str), PathFault> {
    let mut chars = text.chars();
    let start = [chars.next(), chars.next(), chars.next()];
    match start {
        [Some(a), Some(b), _] if is_slash(a) && is_slash(b) => share(&text[2..]),
        // `\??\C:\a`, the object manager's own spelling of `\\?\C:\a`.
        [Some(a), Some('?'), Some('?')] if is_slash(a) => Err(PathFault::Device),
        [Some(a), _, _] if is_slash(a) => Err(PathFault::RootRelative),
        [Some(drive), Some(':'), slash] if drive.is_ascii_alphabetic() => match slash {
            Some(slash) if is_slash(slash) => {
                Ok((Root::Drive(drive.to_ascii_uppercase()), &text[3..]))
            }
            _ => Err(PathFault::DriveRelative),
        },
        _ => Err(PathFault::Relative),
    }
}

/// The root of a UNC path, given what follows its two slashes.
fn share(rest: &str) -> Result<(Root, &str), PathFault> {
    let mut parts = rest.splitn(3, is_slash);
    let server = parts.next().unwrap_or_default();
    // `\\.\` and `\\?\`, with whatever slashes: Windows reads `//./` as such too.
    if matches!(server, "." | "?") {
        return Err(PathFault::Device);
    }
    let share = parts.next().unwrap_or_default();
    if server.is_empty() || share.is_empty() {
        return Err(PathFault::NoShare);
    }
    check(server)?;
    check(share)?;
    Ok((
        Root::Share(fold(server), fold(share)),
        parts.next().unwrap_or_default(),
    ))
}

/// Refuses a segment that is not the one name of one file.
fn check(segment: &str) -> Result<(), PathFault> {
    let whole = || segment.to_owned();
    if matches!(segment, "." | "..") {
        return Err(PathFault::Dots(whole()));
    }
    if segment.ends_with(['.', ' ']) {
        return Err(PathFault::Trailing(whole()));
    }
    for c in segment.chars() {
        match c {
            ':' => return Err(PathFault::Stream),
            '<' | '>' | '"' | '|' | '?' | '*' => return Err(PathFault::Character(c)),
            c if u32::from(c) < 0x20 => return Err(PathFault::Character(c)),
            _ => {}
        }
    }
    // NTFS makes short names as NAME~1.EXT or as NA1B2C~1.EXT.
    let mut pairs = segment.as_bytes().windows(2);
    if pairs.any(|pair| pair[0] == b'~' && pair[1].is_ascii_digit()) {
        return Err(PathFault::ShortName(whole()));
    }
    if is_device(segment) {
        return Err(PathFault::Reserved(whole()));
    }
    Ok(())
}

/// Whether Windows takes the name for a device, which it does whatever extension follows.
fn is_device(segment: &str) -> bool {
    let stem = segment
        .split('.')
        .next()
        .unwrap_or(segment)
        .trim_end_matches(' ');
    let stem = fold(stem);
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"].contains(&stem.as_str()) {
        return true;
    }
    // The superscript digits of ISO 8859-1 count as digits there.
    let numbered = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"));
    let mut number = numbered.unwrap_or_default().chars();
    matches!(
        (number.next(), number.next()),
        (Some('0'..='9' | '¹' | '²' | '³'), None)
    )
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
