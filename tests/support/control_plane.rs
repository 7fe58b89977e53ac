//! A running control plane: what is started when, and how it ends.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::layout::Layout;
use super::process::{Scratch, Server};
use super::{StartError, skip_or_fail, tools};

/// How long a server may take to come up: it takes 3 s here, and machines are busy.
const UP: Duration = Duration::from_secs(120);

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The controller manager.
    pub controllers: bool,
    /// The scheduler.
    pub scheduler: bool,
    /// More flags for the API server, e.g. an audit log.
    pub apiserver_flags: Vec<String>,
    /// Where data and logs go, and stay; by default a temporary folder that is kept only when the
    /// test fails.
    pub folder: Option<PathBuf>,
}

impl Default for Options {
    /// Everything.
    fn default() -> Self {
        Self {
            controllers: true,
            scheduler: true,
            apiserver_flags: Vec::new(),
            folder: None,
        }
    }
}

impl Options {
    /// etcd and the API server: enough for admission.
    pub fn apiserver_only() -> Self {
        Self {
            controllers: false,
            scheduler: false,
            ..Self::default()
        }
    }
}

/// A running control plane. Dropping it ends every process of it; so does our own end.
#[derive(Debug)]
pub struct ControlPlane {
    // In the order of shutdown; the folder goes last.
    others: Mutex<Vec<Server>>,
    apiserver: Option<Server>,
    etcd: Server,
    layout: Layout,
    scratch: Option<Scratch>,
}

impl ControlPlane {
    /// Starts one, and returns when it is ready.
    ///
    /// # Panics
    /// When it does not come up, with the log of what failed.
    pub fn start(options: &Options) -> Self {
        Self::try_start(options).unwrap_or_else(|error| panic!("control plane: {error}"))
    }

    /// As [`start`](Self::start), but None, said loudly, where its binaries are missing.
    ///
    /// # Panics
    /// When it does not come up; with `CI=true` also when the binaries are missing.
    pub fn start_or_skip(options: &Options) -> Option<Self> {
        match tools::folder() {
            Ok(_) => Some(Self::start(options)),
            Err(reason) => {
                skip_or_fail(&reason);
                None
            }
        }
    }

    /// One, with everything, that all tests of a binary share: for tests that each stay in a
    /// namespace of their own. It ends with the process; its logs are kept if any test panicked.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<ControlPlane> = OnceLock::new();
        if let Err(reason) = tools::folder() {
            skip_or_fail(&reason);
            return None;
        }
        Some(SHARED.get_or_init(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if let Some(plane) = SHARED.get() {
                    plane.keep_logs();
                }
                report(panic);
            }));
            Self::start(&Options::default())
        }))
    }

    /// Starts one, and returns when it is ready.
    pub fn try_start(options: &Options) -> Result<Self, StartError> {
        let tools = tools::folder().map_err(StartError::NoTools)?.to_owned();
        let (folder, scratch) = if let Some(folder) = &options.folder {
            (folder.clone(), None)
        } else {
            let scratch = Scratch::new()?;
            (scratch.path().to_owned(), Some(scratch))
        };
        let layout = Layout::write(tools, folder, options.clone())?;
        let etcd = layout.start("etcd", &layout.etcd_flags())?;
        let mut plane = Self {
            others: Mutex::default(),
            apiserver: None,
            etcd,
            layout,
            scratch,
        };
        plane.until_ready().inspect_err(|_| plane.keep_logs())?;
        Ok(plane)
    }

    /// Starts what is not running yet, each once what it needs answers.
    fn until_ready(&mut self) -> Result<(), StartError> {
        let port = self.layout.etcd_port;
        self.wait("etcd is healthy", |_| {
            http_get(port, "/health").map_err(|error| error.to_string())
        })?;
        self.start_apiserver()?;
        // Both give up when the API server is away for long, so they come after it.
        let mut others = Vec::new();
        if self.layout.options.controllers {
            others.push(self.layout.start_controller_manager()?);
        }
        if self.layout.options.scheduler {
            others.push(self.layout.start_scheduler()?);
        }
        self.others = Mutex::new(others);
        if self.layout.options.controllers {
            // Admission refuses pods of a namespace that lacks it.
            self.wait("the default ServiceAccount is made", |plane| {
                heard(&plane.kubectl(&["get", "serviceaccount", "default"]))
            })?;
        }
        Ok(())
    }

    /// Asks until it is so, or a server has ended, or time is up.
    fn wait(
        &mut self,
        what: &'static str,
        ask: impl Fn(&Self) -> Result<(), String>,
    ) -> Result<(), StartError> {
        let started = Instant::now();
        loop {
            let Err(last) = ask(self) else {
                return Ok(());
            };
            self.etcd.check()?;
            if let Some(apiserver) = &mut self.apiserver {
                apiserver.check()?;
            }
            self.check_others()?;
            if started.elapsed() > UP {
                return Err(StartError::Late {
                    what,
                    limit: UP,
                    last,
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn check_others(&self) -> Result<(), StartError> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.iter_mut().try_for_each(Server::check)
    }

    /// Starts the scheduler and the controller manager again where they ended, as a kubelet would: the
    /// scheduler ends itself where a crash of the API server cut off a binding in the middle ("cache is
    /// corrupted", pkg/scheduler/backend/cache/cache.go).
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn revive(&self) -> Result<(), StartError> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        for server in others.iter_mut() {
            if server.check().is_err() {
                *server = match server.name() {
                    "kube-scheduler" => self.layout.start_scheduler()?,
                    _ => self.layout.start_controller_manager()?,
                };
            }
        }
        Ok(())
    }

    /// Starts the API server, where it does not run, and waits until it is ready.
    pub fn start_apiserver(&mut self) -> Result<(), StartError> {
        if self.apiserver.is_none() {
            let flags = self.layout.apiserver_flags();
            self.apiserver = Some(self.layout.start("kube-apiserver", &flags)?);
        }
        self.revive()?;
        self.wait("the API server is ready", |plane| {
            heard(&plane.kubectl(&["get", "--raw=/readyz"]))
        })
    }

    /// Ends the API server at once, as a crash does; everything else keeps running.
    pub fn stop_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Crashes the API server and starts it again: same address, same objects.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn restart_apiserver(&mut self) {
        self.stop_apiserver();
        self.start_apiserver()
            .unwrap_or_else(|error| panic!("control plane: {error}"));
    }

    /// Ends everything. (So does dropping it; this says so in a test's own words.)
    pub fn stop(self) {
        drop(self);
    }

    /// Keeps the folder with the logs, and says where it is.
    pub fn keep_logs(&self) {
        if let Some(scratch) = &self.scratch {
            scratch.keep();
        }
    }

    /// The process ids of its servers.
    pub fn pids(&self) -> Vec<u32> {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = others.iter().chain(&self.apiserver).chain([&self.etcd]);
        servers.map(Server::pid).collect()
    }

    /// Where the administrator's kubeconfig is.
    pub fn kubeconfig(&self) -> &Path {
        &self.layout.kubeconfig
    }

    /// The administrator's bearer token (group `system:masters`).
    pub fn admin_token(&self) -> &str {
        &self.layout.admin_token
    }

    /// The API server's base URL.
    pub fn url(&self) -> String {
        self.layout.url()
    }

    /// The certificate authority of the API server's certificate, in PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.layout.folder.join("ca.crt")
    }

    /// Its folder: data, logs, keys.
    pub fn folder(&self) -> &Path {
        &self.layout.folder
    }

    /// One of its binaries.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.layout.tools.join(name)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep_logs();
        }
    }
}

/// kubectl's success, or what it said.
fn heard(output: &Output) -> Result<(), String> {
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// A GET over plain HTTP that has to answer 200: etcd's health needs no client of its own.
fn http_get(port: u16, path: &str) -> std::io::Result<()> {
    let limit = Some(Duration::from_secs(2));
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    if status.contains(" 200 ") {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("{path}: {status}")))
    }
}
