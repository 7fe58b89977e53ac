//! Guard rails against people and machines that want round them: the program under exactly its own Role, the
//! admission policies of `deploy/`, and RBAC, on a real API server with the node authorizer, NodeRestriction
//! and a client certificate for webhooks.
//!
//! - [`editor`]: who has `edit` in the namespace.
//! - [`sessions`]: the same person, with `kubectl exec` and its like.
//! - [`node`]: a node that somebody has taken over.
//! - [`token`]: who holds the controller's token.
//! - [`works`]: what must go on working beside all of it.
//! - [`accounts`]: who may use an account, asked of RBAC.
//! - [`neighbour`]: who reaches the webhook's port.
//! - [`threat_model`]: docs/security.md names these tests.
//!
//! Whatever is tried is tried as a dry run, so it is refused where
//! nothing else would have stood in its way, and changes nothing where it is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod caller;
#[path = "../server/client.rs"]
#[allow(dead_code, reason = "the server's own tests use all of it")]
mod client;
mod editor;
#[path = "../pairs/look.rs"]
#[allow(dead_code, reason = "the tests of pairs use all of it")]
mod look;
mod neighbour;
mod node;
#[path = "../real/program.rs"]
#[allow(dead_code, reason = "the admission tests use all of it")]
mod program;
mod sessions;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod threat_model;
mod token;
mod works;
#[path = "../pairs/world.rs"]
#[allow(dead_code, reason = "the tests of pairs use all of it")]
mod world;

use std::time::Duration;

use support::{ControlPlane, free_port, wait_until};

/// A busy machine is slow; what never comes is not waited for much longer.
const PATIENCE: Duration = Duration::from_secs(120);
