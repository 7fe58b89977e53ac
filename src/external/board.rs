//! What is known of the health of each Service's addresses, while this instance leads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::health::Health;
use super::probe::Failure;
use super::spec::Pace;
use crate::anchor::queue::Key;

#[derive(Debug)]
struct Entry {
    uid: Arc<str>,
    pace: Pace,
    addresses: BTreeMap<IpAddr, (Health, Option<Arc<str>>)>,
    /// Who was ready the last time that anybody was.
    ready: BTreeSet<IpAddr>,
    /// When other people's slices were last looked for.
    looked: Option<Instant>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Board {
    entries: Mutex<HashMap<Key, Entry>>,
}

/// Of one Service, as a turn looks at it.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Whose probes pass.
    pub up: BTreeSet<IpAddr>,
    /// Who has been probed at all.
    pub probed: BTreeSet<IpAddr>,
    /// Why the last attempt failed.
    pub why: BTreeMap<IpAddr, Arc<str>>,
    /// Who was ready the last time that anybody was.
    pub last_ready: BTreeSet<IpAddr>,
}

impl Board {
    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings a Service's addresses up to date, and says how they stand. What is new begins as `published`
    /// has it: up where it is ready there.
    pub fn stand(
        &self,
        key: &Key,
        uid: &Arc<str>,
        pace: Pace,
        addresses: &BTreeSet<IpAddr>,
        published: &BTreeSet<IpAddr>,
    ) -> Standing {
        let mut entries = self.entries();
        let entry = entries
            .entry(Arc::clone(key))
            .or_insert_with(|| Entry::new(uid, pace, published));
        if entry.uid != *uid {
            // Another Service of the same name.
            *entry = Entry::new(uid, pace, published);
        }
        if entry.pace != pace {
            entry.pace = pace;
            entry
                .addresses
                .values_mut()
                .for_each(|(health, _)| health.restart());
        }
        entry
            .addresses
            .retain(|address, _| addresses.contains(address));
        for address in addresses {
            let seeded = || (Health::seeded(published.contains(address)), None);
            entry.addresses.entry(*address).or_insert_with(seeded);
        }
        let mut standing = Standing {
            last_ready: entry.ready.clone(),
            ..Standing::default()
        };
        for (address, (health, why)) in &entry.addresses {
            if health.is_up() {
                standing.up.insert(*address);
            }
            if health.is_probed() {
                standing.probed.insert(*address);
            }
            if let Some(why) = why {
                standing.why.insert(*address, Arc::clone(why));
            }
        }
        standing
    }

    /// Notes who is ready now, unless nobody is.
    pub fn are_ready(&self, key: &Key, ready: BTreeSet<IpAddr>) {
        if let Some(entry) = self.entries().get_mut(key).filter(|_| !ready.is_empty()) {
            entry.ready = ready;
        }
    }

    /// Takes the outcome of an attempt. True if the Service has to be looked at.
    pub fn record(&self, key: &Key, address: IpAddr, outcome: &Result<(), Failure>) -> bool {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(key) else {
            return false;
        };
        let pace = entry.pace;
        let Some((health, why)) = entry.addresses.get_mut(&address) else {
            return false;
        };
        *why = outcome
            .as_ref()
            .err()
            .map(|failure| failure.text.as_str().into());
        health.take(outcome.is_ok(), &pace)
    }

    /// Whether it is time to look for other people's slices of a Service; notes that it is done.
    pub fn is_time_to_look(&self, key: &Key, every: Duration) -> bool {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(key) else {
            return false;
        };
        let due = entry.looked.is_none_or(|looked| looked.elapsed() >= every);
        if due {
            entry.looked = Some(Instant::now());
        }
        due
    }

    /// Forgets a Service.
    pub fn forget(&self, key: &Key) {
        self.entries().remove(key);
    }
}

impl Entry {
    fn new(uid: &Arc<str>, pace: Pace, published: &BTreeSet<IpAddr>) -> Self {
        Entry {
            uid: Arc::clone(uid),
            pace,
            addresses: BTreeMap::new(),
            ready: published.clone(),
            looked: None,
        }
    }
}
