//! The node, as the files in its folder have it.

use std::fmt::Display;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::pods::{self, Pod};

const FOLDER: &str = r"C:\native-host-stand-in";
/// How often it asks (`pollInterval`).
const POLL: Duration = Duration::from_secs(1);

/// What a label led to.
pub struct Found {
    pub compartment: u32,
    pub ip: String,
    pub pod: String,
}

/// `resolveCompartmentFromLabel`.
pub fn resolve(selector: &str, namespace: &str, timeout: Duration) -> Result<Found, String> {
    let deadline = Instant::now() + timeout;
    let start = Instant::now();
    let mut many = false;
    loop {
        if Instant::now() >= deadline {
            return Err(if many {
                format!("label selector '{selector}' did not narrow to a single pod before timeout")
            } else {
                format!("no pods match label selector '{selector}' before timeout")
            });
        }
        let all = all()?;
        let in_namespace = |pod: &&Pod| namespace.is_empty() || pod.namespace == namespace;
        let mut found = all
            .iter()
            .filter(in_namespace)
            .filter(|pod| pod.matches(selector));
        let mut pod = match (found.next(), found.next()) {
            (Some(pod), None) => pod.clone(),
            (first, _) => {
                many = first.is_some();
                std::thread::sleep(POLL);
                continue;
            }
        };
        let name = format!("{}/{}", pod.namespace, pod.name);
        let ip = loop {
            if let Some(ip) = pod.ip {
                break ip;
            }
            if Instant::now() >= deadline {
                let waited = start.elapsed().as_secs();
                return Err(format!(
                    "pod '{name}' still has no IP after {waited}s (timeout); consider increasing \
                     -label-timeout"
                ));
            }
            std::thread::sleep(POLL);
            // A pod that goes meanwhile is waited for to the end.
            let again = crate::node::all()?.into_iter();
            let same =
                again.filter(|other| other.name == pod.name && other.namespace == pod.namespace);
            pod.ip = same.last().and_then(|pod| pod.ip);
        };
        let compartment = compartment(&ip).ok_or_else(|| {
            format!(
                "map pod ip to compartment: ipconfig scan failed for ip {ip}: ip {ip} not found in \
                 ipconfig /allcompartments output"
            )
        })?;
        return Ok(Found {
            compartment,
            ip,
            pod: name,
        });
    }
}

fn all() -> Result<Vec<Pod>, String> {
    match fs::read_to_string(Path::new(FOLDER).join("pods")) {
        Ok(text) => Ok(pods::read(&text)),
        Err(_) => {
            let home = std::env::var("USERPROFILE").unwrap_or_default();
            Err(format!(
                r"kubeconfig load: CreateFile {home}\.kube\config: The system cannot find the file specified."
            ))
        }
    }
}

/// The compartment that has the IP, once it is up.
fn compartment(ip: &str) -> Option<u32> {
    let text = fs::read_to_string(Path::new(FOLDER).join("endpoints")).ok()?;
    text.lines().find_map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let [_, _, compartment, _, ips] = words[..] else {
            return None;
        };
        let compartment: u32 = compartment.parse().ok()?;
        (compartment != 0 && ips.split(',').any(|known| known == ip)).then_some(compartment)
    })
}

/// Adds to `calls` what was done; nothing where there is no such folder.
pub fn record(call: &str, result: impl Display) {
    let file = Path::new(FOLDER).join("calls");
    if let Ok(mut file) = fs::OpenOptions::new().append(true).create(true).open(file) {
        let line = format!("{} cplauncher.{call} -> {result}\n", std::process::id());
        let _ = file.write_all(line.as_bytes());
    }
}
