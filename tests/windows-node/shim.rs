//! The node's end of the line to `tests/wine/shim`, the first program in a container: what the words mean
//! stands there.

use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::unix::pipe;

use crate::host::Host;

/// How long a prefix may take to start: half a second, on a machine at rest.
const UP: Duration = Duration::from_secs(120);

/// What the shim says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// A process runs.
    Started(u64),
    /// It could not be started; Windows' error.
    Failed(u64, u32),
    /// What an exec printed.
    Output(u64, Vec<u8>),
    /// A process ended.
    Exited(u64, i32),
    /// Nothing of the container is left.
    Gone,
    /// So many processes were ended.
    Killed(usize),
}

/// A running shim.
pub struct Shim {
    /// What the container prints.
    pub stdout: pipe::Receiver,
    /// And where it complains.
    pub stderr: pipe::Receiver,
    /// What it is told.
    pub commands: Commands,
    /// What it says.
    pub said: Ear,
}

impl Shim {
    /// Starts one in a prefix.
    pub async fn start(host: &Host, prefix: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let mut command = host.wine(prefix);
        let mut child = command
            .arg(&host.shim)
            .arg(address)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let late = || io::Error::other("the container's first program does not answer");
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(late());
        };
        let (stdout, stderr) = (OwnedFd::from(stdout), OwnedFd::from(stderr));
        let stdout = pipe::Receiver::from_owned_fd(stdout)?;
        let stderr = pipe::Receiver::from_owned_fd(stderr)?;
        // It ends with the line to us; somebody has to wait for it then.
        let mut ended = tokio::task::spawn_blocking(move || child.wait());
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            ended = &mut ended => {
                let text = format!("the container's first program: {}", ended??);
                return Err(io::Error::other(text));
            }
            () = tokio::time::sleep(UP) => return Err(late()),
        };
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut said = Ear(BufReader::new(reader).lines());
        // "ready"
        said.0.next_line().await?.ok_or_else(late)?;
        Ok(Self {
            stdout,
            stderr,
            commands: Commands(writer),
            said,
        })
    }
}

/// What is told.
pub struct Commands(OwnedWriteHalf);

impl Commands {
    /// Starts a process; 0 is the container's own.
    pub async fn run(
        &mut self,
        id: u64,
        line: &str,
        folder: &str,
        environment: impl Iterator<Item = (&str, &str)>,
    ) -> io::Result<()> {
        let mut pairs = String::new();
        for (name, value) in environment {
            let _ = write!(pairs, "{name}={value}\0");
        }
        let (line, folder, pairs) = (hex(line), hex(folder), hex(&pairs));
        self.say(&format!("run {id} {line} {folder} {pairs}")).await
    }

    /// SIGTERM to the container, as it arrives there.
    pub async fn signal(&mut self) -> io::Result<()> {
        self.say("signal").await
    }

    /// SIGKILL to a process.
    pub async fn kill(&mut self, id: u64) -> io::Result<()> {
        self.say(&format!("kill {id}")).await
    }

    /// Ends what runs from a file of this name.
    pub async fn kill_image(&mut self, name: &str) -> io::Result<()> {
        self.say(&format!("kill-image {}", hex(name))).await
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(format!("{line}\n").as_bytes()).await
    }
}

/// Where it is heard.
pub struct Ear(Lines<BufReader<OwnedReadHalf>>);

impl Ear {
    /// What it says next; None when it has ended.
    pub async fn next(&mut self) -> Option<Said> {
        loop {
            let line = self.0.next_line().await.ok()??;
            if let Some(said) = read(&line) {
                return Some(said);
            }
        }
    }
}

fn read(line: &str) -> Option<Said> {
    let words: Vec<_> = line.trim_end().split(' ').collect();
    Some(match words[..] {
        ["started", id, _] => Said::Started(id.parse().ok()?),
        ["failed", id, error] => Said::Failed(id.parse().ok()?, error.parse().ok()?),
        ["output", id, text] => Said::Output(id.parse().ok()?, bytes(text)?),
        // The kubelet has 32 bits with a sign (`int32` of the CRI's exit code).
        ["exited", id, code] => {
            Said::Exited(id.parse().ok()?, code.parse::<u32>().ok()?.cast_signed())
        }
        ["gone"] => Said::Gone,
        ["killed", count] => Said::Killed(count.parse().ok()?),
        _ => return None,
    })
}

fn hex(text: &str) -> String {
    let mut word = String::with_capacity(text.len() * 2 + 1);
    for byte in text.bytes() {
        let _ = write!(word, "{byte:02x}");
    }
    if word.is_empty() {
        "-".to_owned()
    } else {
        word
    }
}

fn bytes(word: &str) -> Option<Vec<u8>> {
    let digits = word.trim_start_matches('-').as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_have_a_sign() {
        assert_eq!(read("exited 0 7701"), Some(Said::Exited(0, 7701)));
        assert_eq!(
            read("exited 3 3221225786"),
            Some(Said::Exited(3, -1_073_741_510))
        );
    }

    #[test]
    fn texts_travel_in_hexadecimal() {
        assert_eq!(hex(""), "-");
        assert_eq!(bytes("-"), Some(Vec::new()));
        assert_eq!(
            read(&format!("output 1 {}", hex("ü\r\n"))),
            Some(Said::Output(1, "ü\r\n".into()))
        );
        assert_eq!(read("output 1 xx"), None);
    }
}
