//! A simulated node as a process, and a hand on it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use native_host::names::injected;
use native_host::policy::Policy;
use serde_json::Value;

use crate::support::ControlPlane;
use crate::{hack, world};

/// The Windows programs that a node has. Built once.
#[derive(Clone, Debug)]
pub struct Parts {
    launcher: PathBuf,
    albums: PathBuf,
    network: PathBuf,
    cplauncher: PathBuf,
}

impl Parts {
    /// Builds them, or says why that cannot be.
    pub fn built() -> Result<&'static Self, String> {
        static BUILT: OnceLock<Result<Parts, String>> = OnceLock::new();
        let built = BUILT.get_or_init(|| {
            Ok(Parts {
                launcher: build(&["launcher", "native-host-launcher"])?,
                albums: build(&["examples/albums", "albums"])?,
                network: build(&["tests/wine/stand-ins/network", "network.dll"])?,
                cplauncher: build(&["tests/wine/stand-ins/cplauncher"])?,
            })
        });
        built.as_ref().map_err(Clone::clone)
    }

    /// A folder as an image with the launcher in it, and the flags of a node that has all of it.
    fn flags(&self, folder: &Path) -> Vec<String> {
        let (image, system) = (folder.join("launcher-image"), folder.join("system"));
        for made in [&image, &system] {
            std::fs::create_dir_all(made).unwrap();
        }
        std::fs::copy(&self.launcher, image.join(injected::LAUNCHER_EXE)).unwrap();
        let policy = Policy::builtin();
        let reference = policy.launcher_image.clone().unwrap();
        let cplauncher = policy.cplauncher_path.as_str();
        let hook = cplauncher.replace("cplauncher.exe", "cphook.dll");
        let mut flags = vec![
            format!("--image={reference}={}", image.display()),
            format!(r"--host-file=C:\apps\albums.exe={}", self.albums.display()),
            format!("--host-file={cplauncher}={}", self.cplauncher.display()),
            // Only looked for, by the stand-in for cplauncher.
            format!(r"--host-file={hook}={}", self.network.display()),
        ];
        for name in ["computenetwork.dll", "iphlpapi.dll"] {
            std::fs::copy(&self.network, system.join(name)).unwrap();
            flags.push(format!("--system-file={}", system.join(name).display()));
        }
        flags
    }
}

fn build(args: &[&str]) -> Result<PathBuf, String> {
    let built = Command::new(hack("build-windows"))
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if !built.status.success() {
        return Err(format!(
            "hack/build-windows {} failed, it said why",
            args.join(" ")
        ));
    }
    let path = String::from_utf8_lossy(&built.stdout);
    Ok(path.trim_end().into())
}

/// A node. It ends with this process at the latest: its stdin does.
#[derive(Debug)]
pub struct Node {
    pub name: &'static str,
    child: Child,
    control: u16,
    folder: PathBuf,
}

impl Node {
    /// Starts one, and returns when it is registered.
    pub fn start(plane: &ControlPlane, name: &'static str, number: u8) -> Self {
        let folder = plane.folder().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(plane.folder().join(format!("{name}.log")))
            .unwrap();
        let mut child = Command::new(program())
            .args(["--name", name, "--network", &number.to_string()])
            // Faults come by the dozen here.
            .args(["--crash-backoff", "500"])
            .arg("--kubeconfig")
            .arg(plane.kubeconfig())
            .arg("--folder")
            .arg(&folder)
            .args(Parts::built().unwrap().flags(&folder))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut control = None;
        loop {
            let line = lines.next().and_then(Result::ok);
            let line = line.unwrap_or_else(|| panic!("{name} did not start: see {name}.log"));
            if let Some(address) = line.strip_prefix("control ") {
                control = address
                    .rsplit(':')
                    .next()
                    .and_then(|port| port.parse().ok());
            }
            if line == "ready" {
                break;
            }
        }
        // Whatever else it prints must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let control = control.expect("it says its control port");
        Self {
            name,
            child,
            control,
            folder,
        }
    }

    /// A file of its drive C, by its path there with slashes.
    pub fn host_file(&self, path: &str) -> PathBuf {
        self.folder.join("host/c").join(path)
    }

    /// Makes something happen.
    pub fn make(&self, what: &str) -> String {
        self.ask("POST", what)
    }

    /// The same, whatever it answers.
    pub fn attempt(&self, what: &str) -> String {
        self.exchange("POST", what).1
    }

    /// When what happened to its pods.
    pub fn timings(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "/timings")).unwrap()
    }

    fn ask(&self, method: &str, path: &str) -> String {
        let (head, body) = self.exchange(method, path);
        assert!(head.contains(" 200 "), "{method} {path}: {head}\n{body}");
        body
    }

    /// The head and the body of an answer.
    fn exchange(&self, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.control)).unwrap();
        let limit = Some(Duration::from_secs(120));
        stream.set_read_timeout(limit).unwrap();
        let request = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The example target, which Cargo builds with all tests; where it was not asked for all, it is built now.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    let program = target.join("examples/windows-node");
    if !program.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--example", "windows-node"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success());
    }
    assert!(program.exists(), "{}", program.display());
    world::must_be_inside();
    program
}
