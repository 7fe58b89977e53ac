//! The work queue: pairs that want to be looked at, each at most once at a time.
//!
//! As client-go's workqueue does it: a pair that is added while it is being worked on is worked on
//! again afterwards; one that failed comes back after a time that doubles, with jitter, so that a
//! thousand that failed together do not come back together. Two lanes: a pair that has no anchor yet
//! goes before those that only want a condition mirrored, since a program waits for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A pair: the UID of its HP pod.
pub type Key = Arc<str>;

/// The first wait after a failure; it doubles from there.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait after failures.
const LONGEST: Duration = Duration::from_secs(30);

/// Which lane a pair waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// It lacks its anchor.
    Urgent,
    /// Anything else.
    Usual,
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Done for now; time alone will change something after so long.
    Done(Option<Duration>),
    /// Something failed: again, after a while.
    Failed,
}

#[derive(Debug, Default)]
struct Entry {
    waiting: Option<Lane>,
    running: bool,
    timer: Option<Instant>,
    failures: u32,
    /// Until when what failed is not tried again.
    hold: Option<Instant>,
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.waiting.is_none() && !self.running && self.timer.is_none() && self.failures == 0
    }
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    urgent: VecDeque<Key>,
    usual: VecDeque<Key>,
    timers: BTreeSet<(Instant, Key)>,
    open: bool,
}

/// See the module. It is closed at first: only a leader works.
#[derive(Debug, Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Notify,
    random: RandomState,
}

impl Queue {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a pair looked at soon.
    pub fn add(&self, key: &Key, lane: Lane) {
        self.inner().add(key, lane);
        self.changed.notify_one();
    }

    /// How many wait, without those that wait for a time to come.
    pub fn depth(&self) -> usize {
        let inner = self.inner();
        inner.urgent.len() + inner.usual.len()
    }

    /// Takes pairs from now on.
    pub fn open(&self) {
        self.inner().open = true;
    }

    /// Whether pairs are taken.
    pub fn is_open(&self) -> bool {
        self.inner().open
    }

    /// Forgets everything, and takes no more. Who still works on a pair may give it back.
    pub fn close(&self) {
        *self.inner() = Inner::default();
    }

    /// The next pair, once there is one. It is nobody else's until [`Queue::done`].
    pub async fn take(&self) -> Key {
        loop {
            let changed = self.changed.notified();
            let next = {
                let mut inner = self.inner();
                inner.ripen(Instant::now());
                if let Some(key) = inner.pop() {
                    // Another worker may find the next one.
                    self.changed.notify_one();
                    return key;
                }
                inner.timers.first().map(|(at, _)| *at)
            };
            match next {
                None => changed.await,
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
    }

    /// Gives a pair back.
    pub fn done(&self, key: &Key, turn: Turn) {
        let now = Instant::now();
        let mut inner = self.inner();
        let Some(entry) = inner.entries.get_mut(key) else {
            return;
        };
        entry.running = false;
        let again = match turn {
            Turn::Done(again) => again,
            Turn::Failed => {
                let wait = self.jittered(
                    FIRST
                        .saturating_mul(1 << entry.failures.min(16))
                        .min(LONGEST),
                );
                entry.failures = entry.failures.saturating_add(1);
                entry.hold = Some(now + wait);
                Some(wait)
            }
        };
        if let Some(lane) = entry.waiting {
            inner.push(key, lane);
        }
        inner.set_timer(key, again.map(|wait| now + wait));
        inner.forget_idle(key);
        drop(inner);
        self.changed.notify_one();
    }

    /// What failed works again: the next failure waits the shortest time.
    pub fn recovered(&self, key: &Key) {
        if let Some(entry) = self.inner().entries.get_mut(key) {
            entry.failures = 0;
            entry.hold = None;
        }
    }

    /// How long what failed is not to be tried again, whatever else happens to the pair.
    pub fn hold(&self, key: &Key) -> Option<Duration> {
        let until = self.inner().entries.get(key)?.hold?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Between half of it and all.
    fn jittered(&self, wait: Duration) -> Duration {
        // Every hasher of a RandomState is keyed by the system's random numbers.
        let mut hasher = self.random.build_hasher();
        hasher.write_u128(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default()
                .as_nanos(),
        );
        let share = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
        wait / 2 + wait * share / 2000
    }
}

impl Inner {
    fn add(&mut self, key: &Key, lane: Lane) {
        if !self.open {
            return;
        }
        let entry = self.entries.entry(Arc::clone(key)).or_default();
        match (entry.waiting, lane) {
            // Where it waits already, in that lane or a better one.
            (Some(Lane::Urgent), _) | (Some(Lane::Usual), Lane::Usual) => return,
            (None, _) | (Some(Lane::Usual), Lane::Urgent) => entry.waiting = Some(lane),
        }
        if !entry.running {
            self.push(key, lane);
        }
    }

    fn push(&mut self, key: &Key, lane: Lane) {
        match lane {
            Lane::Urgent => self.urgent.push_back(Arc::clone(key)),
            Lane::Usual => self.usual.push_back(Arc::clone(key)),
        }
    }

    /// The next that waits. One that changed lanes stands in both: only where it still waits, and
    /// nobody works on it, does it count.
    fn pop(&mut self) -> Option<Key> {
        while let Some(key) = self.urgent.pop_front().or_else(|| self.usual.pop_front()) {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            if entry.running || entry.waiting.is_none() {
                continue;
            }
            entry.waiting = None;
            entry.running = true;
            return Some(key);
        }
        None
    }

    /// Has those wait whose time has come.
    fn ripen(&mut self, now: Instant) {
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.timers.pop_first() else {
                return;
            };
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.timer = None;
            }
            self.add(&key, Lane::Usual);
        }
    }

    fn set_timer(&mut self, key: &Key, at: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut entry.timer, at) {
            self.timers.remove(&(old, Arc::clone(key)));
        }
        if let Some(at) = at {
            self.timers.insert((at, Arc::clone(key)));
        }
    }

    fn forget_idle(&mut self, key: &Key) {
        if self.entries.get(key).is_some_and(Entry::is_idle) {
            self.entries.remove(key);
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
