//! External Services on a real control plane, with real processes: the webhook and two instances of the
//! controller under exactly their own Role.
//!
//! Processes have addresses of 10.245.0.0/16, which are this machine's in a network namespace only
//! (`hack/with-pod-network`): the API server refuses loopback addresses in EndpointSlices. So this binary
//! runs itself again in there; outside, one test does that and the others have nothing to do.
//!
//! No kube-proxy runs. Where a client goes "through the Service" it does what kube-proxy would: it
//! follows the EndpointSlices and takes the ready ones in turn.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../faults/admin.rs"]
#[allow(dead_code, reason = "the tests of faults use all of it")]
mod admin;
mod client;
mod examples;
mod families;
mod leader;
mod life;
mod nodes;
mod process;
#[path = "../real/program.rs"]
#[allow(dead_code, reason = "the admission tests use all of it")]
mod program;
mod rails;
mod refusals;
mod scale;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{ControlPlane, free_port, skip_or_fail, wait_until};

/// A busy machine is slow; what never comes is not waited for much longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Says to the copy of this binary that it is inside.
const INSIDE: &str = "NATIVE_HOST_TEST_IN_POD_NETWORK";
/// `hack/with-pod-network`'s exit code where the machine does not allow it.
const NOT_HERE: i32 = 69;

/// Whether this process is in the network of pods.
fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

#[test]
fn every_test_of_this_binary_passes_in_the_network_of_pods() {
    if inside() || std::env::args().any(|argument| argument == "--list") {
        return;
    }
    if let Err(reason) = support::tools::folder() {
        skip_or_fail(&reason);
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/with-pod-network");
    let status = Command::new(script)
        .arg(std::env::current_exe().unwrap())
        // Those that were asked for by name, so that one alone can be run, and its output be seen.
        .args(
            std::env::args()
                .skip(1)
                .filter(|argument| argument.starts_with("--") && !argument.starts_with("--exact")),
        )
        .args(std::env::var("EXTERNAL_TEST").ok())
        .env(INSIDE, "1")
        .status()
        .unwrap();
    if status.code() == Some(NOT_HERE) {
        skip_or_fail(
            "this machine allows no network namespace, in which external processes have addresses",
        );
        return;
    }
    assert!(
        status.success(),
        "{status}; EXTERNAL_TEST=NAME runs one of them"
    );
}
