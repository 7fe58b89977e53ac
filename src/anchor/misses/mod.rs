//! What selects a workload's labels and so misses its anchors: found and said, never rewritten.
//!
//! The anchors have the program's addresses and ports and none of its labels; the workload's own pods
//! have its labels, and the node's address. So what selects by those labels, as it would for any
//! other program, gets the wrong half of each pair. A [`PodDisruptionBudget`](budget) is the other way
//! round: it has to select the workload's pods and not their anchors.
//!
//! Pure: [`find`] says of one object what it misses among the [`Workloads`] of a cluster, with the
//! selector to write instead; each kind's rule is a file. [`finder`] looks through a cluster and tells.

pub mod budget;
pub mod finder;
mod memory;
pub mod monitor;
pub mod network_policy;
pub mod newcomers;
pub(super) mod pages;
mod selection;
pub mod server;
pub mod service;
pub mod workloads;

pub use finder::Finder;
pub use newcomers::Newcomers;
pub use workloads::Workloads;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use kube::core::DynamicObject;
use serde_json::Value;

use crate::closed_set::closed_set;

closed_set! {
    /// The kinds that are looked at.
    Kind {
        /// Services.
        Service = "Service",
        /// What traffic of pods is let through.
        NetworkPolicy = "NetworkPolicy",
        /// How many pods may be evicted at a time.
        PodDisruptionBudget = "PodDisruptionBudget",
        /// Linkerd's policies of inbound traffic.
        Server = "Server",
        /// The Prometheus operator's scrapes of pods.
        PodMonitor = "PodMonitor",
    }
}

impl Kind {
    /// Its API group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Service => "",
            Self::NetworkPolicy => "networking.k8s.io",
            Self::PodDisruptionBudget => "policy",
            Self::Server => "policy.linkerd.io",
            Self::PodMonitor => "monitoring.coreos.com",
        }
    }

    /// Its name in URLs.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Service => "services",
            Self::NetworkPolicy => "networkpolicies",
            Self::PodDisruptionBudget => "poddisruptionbudgets",
            Self::Server => "servers",
            Self::PodMonitor => "podmonitors",
        }
    }

    /// Its version, where Kubernetes itself brings it; None where it depends on what is installed.
    pub const fn version(self) -> Option<&'static str> {
        match self {
            Self::Service | Self::NetworkPolicy | Self::PodDisruptionBudget => Some("v1"),
            Self::Server | Self::PodMonitor => None,
        }
    }

    /// Whether an object can select pods of other namespaces than its own.
    pub const fn reaches_out(self) -> bool {
        matches!(self, Self::NetworkPolicy | Self::PodMonitor)
    }
}

/// What an object does to workloads whose anchors it misses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// What happens, in sentences.
    pub what: String,
    /// What to write instead.
    pub way_out: String,
}

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.what, self.way_out)
    }
}

/// Whether an object misses anchors, and what comes of it.
pub fn find(kind: Kind, object: &DynamicObject, workloads: &Workloads) -> Option<Miss> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
    let spec = object.data.get("spec")?;
    match kind {
        Kind::Service => service::miss(namespace, spec, workloads),
        Kind::NetworkPolicy => network_policy::miss(namespace, spec, workloads),
        Kind::PodDisruptionBudget => budget::miss(namespace, spec, workloads),
        Kind::Server => server::miss(namespace, spec, workloads),
        Kind::PodMonitor => monitor::miss(namespace, spec, workloads),
    }
}

/// Changes when the author changes what the object asks for: its generation, or, for a Service, which
/// has none, what selects its pods.
pub fn generation(kind: Kind, object: &DynamicObject) -> u64 {
    let mut hasher = DefaultHasher::new();
    let spec = object.data.get("spec").unwrap_or(&Value::Null);
    match (kind, object.metadata.generation) {
        (Kind::Service, _) => {
            spec["selector"].to_string().hash(&mut hasher);
            spec["type"].to_string().hash(&mut hasher);
        }
        (_, Some(generation)) => generation.hash(&mut hasher),
        (_, None) => spec.to_string().hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
