//! One of the program's controllers, behind a bad network, and what can be done to it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::PATIENCE;
use crate::stage::Stage;
use crate::support::process::Server;
use crate::support::{Proxy, free_port, wait_until};

/// How long the tests' Lease lasts, in seconds: the shortest that there is.
pub const LEASE_SECONDS: u64 = 3;

/// See the module.
pub struct Instance {
    pub proxy: Proxy,
    name: &'static str,
    server: Option<Server>,
    process: Process,
    args: Vec<String>,
    folder: PathBuf,
    http: u16,
    /// How often it was started.
    pub lives: usize,
}

/// The process of an instance, for who acts in the middle of a call of it.
#[derive(Clone, Default)]
pub struct Process {
    pid: Arc<AtomicU32>,
    killed: Arc<AtomicBool>,
}

impl Process {
    /// Sends it a signal; gives whether there was a process.
    pub fn signal(&self, signal: &str) -> bool {
        let pid = self.pid.load(Ordering::SeqCst).to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).output();
        sent.unwrap().status.success()
    }

    /// `kill -9`, and a note of it. It may be dead already.
    pub fn kill(&self) {
        self.signal("KILL");
        self.killed.store(true, Ordering::SeqCst);
    }
}

impl Instance {
    /// Starts one. It is ready when this returns; whether it leads is another thing.
    pub fn start(stage: &Stage, name: &'static str, flags: &[&str]) -> Self {
        let proxy = Proxy::start(&stage.plane);
        let url = proxy.url();
        let kubeconfig = stage.plane.program_kubeconfig(name, Some(&url));
        let http = free_port();
        let lease = format!("--lease-duration={LEASE_SECONDS}s");
        let own = [
            "serve",
            "--webhook=false",
            "--log-format=json",
            "--shutdown-delay=0s",
            // Faults come by the dozen here.
            "--replace-interval=10ms",
            &lease,
        ];
        let mut args: Vec<String> = own
            .into_iter()
            .chain(flags.iter().copied())
            .map(String::from)
            .collect();
        args.push(format!("--kubeconfig={}", kubeconfig.display()));
        args.push(format!("--http-listen=127.0.0.1:{http}"));
        let mut instance = Instance {
            proxy,
            name,
            server: None,
            process: Process::default(),
            args,
            folder: stage.plane.folder().to_owned(),
            http,
            lives: 0,
        };
        instance.begin();
        wait_until("the controller is ready", PATIENCE, || {
            instance
                .get("/readyz")
                .filter(|answer| answer.contains(" 200 "))
        });
        instance
    }

    /// Starts it, again, and does not wait for it.
    pub fn begin(&mut self) {
        self.server = None;
        self.process.killed.store(false, Ordering::SeqCst);
        let binary = Path::new(env!("CARGO_BIN_EXE_native-host"));
        let server = Server::start(self.name, binary, &self.args, &self.folder).unwrap();
        self.process.pid.store(server.pid(), Ordering::SeqCst);
        self.server = Some(server);
        self.lives += 1;
    }

    pub fn process(&self) -> Process {
        self.process.clone()
    }

    /// Whether it was killed and not begun again since.
    pub fn is_killed(&self) -> bool {
        self.process.killed.load(Ordering::SeqCst)
    }

    /// Ends it as a kubelet does, and waits until it has.
    pub fn terminate(&mut self) {
        assert!(self.process.signal("TERM"));
        let server = self.server.as_mut().unwrap();
        wait_until("the controller ends", PATIENCE, || server.check().err());
        self.process.killed.store(true, Ordering::SeqCst);
    }

    /// One of its numbers; None where it does not answer.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics")?;
        let line = text
            .lines()
            .find(|line| line.split(' ').next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Whether it says that it leads.
    pub fn leads(&self) -> bool {
        self.metric("native_host_leader") == Some(1.0)
    }

    pub fn until_it_leads(&self) {
        wait_until(&format!("{} leads", self.name), PATIENCE, || {
            self.leads().then_some(())
        });
    }

    /// Its resident memory now and at its highest, in KiB.
    pub fn memory(&self) -> (u64, u64) {
        let pid = self.process.pid.load(Ordering::SeqCst);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)).ok()?;
        // A frozen process accepts and says nothing.
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // A stopped process is killed all the same; the leash does that.
        self.server = None;
    }
}
