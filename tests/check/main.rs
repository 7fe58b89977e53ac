//! `native-host check`, the very binary, on a real API server, and the controller's audit beside it: a healthy
//! installation first; then one thing after the other is broken, and each is told with its mark, its way
//! out and the exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audited;
mod broken;
mod callers;
#[path = "../real/program.rs"]
#[allow(dead_code, reason = "the admission tests use all of it")]
mod program;
#[path = "../support/mod.rs"]
mod support;
mod well;
mod world;

use std::time::Duration;

use support::{ControlPlane, free_port, wait_until};

/// A busy machine is slow; what never comes is not waited for much longer.
const PATIENCE: Duration = Duration::from_secs(120);
