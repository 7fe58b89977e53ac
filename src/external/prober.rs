//! The probes of all external Services, so many at a time.
//!
//! A task for each address, asleep most of its time: it begins somewhere in its period, so that a thousand
//! that came together are not probed together, and then keeps to it. An attempt waits for one of a fixed
//! number of places, so that dead addresses, each of which holds its socket for the whole timeout, cannot
//! take more than so many. What waits is not probed twice: the next attempt counts from when it should
//! have begun.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::board::Board;
use super::grammar::Probe;
use super::metrics::Metrics;
use super::probe::{Outcome, Prober};
use super::spec::Pace;
use crate::anchor::queue::{Key, Lane, Queue};

/// Addresses that were never probed are so within this time, however long their period.
const SOON: Duration = Duration::from_secs(1);

/// What every task has.
#[derive(Debug)]
struct Shared {
    prober: Prober,
    places: Semaphore,
    board: Arc<Board>,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    random: RandomState,
}

#[derive(Debug)]
struct Group {
    probe: Arc<Probe>,
    pace: Pace,
    tasks: BTreeMap<IpAddr, AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// See the module. Dropping it ends all probes.
#[derive(Debug)]
pub struct Probes {
    shared: Arc<Shared>,
    groups: Mutex<HashMap<Key, Group>>,
}

impl Probes {
    /// At most `places` at a time. What turns goes to the board and, to be looked at, to the queue.
    pub fn new(
        prober: Prober,
        places: usize,
        board: Arc<Board>,
        queue: Arc<Queue>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Probes {
            shared: Arc::new(Shared {
                prober,
                places: Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)),
                board,
                queue,
                metrics,
                random: RandomState::new(),
            }),
            groups: Mutex::default(),
        }
    }

    /// Probes exactly these addresses for a Service from now on. Those that are in `new` were never
    /// published: somebody waits for them.
    pub fn keep(
        &self,
        key: &Key,
        probe: &Probe,
        pace: Pace,
        addresses: &BTreeSet<IpAddr>,
        new: &BTreeSet<IpAddr>,
    ) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = groups.entry(Arc::clone(key)).or_insert_with(|| Group {
            probe: Arc::new(probe.clone()),
            pace,
            tasks: BTreeMap::new(),
        });
        if group.pace != pace || *group.probe != *probe {
            group.tasks.clear();
            group.probe = Arc::new(probe.clone());
            group.pace = pace;
        }
        group.tasks.retain(|address, _| addresses.contains(address));
        for address in addresses {
            if group.tasks.contains_key(address) {
                continue;
            }
            let within = if new.contains(address) {
                SOON.min(pace.period)
            } else {
                pace.period
            };
            let first = Instant::now() + self.shared.part_of(within);
            let (shared, key, probe) = (
                Arc::clone(&self.shared),
                Arc::clone(key),
                Arc::clone(&group.probe),
            );
            let task = tokio::spawn(shared.follow(key, *address, probe, pace, first));
            group
                .tasks
                .insert(*address, AbortOnDrop(task.abort_handle()));
        }
    }

    /// Probes nothing for a Service any more.
    pub fn end(&self, key: &Key) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.remove(key);
    }
}

impl Shared {
    /// A time up to `whole`, by chance.
    fn part_of(&self, whole: Duration) -> Duration {
        let mut hasher = self.random.build_hasher();
        hasher.write_u128(
            std::time::UNIX_EPOCH
                .elapsed()
                .unwrap_or_default()
                .as_nanos(),
        );
        let share = u32::try_from(hasher.finish() % 1024).unwrap_or_default();
        whole * share / 1024
    }

    async fn follow(
        self: Arc<Self>,
        key: Key,
        address: IpAddr,
        probe: Arc<Probe>,
        pace: Pace,
        first: Instant,
    ) {
        let mut due = first;
        loop {
            tokio::time::sleep_until(due).await;
            let outcome = {
                let Ok(_place) = self.places.acquire().await else {
                    return;
                };
                let started = Instant::now();
                self.metrics
                    .probe_lag
                    .observe((started - due).as_secs_f64());
                let _running = Running::new(&self.metrics);
                // On the heap while it runs and only then: most tasks sleep.
                let outcome = Box::pin(self.prober.attempt(address, &probe, pace.timeout)).await;
                self.metrics
                    .probe_seconds
                    .observe(started.elapsed().as_secs_f64());
                outcome
            };
            self.metrics.probed(
                outcome
                    .as_ref()
                    .err()
                    .map_or(Outcome::Passed, |failure| failure.outcome),
            );
            if self.board.record(&key, address, &outcome) {
                self.queue.add(&key, Lane::Urgent);
            }
            due = next(due, pace.period, Instant::now());
        }
    }
}

/// When to try again: a period after the last time, or now if that is over already.
fn next(due: Instant, period: Duration, now: Instant) -> Instant {
    (due + period).max(now)
}

/// Counts an attempt for as long as it lives, however it ends.
struct Running<'m>(&'m Metrics);

impl<'m> Running<'m> {
    fn new(metrics: &'m Metrics) -> Self {
        metrics.in_flight.inc();
        Running(metrics)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

#[cfg(test)]
#[path = "prober_tests.rs"]
mod tests;
