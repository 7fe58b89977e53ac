//! What the probes of one address add up to, and of a Service's addresses together.
//!
//! ```text
//!            failures in a row                     all down, fail-open
//!   up  ------------------------->  down     and the last that were up stay ready
//!       <-------------------------
//!            successes in a row
//! ```
//!
//! It begins as what is published: a new leader so probes first and changes afterwards. An address
//! that nobody published yet begins as down.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::spec::Pace;

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    up: bool,
    /// Attempts in a row that say otherwise.
    against: u32,
    /// Whether any attempt has been made.
    probed: bool,
}

impl Health {
    /// As it is published, or else down.
    pub fn seeded(published_ready: bool) -> Self {
        Health {
            up: published_ready,
            against: 0,
            probed: false,
        }
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Whether its probe has been tried yet.
    pub fn is_probed(&self) -> bool {
        self.probed
    }

    /// Forgets a streak: what it was a streak of has changed.
    pub fn restart(&mut self) {
        self.against = 0;
    }

    /// Takes the outcome of an attempt. True if it turned.
    pub fn take(&mut self, passed: bool, pace: &Pace) -> bool {
        self.probed = true;
        if passed == self.up {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let needed = if passed {
            pace.successes
        } else {
            pace.failures
        };
        if self.against < needed {
            return false;
        }
        self.up = passed;
        self.against = 0;
        true
    }
}

/// The addresses that are ready: those that are up; with `fail_open`, if none is, those that were ready
/// `last` and are still there.
pub fn ready(
    up: BTreeSet<IpAddr>,
    last: &BTreeSet<IpAddr>,
    there: &BTreeSet<IpAddr>,
    fail_open: bool,
) -> BTreeSet<IpAddr> {
    if up.is_empty() && fail_open {
        last.intersection(there).copied().collect()
    } else {
        up
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
