//! The vocabulary: every label, annotation, environment variable, file and path that
//! native-host reads or writes. Nothing else in the program spells one.
//!
//! Keys of Kubernetes itself and of neighbours (Linkerd, cluster-autoscaler) that the rules
//! touch stand here too, each with its source.

/// The prefix of everything that is ours.
pub const PREFIX: &str = "native-host.io/";

/// Who wrote a field, in `metadata.managedFields`, and who says an Event.
pub const FIELD_MANAGER: &str = "native-host";
/// The controller's name in Events (`reportingController`).
pub const REPORTER: &str = "native-host.io/anchor-controller";
/// The Lease that says which instance's controller leads, and, by default, its namespace.
pub const LEASE: &str = "native-host";

/// What an installation consists of, as `deploy/` names it.
pub mod install {
    /// The Deployment, Service and ServiceAccount, and, by default, their namespace.
    pub const NAME: &str = "native-host";
    /// The Secret of the serving certificate.
    pub const SERVING_SECRET: &str = "native-host-tls";
    /// The Secret of the CA; without cert-manager the replicas make certificates of it themselves.
    pub const CA_SECRET: &str = "native-host-ca";
    /// What makes and renews certificates: its API group and version.
    pub const CERT_MANAGER: &str = "cert-manager.io/v1";
}

/// Labels.
pub mod label {
    /// On the user's pod template (and, for convenience, on a Service): the workload's name.
    pub const WORKLOAD: &str = "native-host.io/workload";
    /// On an anchor: the name of the workload it serves; Services select by it.
    pub const ANCHOR: &str = "native-host.io/anchor";
    /// On an anchor: the UID of the one HP pod it belongs to.
    pub const ANCHOR_FOR: &str = "native-host.io/anchor-for";
    /// On an anchor: always [`ROLE_ANCHOR`].
    pub const ROLE: &str = "native-host.io/role";
    /// The one value of [`ROLE`].
    pub const ROLE_ANCHOR: &str = "anchor";
    /// On a Service whose endpoints are processes that Kubernetes does not run.
    pub const EXTERNAL: &str = "native-host.io/external";
    /// The value of [`EXTERNAL`] that asks for it; `"false"` is as good as no label.
    pub const EXTERNAL_ON: &str = "true";

    /// Labels that only the anchor controller may write.
    pub const RESERVED: [&str; 3] = [ANCHOR, ANCHOR_FOR, ROLE];

    /// The operating system of a node, set by its kubelet (`k8s.io/api/core/v1` well-known labels).
    pub const OS: &str = "kubernetes.io/os";
    /// The value of [`OS`] on a Windows node.
    pub const OS_WINDOWS: &str = "windows";
    /// The build of a Windows node, set by its kubelet, e.g. `10.0.20348`.
    pub const WINDOWS_BUILD: &str = "node.kubernetes.io/windows-build";
    /// Windows Server 2019: no bind filter, so a HostProcess container's mounts lie elsewhere.
    pub const WINDOWS_BUILD_2019: &str = "10.0.17763";
    /// On an EndpointSlice: its Service (`k8s.io/api/discovery/v1` well-known labels).
    pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
    /// On objects that a command wrote: which one (Kubernetes' recommended labels).
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// The value of [`MANAGED_BY`] on what `native-host policy` wrote.
    pub const MANAGED_BY_POLICY: &str = "native-host-policy";
    /// On an EndpointSlice: who writes it; nobody else may (KEP-752).
    pub const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
    /// The value of [`SLICE_MANAGED_BY`] on ours.
    pub const SLICE_MANAGED_BY_US: &str = "native-host.io";
    /// The zone of a node (`k8s.io/api/core/v1` well-known labels).
    pub const ZONE: &str = "topology.kubernetes.io/zone";
    /// On a Namespace: the Pod Security level that refuses pods (KEP-2579).
    pub const POD_SECURITY_ENFORCE: &str = "pod-security.kubernetes.io/enforce";
}

/// Annotations that native-host itself writes.
pub mod annotation {
    /// The marker: the version of the contract by which the pod was injected.
    pub const INJECTED: &str = "native-host.io/injected";
    /// JSON of an `AnchorSpec`: what the controller builds the anchor from.
    pub const ANCHOR_SPEC: &str = "native-host.io/anchor-spec";
    /// JSON (`ip`, `started`, `uid`) that the controller publishes once the anchor runs. One
    /// annotation and one file, since the kubelet's volume writer is not atomic on Windows.
    pub const ANCHOR_STATUS: &str = "native-host.io/anchor-status";

    /// The three above: written by native-host, never policy.
    pub const OWN: [&str; 3] = [INJECTED, ANCHOR_SPEC, ANCHOR_STATUS];

    /// On a webhook configuration: the Certificate whose CA cert-manager's cainjector puts into it.
    pub const INJECT_CA_FROM: &str = "cert-manager.io/inject-ca-from";
    /// Linkerd's switch, on a pod or a namespace (`enabled`, `disabled`, `ingress`).
    pub const LINKERD_INJECT: &str = "linkerd.io/inject";
    /// Linkerd's proxy settings; they belong where the proxy is, so they go to the anchor.
    pub const LINKERD_CONFIG_PREFIX: &str = "config.linkerd.io/";
    /// kubectl's: what was applied last, as it was written.
    pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    /// cluster-autoscaler: names of local volumes that do not keep a node from scaling down.
    pub const SAFE_TO_EVICT_LOCAL_VOLUMES: &str =
        "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
    /// cluster-autoscaler: the pod goes with its node, as a DaemonSet's does.
    pub const DAEMONSET_POD: &str = "cluster-autoscaler.kubernetes.io/daemonset-pod";
    /// cluster-autoscaler: whether it evicts such a pod before it removes the node.
    pub const ENABLE_DS_EVICTION: &str = "cluster-autoscaler.kubernetes.io/enable-ds-eviction";
}

/// Policy keys: annotations on a Namespace, some of them on a pod (section 8 of the contract).
pub mod policy {
    /// `enforce`, `warn` or `off`.
    pub const MODE: &str = "native-host.io/mode";
    /// `anchor` or `host`.
    pub const NETWORK: &str = "native-host.io/network";
    /// `native-host`, `cplauncher` or `native-host-cplauncher`.
    pub const LAUNCHER: &str = "native-host.io/launcher";
    /// Where `cplauncher.exe` lies on every node.
    pub const CPLAUNCHER_PATH: &str = "native-host.io/cplauncher-path";
    /// The DLL that cplauncher injects, or `none`.
    pub const CPLAUNCHER_DLL: &str = "native-host.io/cplauncher-dll";
    /// The image that brings `native-host-launcher.exe`, or `none`.
    pub const LAUNCHER_IMAGE: &str = "native-host.io/launcher-image";
    /// Where `native-host-launcher.exe` lies on every node, if it is pre-installed.
    pub const LAUNCHER_PATH: &str = "native-host.io/launcher-path";
    /// How long a launcher waits for its anchor.
    pub const LAUNCHER_TIMEOUT: &str = "native-host.io/launcher-timeout";
    /// Names of environment variables that get the anchor's IP.
    pub const IP_ENV: &str = "native-host.io/ip-env";
    /// The anchor's pause image.
    pub const ANCHOR_IMAGE: &str = "native-host.io/anchor-image";
    /// Keys of workload labels that the anchor gets too.
    pub const ANCHOR_LABELS: &str = "native-host.io/anchor-labels";
    /// The account that the containers run as.
    pub const RUN_AS: &str = "native-host.io/run-as";
    /// Names of the containers to wrap.
    pub const CONTAINERS: &str = "native-host.io/containers";
    /// `key=value` list added to the pod's nodeSelector.
    pub const NODE_SELECTOR: &str = "native-host.io/node-selector";
    /// JSON list of tolerations added to the pod's.
    pub const TOLERATIONS: &str = "native-host.io/tolerations";
    /// `auto` or `none`: whether probes are made up where a container has none.
    pub const PROBES: &str = "native-host.io/probes";
    /// Name or number of the port that default probes go to.
    pub const HEALTH_PORT: &str = "native-host.io/health-port";
    /// Base path of default HTTP probes.
    pub const HEALTH_PATH: &str = "native-host.io/health-path";
    /// Seconds for which a stopping program goes on serving.
    pub const DRAIN_SECONDS: &str = "native-host.io/drain-seconds";
    /// `none` or `linkerd`.
    pub const MESH: &str = "native-host.io/mesh";
    /// Guard rail: accounts.
    pub const ALLOWED_USERS: &str = "native-host.io/allowed-users";
    /// Guard rail: executables.
    pub const ALLOWED_EXECUTABLES: &str = "native-host.io/allowed-executables";
    /// Guard rail: launchers.
    pub const ALLOWED_LAUNCHERS: &str = "native-host.io/allowed-launchers";
    /// `none` or `serviceaccount`.
    pub const AUTHORIZE: &str = "native-host.io/authorize";
    /// Networks that external Services may point at.
    pub const EXTERNAL_CIDRS: &str = "native-host.io/external-cidrs";
}

/// Annotations of an external Service (section 10 of the contract).
pub mod external {
    /// IP addresses of the processes.
    pub const ADDRESSES: &str = "native-host.io/external-addresses";
    /// Label selector of the nodes that they run on.
    pub const NODES: &str = "native-host.io/external-nodes";
    /// What is asked whether a process is well: a URL without a host.
    pub const PROBE: &str = "native-host.io/external-probe";
    /// Time from one probe to the next.
    pub const PROBE_PERIOD: &str = "native-host.io/external-probe-period";
    /// How long a probe may take.
    pub const PROBE_TIMEOUT: &str = "native-host.io/external-probe-timeout";
    /// Failed probes in a row after which an address is not ready.
    pub const PROBE_FAILURES: &str = "native-host.io/external-probe-failures";
    /// Passed probes in a row after which it is ready again.
    pub const PROBE_SUCCESSES: &str = "native-host.io/external-probe-successes";
    /// Whether the last that were ready stay so when none is.
    pub const FAIL_OPEN: &str = "native-host.io/external-fail-open";

    /// All of them.
    pub const ALL: [&str; 8] = [
        ADDRESSES,
        NODES,
        PROBE,
        PROBE_PERIOD,
        PROBE_TIMEOUT,
        PROBE_FAILURES,
        PROBE_SUCCESSES,
        FAIL_OPEN,
    ];
}

/// Readiness gates (condition types, KEP-580).
pub mod gate {
    /// On the HP pod: mirrors the anchor's readiness.
    pub const ANCHOR_READY: &str = "native-host.io/anchor-ready";
    /// On the anchor: mirrors the HP pod's `ContainersReady`.
    pub const WORKLOAD_RUNNING: &str = "native-host.io/workload-running";
}

/// Containers, volumes and mounts that injection adds to the HP pod.
pub mod injected {
    /// The init container that installs the launcher, and the `emptyDir` it installs into.
    pub const LAUNCHER: &str = "native-host-launcher";
    /// Where that volume is mounted.
    pub use native_host_launcher::names::LAUNCHER_DIR;
    /// The launcher's file name.
    pub use native_host_launcher::names::LAUNCHER_EXE;
    /// The launcher as its init container finds it in its own image; hcsshim puts the image's
    /// folder in place of the variable (`internal/jobcontainers/jobcontainer.go`).
    pub const LAUNCHER_IN_IMAGE: &str = r"%CONTAINER_SANDBOX_MOUNT_POINT%\native-host-launcher.exe";
    /// The downwardAPI volume that carries [`annotation::ANCHOR_STATUS`](super::annotation::ANCHOR_STATUS).
    pub const ANCHOR_VOLUME: &str = "native-host-anchor";
    /// Where that volume is mounted.
    pub use native_host_launcher::names::ANCHOR_DIR;
    /// Its one file.
    pub use native_host_launcher::names::ANCHOR_FILE;
}

/// Environment variables.
pub mod env {
    /// The compartment that a program attaches itself to; launchers set it (K2s's name).
    pub use native_host_launcher::names::COMPARTMENT_ID_ATTACH;
    /// The HP pod's namespace, by `fieldRef`.
    pub use native_host_launcher::names::POD_NAMESPACE;
    /// The HP pod's UID, by `fieldRef`.
    pub use native_host_launcher::names::POD_UID;
    /// Every flag of the program is also a variable: this, and the flag's name in capitals.
    pub const FLAG_PREFIX: &str = "NATIVE_HOST_";
    /// The first three: a workload must not set them.
    pub const RESERVED: [&str; 3] = [POD_UID, POD_NAMESPACE, COMPARTMENT_ID_ATTACH];
}

/// Webhooks, as the API server names them in what it prints.
pub mod webhook {
    /// The `MutatingWebhookConfiguration`: before those of meshes in the alphabet.
    pub const MUTATING: &str = "a.native-host.io";
    /// The `ValidatingWebhookConfiguration`.
    pub const VALIDATING: &str = "native-host.io";

    /// Pods, at `/mutate`.
    pub const PODS: &str = "pods.native-host.io";
    /// Pods again, at `/validate`, as they are to be stored.
    pub const VALIDATE_PODS: &str = "validate-pods.native-host.io";
    /// Labelled Services, at `/mutate`.
    pub const SERVICES: &str = "services.native-host.io";
    /// External Services, at `/validate`.
    pub const EXTERNAL: &str = "external.native-host.io";
    /// Evictions of anchors, at `/evict`.
    pub const EVICTIONS: &str = "evictions.native-host.io";
}

/// Rights that native-host asks for by SubjectAccessReview. No objects of these kinds exist: they are
/// names for RBAC to grant, and the admission policies of `deploy/base/policies.yaml` ask for the second.
pub mod right {
    /// The API group of both.
    pub const GROUP: &str = "native-host.io";
    /// Accounts of Windows nodes, named as [`crate::windows::account::Account::right_name`] says.
    pub const ACCOUNTS: &str = "accounts";
    /// What a pod's ServiceAccount needs on them.
    pub const USE: &str = "use";
    /// Workloads, named after their pods: `exec`, `attach`, `portforward`, `proxy`, `debug`.
    pub const WORKLOADS: &str = "workloads";
}

/// The ValidatingAdmissionPolicies of `deploy/base/policies.yaml`; every one has a binding at least.
pub mod admission_policy {
    /// What native-host wrote into a workload's pod stays.
    pub const WORKLOADS: &str = "workloads.native-host.io";
    /// Anchors are the controller's.
    pub const ANCHORS: &str = "anchors.native-host.io";
    /// A Binding puts nothing of ours onto its pod.
    pub const BINDINGS: &str = "bindings.native-host.io";
    /// The controller keeps to pairs.
    pub const CONTROLLER: &str = "controller.native-host.io";
    /// The controller keeps to its EndpointSlices.
    pub const EXTERNAL: &str = "external.native-host.io";
    /// No HostProcess pod past a namespace's guard rails.
    pub const HOST_PROCESS: &str = "hostprocess.native-host.io";
    /// No container that is added to such a pod.
    pub const DEBUGGING: &str = "debugging.native-host.io";
    /// No session in it.
    pub const SESSIONS: &str = "sessions.native-host.io";

    /// All of them.
    pub const ALL: [&str; 8] = [
        WORKLOADS,
        ANCHORS,
        BINDINGS,
        CONTROLLER,
        EXTERNAL,
        HOST_PROCESS,
        DEBUGGING,
        SESSIONS,
    ];
}

/// Linkerd's policy: the API group, and the versions of its kinds that are written.
pub mod linkerd {
    /// The API group.
    pub const GROUP: &str = "policy.linkerd.io";
    /// Of Servers.
    pub const SERVER: &str = "v1beta3";
    /// Of HTTPRoutes.
    pub const ROUTE: &str = "v1beta3";
    /// Of AuthorizationPolicies and authentications.
    pub const AUTHENTICATION: &str = "v1alpha1";
}

/// Documents that the command line prints.
pub mod cli {
    /// Their `apiVersion`. A field may be added under it; none changes or goes.
    pub const API_VERSION: &str = "cli.native-host.io/v1";
}
