//! The simulated Windows node's arm inside a container: what hcsshim does there, done there.
//!
//! ```text
//! shim.exe HOST:PORT
//! ```
//!
//! A container of `tests/windows-node` is a wine prefix, and this is the first program in it. It owns
//! the container's job object, and starts processes in it with the very command line that it is told:
//! from Linux wine would quote arguments anew. stdin is nobody's, stdout and stderr are the container's:
//! its processes inherit them. The node talks to it over a socket, in lines of words; texts are
//! hexadecimal UTF-8, `-` where empty.
//!
//! | from the node | |
//! |---|---|
//! | `run ID LINE FOLDER ENVIRONMENT` | starts a process. ID 0 is the container's own, others are execs. ENVIRONMENT is what the pod declares, `NAME=VALUE` with a NUL after each |
//! | `signal` | CTRL_SHUTDOWN for the container's own process |
//! | `kill ID` | TerminateProcess |
//! | `kill-image NAME` | ends what runs from a file of that name, as a crash would |
//! | `end` | TerminateJobObject |
//!
//! | to the node | |
//! |---|---|
//! | `started ID PID`, `failed ID ERROR` | after `run` |
//! | `output ID TEXT` | what an exec printed |
//! | `exited ID CODE` | a process ended; it had the whole 32 bits |
//! | `gone` | all processes have, after the container's own |
//! | `killed COUNT` | after `kill-image` |
#![cfg(windows)]

mod environment;
mod job;
mod process;
mod text;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use job::Job;
use process::Process;

/// The container's own process.
const INIT: &str = "0";

/// What Windows ends a program with that has no handler of its own for a control event.
const STATUS_CONTROL_C_EXIT: u32 = 0xC000_013A;

/// hcsshim's, between the end of the container's own process and that of its job
/// (`internal/jobcontainers/jobcontainer.go`, `waitBackground`).
const SHUTDOWN: Duration = Duration::from_secs(5);

/// What the kubelet keeps of an exec probe's output (`pkg/probe/exec/exec.go`, `maxReadLength`).
const OUTPUT: usize = 10 * 1024;

// No HashMap: its random numbers come of bcryptprimitives.dll, which wine 8 does not have.

/// What every thread of this program has.
struct Shim {
    node: Mutex<TcpStream>,
    job: Job,
    /// Whether the container's own process was told to shut down.
    signalled: AtomicBool,
    processes: Mutex<BTreeMap<String, Arc<Process>>>,
}

fn main() {
    let address = std::env::args().nth(1).expect("HOST:PORT");
    let node = TcpStream::connect(address).expect("the node listens");
    node.set_nodelay(true).expect("a socket's option");
    let commands = BufReader::new(node.try_clone().expect("a second handle"));
    let shim = Arc::new(Shim {
        node: Mutex::new(node),
        job: Job::new().expect("a job object"),
        signalled: AtomicBool::new(false),
        processes: Mutex::default(),
    });
    shim.say("ready");
    for line in commands.lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["run", id, line, folder, environment] => {
                let (line, folder) = (text::read(line), text::read(folder));
                shim.run(id, &line, &folder, &text::read(environment));
            }
            ["signal"] => {
                if let Some(init) = shim.process(INIT) {
                    shim.signalled.store(true, Ordering::SeqCst);
                    init.shut_down();
                }
            }
            ["kill", id] => {
                if let Some(process) = shim.process(id) {
                    process.kill();
                }
            }
            ["kill-image", name] => {
                let name = text::read(name);
                let pids = shim.job.processes();
                let killed = pids
                    .into_iter()
                    .filter(|pid| process::kill_if(*pid, &name))
                    .count();
                shim.say(&format!("killed {killed}"));
            }
            ["end"] => shim.job.end(),
            _ => panic!("{line} is no command"),
        }
    }
    // The node is gone, and all that it ran goes with it.
    shim.job.end();
}

impl Shim {
    fn say(&self, line: &str) {
        let mut node = self.node.lock().expect("no thread panics");
        // A node that is gone is seen where its commands are read.
        let _ = writeln!(node, "{line}");
    }

    fn process(&self, id: &str) -> Option<Arc<Process>> {
        self.processes
            .lock()
            .expect("no thread panics")
            .get(id)
            .cloned()
    }

    /// Starts a process of the container, and a thread that waits for its end.
    fn run(self: &Arc<Self>, id: &str, line: &str, folder: &str, declared: &str) {
        let environment = environment::block(declared);
        let captured = id != INIT;
        let (process, output) =
            match Process::start(&self.job, line, folder, &environment, captured) {
                Ok(started) => started,
                Err(error) => return self.say(&format!("failed {id} {error}")),
            };
        let process = Arc::new(process);
        self.processes
            .lock()
            .expect("no thread panics")
            .insert(id.to_owned(), Arc::clone(&process));
        self.say(&format!("started {id} {}", process.pid()));
        let (shim, id) = (Arc::clone(self), id.to_owned());
        std::thread::spawn(move || {
            let printed = output.map(|mut output| std::thread::spawn(move || output.read(OUTPUT)));
            let mut code = process.wait();
            // The default handler ends a program with this; wine 8's with 0 (`CtrlRoutine` in wine's
            // dlls/kernelbase/console.c).
            if id == INIT && code == 0 && shim.signalled.load(Ordering::SeqCst) {
                code = STATUS_CONTROL_C_EXIT;
            }
            if let Some(printed) = printed {
                // Children of the exec may hold the pipe; the kubelet does not wait for those.
                let until = Instant::now() + Duration::from_secs(1);
                while !printed.is_finished() && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(2));
                }
                if printed.is_finished() {
                    let bytes = printed.join().unwrap_or_default();
                    shim.say(&format!("output {id} {}", text::write(&bytes)));
                }
            }
            shim.processes.lock().expect("no thread panics").remove(&id);
            shim.say(&format!("exited {id} {code}"));
            if id == INIT {
                shim.wind_down();
            }
        });
    }

    /// `waitBackground` and `shutdown` of hcsshim's `internal/jobcontainers/jobcontainer.go`: what still
    /// runs in the job is told to shut down, has five seconds for that, and is then ended with code 1.
    fn wind_down(&self) {
        let until = Instant::now() + SHUTDOWN;
        for pid in self.job.processes() {
            // wine 8 may never come back from a process that ends just then.
            std::thread::spawn(move || process::shut_down(pid));
        }
        while !self.job.is_empty() {
            if Instant::now() >= until {
                self.job.end();
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.say("gone");
    }
}
