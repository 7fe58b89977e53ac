//! The pods' network: addresses, and what the Host Networking Service would say of them.
//!
//! Addresses are real: of 10.244.N.0/24, which is local in the network namespace that the node runs in
//! (`hack/with-pod-network`). Compartments are not: Linux has none, so endpoints, namespaces and compartment
//! numbers stand in a file, which the stand-ins for `computenetwork.dll` and `iphlpapi.dll` read in each
//! container, and every program is on one network.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file, in the folder that containers have.
const FILE: &str = "endpoints";

/// The network of one node.
#[derive(Debug)]
pub struct Network {
    number: u8,
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By pod.
    endpoints: BTreeMap<String, Endpoint>,
    last_host: u8,
    last_compartment: u32,
}

#[derive(Debug, Clone)]
struct Endpoint {
    id: String,
    namespace: String,
    compartment: u32,
    ip: String,
}

impl Network {
    /// That of node N; the file is in `folder`.
    pub fn new(number: u8, folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let network = Self {
            number,
            folder: folder.to_owned(),
            state: Mutex::new(State {
                // Its gateway has the first one.
                last_host: 1,
                // The host's own is 1.
                last_compartment: 1,
                ..State::default()
            }),
        };
        network.write(&BTreeMap::new())?;
        Ok(network)
    }

    /// The pods' addresses.
    pub fn cidr(&self) -> String {
        format!("10.244.{}.0/24", self.number)
    }

    /// The node's own address.
    pub fn node_ip(&self) -> String {
        format!("10.245.0.{}", self.number)
    }

    /// Gives a pod an endpoint with an address that was not given lately. Its compartment is not there
    /// yet: that comes with the sandbox.
    pub fn attach(&self, uid: &str) -> io::Result<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ip = |host: u8| format!("10.244.{}.{host}", self.number);
        let taken = |host: u8| {
            state
                .endpoints
                .values()
                .any(|endpoint| endpoint.ip == ip(host))
        };
        let after = |host: u8| if host < 254 { host + 1 } else { 2 };
        let mut host = after(state.last_host);
        let first = host;
        while taken(host) {
            host = after(host);
            if host == first {
                return Err(io::Error::other("the node has no pod IP left"));
            }
        }
        state.last_host = host;
        let endpoint = Endpoint {
            id: guid()?,
            namespace: guid()?,
            compartment: 0,
            ip: ip(host),
        };
        state.endpoints.insert(uid.to_owned(), endpoint);
        self.write(&state.endpoints)?;
        Ok(ip(host))
    }

    /// The sandbox of a pod is up: its compartment has a number.
    pub fn bring_up(&self, uid: &str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last_compartment += 1;
        let compartment = state.last_compartment;
        if let Some(endpoint) = state.endpoints.get_mut(uid) {
            endpoint.compartment = compartment;
        }
        self.write(&state.endpoints)
    }

    /// A pod's endpoint goes, if it has one.
    pub fn detach(&self, uid: &str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.endpoints.remove(uid) {
            Some(_) => self.write(&state.endpoints),
            None => Ok(()),
        }
    }

    /// All endpoints go.
    pub fn detach_all(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.endpoints.clear();
        self.write(&state.endpoints)
    }

    /// Whoever reads it has the old file or the new one.
    fn write(&self, endpoints: &BTreeMap<String, Endpoint>) -> io::Result<()> {
        let mut text = String::new();
        for endpoint in endpoints.values() {
            let Endpoint {
                id,
                namespace,
                compartment,
                ip,
            } = endpoint;
            let _ = writeln!(text, "{id} {namespace} {compartment} 0 {ip}");
        }
        let part = self.folder.join(format!("{FILE}.part"));
        fs::write(&part, text)?;
        fs::rename(part, self.folder.join(FILE))
    }
}

/// A random GUID.
pub fn guid() -> io::Result<String> {
    let mut random = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let hex = random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    Ok([
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_come_up_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::new(7, folder.path()).unwrap();
        let lines = || {
            let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
            let cut = |line: &str| line.splitn(3, ' ').nth(2).unwrap().to_owned();
            text.lines().map(cut).collect::<Vec<_>>()
        };
        assert_eq!(network.attach("a").unwrap(), "10.244.7.2");
        assert_eq!(lines(), ["0 0 10.244.7.2"]);
        network.bring_up("a").unwrap();
        assert_eq!(network.attach("b").unwrap(), "10.244.7.3");
        assert_eq!(lines(), ["2 0 10.244.7.2", "0 0 10.244.7.3"]);
        network.detach("a").unwrap();
        // Not the one that was free last.
        assert_eq!(network.attach("c").unwrap(), "10.244.7.4");
    }

    #[test]
    fn addresses_run_out() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::new(1, folder.path()).unwrap();
        for n in 0..253 {
            network.attach(&n.to_string()).unwrap();
        }
        assert!(network.attach("more").is_err());
        network.detach("100").unwrap();
        assert_eq!(network.attach("more").unwrap(), "10.244.1.102");
    }
}
