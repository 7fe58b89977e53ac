//! What all threads know: health, and whether it is to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of the whole program.
#[derive(Debug)]
pub(crate) struct State {
    started: Instant,
    startup_time: Duration,
    /// What the knobs for tests set; all true to begin with.
    startup: AtomicBool,
    readiness: AtomicBool,
    liveness: AtomicBool,
    hung: AtomicBool,
    stopping: Mutex<bool>,
    stopped: Condvar,
}

/// A kind of health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Whether it has started.
    Startup,
    /// Whether it wants requests.
    Readiness,
    /// Whether it is worth keeping.
    Liveness,
}

impl Health {
    /// By the last part of its path.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "startup" => Some(Self::Startup),
            "readiness" => Some(Self::Readiness),
            "liveness" => Some(Self::Liveness),
            _ => None,
        }
    }
}

impl State {
    pub(crate) fn new(startup_time: Duration) -> Self {
        Self {
            started: Instant::now(),
            startup_time,
            startup: AtomicBool::new(true),
            readiness: AtomicBool::new(true),
            liveness: AtomicBool::new(true),
            hung: AtomicBool::new(false),
            stopping: Mutex::new(false),
            stopped: Condvar::new(),
        }
    }

    /// What a probe is to hear.
    pub(crate) fn is_well(&self, health: Health) -> bool {
        let has_started = self.started.elapsed() >= self.startup_time;
        match health {
            Health::Startup => has_started && self.flag(health),
            Health::Readiness => has_started && self.flag(health) && !self.is_stopping(),
            Health::Liveness => self.flag(health),
        }
    }

    /// For tests: what a probe hears from now on.
    pub(crate) fn set(&self, health: Health, well: bool) {
        self.of(health).store(well, Ordering::Relaxed);
    }

    fn flag(&self, health: Health) -> bool {
        self.of(health).load(Ordering::Relaxed)
    }

    fn of(&self, health: Health) -> &AtomicBool {
        match health {
            Health::Startup => &self.startup,
            Health::Readiness => &self.readiness,
            Health::Liveness => &self.liveness,
        }
    }

    /// For tests: no request is answered from now on, and no wish to stop is heard.
    pub(crate) fn hang(&self) {
        self.hung.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_hung(&self) -> bool {
        self.hung.load(Ordering::Relaxed)
    }

    /// It is to end, in good order.
    pub(crate) fn stop(&self) {
        *self.stopping() = true;
        self.stopped.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping()
    }

    /// Returns when it is to end; a program that hangs never hears of it.
    pub(crate) fn wait_for_stop(&self) {
        let mut stopping = self.stopping();
        while !*stopping || self.is_hung() {
            stopping = self
                .stopped
                .wait(stopping)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn stopping(&self) -> MutexGuard<'_, bool> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
