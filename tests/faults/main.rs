//! Pairs through everything that can go wrong: the program killed, frozen and cut off, the API server
//! gone, all of it at once. After each: no duplicate, no orphan, no wrong owner, and every pair whole
//! again ([`invariants`]).
//!
//! Each test has a control plane of its own ([`stage`]), since what it does is done to the whole of it.
//! The program's controllers ([`instance`]) run under exactly their own Role, each behind a bad network;
//! the webhook is another process, which nothing befalls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin;
mod burst;
mod instance;
mod invariants;
mod kills;
mod leaders;
#[path = "../pairs/look.rs"]
#[allow(dead_code, reason = "the tests of pairs use all of it")]
mod look;
mod outages;
#[path = "../real/program.rs"]
#[allow(dead_code, reason = "the admission tests use all of it")]
mod program;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod walk;
#[path = "../pairs/world.rs"]
#[allow(dead_code, reason = "the tests of pairs use all of it")]
mod world;

use std::time::Duration;

use support::{ControlPlane, free_port, wait_until};

/// A busy machine is slow; what never comes is not waited for much longer.
const PATIENCE: Duration = Duration::from_secs(120);
