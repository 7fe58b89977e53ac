//! A real control plane for integration tests: etcd, the API server, the scheduler and the
//! controller manager on free loopback ports, with Windows nodes that are Node objects.
//!
//! ```text
//! let Some(plane) = ControlPlane::start_or_skip(&Options::default()) else { return };
//! plane.windows_node("win-1");
//! plane.apply(MANIFEST);
//! let node = plane.wait_for(&["pod/albums"], "{.spec.nodeName}");
//! ```
//!
//! - [`control_plane`]: what is started when, and how it ends.
//! - [`layout`]: the servers' files, ports and flags; the one place that knows them.
//! - [`process`]: a server that dies with the process that started it, whatever ends that one.
//! - [`pki`]: the certificate authority, the API server's pair, the service accounts' key.
//! - [`kubectl`]: the client: as a user would type it.
//! - [`node`]: a Windows node, as its kubelet would register it.
//! - [`kubelet`]: the kubelets of such nodes, played.
//! - [`install`]: the program's own identity and Roles.
//! - [`proxy`]: a bad network in front of the API server.
//! - [`webhooks`]: the webhook configurations of `deploy/`, pointed at a URL.
//!
//! `hack/control-plane.rs` includes this module too, for `hack/run`.

// Every test binary compiles its own copy and uses its own part of it.
#![allow(dead_code, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod control_plane;
pub mod error;
pub mod install;
pub mod kubectl;
pub mod kubelet;
pub mod layout;
pub mod node;
pub mod pki;
pub mod process;
pub mod proxy;
pub mod tools;
pub mod webhooks;

use std::io::Write as _;
use std::time::{Duration, Instant};

pub use control_plane::{ControlPlane, Options};
pub use error::StartError;
pub use kubelet::Kubelet;
pub use node::NodeOptions;
pub use process::free_port;
pub use proxy::Proxy;

/// Says in one loud line that something needed is missing and the test proves nothing here; with
/// `CI=true`, where everything has to be there, fails instead.
///
/// # Panics
/// With `CI=true`.
pub fn skip_or_fail(reason: &str) {
    assert!(!ci(), "CI=true, and {reason}");
    // Not eprintln!: libtest captures that and shows it for failed tests only.
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let _ = writeln!(std::io::stderr(), "\n==== SKIPPED {test}: {reason} ====\n");
}

/// Whether nothing may be skipped.
pub fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Asks again and again until there is an answer, and gives it.
///
/// # Panics
/// After `limit`, with `what` was waited for.
pub fn wait_until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
