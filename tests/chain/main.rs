//! The whole chain: real Windows programs, started by our real launcher on simulated Windows nodes
//! (`tests/windows-node`), under a real control plane with native-host, reached through a Service while
//! everything moves. `docs/simulated-node.md` says what of it is real.
//!
//! All of it lives in a network of its own (`hack/with-pod-network`), and a process cannot move into one
//! without `unsafe`. So there is one test, [`the_chain_holds`], which runs this very binary again in such a
//! network; the tests that it runs there are ignored elsewhere.
//!
//! - [`across`]: no request is lost while workloads roll, scale, drain, and native-host restarts.
//! - [`endings`]: each failure restarts the right thing and nothing else.
//! - [`jobs`]: Jobs to their completion, whatever their exit code.
//! - [`arguments`]: arguments of every nasty kind, from YAML to the program's own argv.
//! - [`launchers`]: the other two launchers, K2s's cplauncher alone and under ours.
//! - [`blue_green`]: a Service switched from one workload to another.
//! - [`world`], [`node`]: what they share; [`albums`]: the workload.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod across;
mod albums;
mod arguments;
mod blue_green;
mod endings;
mod jobs;
mod launchers;
#[path = "../load/mod.rs"]
mod load;
#[path = "../pairs/look.rs"]
#[allow(dead_code, reason = "the tests of pairs use all of it")]
mod look;
mod node;
#[path = "../real/program.rs"]
#[allow(dead_code, reason = "the admission tests use all of it")]
mod program;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{ControlPlane, free_port, skip_or_fail, tools, wait_until};

/// A busy machine is slow; what never comes is not waited for much longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// How many tests run at once inside: they wait most of their time, but each has programs that start.
const AT_ONCE: &str = "6";

/// Runs the others where they can run. What they print is not captured, since it is long before they end.
#[test]
fn the_chain_holds() {
    if let Err(missing) = whole_machine() {
        return skip_or_fail(&missing);
    }
    let ended = Command::new(hack("with-pod-network"))
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--test-threads", AT_ONCE])
        .status()
        .unwrap();
    assert!(ended.success(), "{ended}; what failed is said above");
}

/// Whether this machine has all that it takes.
fn whole_machine() -> Result<(), String> {
    tools::folder()?;
    for (needed, args) in [
        ("wine", &["cmd", "/c", "exit"][..]),
        ("with-pod-network", &["true"]),
    ] {
        let ended = Command::new(hack(needed)).args(args).status().unwrap();
        if !ended.success() {
            return Err(format!("hack/{needed} does not work here, it said why"));
        }
    }
    node::Parts::built().map(drop)
}

fn hack(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("hack")
        .join(name)
}
