//! What the watches show: external Services, our slices, nodes, and what namespaces allow.
//!
//! Synchronous and without a client: events in, Services to look at out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::node::{SlimNode, View};
use super::ranges::Ranges;
use super::slices::Published;
use super::spec::{Asked, asked};
use crate::anchor::queue::{Key, Lane, Queue};
use crate::policy::{Cidr, Namespace, Policy};

/// What a namespace says of external addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rails {
    /// These networks.
    Cidrs(Arc<[Cidr]>),
    /// Its policy is invalid, by these words.
    Invalid(Arc<str>),
}

/// A kind of object, as one watch shows it.
#[derive(Debug)]
struct Table<V> {
    rows: BTreeMap<String, V>,
    /// What a list that is under way has shown.
    seen: Option<BTreeSet<String>>,
    listed: bool,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Table {
            rows: BTreeMap::new(),
            seen: None,
            listed: false,
        }
    }
}

impl<V> Table<V> {
    fn begin(&mut self) {
        self.seen = Some(BTreeSet::new());
    }

    fn saw(&mut self, key: &str) {
        if let Some(seen) = &mut self.seen {
            seen.insert(key.to_owned());
        }
    }

    /// A list is complete: what it did not show is gone, and is given back.
    fn end(&mut self) -> Vec<(String, V)> {
        self.listed = true;
        let seen = self.seen.take().unwrap_or_default();
        let gone: Vec<String> = self
            .rows
            .keys()
            .filter(|key| !seen.contains(*key))
            .cloned()
            .collect();
        let gone = gone.into_iter();
        gone.filter_map(|key| self.rows.remove_entry(&key))
            .collect()
    }
}

#[derive(Debug, Default)]
struct Inner {
    services: Table<Arc<Service>>,
    /// By namespace and name; with the Service that each belongs to.
    slices: Table<(Key, Published)>,
    of_service: HashMap<Key, BTreeSet<String>>,
    nodes: Table<Arc<View>>,
    namespaces: Table<Rails>,
}

/// See the module.
#[derive(Debug)]
pub struct Index {
    inner: Mutex<Inner>,
    queue: Arc<Queue>,
    ranges: Arc<Ranges>,
    flags: Arc<Policy>,
    /// Whether there is any external Service: nodes and namespaces are not watched before.
    needed: watch::Sender<bool>,
    synced: watch::Sender<bool>,
}

/// What a Service is called in the queue.
pub fn key(namespace: &str, name: &str) -> Key {
    format!("{namespace}/{name}").into()
}

/// Whether two writings of one object may be told apart, and the first is the newer one (KEP-5504: versions
/// of one kind of object are numbers that grow).
fn is_newer(known: &str, other: &str) -> bool {
    match (known.parse::<u64>(), other.parse::<u64>()) {
        (Ok(known), Ok(other)) => known > other,
        _ => false,
    }
}

impl Index {
    /// Knows nothing yet. `flags` is what holds where a namespace says nothing.
    pub fn new(queue: Arc<Queue>, ranges: Arc<Ranges>, flags: Arc<Policy>) -> Self {
        Index {
            inner: Mutex::default(),
            queue,
            ranges,
            flags,
            needed: watch::Sender::new(false),
            synced: watch::Sender::new(false),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes true with the first external Service, and stays so.
    pub fn needed(&self) -> watch::Receiver<bool> {
        self.needed.subscribe()
    }

    /// Whether everything has been shown that a turn looks at.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    fn is_synced(&self, inner: &Inner) {
        let both = inner.services.listed && inner.slices.listed;
        let rest = inner.nodes.listed && inner.namespaces.listed;
        self.synced
            .send_replace(both && (rest || !*self.needed.borrow()));
    }

    fn add(&self, key: &Key) {
        self.queue.add(key, Lane::Usual);
    }

    /// Has every Service looked at, and every slice whose Service is gone.
    pub fn enqueue_all(&self) {
        let inner = self.inner();
        for name in inner.services.rows.keys() {
            self.add(&name.as_str().into());
        }
        for key in inner.of_service.keys() {
            self.add(key);
        }
    }

    /// A Service of this key, if it is external.
    pub fn service(&self, key: &Key) -> Option<Arc<Service>> {
        let inner = self.inner();
        let service = inner.services.rows.get(&**key)?;
        (asked(service) != Asked::No).then(|| Arc::clone(service))
    }

    /// What is published of a Service.
    pub fn published(&self, key: &Key) -> Vec<Published> {
        let inner = self.inner();
        let names = inner.of_service.get(key).into_iter().flatten();
        let slices = names.filter_map(|name| inner.slices.rows.get(name));
        slices.map(|(_, slice)| slice.clone()).collect()
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> Vec<Arc<View>> {
        self.inner().nodes.rows.values().map(Arc::clone).collect()
    }

    /// What a namespace allows; `None`: it is not there.
    pub fn rails(&self, namespace: &str) -> Option<Rails> {
        self.inner().namespaces.rows.get(namespace).cloned()
    }

    /// Takes an event of the Services' watch.
    pub fn take_service(&self, event: Event<Service>) {
        let mut inner = self.inner();
        match event {
            Event::Init => inner.services.begin(),
            Event::InitApply(service) | Event::Apply(service) => {
                let Some(key) = key_of(&service) else { return };
                inner.services.saw(&key);
                if asked(&service) != Asked::No {
                    self.needed
                        .send_if_modified(|needed| !std::mem::replace(needed, true));
                    self.is_synced(&inner);
                }
                let old = inner
                    .services
                    .rows
                    .insert(key.to_string(), Arc::new(service));
                let new = inner.services.rows.get(&*key);
                if old
                    .as_ref()
                    .zip(new)
                    .is_none_or(|(old, new)| !looks_like(old, new))
                {
                    self.add(&key);
                }
            }
            Event::Delete(service) => {
                let Some(key) = key_of(&service) else { return };
                inner.services.rows.remove(&*key);
                self.add(&key);
            }
            Event::InitDone => {
                for (key, _) in inner.services.end() {
                    self.add(&key.into());
                }
                self.is_synced(&inner);
            }
        }
    }

    /// Takes an event of the slices' watch.
    pub fn take_slice(&self, event: Event<EndpointSlice>) {
        match event {
            Event::Init => self.inner().slices.begin(),
            Event::InitApply(slice) | Event::Apply(slice) => self.observe(&slice),
            Event::Delete(slice) => {
                let uid = slice.metadata.uid.clone().unwrap_or_default();
                let name = format!(
                    "{}/{}",
                    slice.namespace().unwrap_or_default(),
                    slice.name_any()
                );
                self.forget(&name, &uid);
            }
            Event::InitDone => {
                let mut inner = self.inner();
                for (name, (key, _)) in inner.slices.end() {
                    inner.part(&key, &name);
                    self.add(&key);
                }
                self.is_synced(&inner);
            }
        }
    }

    /// Takes a slice as the watch, or the answer to a write, shows it.
    pub fn observe(&self, slice: &EndpointSlice) {
        let Some(published) = Published::of(slice) else {
            return;
        };
        let namespace = slice.namespace().unwrap_or_default();
        // By its owner, which this program wrote, before its label.
        let owners = slice
            .metadata
            .owner_references
            .as_deref()
            .unwrap_or_default();
        let owner = owners
            .iter()
            .find(|owner| owner.kind == "Service")
            .map(|owner| owner.name.as_str());
        let Some(service) = owner.or_else(|| Published::service(slice)) else {
            return;
        };
        let key = key(&namespace, service);
        let name = format!("{namespace}/{}", published.name);
        let mut inner = self.inner();
        inner.slices.saw(&name);
        match inner.slices.rows.get(&name) {
            Some((_, known))
                if known.uid == published.uid && is_newer(&known.version, &published.version) =>
            {
                return;
            }
            Some((known_key, known)) => {
                let (known_key, same) = (Arc::clone(known_key), *known == published);
                if known_key != key {
                    inner.part(&known_key, &name);
                    self.add(&known_key);
                } else if same {
                    return;
                }
            }
            None => {}
        }
        inner
            .of_service
            .entry(Arc::clone(&key))
            .or_default()
            .insert(name.clone());
        inner
            .slices
            .rows
            .insert(name, (Arc::clone(&key), published));
        self.add(&key);
    }

    /// A slice is gone. Another one of its name may have been seen already.
    pub fn forget(&self, name: &str, uid: &str) {
        let mut inner = self.inner();
        if inner
            .slices
            .rows
            .get(name)
            .is_some_and(|(_, known)| known.uid == uid)
            && let Some((key, _)) = inner.slices.rows.remove(name)
        {
            inner.part(&key, name);
            self.add(&key);
        }
    }

    /// Takes an event of the nodes' watch.
    pub fn take_node(&self, event: Event<SlimNode>) {
        let mut inner = self.inner();
        let changed = match event {
            Event::Init => {
                inner.nodes.begin();
                false
            }
            Event::InitApply(node) | Event::Apply(node) => {
                let Some(view) = View::of(&node).map(Arc::new) else {
                    return;
                };
                inner.nodes.saw(&view.name);
                let old = inner
                    .nodes
                    .rows
                    .insert(view.name.clone(), Arc::clone(&view));
                old.is_none_or(|old| old != view)
            }
            Event::Delete(node) => inner.nodes.rows.remove(&node.name_any()).is_some(),
            Event::InitDone => {
                inner.nodes.end();
                self.is_synced(&inner);
                true
            }
        };
        if changed && inner.nodes.listed {
            let pods = inner.nodes.rows.values().flat_map(|node| node.pods.clone());
            self.ranges.set_pods(pods.collect());
            drop(inner);
            self.enqueue_all();
        }
    }

    /// Takes an event of the namespaces' watch.
    pub fn take_namespace(&self, event: Event<PartialObjectMeta<NamespaceObject>>) {
        let mut inner = self.inner();
        match event {
            Event::Init => inner.namespaces.begin(),
            Event::InitApply(object) | Event::Apply(object) => {
                let name = object.name_any();
                let rails = self.read(&object);
                inner.namespaces.saw(&name);
                let old = inner.namespaces.rows.insert(name.clone(), rails.clone());
                if old.as_ref() != Some(&rails) {
                    let prefix = format!("{name}/");
                    let services = inner.services.rows.range(prefix.clone()..);
                    let services = services.take_while(|(key, _)| key.starts_with(&prefix));
                    services.for_each(|(key, _)| self.add(&key.as_str().into()));
                }
            }
            // Its Services go, too.
            Event::Delete(object) => drop(inner.namespaces.rows.remove(&object.name_any())),
            Event::InitDone => {
                inner.namespaces.end();
                self.is_synced(&inner);
            }
        }
    }

    fn read(&self, object: &PartialObjectMeta<NamespaceObject>) -> Rails {
        fn pairs(map: Option<&BTreeMap<String, String>>) -> impl Iterator<Item = (&str, &str)> {
            let all = map.into_iter().flatten();
            all.map(|(key, value)| (key.as_str(), value.as_str()))
        }
        let metadata = &object.metadata;
        let labels = pairs(metadata.labels.as_ref());
        match Namespace::read(&self.flags, labels, pairs(metadata.annotations.as_ref())).policy {
            Ok(policy) => Rails::Cidrs(policy.external_cidrs.into()),
            Err(errors) => Rails::Invalid(errors.to_string().replace('\n', "; ").into()),
        }
    }
}

impl Inner {
    /// Takes a slice out of those of a Service.
    fn part(&mut self, key: &Key, name: &str) {
        if let Some(names) = self.of_service.get_mut(key) {
            names.remove(name);
            if names.is_empty() {
                self.of_service.remove(key);
            }
        }
    }
}

fn key_of(service: &Service) -> Option<Key> {
    let metadata = &service.metadata;
    Some(key(
        metadata.namespace.as_deref()?,
        metadata.name.as_deref()?,
    ))
}

/// Whether nothing changed that anybody here looks at.
fn looks_like(old: &Service, new: &Service) -> bool {
    let (a, b) = (&old.metadata, &new.metadata);
    old.spec == new.spec && a.uid == b.uid && a.labels == b.labels && a.annotations == b.annotations
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
