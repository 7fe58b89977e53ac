//! A server process that cannot outlive us.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

use super::StartError;

/// Runs its arguments, and kills them when its stdin ends. That happens when we drop our end, and
/// also when we are killed: no Drop and no signal handler of ours is needed. (`PR_SET_PDEATHSIG`
/// would need `unsafe`, and fires when the *thread* ends that started the server: prctl(2).)
/// The server replaces the shell, so its process id is the child's. What ends a whole process group
/// (Ctrl-C, timeout(1)) must not end the leash: a server may take its time over such a signal.
const LEASH: &str = r#"
    exec 3<&0 </dev/null
    { trap '' HUP INT TERM; read -r _ <&3; kill -KILL $$; } 2>/dev/null &
    exec 3<&-
    exec "$@"
"#;

/// A running server.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
    leash: Option<ChildStdin>,
    log: PathBuf,
}

impl Server {
    /// Starts `program`; what it prints is appended to `<logs>/<name>.log`.
    pub fn start(
        name: &'static str,
        program: &Path,
        args: &[String],
        logs: &Path,
    ) -> Result<Self, StartError> {
        let log = logs.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(StartError::io(format!("open {}", log.display())))?;
        let again = file
            .try_clone()
            .map_err(StartError::io(format!("open {}", log.display())))?;
        let mut child = Command::new("sh")
            .args(["-c", LEASH, name])
            .arg(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(again)
            .spawn()
            .map_err(StartError::io(format!("start {}", program.display())))?;
        let leash = child.stdin.take();
        Ok(Self {
            name,
            child,
            leash,
            log,
        })
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of its log, if it has ended by itself.
    pub fn check(&mut self) -> Result<(), StartError> {
        let status = self
            .child
            .try_wait()
            .map_err(StartError::io(format!("wait for {}", self.name)))?;
        match status {
            None => Ok(()),
            Some(status) => Err(StartError::Died {
                server: self.name,
                status,
                log: self.log.clone(),
                tail: tail(&self.log),
            }),
        }
    }

    /// Lets go of the leash only: what happens when our process dies.
    pub fn let_go(&mut self) {
        self.leash = None;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The leash kills while the child is not yet waited for, so its id cannot be another's.
        self.let_go();
        let _ = self.child.wait();
    }
}

/// The last lines of a log, the reason among them.
fn tail(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(2000)));
        let _ = file.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A folder for data and logs that is removed when we end, however we end, unless it is to be kept.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    keeper: Mutex<(Child, Option<ChildStdin>)>,
}

impl Scratch {
    /// A new, private folder among the temporary ones.
    pub fn new() -> Result<Self, StartError> {
        let path = tempfile::Builder::new()
            .prefix("native-host-control-plane-")
            .tempdir()
            .map_err(StartError::io("make a temporary folder"))?
            .keep();
        // A server that is being killed may still write while the first rm runs.
        let mut child = Command::new("sh")
            .args([
                "-c",
                r#"read -r word; [ "$word" = keep ] || rm -rf "$1" || { sleep 1; rm -rf "$1"; }"#,
                "scratch",
            ])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(StartError::io("start sh"))?;
        let stdin = child.stdin.take();
        Ok(Self {
            path,
            keeper: Mutex::new((child, stdin)),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps it for a person to look at, and says where it is (once).
    pub fn keep(&self) {
        let Ok(mut keeper) = self.keeper.lock() else {
            return;
        };
        if let Some(mut stdin) = keeper.1.take()
            && stdin.write_all(b"keep\n").is_ok()
        {
            eprintln!(
                "the control plane's logs are kept in {}",
                self.path.display()
            );
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Ok(keeper) = self.keeper.get_mut() {
            keeper.1 = None;
            let _ = keeper.0.wait();
        }
    }
}

/// A loopback port that nobody listens on.
///
/// Below the range that the kernel takes outgoing connections' ports from (32768, ip(7)): a port
/// of that range can be taken between our look and the server's bind.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin far apart, so that two test binaries at once do not race for one port.
    let begin = std::process::id().wrapping_mul(7_919) % u32::from(COUNT);
    let begin = u16::try_from(begin).unwrap();
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (begin + step % COUNT) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
