//! Why a review ended as it did: closed sets, fit for metric labels.

use crate::closed_set::closed_set;

closed_set! {
    /// How a review ended.
    Outcome {
        /// The object was changed.
        Injected = "injected",
        /// It is what it should be already.
        Unchanged = "unchanged",
        /// It is not ours, or the namespace's policy says `off`.
        Skipped = "skipped",
        /// Allowed, and the validating check found nothing against it.
        Allowed = "allowed",
        /// Refused.
        Rejected = "rejected",
        /// The review itself could not be answered.
        Error = "error",
    }
}

closed_set! {
    /// The rule that decided.
    Reason {
        /// Nothing stood in the way.
        None = "none",
        /// The object does not carry the workload label.
        NotLabelled = "not-labelled",
        /// The namespace's mode is `off`.
        ModeOff = "mode-off",
        /// A kind or operation that this endpoint does not change.
        NotHandled = "not-handled",
        /// A label or annotation under our prefix is unknown, reserved or malformed.
        Metadata = "metadata",
        /// The namespace's own policy is invalid.
        NamespacePolicy = "namespace-policy",
        /// A policy annotation of the pod is invalid.
        PodPolicy = "pod-policy",
        /// A field that only Linux has.
        LinuxOnly = "linux-only",
        /// Something that HostProcess rules out.
        HostProcess = "host-process",
        /// The account to run as.
        User = "user",
        /// The ServiceAccount may not use the account.
        Authorization = "authorization",
        /// Whether it may could not be asked.
        AuthorizationUnavailable = "authorization-unavailable",
        /// The executable is not allowed by the namespace.
        Executable = "executable",
        /// The launcher is not allowed, or cannot be had.
        Launcher = "launcher",
        /// The command cannot be wrapped.
        Command = "command",
        /// An argument cannot survive the Windows command line.
        Argument = "argument",
        /// A reserved variable, volume, mount or container name is taken.
        Plumbing = "plumbing",
        /// A probe that cannot be moved.
        Probe = "probe",
        /// nodeSelector, affinity or a DaemonSet's template rule out a Windows node.
        Placement = "placement",
        /// Another injector's proxy is in the pod.
        Mesh = "mesh",
        /// An external Service asks for what cannot be published or probed.
        External = "external",
        /// An external Service points at an address that is not allowed.
        ExternalAddress = "external-address",
        /// The pod carries a marker that does not fit it.
        Marker = "marker",
        /// The pod is not what admission made of it.
        Invariant = "invariant",
        /// The object is not of the shape that Kubernetes gives it.
        Malformed = "malformed",
        /// The namespace's policy could not be had.
        PolicyUnavailable = "policy-unavailable",
        /// A handler panicked.
        Internal = "internal",
        /// The pod to evict is not an anchor.
        NotAnAnchor = "not-an-anchor",
        /// The anchor's pod is terminating, finished or gone, or the anchor itself is.
        PairEnding = "pair-ending",
        /// The anchor's pod still runs.
        PairRunning = "pair-running",
        /// The anchor's pod belongs to a DaemonSet.
        OfDaemonSet = "of-daemonset",
        /// Whether the anchor's pod still runs could not be read.
        PairUnavailable = "pair-unavailable",
        /// Too many evictions are looked at.
        Busy = "busy",
    }
}
