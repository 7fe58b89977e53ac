//! From the anchor's IP to its network compartment, by one of three ways, the first that can say it:
//!
//! 1. [`hcn`]: the Host Compute Network, as every CNI plugin uses it. It knows endpoints and their
//!    namespaces, and so also that a sandbox is not up yet.
//! 2. [`adapters`](Node::adapters): the addresses of all compartments' adapters (`GetAdaptersAddresses`).
//! 3. [`ipconfig`]: the text of `ipconfig /allcompartments`, as K2s's cplauncher reads it.
//!
//! Whatever they say is checked afterwards by a process in that very compartment, so a wrong answer stops a
//! start and never moves a program to another network.

pub mod hcn;
pub mod ipconfig;

use std::fmt;
use std::net::IpAddr;

/// The compartment of the host itself: never a pod's.
pub const HOST: u32 = 1;

/// A way to find a compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The Host Compute Network.
    Hcn,
    /// The adapters of all compartments.
    Adapters,
    /// The output of `ipconfig`.
    Ipconfig,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hcn => "hcn",
            Self::Adapters => "adapters",
            Self::Ipconfig => "ipconfig",
        })
    }
}

/// A compartment, and which way found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number, never 0 nor [`HOST`].
    pub compartment: u32,
    /// How it was found.
    pub way: Way,
}

/// Why one way does not give a compartment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It cannot be gone here: another way may know.
    Unavailable(String),
    /// It does not know the IP: another way may.
    Unknown(String),
    /// It knows the IP and says that it has no compartment of its own, or more than one. Another way could
    /// only know less.
    Refused(String),
}

impl Miss {
    /// The reason.
    pub fn why(&self) -> &str {
        let (Self::Unavailable(why) | Self::Unknown(why) | Self::Refused(why)) = self;
        why
    }
}

/// An address of an adapter, and the compartment that the adapter is in.
pub type Assigned = (u32, IpAddr);

/// What a node can be asked.
pub trait Node {
    /// The Host Compute Network's calls, if they exist here.
    type Hcn: hcn::Calls;

    /// Loads them.
    fn hcn(&self) -> Result<Self::Hcn, String>;
    /// The addresses of all adapters in all compartments.
    fn adapters(&self) -> Result<Vec<Assigned>, String>;
    /// What `ipconfig /allcompartments` prints.
    fn ipconfig(&self) -> Result<Vec<u8>, String>;
}

/// Goes one way.
pub fn find_by(way: Way, node: &impl Node, ip: IpAddr) -> Result<u32, Miss> {
    match way {
        Way::Hcn => hcn::find(&node.hcn().map_err(Miss::Unavailable)?, ip),
        Way::Adapters => one(&node.adapters().map_err(Miss::Unavailable)?, ip),
        Way::Ipconfig => one(
            &ipconfig::parse(&node.ipconfig().map_err(Miss::Unavailable)?),
            ip,
        ),
    }
}

/// Goes one way after the other, up to the first that knows the IP.
pub fn find(node: &impl Node, ip: IpAddr) -> Result<Found, String> {
    let mut why = Vec::new();
    for way in [Way::Hcn, Way::Adapters, Way::Ipconfig] {
        match find_by(way, node, ip) {
            Ok(compartment) => return Ok(Found { compartment, way }),
            Err(miss) => {
                why.push(format!("{way}: {}", miss.why()));
                if matches!(miss, Miss::Refused(_)) {
                    break;
                }
            }
        }
    }
    Err(why.join("; "))
}

/// The one compartment that has an adapter with this IP.
fn one(assigned: &[Assigned], ip: IpAddr) -> Result<u32, Miss> {
    let mut all: Vec<u32> = assigned
        .iter()
        .filter(|(_, address)| *address == ip)
        .map(|(compartment, _)| *compartment)
        .collect();
    all.sort_unstable();
    all.dedup();
    match all[..] {
        [] => Err(Miss::Unknown(format!("no adapter has {ip}"))),
        [one] => pods(one, ip),
        _ => Err(Miss::Refused(format!(
            "{ip} is in more than one compartment: {all:?}"
        ))),
    }
}

/// A compartment that can be a pod's.
fn pods(compartment: u32, ip: IpAddr) -> Result<u32, Miss> {
    match compartment {
        0 => Err(Miss::Refused(format!(
            "the sandbox of {ip} is not up yet: it has no compartment"
        ))),
        HOST => Err(Miss::Refused(format!(
            "{ip} is in compartment {HOST}, the host's own"
        ))),
        _ => Ok(compartment),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod tests;
