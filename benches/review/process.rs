//! A server in a process of its own, and what the kernel says of it.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

/// Resident memory, in MiB.
pub struct Resident {
    pub now: f64,
    pub peak: f64,
}

/// A loopback port that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Server {
    pub fn program(folder: &Path, args: &[&str]) -> Server {
        Server::program_at(folder, free_address(), args)
    }

    /// With its own pair first, then with that one, so that a client can trust it beforehand.
    pub fn program_at(folder: &Path, address: SocketAddr, args: &[&str]) -> Server {
        let listen = address.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_native-host"));
        command.args(["serve", "--no-cluster", "--listen", &listen]);
        command.args(["--http-listen", "127.0.0.1:0"]).args(args);
        let first = !folder.join("ca.crt").exists();
        if first {
            command.arg("--self-signed").arg("--self-signed-dir");
        } else {
            command.arg("--cert-dir");
        }
        // The log goes where a container's goes, to a pipe that somebody reads.
        let child = command.arg(folder).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let mut log = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        while !folder.join("ca.crt").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Server { child, address }
    }

    /// This bench again, as a server.
    pub fn own(mode: &str, folder: &Path) -> Server {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(mode)
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        Server {
            child,
            address: line.trim().parse().unwrap(),
        }
    }

    /// CPU time that the process took for `work`, user and system.
    pub fn cpu(&self, work: impl FnOnce()) -> Duration {
        let before = self.cpu_so_far();
        work();
        self.cpu_so_far().saturating_sub(before)
    }

    /// The first number of each thread's `schedstat`: nanoseconds on a CPU
    /// (`Documentation/scheduler/sched-stats.rst`).
    fn cpu_so_far(&self) -> Duration {
        let tasks = format!("/proc/{}/task", self.child.id());
        let nanos = std::fs::read_dir(tasks).unwrap().map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("schedstat"));
            text.unwrap()
                .split(' ')
                .next()
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap()
        });
        Duration::from_nanos(nanos.sum())
    }

    pub fn resident(&self) -> Resident {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mib = |key: &str| {
            let line = status.lines().find(|l| l.starts_with(key)).unwrap();
            let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kib / 1024.0
        };
        Resident {
            now: mib("VmRSS:"),
            peak: mib("VmHWM:"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
