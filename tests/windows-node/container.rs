//! One run of a container, from its prefix to the end of its last process.
//!
//! ```text
//!   silo ─► shim ─► `cmd /c COMMAND` ─► Started ... Exited ─► what is left is told to end ─► Ended
//!                        ▲                  │                         5 s, then the job's end
//!        Stop, Exec, KillImage              └─ after 1 s its output is cut
//! ```
//!
//! The stop is a HostProcess container's (hcsshim `internal/jobcontainers/jobcontainer.go`,
//! `waitBackground`; `internal/cmd/cmd.go`, `CopyAfterExitTimeout`; `cmd/containerd-shim-runhcs-v1/
//! task_hcs.go`, `closeHost`): SIGTERM reaches only the container's own process, which is `cmd.exe`. Once that
//! has ended, all others get CTRL_SHUTDOWN and five seconds, whatever the grace period is.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::host::{Host, in_prefix};
use crate::log::Log;
use crate::probes::{ExecError, Ran};
use crate::shim::{Commands, Said, Shim};
use crate::silo::{self, Binding};

/// The container's own process, for the shim.
const INIT: u64 = 0;

/// How long output is relayed after the end of `cmd.exe` (`CopyAfterExitTimeout`).
const COPY_AFTER_EXIT: Duration = Duration::from_secs(1);

/// How long wine's server may take to end what runs in its prefix, before it is killed itself.
const END: Duration = Duration::from_secs(30);

/// What the kubelet makes of a container of which nothing is known any more.
const UNKNOWN: i32 = 137;

/// `ErrRunContainer` (`pkg/kubelet/container/sync_result.go`).
const RUN: &str = "RunContainerError";

/// What is to run.
#[derive(Debug)]
pub struct Run {
    /// Where its prefix will be.
    pub prefix: PathBuf,
    /// The whole command line, with `cmd /c `.
    pub line: String,
    /// The folder to start in.
    pub folder: String,
    /// What the pod declares, without what is empty.
    pub environment: Vec<(String, String)>,
    /// The image's files.
    pub image: Option<PathBuf>,
    /// Its mounts.
    pub bindings: Vec<Binding>,
    /// Where its output goes.
    pub log: Log,
}

/// What is asked of a run.
#[derive(Debug)]
pub enum Ask {
    /// `StopContainer`: SIGTERM, and after so long SIGKILL.
    Stop(Duration),
    /// A command in the container.
    Exec {
        /// With `cmd /c `.
        line: String,
        /// After that it is ended.
        timeout: Option<Duration>,
        /// Where its end is told.
        reply: oneshot::Sender<Result<Ran, ExecError>>,
    },
    /// Its processes of that file are ended.
    KillImage(String, oneshot::Sender<usize>),
    /// All of it is gone, and nobody wants to know.
    End,
}

/// What becomes of a run.
#[derive(Debug)]
pub enum Event {
    /// Its process runs.
    Started,
    /// It could not be started: the reason, and why.
    Refused(&'static str, String),
    /// Nothing of it is left.
    Ended {
        /// The exit code of `cmd.exe`.
        code: i32,
        /// What it said last, if it failed.
        words: Option<String>,
    },
}

/// Lives it.
pub async fn live(
    host: Arc<Host>,
    run: Run,
    mut asks: mpsc::UnboundedReceiver<Ask>,
    tell: impl Fn(Event),
) {
    let ended = match start(&host, &run).await {
        Err(error) => Some(Event::Refused(RUN, error.to_string())),
        Ok(shim) => Life::new(shim, &run).live(&mut asks, &tell).await,
    };
    // It is over for the pod before its prefix is gone.
    if let Some(event) = ended {
        tell(event);
    }
    drop(asks);
    remove(&run.prefix).await;
}

async fn start(host: &Arc<Host>, run: &Run) -> io::Result<Shim> {
    let (of, prefix, image) = (Arc::clone(host), run.prefix.clone(), run.image.clone());
    let binding = |b: &Binding| Binding {
        path: b.path.clone(),
        target: b.target.clone(),
    };
    let bindings: Vec<_> = run.bindings.iter().map(binding).collect();
    let made = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&prefix)?;
        silo::make(&of, &prefix, image.as_deref(), &bindings)
    });
    made.await??;
    // hcsshim makes the folder if it is not there.
    if let Some(parts) = crate::host::parts(&run.folder) {
        let drive = run.prefix.join("drive_c");
        std::fs::create_dir_all(parts.iter().fold(drive, |at, part| at.join(part)))?;
    }
    Shim::start(host, &run.prefix).await
}

/// Ends everything of a prefix and removes it.
async fn remove(prefix: &Path) {
    let asked = tokio::time::timeout(END, wineserver(prefix, &["-k", "-w"])).await;
    if asked.is_err() {
        wineserver(prefix, &["-k9"]).await;
    }
    // A process that is just going may still write.
    for _ in 0..10 {
        match tokio::fs::remove_dir_all(prefix).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            _ => return,
        }
    }
    eprintln!("windows-node: {} cannot be removed", prefix.display());
}

async fn wineserver(prefix: &Path, args: &'static [&str]) {
    let mut command = Command::new("wineserver");
    in_prefix(&mut command, prefix);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Without a server it has nothing to end, and says so by its exit code.
    let _ = tokio::task::spawn_blocking(move || command.status()).await;
}

struct Exec {
    reply: oneshot::Sender<Result<Ran, ExecError>>,
    output: Vec<u8>,
    until: Option<Instant>,
}

struct Life<'a> {
    shim: Arm,
    run: &'a Run,
    execs: BTreeMap<u64, Exec>,
    last_exec: u64,
    kills: VecDeque<oneshot::Sender<usize>>,
    kill_at: Option<Instant>,
    cut_at: Option<Instant>,
    code: Option<i32>,
    cut: watch::Sender<bool>,
    copies: Vec<tokio::task::JoinHandle<()>>,
}

/// A shim whose output is read elsewhere.
struct Arm {
    commands: Commands,
    said: crate::shim::Ear,
}

impl<'a> Life<'a> {
    fn new(shim: Shim, run: &'a Run) -> Self {
        let (cut, _) = watch::channel(false);
        let copies = vec![
            tokio::spawn(copy(
                run.log.clone(),
                "stdout",
                shim.stdout,
                cut.subscribe(),
            )),
            tokio::spawn(copy(
                run.log.clone(),
                "stderr",
                shim.stderr,
                cut.subscribe(),
            )),
        ];
        Self {
            shim: Arm {
                commands: shim.commands,
                said: shim.said,
            },
            run,
            execs: BTreeMap::new(),
            last_exec: INIT,
            kills: VecDeque::new(),
            kill_at: None,
            cut_at: None,
            code: None,
            cut,
            copies,
        }
    }

    /// Until nothing is left. None where nobody wants to know.
    async fn live(
        mut self,
        asks: &mut mpsc::UnboundedReceiver<Ask>,
        tell: &impl Fn(Event),
    ) -> Option<Event> {
        let environment = self.run.environment.iter();
        let environment = environment.map(|(name, value)| (name.as_str(), value.as_str()));
        let (line, folder) = (&self.run.line, &self.run.folder);
        let started = self
            .shim
            .commands
            .run(INIT, line, folder, environment)
            .await;
        if let Err(error) = started {
            return Some(Event::Refused(RUN, error.to_string()));
        }
        loop {
            let due = self.due();
            let sleep = sleep_until(due.unwrap_or_else(Instant::now));
            tokio::select! {
                said = self.shim.said.next() => match said {
                    Some(Said::Started(INIT)) => tell(Event::Started),
                    Some(Said::Failed(INIT, error)) => {
                        return Some(Event::Refused(RUN, windows(error)));
                    }
                    Some(Said::Gone) | None => break,
                    Some(said) => self.hear(said),
                },
                ask = asks.recv() => match ask {
                    None | Some(Ask::End) => return None,
                    // What is not heard any more is seen by the end of what is said.
                    Some(ask) => drop(self.ask(ask).await),
                },
                () = sleep, if due.is_some() => self.be_due().await,
            }
        }
        for (_, exec) in std::mem::take(&mut self.execs) {
            let _ = exec
                .reply
                .send(Err(ExecError::Failed("the container has ended".into())));
        }
        self.cut.send_replace(true);
        for copy in std::mem::take(&mut self.copies) {
            let _ = copy.await;
        }
        let code = self.code.unwrap_or(UNKNOWN);
        let words = (code != 0).then(|| self.run.log.last_words());
        Some(Event::Ended { code, words })
    }

    fn due(&self) -> Option<Instant> {
        let execs = self.execs.values().filter_map(|exec| exec.until);
        execs.chain(self.kill_at).chain(self.cut_at).min()
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Exited(INIT, code) => {
                self.code = Some(code);
                self.kill_at = None;
                self.cut_at = Some(Instant::now() + COPY_AFTER_EXIT);
            }
            Said::Exited(id, code) => {
                if let Some(Exec { reply, output, .. }) = self.execs.remove(&id) {
                    let _ = reply.send(Ok(Ran { code, output }));
                }
            }
            Said::Output(id, output) => {
                if let Some(exec) = self.execs.get_mut(&id) {
                    exec.output = output;
                }
            }
            Said::Failed(id, error) => {
                if let Some(exec) = self.execs.remove(&id) {
                    let _ = exec.reply.send(Err(ExecError::Failed(windows(error))));
                }
            }
            Said::Killed(count) => {
                if let Some(reply) = self.kills.pop_front() {
                    let _ = reply.send(count);
                }
            }
            Said::Started(_) | Said::Gone => {}
        }
    }

    async fn ask(&mut self, ask: Ask) -> io::Result<()> {
        match ask {
            Ask::Stop(grace) => {
                self.kill_at = self.code.is_none().then(|| Instant::now() + grace);
                self.shim.commands.signal().await
            }
            Ask::Exec {
                line,
                timeout,
                reply,
            } => {
                self.last_exec += 1;
                let exec = Exec {
                    reply,
                    output: Vec::new(),
                    until: timeout.map(|timeout| Instant::now() + timeout),
                };
                self.execs.insert(self.last_exec, exec);
                let environment = self.run.environment.iter();
                let environment = environment.map(|(name, value)| (name.as_str(), value.as_str()));
                let commands = &mut self.shim.commands;
                commands
                    .run(self.last_exec, &line, &self.run.folder, environment)
                    .await
            }
            Ask::KillImage(name, reply) => {
                self.kills.push_back(reply);
                self.shim.commands.kill_image(&name).await
            }
            Ask::End => Ok(()),
        }
    }

    async fn be_due(&mut self) {
        let now = Instant::now();
        let passed = |at: &Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(&self.cut_at) {
            self.cut_at = None;
            self.cut.send_replace(true);
        }
        let mut killed = Vec::new();
        if passed(&self.kill_at) {
            self.kill_at = None;
            killed.push(INIT);
        }
        let late = self.execs.iter().filter(|(_, exec)| passed(&exec.until));
        // Only its `cmd.exe`: what that has started goes on (`Signal`, jobcontainers/process.go).
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(exec) = self.execs.remove(&id) {
                let _ = exec.reply.send(Err(ExecError::TimedOut));
            }
            killed.push(id);
        }
        for id in killed {
            let _ = self.shim.commands.kill(id).await;
        }
    }
}

fn windows(error: u32) -> String {
    format!("CreateProcess: Windows error {error}")
}

/// Copies a stream into the log until it ends or is cut; then what had arrived by then.
async fn copy(
    log: Log,
    name: &'static str,
    stream: impl AsyncRead + Unpin,
    mut cut: watch::Receiver<bool>,
) {
    let mut lines = log.lines(name);
    let mut stream = stream;
    tokio::select! {
        () = lines.copy(&mut stream) => return,
        _ = cut.wait_for(|cut| *cut) => {}
    }
    // Services of wine hold the stream's other end too, so that its end never comes by itself.
    let arrived = Duration::from_millis(50);
    let _ = tokio::time::timeout(arrived, lines.copy(&mut stream)).await;
}
