//! The log: one line a decision, cheap enough to be on for each.
//!
//! A write to a pipe costs as much as the rest of a line. So lines gather in memory and a thread
//! of their own writes them out, a few milliseconds later; warnings and errors are written at
//! once, with all that came before them. What is in memory is written on the way out and when a
//! panic is reported; only a kill loses the last milliseconds.

use std::io::{self, IsTerminal as _, Write};
use std::str::FromStr as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// How long a line may wait for others.
const GATHER: Duration = Duration::from_millis(20);

/// So much is written without waiting.
const FULL: usize = 64 * 1024;

/// A log that gathers lines.
#[derive(Clone)]
pub struct Log {
    gathered: Arc<Gathered>,
}

struct Gathered {
    lines: Mutex<Vec<u8>>,
    some: Condvar,
    out: Mutex<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

/// A log filter that does not parse.
#[derive(Debug, thiserror::Error)]
#[error(
    "--log-level {level:?}: {source}. Expected error, warn, info, debug or trace, or targets as in info,kube=debug"
)]
pub struct LogLevelError {
    level: String,
    source: ParseError,
}

impl Gathered {
    /// The buffer is whole lines at any time, so a poisoned lock does no harm.
    fn lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self) {
        // This lock first: lines must come out in the order in which they were taken.
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut *self.lines());
        // Nobody is left to tell if standard error is gone.
        let _ = out.write_all(&lines).and_then(|()| out.flush());
    }
}

impl Log {
    /// A log that writes to `out`, from a thread of its own.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn new(out: impl Write + Send + 'static) -> io::Result<Self> {
        let gathered = Arc::new(Gathered {
            lines: Mutex::default(),
            some: Condvar::new(),
            out: Mutex::new(Box::new(out)),
        });
        let log = Log {
            gathered: Arc::clone(&gathered),
        };
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || {
                loop {
                    let lines = gathered.lines();
                    drop(gathered.some.wait_while(lines, |lines| lines.is_empty()));
                    std::thread::sleep(GATHER);
                    gathered.flush();
                }
            })?;
        Ok(log)
    }

    /// Sends this process's events to standard error, in `format`, from `level` on.
    ///
    /// # Errors
    /// If `level` does not parse.
    pub fn install(&self, format: LogFormat, level: &str) -> Result<(), LogLevelError> {
        let filter = Targets::from_str(level).map_err(|source| LogLevelError {
            level: level.to_owned(),
            source,
        })?;
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .with_writer(self.clone());
        let registry = tracing_subscriber::registry();
        // Only a test installs twice in one process; the first one stands.
        let _ = match format {
            LogFormat::Text => registry.with(filter).with(lines).try_init(),
            LogFormat::Json => {
                let lines = lines.json().flatten_event(true);
                registry.with(filter).with(lines).try_init()
            }
        };
        Ok(())
    }

    /// Writes out what is in memory.
    pub fn flush(&self) {
        self.gathered.flush();
    }

    /// Reports panics as log lines, with where they were, and writes all out then.
    pub fn report_panics(&self) {
        let log = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let at = panic.location().map(ToString::to_string);
            let payload = panic.payload();
            let what = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no text");
            let backtrace = std::backtrace::Backtrace::capture();
            tracing::error!(at, %backtrace, "panic: {what}");
            log.flush();
        }));
    }
}

/// One line on its way.
#[derive(Debug)]
pub struct Line<'l> {
    log: &'l Log,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let gathered = &self.log.gathered;
        let (first, full) = {
            let mut lines = gathered.lines();
            let first = lines.is_empty();
            lines.extend_from_slice(line);
            (first, lines.len() >= FULL)
        };
        if self.urgent || full {
            gathered.flush();
        } else if first {
            gathered.some.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for Log {
    type Writer = Line<'l>;

    fn make_writer(&'l self) -> Line<'l> {
        Line {
            log: self,
            urgent: true,
        }
    }

    fn make_writer_for(&'l self, meta: &Metadata<'_>) -> Line<'l> {
        Line {
            log: self,
            // The levels are ordered from the least verbose on.
            urgent: *meta.level() <= Level::WARN,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(log: &Log, urgent: bool) -> Line<'_> {
        Line { log, urgent }
    }

    #[test]
    fn a_flush_writes_all_in_order() {
        let sink = Sink::default();
        let log = Log::new(sink.clone()).unwrap();
        for n in 0..1000 {
            line(&log, false)
                .write_all(format!("{n}\n").as_bytes())
                .unwrap();
        }
        log.flush();
        let text = sink.text();
        assert!(text.lines().map(str::parse).eq((0..1000).map(Ok)), "{text}");
    }

    #[test]
    fn an_urgent_line_is_out_at_once_after_those_before_it() {
        let sink = Sink::default();
        let log = Log::new(sink.clone()).unwrap();
        line(&log, false).write_all(b"one\n").unwrap();
        line(&log, true).write_all(b"two\n").unwrap();
        assert_eq!(sink.text(), "one\ntwo\n");
    }

    #[test]
    fn a_line_comes_out_without_a_flush() {
        let sink = Sink::default();
        let log = Log::new(sink.clone()).unwrap();
        line(&log, false).write_all(b"one\n").unwrap();
        let start = std::time::Instant::now();
        while sink.text() != "one\n" {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_bad_level_says_what_was_expected() {
        let log = Log::new(io::sink()).unwrap();
        let error = log.install(LogFormat::Text, "info,kube=loud").unwrap_err();
        assert!(
            error.to_string().contains("Expected error, warn"),
            "{error}"
        );
    }
}
