//! A container's output in a file, as containerd writes it for the kubelet (`logging` of its CRI plugin;
//! kubelet `pkg/kubelet/kuberuntime/logs`): a time, the stream, `F` or `P` for a part of a line, the text.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What one line of the file holds at most of a line of the container (`maxLineLength` is a setting, 16 KiB
/// by default).
const LINE: usize = 16 * 1024;

/// How much of the log a termination message has (`kuberuntime_container.go`, `kubecontainer` constants
/// `MaxContainerTerminationMessageLogLength` and `...LogLines`).
const MESSAGE: (usize, usize) = (2048, 80);

/// Where a container's run writes.
#[derive(Debug, Clone)]
pub struct Log {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl Log {
    /// A new one.
    pub fn create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(Mutex::new(File::create(path)?)),
        })
    }

    /// For a stream of the container.
    pub fn lines(&self, stream: &'static str) -> Lines {
        Lines {
            log: self.clone(),
            stream,
            line: Vec::new(),
        }
    }

    fn write(&self, stream: &str, tag: char, text: &[u8]) {
        let mut line = format!("{:.9} {stream} {tag} ", Timestamp::now()).into_bytes();
        line.extend(text);
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk is no reason for a node to end.
        let _ = file.write_all(&line);
    }

    /// What a container that failed said last (`FallbackToLogsOnError`).
    pub fn last_words(&self) -> String {
        let text = plain(&tail(&self.path).unwrap_or_default());
        let from = text.len().saturating_sub(MESSAGE.0);
        let from = (from..=text.len()).find(|at| text.is_char_boundary(*at));
        let text = &text[from.unwrap_or_default()..];
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        lines[lines.len().saturating_sub(MESSAGE.1)..].concat()
    }
}

/// A stream on its way into a log.
pub struct Lines {
    log: Log,
    stream: &'static str,
    line: Vec<u8>,
}

impl Lines {
    /// Copies until the stream ends. Nothing is lost where that is given up and begun again.
    pub async fn copy(&mut self, from: &mut (impl AsyncRead + Unpin)) {
        let mut buffer = vec![0; LINE];
        while let Ok(read) = from.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            for part in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
                self.line.extend(part);
                if self.line.last() == Some(&b'\n') {
                    self.line.pop();
                    self.flush('F');
                } else if self.line.len() >= LINE {
                    self.flush('P');
                }
            }
        }
    }

    fn flush(&mut self, tag: char) {
        self.log.write(self.stream, tag, &self.line);
        self.line.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.flush('P');
        }
    }
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    // Each line has at most 50 bytes besides its text.
    file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The texts of a log, without times and streams.
pub fn plain(log: &str) -> String {
    let mut all = String::with_capacity(log.len());
    for line in log.lines() {
        let mut words = line.splitn(4, ' ');
        let (tag, text) = (words.nth(2), words.next());
        if let (Some(tag), Some(text)) = (tag, text) {
            all.push_str(text);
            if tag == "F" {
                all.push('\n');
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_have_times_and_streams() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pod/0.log");
        let log = Log::create(&path).unwrap();
        log.lines("stdout").copy(&mut &b"one\ntwo\r\n"[..]).await;
        log.lines("stderr").copy(&mut &b"three"[..]).await;
        let text = std::fs::read_to_string(&path).unwrap();
        let words = |line: &str| line.split_once(' ').unwrap().1.to_owned();
        let lines: Vec<_> = text.lines().map(words).collect();
        assert_eq!(lines, ["stdout F one", "stdout F two", "stderr P three"]);
        assert_eq!(plain(&text), "one\ntwo\nthree");
        assert_eq!(log.last_words(), "one\ntwo\nthree");
    }

    #[tokio::test]
    async fn last_words_are_few() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::create(&folder.path().join("0.log")).unwrap();
        let all = (0..200).fold(String::new(), |all, n| all + &format!("line {n}\n"));
        log.lines("stdout").copy(&mut all.as_bytes()).await;
        let said = log.last_words();
        assert_eq!(said.lines().count(), 80);
        assert!(said.starts_with("line 120\n") && said.ends_with("line 199\n"));
    }
}
