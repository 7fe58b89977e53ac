//! native-host as an operator installs it: `kubectl apply -k deploy/` on a real control plane with RBAC,
//! certificates by the real cert-manager (or self-signed), the program with the Deployment's own arguments under the token of
//! the manifests' ServiceAccount, and all of it taken away again.
//!
//! What is played: the Linux nodes. So the Deployment's pods stay unscheduled, and their processes are started here, with the
//! Secret mirrored into a folder as the kubelet does it. The webhook configurations name a Service, which leads nowhere
//! without nodes: they are pointed at the processes by URL, and the serving certificate gets the address 127.0.0.1 besides
//! its own name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod deploy;
mod instance;
mod manifests;
mod monitoring;
mod moves;
mod self_signed;
mod service;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod tools;

use std::time::Duration;

use support::wait_until;

/// A busy machine is slow; what never comes is not waited for much longer.
const PATIENCE: Duration = Duration::from_secs(120);
