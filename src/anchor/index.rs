//! All pairs of the cluster, as the two watches show them.
//!
//! Synchronous and without a client: events in, pairs to look at out. What is kept of a pod is its
//! view ([`Hp`], [`Anchor`]); the recipe of an anchor to be is made while the whole HP pod is at hand,
//! and kept while it lacks its anchor ([`super::recipe`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use tokio::sync::watch;
use tokio::time::Instant;

use super::metrics::Metrics;
use super::misses::Newcomers;
use super::packed::Packed;
use super::pair::State;
use super::queue::{Key, Lane, Queue};
use super::recipe::{Recipe, Recipes};
use super::slim::SlimPod;
use super::view::{Anchor, Hp};

/// Which of the two watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// HP pods.
    Hp,
    /// Anchors.
    Anchor,
}

/// What is known of one pair.
#[derive(Debug, Default)]
struct Slot {
    hp: Option<Packed<Hp>>,
    anchor: Option<Packed<Anchor>>,
    /// What only one has that is not whole yet.
    start: Option<Box<Start>>,
    state: Option<State>,
    /// In which list of its watch each side was last seen.
    lists: [u32; 2],
}

/// What a worker gets.
#[derive(Debug, Default)]
pub struct Known {
    /// The HP pod.
    pub hp: Option<Box<Hp>>,
    /// The anchor.
    pub anchor: Option<Box<Anchor>>,
    /// Why the API server last refused the anchor.
    pub refused: Option<Box<str>>,
}

/// What is known of a pair on its way to be whole.
#[derive(Debug, Default)]
struct Start {
    recipe: Option<Recipe>,
    refused: Option<Box<str>>,
    /// When it was first seen to lack its anchor, for the histograms.
    since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: HashMap<Key, Slot>,
    recipes: Recipes,
    lists: [u32; 2],
    listed: [bool; 2],
}

/// See the module.
#[derive(Debug)]
pub struct Index {
    inner: Mutex<Inner>,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    newcomers: Arc<Newcomers>,
    synced: watch::Sender<bool>,
}

impl Index {
    /// Knows nothing yet.
    pub fn new(queue: Arc<Queue>, metrics: Arc<Metrics>) -> Self {
        Index {
            inner: Mutex::default(),
            queue,
            metrics,
            newcomers: Arc::default(),
            synced: watch::Sender::new(false),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both watches have shown all there is.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    /// Tells of workloads that were not there before.
    pub fn newcomers(&self) -> Arc<Newcomers> {
        Arc::clone(&self.newcomers)
    }

    /// Has every pair looked at: for a new leader.
    pub fn enqueue_all(&self) {
        let inner = self.inner();
        for (key, slot) in &inner.slots {
            self.queue.add(key, slot.lane());
        }
    }

    /// What is known of a pair.
    pub fn get(&self, key: &Key) -> Known {
        let inner = self.inner();
        inner
            .slots
            .get(key)
            .map_or_else(Known::default, |slot| Known {
                hp: slot.hp().map(Box::new),
                anchor: slot.anchor().map(Box::new),
                refused: slot.start.as_ref().and_then(|start| start.refused.clone()),
            })
    }

    /// Takes the recipe that was kept for a pair, if one was.
    pub fn take_recipe(&self, key: &Key) -> Option<Recipe> {
        self.inner()
            .slots
            .get_mut(key)?
            .start
            .as_mut()?
            .recipe
            .take()
    }

    /// Remembers why the API server refused an anchor, until there is one.
    pub fn set_refused(&self, key: &Key, refused: &str) {
        if let Some(slot) = self.inner().slots.get_mut(key) {
            slot.start().refused = Some(refused.into());
        }
    }

    /// Notes where a pair stands, for the gauge. With `None` it counts nowhere.
    pub fn set_state(&self, key: &Key, state: Option<State>) {
        let mut inner = self.inner();
        let Some(slot) = inner.slots.get_mut(key) else {
            return;
        };
        let old = std::mem::replace(&mut slot.state, state);
        self.metrics.moved(old, state);
        if state == Some(State::Ready)
            && old != state
            && let Some(since) = slot.start.take().and_then(|start| start.since)
        {
            self.metrics
                .bound_to_ready
                .observe(since.elapsed().as_secs_f64());
        }
    }

    /// How long ago a pair was first seen to lack its anchor.
    pub fn waited(&self, key: &Key) -> Option<f64> {
        let inner = self.inner();
        let since = inner.slots.get(key)?.start.as_ref()?.since?;
        Some(since.elapsed().as_secs_f64())
    }

    /// Counts no state any more: for an instance that leads no longer.
    pub fn forget_states(&self) {
        for slot in self.inner().slots.values_mut() {
            self.metrics.moved(slot.state.take(), None);
        }
    }

    /// Takes an event of a watch.
    pub fn take(&self, side: Side, event: Event<SlimPod>) {
        match event {
            Event::Init => self.inner().lists[side as usize] += 1,
            Event::InitApply(pod) | Event::Apply(pod) => self.observe(side, &pod.0),
            Event::Delete(pod) => self.remove(side, &pod.0),
            Event::InitDone => self.listed(side),
        }
    }

    /// Takes a pod as a watch, or the answer to a write, shows it.
    pub fn observe(&self, side: Side, pod: &Pod) {
        match side {
            Side::Hp => {
                if let Some(hp) = Hp::of(pod) {
                    self.observe_hp(&hp, pod);
                }
            }
            Side::Anchor => {
                if let Some(anchor) = Anchor::of(pod) {
                    self.observe_anchor(&anchor);
                }
            }
        }
    }

    fn observe_hp(&self, hp: &Hp, pod: &Pod) {
        if let Some(workload) = hp.workload.as_deref().filter(|_| hp.marked) {
            self.newcomers.saw(&hp.id.namespace, workload);
        }
        let mut guard = self.inner();
        let inner = &mut *guard;
        let key = inner.share(&hp.id.uid);
        let list = inner.lists[Side::Hp as usize];
        let slot = inner.slots.entry(Arc::clone(&key)).or_default();
        slot.lists[Side::Hp as usize] = list;
        let known = slot.hp();
        if known
            .as_ref()
            .is_some_and(|known| known.id.is_newer_than(&hp.id))
        {
            return;
        }
        let changed = known.as_ref().is_none_or(|known| !known.looks_like(hp));
        let lacks =
            slot.anchor.is_none() && hp.marked && hp.terminating.is_none() && !hp.phase.is_final();
        if lacks {
            let start = slot.start();
            if known.is_none() {
                start.since = Some(Instant::now());
            }
            if start.recipe.is_none() {
                let recipe = Recipe::of(pod).ok();
                start.recipe = recipe.and_then(|recipe| inner.recipes.keep(&recipe));
            }
        }
        slot.hp = Packed::new(hp);
        let lane = slot.lane();
        drop(guard);
        if changed {
            self.queue.add(&key, lane);
        }
    }

    fn observe_anchor(&self, anchor: &Anchor) {
        let mut guard = self.inner();
        let inner = &mut *guard;
        let key = inner.share(&anchor.owner_uid);
        let list = inner.lists[Side::Anchor as usize];
        let slot = inner.slots.entry(Arc::clone(&key)).or_default();
        slot.lists[Side::Anchor as usize] = list;
        let known = slot.anchor();
        let is_older =
            |known: &Anchor| known.id.uid == anchor.id.uid && known.id.is_newer_than(&anchor.id);
        if known.as_ref().is_some_and(is_older) {
            return;
        }
        slot.anchor = Packed::new(anchor);
        if known.is_some_and(|known| known.looks_like(anchor)) {
            return;
        }
        if inner.listed == [true, true] {
            slot.is_anchored();
        } else {
            // It was there before this instance was: how long it took is not known.
            slot.start = None;
        }
        drop(guard);
        self.queue.add(&key, Lane::Usual);
    }

    fn remove(&self, side: Side, pod: &Pod) {
        let uid = pod.metadata.uid.as_deref();
        let key: Option<Key> = match side {
            Side::Hp => uid.map(Into::into),
            Side::Anchor => Anchor::of(pod).map(|anchor| anchor.owner_uid),
        };
        let Some(key) = key else { return };
        let mut inner = self.inner();
        let Some(slot) = inner.slots.get_mut(&key) else {
            return;
        };
        match side {
            Side::Hp => slot.hp = None,
            // The next one of the same name may have been seen already.
            Side::Anchor
                if slot
                    .anchor()
                    .is_some_and(|anchor| Some(&*anchor.id.uid) == uid) =>
            {
                slot.anchor = None;
            }
            Side::Anchor => return,
        }
        self.changed(&mut inner, &key);
    }

    /// Drops a side of a pair that a live read did not find.
    pub fn gone(&self, side: Side, key: &Key) {
        let mut inner = self.inner();
        if let Some(slot) = inner.slots.get_mut(key) {
            match side {
                Side::Hp => slot.hp = None,
                Side::Anchor => slot.anchor = None,
            }
            self.changed(&mut inner, key);
        }
    }

    /// A list is complete: what it did not show is gone.
    fn listed(&self, side: Side) {
        let mut inner = self.inner();
        let list = inner.lists[side as usize];
        inner.listed[side as usize] = true;
        self.synced.send_replace(inner.listed == [true, true]);
        let stale: Vec<Key> = inner
            .slots
            .iter()
            .filter(|(_, slot)| slot.has(side) && slot.lists[side as usize] != list)
            .map(|(key, _)| Arc::clone(key))
            .collect();
        for key in &stale {
            if let Some(slot) = inner.slots.get_mut(key) {
                match side {
                    Side::Hp => slot.hp = None,
                    Side::Anchor => slot.anchor = None,
                }
            }
            self.changed(&mut inner, key);
        }
        // A list may have taken much memory for a moment.
        inner.slots.shrink_to_fit();
    }

    /// A side went: the rest is looked at, and nothing is kept of what has no side.
    fn changed(&self, inner: &mut Inner, key: &Key) {
        let Some(slot) = inner.slots.get(key) else {
            return;
        };
        if slot.hp.is_some() || slot.anchor.is_some() {
            self.queue.add(key, slot.lane());
        } else if let Some(slot) = inner.slots.remove(key) {
            self.metrics.moved(slot.state, None);
        }
    }
}

impl Inner {
    /// The one copy of a key.
    fn share(&self, uid: &Key) -> Key {
        let known = self.slots.get_key_value(uid);
        Arc::clone(known.map_or(uid, |(key, _)| key))
    }
}

impl Slot {
    fn has(&self, side: Side) -> bool {
        match side {
            Side::Hp => self.hp.is_some(),
            Side::Anchor => self.anchor.is_some(),
        }
    }

    fn hp(&self) -> Option<Hp> {
        self.hp.as_ref()?.view()
    }

    fn anchor(&self) -> Option<Anchor> {
        self.anchor.as_ref()?.view()
    }

    fn start(&mut self) -> &mut Start {
        self.start.get_or_insert_default()
    }

    /// It needs no recipe any more, and none was refused.
    fn is_anchored(&mut self) {
        if let Some(start) = &mut self.start {
            (start.recipe, start.refused) = (None, None);
        }
    }

    /// Who lacks its anchor goes first.
    fn lane(&self) -> Lane {
        match (self.hp(), &self.anchor) {
            (Some(hp), None) if hp.terminating.is_none() => Lane::Urgent,
            _ => Lane::Usual,
        }
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
