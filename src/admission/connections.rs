//! All connections of a port: the cap, the sweep that ends what stays too long, and the drain.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::connection::{Connection, Phase};
use super::limits::Limits;
use super::metrics::{Closed, Metrics, Port};

/// How often the sweep looks: the error of every timeout that it enforces.
const SWEEP: Duration = Duration::from_millis(100);

/// A connection has to be idle for this long before another may take its place.
const YIELD_AFTER: Duration = Duration::from_secs(1);

/// Idle for so long, a connection is not in use: API servers that are busy ask more often.
const QUIET: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(crate) struct Connections {
    port: Port,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    left: Notify,
    at_cap: AtomicBool,
}

impl Connections {
    pub(crate) fn new(port: Port, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Connections {
            port,
            limits: Arc::new(limits),
            metrics,
            open: Mutex::default(),
            next: AtomicU64::new(0),
            left: Notify::new(),
            at_cap: AtomicBool::new(false),
        }
    }

    /// The map is never left half changed, so a poisoned lock is as good as any.
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.open().len()
    }

    /// Waits for room. At the cap, whoever has been without a request longest gives way; until
    /// it has gone, nothing more is accepted.
    pub(crate) async fn room(&self) {
        loop {
            let left = self.left.notified();
            if self.len() < self.limits.connections {
                if self.len() < self.limits.connections / 2 {
                    self.at_cap.store(false, Ordering::Relaxed);
                }
                return;
            }
            if !self.at_cap.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    port = self.port.as_str(),
                    connections = self.limits.connections,
                    "at the connection cap: the connection that was idle longest gives way to \
                     each new one; said once until they are half as many"
                );
            }
            let victim = self
                .open()
                .values()
                .filter(|c| !c.ending())
                .filter_map(|c| match c.phase() {
                    // Who never sent a request goes before an API server's idle connection.
                    (Phase::Handshake | Phase::Head, since) => Some((0, since, c)),
                    (Phase::Idle, since) => Some((u8::from(c.served()), since, c)),
                    _ => None,
                })
                .filter(|(_, since, _)| *since >= YIELD_AFTER)
                .min_by_key(|(rank, since, _)| (*rank, std::cmp::Reverse(*since)))
                .map(|(_, _, connection)| Arc::clone(connection));
            if let Some(victim) = victim {
                victim.end(Closed::Cap);
            }
            // Whoever is not old enough to give way yet will be, soon.
            let _ = tokio::time::timeout(SWEEP, left).await;
        }
    }

    /// Counts a connection in, until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Entered {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new(Arc::clone(&self.limits)));
        self.open().insert(id, Arc::clone(&connection));
        self.metrics.accepted(self.port);
        Entered {
            connections: Arc::clone(self),
            id,
            connection,
            why: Closed::Client,
        }
    }

    /// Ends connections that stay too long in a phase, until dropped.
    pub(crate) async fn sweep(&self) {
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for connection in self.open().values() {
                if let Some(why) = connection.late() {
                    connection.end(why);
                }
            }
        }
    }

    /// Ends every connection, and waits until all have gone.
    ///
    /// One that is in use ends with its next answer, which says `Connection: close`. Only one
    /// that has been quiet for a while is closed without a word: a request may be on its way to
    /// an idle connection, and an API server does not send a POST again that met a close.
    pub(crate) async fn drain(&self) {
        loop {
            let left = self.left.notified();
            for connection in self.open().values() {
                if matches!(connection.phase(), (Phase::Idle, since) if since >= QUIET) {
                    connection.end(Closed::Drain);
                }
            }
            if self.len() == 0 {
                return;
            }
            let _ = tokio::time::timeout(SWEEP, left).await;
        }
    }
}

/// A connection that counts.
#[derive(Debug)]
pub(crate) struct Entered {
    connections: Arc<Connections>,
    id: u64,
    pub(crate) connection: Arc<Connection>,
    /// Why it ended, where nobody asked it to.
    pub(crate) why: Closed,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let why = self.connection.why().unwrap_or(self.why);
        self.connections.metrics.closed(self.connections.port, why);
        self.connections.open().remove(&self.id);
        self.connections.left.notify_waiters();
    }
}
