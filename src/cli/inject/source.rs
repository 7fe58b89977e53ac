//! Where manifests come from: files, folders and standard input, as for `kubectl -f`.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

/// One text and what kubectl would call it.
#[derive(Debug)]
pub(in crate::cli) struct Source {
    pub(in crate::cli) name: String,
    pub(in crate::cli) text: String,
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SourceError {
    #[error("there is nothing to read: give -f FILE, or pipe manifests in")]
    Nothing,
    #[error("standard input can be read only once, and -f names it twice")]
    StdinTwice,
    #[error("-f takes files and folders, not addresses: download {0} first")]
    Address(String),
    #[error("the path \"{0}\" does not exist")]
    Missing(String),
    #[error("reading [{0}]: recognized file extensions are [.json .yaml .yml]")]
    NoManifests(String),
    #[error("cannot read {0}: {1}")]
    Unreadable(String, io::Error),
    #[error("{0} is not UTF-8 (PowerShell before version 6 writes UTF-16 unless told otherwise)")]
    NotUtf8(String),
}

impl SourceError {
    /// Whether the command line itself is wrong.
    pub(in crate::cli) fn is_usage(&self) -> bool {
        matches!(self, Self::Nothing | Self::StdinTwice | Self::Address(_))
    }
}

/// Reads everything that `-f` names, in order; without any, standard input.
pub(in crate::cli) fn read(names: &[String], recursive: bool) -> Result<Vec<Source>, SourceError> {
    if names.is_empty() {
        if io::stdin().is_terminal() {
            return Err(SourceError::Nothing);
        }
        return Ok(vec![stdin()?]);
    }
    if names.iter().filter(|name| *name == "-").count() > 1 {
        return Err(SourceError::StdinTwice);
    }
    let mut sources = Vec::new();
    for name in names {
        if name == "-" {
            sources.push(stdin()?);
        } else if name.starts_with("http://") || name.starts_with("https://") {
            return Err(SourceError::Address(name.clone()));
        } else {
            let path = Path::new(name);
            let about = fs::metadata(path).map_err(|error| unreadable(path, error))?;
            if about.is_dir() {
                let before = sources.len();
                folder(path, recursive, &mut sources)?;
                if sources.len() == before {
                    return Err(SourceError::NoManifests(name.clone()));
                }
            } else {
                sources.push(file(path)?);
            }
        }
    }
    Ok(sources)
}

fn stdin() -> Result<Source, SourceError> {
    // kubectl's name for it (cli-runtime `pkg/resource/builder.go`).
    let name = "STDIN".to_owned();
    let mut bytes = Vec::new();
    match io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => text(name, bytes),
        Err(error) => Err(SourceError::Unreadable(name, error)),
    }
}

/// One file, whatever its name ends with.
pub(in crate::cli) fn file(path: &Path) -> Result<Source, SourceError> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
    text(path.display().to_string(), bytes)
}

fn text(name: String, bytes: Vec<u8>) -> Result<Source, SourceError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name, text }),
        Err(_) => Err(SourceError::NotUtf8(name)),
    }
}

/// A folder's manifests in the order of their names, as Go's `filepath.Walk` goes.
fn folder(path: &Path, recursive: bool, sources: &mut Vec<Source>) -> Result<(), SourceError> {
    let read = || -> io::Result<Vec<(PathBuf, fs::FileType)>> {
        let entries = fs::read_dir(path)?.map(|entry| {
            let entry = entry?;
            Ok((entry.path(), entry.file_type()?))
        });
        entries.collect()
    };
    let mut entries = read().map_err(|error| unreadable(path, error))?;
    entries.sort_by(|(a, _), (b, _)| a.file_name().cmp(&b.file_name()));
    for (path, kind) in entries {
        if kind.is_dir() {
            if recursive {
                folder(&path, recursive, sources)?;
            }
        } else if path
            .extension()
            .is_some_and(|ext| ext == "json" || ext == "yaml" || ext == "yml")
        {
            sources.push(file(&path)?);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: io::Error) -> SourceError {
    let name = path.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound => SourceError::Missing(name),
        _ => SourceError::Unreadable(name, error),
    }
}
