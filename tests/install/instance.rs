//! A pod of the Deployment, played: the program with its very arguments and variables.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::PATIENCE;
use crate::deploy::object;
use crate::support::install::HOME;
use crate::support::process::Server;
use crate::support::{ControlPlane, free_port, wait_until};

/// The Deployment's container, as the kubelet would start it.
pub struct Recipe {
    args: Vec<String>,
    env: Vec<(String, String)>,
    account: String,
    /// The Secret that is mounted, and where.
    pub mount: Option<(String, String)>,
}

impl Recipe {
    /// Of manifests.
    pub fn of(objects: &[Value]) -> Self {
        let pod = &object(objects, "Deployment", "native-host")["spec"]["template"]["spec"];
        assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
        assert_eq!(pod.get("initContainers"), None);
        let container = &pod["containers"][0];
        assert_eq!(container.get("command"), None, "the image's own program");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let variable = |one: &Value| (text(&one["name"]), text(&one["value"]));
        let secret = |mount: &Value| {
            let volumes = list(&pod["volumes"]);
            let volume = volumes.iter().find(|v| v["name"] == mount["name"]).unwrap();
            (
                text(&volume["secret"]["secretName"]),
                text(&mount["mountPath"]),
            )
        };
        Recipe {
            args: list(&container["args"]).iter().map(text).collect(),
            env: list(&container["env"]).iter().map(variable).collect(),
            account: text(&pod["serviceAccountName"]),
            mount: list(&container["volumeMounts"]).first().map(secret),
        }
    }
}

/// A running one.
pub struct Instance {
    server: Server,
    pub https: u16,
    pub http: u16,
}

impl Instance {
    /// Starts one; `name` is that of its log and of its pod. What is mounted lies in `mounted`. `more` are arguments that
    /// are not the Deployment's.
    pub fn start(
        plane: &ControlPlane,
        name: &'static str,
        recipe: &Recipe,
        mounted: &Path,
        more: &[&str],
    ) -> Self {
        assert_eq!(recipe.account, "native-host");
        let kubeconfig = plane.program_kubeconfig(name, None);
        let (https, http) = (free_port(), free_port());
        // The variables and paths that a pod would have; ports, since all pods here share one network.
        let mut words = vec![
            "-i".to_owned(),
            format!("KUBECONFIG={}", kubeconfig.display()),
            format!("NATIVE_HOST_LISTEN=127.0.0.1:{https}"),
            format!("NATIVE_HOST_HTTP_LISTEN=127.0.0.1:{http}"),
        ];
        words.extend(recipe.env.iter().map(|(k, v)| format!("{k}={v}")));
        words.push(env!("CARGO_BIN_EXE_native-host").to_owned());
        words.extend(recipe.args.iter().map(|arg| match &recipe.mount {
            Some((_, path)) => arg.replace(path.as_str(), mounted.to_str().unwrap()),
            None => arg.clone(),
        }));
        words.extend(more.iter().map(|&arg| arg.to_owned()));
        let server = Server::start(name, Path::new("/usr/bin/env"), &words, plane.folder());
        let mut instance = Self {
            server: server.unwrap(),
            https,
            http,
        };
        wait_until("the instance is ready", PATIENCE, || {
            instance.server.check().unwrap();
            instance.get("/readyz")
        });
        instance
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let pid = self.server.pid().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it has ended.
    pub fn until_it_ends(mut self) {
        wait_until("the instance ends", PATIENCE, || self.server.check().err());
    }

    /// What `/metrics` says.
    pub fn metrics(&self) -> String {
        self.get("/metrics").unwrap()
    }

    /// A body, if the answer is 200.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.lines()
            .next()?
            .contains(" 200 ")
            .then(|| body.to_owned())
    }
}

/// A Secret, mirrored into a folder for as long as this lives. The kubelet takes up to a minute for a change; this takes half a
/// second, so that little time is left to tell the API server of a new CA.
pub struct Mirror {
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mirror {
    /// Waits for the Secret, and begins.
    pub fn start(plane: &'static ControlPlane, secret: &str) -> Self {
        let folder = plane.folder().join(format!("mirror-of-{secret}"));
        fs::create_dir_all(&folder).unwrap();
        let read = {
            let secret = secret.to_owned();
            move || {
                let args = ["get", "secret", &secret, "-n", HOME, "-o", "json"];
                let output = plane.kubectl(&args);
                let found: Value = serde_json::from_slice(&output.stdout).ok()?;
                found["data"].as_object().cloned()
            }
        };
        // Before it is whole the kubelet does not start the pod.
        let mut last = wait_until("the Secret is issued", PATIENCE, &read);
        let mut turn = 0;
        mount(&folder, turn, &last);
        let (stop, into) = (Arc::new(AtomicBool::new(false)), folder.clone());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(500));
                // One that is gone leaves the files as they are, as in a pod that runs.
                let Some(now) = read().filter(|now| *now != last) else {
                    continue;
                };
                turn += 1;
                mount(&into, turn, &now);
                last = now;
            }
        });
        Self {
            folder,
            stop,
            thread: Some(thread),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Puts files into `folder` as the kubelet does: a new folder, and `..data` renamed over the old link
/// (`pkg/volume/util/atomic_writer.go`).
fn mount(folder: &Path, turn: usize, files: &Map<String, Value>) {
    let data = format!("..{turn}");
    fs::create_dir_all(folder.join(&data)).unwrap();
    for (file, text) in files {
        let bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
        fs::write(folder.join(&data).join(file), bytes).unwrap();
        let link = folder.join(file);
        if fs::symlink_metadata(&link).is_err() {
            symlink(format!("..data/{file}"), link).unwrap();
        }
    }
    symlink(&data, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    if turn > 0 {
        fs::remove_dir_all(folder.join(format!("..{}", turn - 1))).unwrap();
    }
}
