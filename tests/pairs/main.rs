//! Pairs, from their first minute to their last: the program under exactly its own Role, on a real
//! control plane with the real scheduler, garbage collector and workload controllers; kubelets are
//! stand-ins ([`support::kubelet`]).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod away;
mod constraints;
mod deadlines;
mod endings;
mod jobs;
mod look;
mod losses;
mod manifests;
mod marks;
mod misses;
mod nodes;
mod on_host;
#[path = "../real/program.rs"]
#[allow(dead_code, reason = "the admission tests use all of it")]
mod program;
mod services;
#[path = "../support/mod.rs"]
mod support;
mod workloads;
mod world;

use std::time::Duration;

use support::{ControlPlane, free_port, wait_until};

/// A busy machine is slow; what never comes is not waited for much longer.
const PATIENCE: Duration = Duration::from_secs(120);
