//! EndpointSlices: what is published, and the fewest writes that make it what it should be.
//!
//! At most 100 endpoints each and one set for each address family, as the endpoint slice controller has
//! it (KEP-752). An endpoint stays in the slice that it is in; new ones fill gaps; a slice that is
//! written is one that every node reads.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{self, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::endpoints::Endpoint;
use super::spec::{Family, Port};
use crate::names::label;

/// The most endpoints of a slice, as the endpoint slice controller has it (`--max-endpoints-per-slice`).
pub const MOST_ENDPOINTS: usize = 100;

/// The Service that slices belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `metadata.namespace`
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
    /// `metadata.uid`
    pub uid: Arc<str>,
}

/// A slice as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.resourceVersion`
    pub version: String,
    /// Whether its labels, owner and address type are what this program gives it.
    pub sound: bool,
    /// The UID of the Service that owns it.
    pub owner_uid: String,
    /// Its family; `None`: another one, or none.
    pub family: Option<Family>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

impl Published {
    /// Of an object; `None` if it has no name.
    pub fn of(slice: &EndpointSlice) -> Option<Self> {
        let metadata = &slice.metadata;
        let labels = metadata.labels.as_ref();
        let named = labels.and_then(|labels| labels.get(label::SERVICE_NAME));
        let managed = labels.and_then(|labels| labels.get(label::SLICE_MANAGED_BY));
        let owner = metadata
            .owner_references
            .as_deref()
            .and_then(|owners| owners.first());
        let family = Family::ALL
            .into_iter()
            .find(|family| family.as_str() == slice.address_type);
        let endpoints: Vec<_> = slice.endpoints.iter().filter_map(endpoint_of).collect();
        let ports: Vec<_> = slice.ports.iter().flatten().filter_map(port_of).collect();
        Some(Published {
            name: metadata.name.clone()?,
            uid: metadata.uid.clone()?,
            version: metadata.resource_version.clone()?,
            sound: managed.is_some_and(|by| by == label::SLICE_MANAGED_BY_US)
                && owner.is_some_and(|owner| {
                    owner.kind == "Service"
                        && owner.controller == Some(true)
                        && Some(&owner.name) == named
                })
                && metadata
                    .owner_references
                    .as_ref()
                    .is_some_and(|owners| owners.len() == 1)
                && endpoints.len() == slice.endpoints.len()
                && ports.len() == slice.ports.as_ref().map_or(0, Vec::len),
            owner_uid: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
            family,
            ports,
            endpoints,
        })
    }

    /// The name of the Service that a slice belongs to.
    pub fn service(slice: &EndpointSlice) -> Option<&str> {
        let labels = slice.metadata.labels.as_ref();
        labels?.get(label::SERVICE_NAME).map(String::as_str)
    }
}

fn port_of(port: &EndpointPort) -> Option<Port> {
    Some(Port {
        name: port.name.clone().filter(|name| !name.is_empty()),
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        port: u16::try_from(port.port?).ok()?,
        app_protocol: port.app_protocol.clone(),
    })
}

/// What this program would write; of anything else nothing, so that it is written anew.
fn endpoint_of(endpoint: &v1::Endpoint) -> Option<Endpoint> {
    let [address] = endpoint.addresses.as_slice() else {
        return None;
    };
    let conditions = endpoint.conditions.as_ref()?;
    if conditions.terminating != Some(false)
        || endpoint.target_ref.is_some()
        || endpoint.hostname.is_some()
    {
        return None;
    }
    Some(Endpoint {
        address: address.parse().ok()?,
        node: endpoint.node_name.clone(),
        zone: endpoint.zone.clone(),
        ready: conditions.ready?,
        serving: conditions.serving?,
    })
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A new slice.
    Create(Box<EndpointSlice>),
    /// Another content for one that is there; it names the version that this was decided on.
    Update(Box<EndpointSlice>),
    /// One that nobody needs; name, UID and version.
    Delete(String, String, String),
}

/// What a slice is to hold.
struct Content<'a> {
    name: String,
    known: Option<&'a Published>,
    endpoints: Vec<Endpoint>,
}

/// The fewest writes after which `current` publishes exactly these endpoints.
pub fn writes(
    owner: &Owner,
    ports: &[Port],
    desired: &[Endpoint],
    current: &[Published],
) -> Vec<Write> {
    let (mut writes, mut deletes) = (Vec::new(), Vec::new());
    let (ours, foreign): (Vec<_>, Vec<_>) = current
        .iter()
        .partition(|one| one.family.is_some() && one.owner_uid == *owner.uid);
    let names: BTreeSet<&str> = current.iter().map(|one| one.name.as_str()).collect();
    for family in Family::ALL {
        let wanted: BTreeMap<IpAddr, &Endpoint> = desired
            .iter()
            .filter(|endpoint| Family::of(endpoint.address) == family)
            .map(|endpoint| (endpoint.address, endpoint))
            .collect();
        let there = ours
            .iter()
            .copied()
            .filter(|one| one.family == Some(family));
        for content in contents(owner, family, wanted, there, &names) {
            match content.known {
                Some(known) if content.endpoints.is_empty() => {
                    deletes.push(Write::Delete(
                        known.name.clone(),
                        known.uid.clone(),
                        known.version.clone(),
                    ));
                }
                Some(known)
                    if known.sound
                        && known.ports == ports
                        && known.endpoints == content.endpoints => {}
                Some(known) => {
                    let slice = manifest(owner, family, ports, &content, Some(known));
                    writes.push(Write::Update(Box::new(slice)));
                }
                None => writes.push(Write::Create(Box::new(manifest(
                    owner, family, ports, &content, None,
                )))),
            }
        }
    }
    let gone = foreign.into_iter();
    deletes.extend(
        gone.map(|one| Write::Delete(one.name.clone(), one.uid.clone(), one.version.clone())),
    );
    // First what is new, then what goes: no moment has fewer endpoints than it should.
    writes.extend(deletes);
    writes
}

/// What each slice of a family is to hold, those that are there first.
fn contents<'a>(
    owner: &Owner,
    family: Family,
    mut wanted: BTreeMap<IpAddr, &Endpoint>,
    there: impl Iterator<Item = &'a Published>,
    names: &BTreeSet<&str>,
) -> Vec<Content<'a>> {
    let mut all: Vec<Content<'a>> = there
        .map(|known| {
            let stay = known.endpoints.iter();
            let stay = stay.filter_map(|endpoint| wanted.remove(&endpoint.address));
            let endpoints = stay.take(MOST_ENDPOINTS).cloned().collect();
            Content {
                name: known.name.clone(),
                known: Some(known),
                endpoints,
            }
        })
        .collect();
    let mut left = wanted.into_values();
    // The fullest first, so that those with few run empty in time.
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(all[*index].endpoints.len()));
    for index in order {
        let room = MOST_ENDPOINTS - all[index].endpoints.len();
        let more = left.by_ref().take(room).cloned();
        all[index].endpoints.extend(more);
    }
    let mut numbers = 0..;
    loop {
        let endpoints: Vec<_> = left.by_ref().take(MOST_ENDPOINTS).cloned().collect();
        if endpoints.is_empty() {
            return all;
        }
        let mut free = numbers.by_ref().map(|number| name(owner, family, number));
        let name = free.find(|name| !names.contains(name.as_str()));
        all.push(Content {
            name: name.unwrap_or_default(),
            known: None,
            endpoints,
        });
    }
}

/// The name of a slice: of one Service's life, so that a Service that is deleted and made again does not
/// meet its old slices, and the same whoever makes it.
fn name(owner: &Owner, family: Family, number: u32) -> String {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(owner.uid.as_bytes());
    let hash = hasher.finish() & 0xffff_ffff;
    let family = family.as_str().to_ascii_lowercase();
    format!("{}-external-{hash:08x}-{family}-{number}", owner.name)
}

/// FNV-1a: the standard library's hashers may change from version to version.
struct Fnv(u64);

impl std::hash::Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

fn manifest(
    owner: &Owner,
    family: Family,
    ports: &[Port],
    content: &Content<'_>,
    known: Option<&Published>,
) -> EndpointSlice {
    let labels = [
        (label::SERVICE_NAME.to_owned(), owner.name.to_string()),
        (
            label::SLICE_MANAGED_BY.to_owned(),
            label::SLICE_MANAGED_BY_US.to_owned(),
        ),
    ];
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(content.name.clone()),
            namespace: Some(owner.namespace.to_string()),
            uid: known.map(|known| known.uid.clone()),
            resource_version: known.map(|known| known.version.clone()),
            labels: Some(labels.into()),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Service".to_owned(),
                name: owner.name.to_string(),
                uid: owner.uid.to_string(),
                controller: Some(true),
                // Not `blockOwnerDeletion`: that needs a right on the Service's finalizers
                // (OwnerReferencesPermissionEnforcement), and nothing waits for slices.
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        address_type: family.as_str().to_owned(),
        ports: Some(ports.iter().map(endpoint_port).collect()),
        endpoints: content.endpoints.iter().map(endpoint).collect(),
    }
}

fn endpoint_port(port: &Port) -> EndpointPort {
    EndpointPort {
        // The Service's port is found by its name; the empty one is that of an only port.
        name: Some(port.name.clone().unwrap_or_default()),
        protocol: Some(port.protocol.clone()),
        port: Some(port.port.into()),
        app_protocol: port.app_protocol.clone(),
    }
}

fn endpoint(endpoint: &Endpoint) -> v1::Endpoint {
    v1::Endpoint {
        addresses: vec![endpoint.address.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(endpoint.ready),
            serving: Some(endpoint.serving),
            terminating: Some(false),
        }),
        node_name: endpoint.node.clone(),
        zone: endpoint.zone.clone(),
        target_ref: None::<ObjectReference>,
        ..v1::Endpoint::default()
    }
}

#[cfg(test)]
#[path = "slices_tests.rs"]
mod tests;
