//! The cluster's own networks, in which no external address may lie.
//!
//! Nobody says all of them: the Services' are ServiceCIDR objects (Kubernetes 1.33; before that only a flag
//! of the API server), the pods' are in Nodes only where the controller manager hands them out
//! (`--allocate-node-cidrs`; Calico and others have pools of their own). So there is a flag,
//! `--cluster-cidrs`, and what can be read is added to it.

use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;

use crate::cluster::Chain;
use crate::cluster::follow::{Sink, everything, follow};
use crate::policy::Cidr;

/// See the module.
#[derive(Debug)]
pub struct Ranges {
    flags: Vec<Cidr>,
    known: RwLock<Known>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Known {
    services: Vec<Cidr>,
    pods: Vec<Cidr>,
    all: Arc<[Cidr]>,
}

impl Ranges {
    /// Those of the flag.
    pub fn new(flags: Vec<Cidr>) -> Self {
        let all = Cidr::aggregate(&flags).into();
        Ranges {
            flags,
            known: RwLock::new(Known {
                all,
                ..Known::default()
            }),
            changed: watch::Sender::new(()),
        }
    }

    /// All that are known, in as few networks as say it.
    pub fn all(&self) -> Arc<[Cidr]> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known.all)
    }

    /// Tells of changes.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Those of Services.
    pub fn set_services(&self, services: Vec<Cidr>) {
        self.set(|known| known.services = services);
    }

    /// Those of pods.
    pub fn set_pods(&self, pods: Vec<Cidr>) {
        self.set(|known| known.pods = pods);
    }

    fn set(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        let all = [&*self.flags, &known.services, &known.pods].concat();
        let all: Arc<[Cidr]> = Cidr::aggregate(&all).into();
        if known.all != all {
            known.all = all;
            drop(known);
            self.changed.send_replace(());
        }
    }
}

/// Follows the ServiceCIDRs, where the cluster has such a kind, for as long as it is polled.
pub async fn follow_services(client: Client, ranges: Arc<Ranges>) {
    const GROUP: &str = "networking.k8s.io/v1";
    let has = loop {
        match client.list_api_group_resources(GROUP).await {
            Ok(kinds) => {
                break kinds
                    .resources
                    .iter()
                    .any(|kind| kind.name == "servicecidrs");
            }
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "cannot ask for the kinds of {GROUP}; trying again");
                tokio::time::sleep(std::time::Duration::from_secs(10)).await;
            }
        }
    };
    if !has {
        tracing::info!(
            "this cluster has no ServiceCIDRs: which addresses are Services' is known by --cluster-cidrs only"
        );
        return;
    }
    let api: Api<ServiceCIDR> = Api::all(client);
    let sink = Services {
        ranges,
        known: Vec::new(),
        listing: Vec::new(),
    };
    follow("service ranges", api, everything(), sink).await;
}

struct Services {
    ranges: Arc<Ranges>,
    known: Vec<(String, Vec<Cidr>)>,
    listing: Vec<(String, Vec<Cidr>)>,
}

impl Services {
    fn tell(&self) {
        let all = self.known.iter().flat_map(|(_, cidrs)| cidrs.clone());
        self.ranges.set_services(all.collect());
    }
}

fn read(object: &ServiceCIDR) -> (String, Vec<Cidr>) {
    let spec = object.spec.as_ref();
    let cidrs = spec
        .and_then(|spec| spec.cidrs.as_ref())
        .into_iter()
        .flatten();
    let cidrs = cidrs.filter_map(|cidr| cidr.parse().ok());
    (object.name_any(), cidrs.collect())
}

impl Sink<ServiceCIDR> for Services {
    fn take(&mut self, event: Event<ServiceCIDR>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => self.listing.push(read(&object)),
            Event::InitDone => {
                self.known = std::mem::take(&mut self.listing);
                self.tell();
            }
            Event::Apply(object) => {
                let (name, cidrs) = read(&object);
                self.known.retain(|(known, _)| *known != name);
                self.known.push((name, cidrs));
                self.tell();
            }
            Event::Delete(object) => {
                self.known.retain(|(known, _)| *known != object.name_any());
                self.tell();
            }
        }
    }

    fn failed(&mut self) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cidrs(all: &[&str]) -> Vec<Cidr> {
        all.iter().map(|one| one.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_learned_is_added_to_the_flag_and_can_go_again() {
        let ranges = Ranges::new(cidrs(&["10.96.0.0/12"]));
        let mut changes = ranges.changes();
        ranges.set_pods(cidrs(&["10.244.0.0/24", "10.244.1.0/24"]));
        assert_eq!(*ranges.all(), *cidrs(&["10.96.0.0/12", "10.244.0.0/23"]));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        ranges.set_pods(cidrs(&["10.244.1.0/24", "10.244.0.0/24"]));
        assert!(!changes.has_changed().unwrap(), "nothing is new");
        ranges.set_services(cidrs(&["10.96.0.0/16"]));
        ranges.set_pods(Vec::new());
        assert_eq!(*ranges.all(), *cidrs(&["10.96.0.0/12"]));
    }
}
