//! `network: host`: a HostProcess pod that wants the host's network and nothing of ours around it. Node
//! agents, drivers and log collectors are that, what Kubernetes has HostProcess containers for
//! (KEP-1981). They get the same checks, account and placement as every workload; no anchor, no launcher,
//! no hook, no variable.
//!
//! Ports and probes stay as they are: the pod's IP is the node's, so the kubelet's own probes reach the
//! program. Arguments stay, too. Nothing encodes them here, so what `cmd /c` on the node would make
//! of them is said as a warning; it is no refusal, since such pods may want just that
//! (`%CONTAINER_SANDBOX_MOUNT_POINT%`, a redirection).

use super::annotate;
use super::arrival::{argument_field, arrives};
use super::container::Container;
use super::metadata::MARKER;
use super::pod::{Place, Pod};
use super::reason::Reason;
use super::sheet::Sheet;
use super::{guard, installer, metadata, placement, plumbing, security};
use crate::names::{annotation, policy as key};
use crate::policy::{Mesh, Policy};
use native_host_launcher::expand::MOUNT_POINT;
use std::borrow::Cow;

/// The value of the key `network` that the pod carries, for whoever reads the pod alone.
pub(super) const HOST: &str = "host";

/// Keys about what such a pod does not have.
const WITHOUT_EFFECT: [&str; 10] = [
    key::LAUNCHER,
    key::LAUNCHER_TIMEOUT,
    key::IP_ENV,
    key::ANCHOR_LABELS,
    key::CONTAINERS,
    key::PROBES,
    key::HEALTH_PORT,
    key::HEALTH_PATH,
    key::DRAIN_SECONDS,
    key::MESH,
];

/// Whether the pod says of itself that it is one.
pub(super) fn says_so(pod: &Pod<'_>) -> bool {
    pod.annotation(key::NETWORK).map(str::trim) == Some(HOST)
}

/// All rules for such a pod.
pub(super) fn rules(pod: &Pod<'_>, policy: &Policy, marked: bool, sheet: &mut Sheet) {
    metadata::labels(pod, sheet);
    no_pair(pod, sheet);
    security::linux_only(pod, sheet);
    security::host_process(pod, marked, sheet);
    guard::executables(pod, &[], None, policy, sheet);
    placement::place(pod, policy, false, marked, sheet);
    for (place, container) in pod.spec.all_containers() {
        security::account(pod, (place, container), false, marked, policy, sheet);
        if policy.allowed_executables.is_none() {
            warn_of_arguments(place, container, sheet);
        }
    }
    installer::write(pod, None, marked, sheet);
    if !marked {
        warn_of_keys(pod, policy, sheet);
    }
    let ours = [
        (annotation::INJECTED, MARKER.into()),
        (key::NETWORK, HOST.into()),
        // A proxy would sit on the host's network.
        (annotation::LINKERD_INJECT, "disabled".into()),
    ];
    annotate::write_all(pod, ours.into(), sheet);
}

/// Refuses what says that the pod has an anchor: it was injected under another policy.
fn no_pair(pod: &Pod<'_>, sheet: &mut Sheet) {
    if let Some(text) = pod.annotation(annotation::ANCHOR_SPEC) {
        let field = sheet.annotation(annotation::ANCHOR_SPEC);
        sheet.refuse(
            Reason::Marker,
            field,
            text.to_owned(),
            format!(
                "the pod was injected with an anchor, and {}: {HOST} says that it has none; apply the \
                 original manifest",
                key::NETWORK
            ),
        );
    }
}

/// Says which arguments the node's command line changes.
fn warn_of_arguments(place: Place, container: &Container<'_>, sheet: &mut Sheet) {
    // Without `command`, the image's ENTRYPOINT stands before the arguments.
    let entrypoint = container.command.is_empty().then(|| r"C:\x.exe".to_owned());
    let before = usize::from(entrypoint.is_some());
    // hcsshim puts the container's root folder there before anything else reads the line.
    let root = |argument: &Cow<'_, str>| argument.replace(&format!("%{MOUNT_POINT}%"), r"C:\hpc");
    let line: Vec<_> = entrypoint
        .into_iter()
        .chain(container.argv().map(root))
        .collect();
    let vars = plumbing::variables(place, container, true, sheet);
    if let Err((at, fault)) = arrives(&line, container, &vars) {
        let at = at.saturating_sub(before);
        let field = sheet.container_field(place, &argument_field(container, at));
        sheet.warn(
            &field,
            format_args!("the node may pass it on otherwise than it is written: {fault}"),
        );
    }
}

/// Says which of the pod's own annotations do nothing here.
fn warn_of_keys(pod: &Pod<'_>, policy: &Policy, sheet: &mut Sheet) {
    for key in WITHOUT_EFFECT {
        if pod.annotation(key).is_some() {
            let field = sheet.annotation(key);
            sheet.warn(
                &field,
                format_args!("without effect under {}: {HOST}", key::NETWORK),
            );
        }
    }
    if policy.mesh == Mesh::Linkerd && pod.annotation(key::MESH).is_none() {
        let field = sheet.annotation(annotation::LINKERD_INJECT);
        sheet.warn(
            &field,
            format_args!(
                "the pod is on the host's network ({}: {HOST}), where no proxy can stand before it; it \
                 stays outside the mesh",
                key::NETWORK
            ),
        );
    }
}
