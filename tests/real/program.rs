//! The program as a process: what a Deployment of it runs.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{ControlPlane, PATIENCE, free_port, wait_until};
use crate::support::process::Server;

/// Where the serving certificate comes from.
#[derive(Clone, Copy)]
pub enum Certificate<'a> {
    /// The program makes it.
    SelfSigned,
    /// A folder as a mounted Secret, and the CA that signed what lies in it.
    Mounted { folder: &'a Path, ca: &'a str },
}

/// `native-host serve` with access to a control plane.
pub struct Program {
    server: Option<Server>,
    name: &'static str,
    args: Vec<String>,
    folder: PathBuf,
    ca: String,
    pub https: u16,
    http: u16,
}

impl Program {
    /// Starts one that only answers reviews, as an administrator, and returns when it is ready. `name`
    /// is that of its log file.
    pub fn start(plane: &ControlPlane, name: &'static str, certificate: Certificate) -> Self {
        let only_reviews = ["--controller=false"];
        Self::start_with(plane, name, certificate, plane.kubeconfig(), &only_reviews)
    }

    /// Starts one with an identity and flags of the caller's.
    pub fn start_with(
        plane: &ControlPlane,
        name: &'static str,
        certificate: Certificate,
        kubeconfig: &Path,
        flags: &[&str],
    ) -> Self {
        let (https, http) = (free_port(), free_port());
        let folder = plane.folder().to_owned();
        let mut args: Vec<String> = ["serve", "--log-format", "json", "--kubeconfig"]
            .map(String::from)
            .into();
        args.push(kubeconfig.display().to_string());
        args.extend(flags.iter().map(|&flag| flag.to_owned()));
        args.push(format!("--listen=127.0.0.1:{https}"));
        args.push(format!("--http-listen=127.0.0.1:{http}"));
        let pki = folder.join(format!("{name}-pki"));
        let mut ca = String::new();
        match certificate {
            Certificate::SelfSigned => {
                args.push("--self-signed".into());
                args.push(format!("--self-signed-dir={}", pki.display()));
            }
            Certificate::Mounted { folder, ca: known } => {
                args.push(format!("--cert-dir={}", folder.display()));
                known.clone_into(&mut ca);
            }
        }
        let mut program = Self {
            server: None,
            name,
            args,
            folder,
            ca,
            https,
            http,
        };
        program.begin();
        if program.ca.is_empty() {
            program.ca = std::fs::read_to_string(pki.join("ca.crt")).unwrap();
        }
        program
    }

    /// Starts it again where it was, after [`Self::kill`] or [`Self::terminate`].
    pub fn begin(&mut self) {
        let binary = Path::new(env!("CARGO_BIN_EXE_native-host"));
        let mut server = Server::start(self.name, binary, &self.args, &self.folder).unwrap();
        wait_until("the program is ready", PATIENCE, || {
            server.check().unwrap();
            self.get("/readyz")
                .filter(|answer| answer.contains(" 200 "))
        });
        self.server = Some(server);
    }

    /// Ends it as the kernel does when memory is short.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Ends it as the kubelet does, and gives how it ended.
    pub fn terminate(&mut self) -> String {
        let mut server = self.server.take().unwrap();
        let pid = server.pid().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.unwrap().success());
        let ended = wait_until("it drains and ends", PATIENCE, || server.check().err());
        ended.to_string()
    }

    /// What its webhooks' addresses begin with.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https)
    }

    /// Who signs its certificate, in PEM.
    pub fn ca(&self) -> String {
        self.ca.clone()
    }

    /// The sum of the series whose line begins so.
    pub fn metric(&self, begin: &str) -> f64 {
        let text = self.get("/metrics").unwrap();
        let lines = text.lines().filter(|line| line.starts_with(begin));
        let values = lines.map(|line| line.rsplit(' ').next().unwrap());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// Its decisions about objects of a namespace, once there are `count` (its log is written a
    /// moment after the answer).
    pub fn decisions(&self, namespace: &str, count: usize) -> Vec<Value> {
        let log = self.folder.join(format!("{}.log", self.name));
        let what = format!("{count} decisions about {namespace} in the log");
        wait_until(&what, Duration::from_secs(10), || {
            let text = std::fs::read_to_string(&log).unwrap();
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let found: Vec<_> = lines
                .filter(|line: &Value| line["namespace"] == namespace)
                .collect();
            (found.len() >= count).then_some(found)
        })
    }

    /// Whether `/readyz` says so.
    pub fn ready(&self) -> bool {
        is_ready(self.http)
    }

    /// The process.
    #[allow(dead_code, reason = "only who measures it asks")]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().unwrap().pid()
    }

    /// The port of `/readyz`.
    pub fn http(&self) -> u16 {
        self.http
    }

    fn get(&self, path: &str) -> Option<String> {
        http_get(self.http, path).ok()
    }
}

/// Whether a program's HTTP port says that it is ready.
pub fn is_ready(port: u16) -> bool {
    http_get(port, "/readyz").is_ok_and(|answer| answer.contains(" 200 "))
}

fn http_get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Puts a pair into `folder` as the kubelet does: a new folder, and `..data` renamed over the old
/// link (`pkg/volume/util/atomic_writer.go`).
pub fn mount(folder: &Path, turn: usize, (certificate, key): &(String, String)) {
    let data = format!("..2026_{turn}");
    std::fs::create_dir_all(folder.join(&data)).unwrap();
    for (file, text) in [("tls.crt", certificate), ("tls.key", key)] {
        std::fs::write(folder.join(&data).join(file), text).unwrap();
        if turn == 0 {
            symlink(format!("..data/{file}"), folder.join(file)).unwrap();
        }
    }
    symlink(&data, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    if turn > 0 {
        std::fs::remove_dir_all(folder.join(format!("..2026_{}", turn - 1))).unwrap();
    }
}
