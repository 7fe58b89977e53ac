//! Why a control plane did not come up.

use std::path::PathBuf;
use std::time::Duration;

/// Why a control plane did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The binaries are not there.
    #[error("{0}")]
    NoTools(String),
    /// A file or a process could not be made.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A certificate or key could not be made.
    #[error("certificates of the control plane: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A server ended by itself.
    #[error("{server} ended with {status}; the end of {}:\n{tail}", log.display())]
    Died {
        /// Which one.
        server: &'static str,
        /// How.
        status: std::process::ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// Everything runs, but it does not answer as it should.
    #[error("{what}: not within {limit:?}; last answer: {last}")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
        /// What was heard instead.
        last: String,
    },
}

impl StartError {
    /// An IO error and what was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
