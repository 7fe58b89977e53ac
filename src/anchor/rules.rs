//! The numbers of a pair's life; flags of `serve` set some of them.

use std::time::Duration;

/// How long an anchor may take to run before the HP pod gets a Warning.
pub const START_DEADLINE: Duration = Duration::from_secs(120);
/// How long before an HP pod that has a controller is replaced.
pub const REPLACE_DEADLINE: Duration = Duration::from_secs(600);
/// The grace period of the delete that ends an anchor that nobody needs any more, in seconds. Not 0:
/// that would take the pod from the API before its kubelet has ended it.
pub const SHORT_GRACE_SECONDS: i64 = 1;
/// The same for an anchor that is terminating already, in the middle of its sleep: only this ends it.
/// The kubelet goes on with the grace period that it began with, whatever a second delete says
/// (`SyncTerminatingPod` in pkg/kubelet/kubelet.go takes a fresh context; kubernetes#127339). What
/// is left on the node is a pause container that ends with its sleep.
pub const CUT_SHORT_SECONDS: i64 = 0;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// See [`START_DEADLINE`].
    pub start_deadline: Duration,
    /// See [`REPLACE_DEADLINE`].
    pub replace_deadline: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            start_deadline: START_DEADLINE,
            replace_deadline: REPLACE_DEADLINE,
        }
    }
}
