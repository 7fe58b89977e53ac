//! What a test says of its nodes: what the programs in the containers do, and what befalls them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

/// What a container's program does, as far as its kubelet sees it.
#[derive(Debug, Clone)]
pub struct Program {
    /// How long it runs by itself; `None`: until it is stopped.
    pub runs: Option<Duration>,
    /// The exit code with which it ends by itself.
    pub exit: i32,
    /// When its startup probe passes; where there is none, it has started as soon as it runs.
    pub started_after: Duration,
    /// When its readiness probe passes (`None`: never); where there is none, it is ready as soon as
    /// it runs.
    pub ready_after: Option<Duration>,
    /// How long its preStop takes that is no `sleep` but a command or a request.
    pub pre_stop: Duration,
    /// How long it takes to stop once it is told to.
    pub stop: Duration,
    /// The exit code with which it then ends in time.
    pub stop_exit: i32,
}

impl Default for Program {
    /// A server: it runs until stopped, is ready soon, and stops at once and well.
    fn default() -> Self {
        Self {
            runs: None,
            exit: 0,
            started_after: Duration::from_millis(100),
            ready_after: Some(Duration::from_millis(100)),
            pre_stop: Duration::ZERO,
            stop: Duration::from_millis(50),
            stop_exit: 0,
        }
    }
}

impl Program {
    /// A batch job: it ends by itself.
    pub fn that_ends(after: Duration, exit: i32) -> Self {
        Self {
            runs: Some(after),
            exit,
            ..Self::default()
        }
    }

    /// A server whose readiness probe never passes until a test says so.
    pub fn never_ready() -> Self {
        Self {
            ready_after: None,
            ..Self::default()
        }
    }

    /// A server that takes a while to stop.
    pub fn that_stops_in(stop: Duration) -> Self {
        Self {
            stop,
            ..Self::default()
        }
    }
}

/// Which containers a rule is for: the pod, and the container's name.
pub type Which = dyn Fn(&Pod, &str) -> bool + Send + Sync;

/// Every container of the pods of a namespace whose names begin so.
pub fn pods(namespace: &str, prefix: &str) -> impl Fn(&Pod, &str) -> bool + Send + Sync + 'static {
    let (namespace, prefix) = (namespace.to_owned(), prefix.to_owned());
    move |pod, _| {
        pod.metadata.namespace.as_ref() == Some(&namespace)
            && pod
                .metadata
                .name
                .as_ref()
                .is_some_and(|name| name.starts_with(&prefix))
    }
}

/// What holds for every pod.
#[derive(Debug, Clone)]
pub struct Settings {
    /// From the binding of a pod until its containers start, and again when a container is
    /// restarted: pulling, the sandbox. Zero saves a write a pod.
    pub start: Duration,
    /// How long a container waits in `CrashLoopBackOff` after its second end; each time twice as
    /// long. The first restart is immediate (`kuberuntime_manager.go`, `doBackOff`).
    pub crash_backoff: Duration,
    /// The longest such wait.
    pub crash_backoff_limit: Duration,
    /// Whether a second delete with a shorter grace period cuts what runs since the first one.
    ///
    /// No kubelet does up to 1.36: `pod_workers.go` cancels the context of the running sync when
    /// the grace period was shortened, but `SyncTerminatingPod` (`kubelet.go`) works under
    /// `context.TODO()` instead (kubernetes#113606), so that a preStop runs on for the first grace
    /// period. kubernetes#127339 is open; #113883 and #127580 would mend it. `true` plays that.
    pub shorter_grace_cuts: bool,
    /// Whether the containers of an HP pod become ready only once their anchor's status is
    /// published. Not so by default: what has no probe is ready as soon as it runs, and a launcher
    /// that waits runs.
    pub launcher_waits: bool,
    /// Whether the launcher in an HP pod ends, and is restarted, when the anchor's status changes
    /// to another (section 5 of the contract: the target is killed at once).
    pub launcher_follows: bool,
    /// Whether containers really run, by a [`Runtime`](super::orders::Runtime).
    pub real: bool,
}

impl Default for Settings {
    /// As a kubelet, but for the time that it takes to pull images.
    fn default() -> Self {
        Self {
            start: Duration::from_millis(20),
            crash_backoff: Duration::from_secs(10),
            crash_backoff_limit: Duration::from_secs(300),
            shorter_grace_cuts: false,
            launcher_waits: false,
            launcher_follows: true,
            real: false,
        }
    }
}

/// A pod's namespace and name.
pub type Key = (String, String);

/// A container: the pod's namespace and name, and its own.
pub type ContainerKey = (String, String, String);

/// Everything that a test has said so far.
#[derive(Default)]
pub struct Knobs {
    /// What holds for every pod.
    pub settings: Settings,
    /// Later rules go before earlier ones.
    pub rules: Vec<(Arc<Which>, Program)>,
    /// Results of readiness probes, in place of the program's own.
    pub readiness: HashMap<ContainerKey, bool>,
    /// Containers that end as soon as they run.
    pub exits: HashMap<ContainerKey, i32>,
    /// Pods under node pressure.
    pub evictions: HashSet<Key>,
    /// Pods whose sandbox is lost.
    pub lost_sandboxes: HashSet<Key>,
    /// Namespace and prefix of pods whose images cannot be had, and the reason.
    pub refusals: Vec<(String, String, String)>,
    /// Nodes whose kubelet is away.
    pub paused: HashSet<String>,
    /// How often each node was rebooted.
    pub boots: HashMap<String, u32>,
}

impl Knobs {
    /// What the program of a container does.
    pub fn program(&self, pod: &Pod, container: &str, runs_to_completion: bool) -> Program {
        let mut rules = self.rules.iter().rev();
        match rules.find(|(which, _)| which(pod, container)) {
            Some((_, program)) => program.clone(),
            None if runs_to_completion => Program::that_ends(Duration::ZERO, 0),
            None => Program::default(),
        }
    }

    /// Why a pod's images cannot be had, if so.
    pub fn refusal(&self, (namespace, name): &Key) -> Option<&str> {
        let mut refusals = self.refusals.iter();
        refusals
            .find(|(ns, prefix, _)| ns == namespace && name.starts_with(prefix))
            .map(|(_, _, reason)| reason.as_str())
    }
}

impl fmt::Debug for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knobs")
            .field("settings", &self.settings)
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}
