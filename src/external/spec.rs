//! What an external Service asks for. [`super::reader`] reads it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::core::Selector;

use super::grammar::Probe;
pub use super::reader::{forbidden, read};
use crate::names::label;
use crate::policy::Cidr;

/// An address family, as EndpointSlices name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `IPv4`
    V4,
    /// `IPv6`
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// The network of all its addresses.
    pub fn everything(self) -> Cidr {
        match self {
            Self::V4 => ipnet::Ipv4Net::default().into(),
            Self::V6 => ipnet::Ipv6Net::default().into(),
        }
    }

    /// As Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// Where the processes are.
#[derive(Clone, Debug)]
pub enum Source {
    /// At these addresses.
    Addresses(Vec<IpAddr>),
    /// On the nodes that this selects, at their `InternalIP`s.
    Nodes(Selector),
}

/// A port that is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Of the Service's port.
    pub name: Option<String>,
    /// `TCP`, `UDP` or `SCTP`
    pub protocol: String,
    /// The process's.
    pub port: u16,
    /// Of the Service's port.
    pub app_protocol: Option<String>,
}

/// The numbers of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one attempt to the next.
    pub period: Duration,
    /// For one attempt.
    pub timeout: Duration,
    /// Failed attempts in a row that take an address out.
    pub failures: u32,
    /// Passed attempts in a row that put it in.
    pub successes: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            failures: 3,
            successes: 1,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Where the processes are.
    pub source: Source,
    /// What is asked of each.
    pub probe: Probe,
    /// How often, and how patiently.
    pub pace: Pace,
    /// Whether the last that were ready stay so when none is.
    pub fail_open: bool,
    /// What is published.
    pub ports: Vec<Port>,
    /// The Service's own families; `None` where it does not say yet.
    pub families: Option<BTreeSet<Family>>,
    /// Whether endpoints are ready before they are (`spec.publishNotReadyAddresses`).
    pub publish_not_ready: bool,
    /// What its author should know.
    pub warnings: Vec<String>,
}

impl Spec {
    /// Whether the Service can send traffic to an address at all.
    pub fn has_family_of(&self, address: IpAddr) -> bool {
        let families = self.families.as_ref();
        families.is_none_or(|families| families.contains(&Family::of(address)))
    }
}

/// What a Service is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It has no label of ours, or one that says `false`.
    No,
    /// It is external.
    Yes,
    /// Its label says neither.
    Unclear,
}

/// Whether a Service is external.
pub fn asked(service: &Service) -> Asked {
    let labels = service.metadata.labels.as_ref();
    match labels
        .and_then(|labels| labels.get(label::EXTERNAL))
        .map(String::as_str)
    {
        None | Some("false") => Asked::No,
        Some(label::EXTERNAL_ON) => Asked::Yes,
        Some(_) => Asked::Unclear,
    }
}
