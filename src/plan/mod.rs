//! The pure core: pod and policy in; inject, skip or reject out.
//!
//! ```text
//!  raw JSON ── Pod::read ──> Pod ──┐
//!                                  ├── plan ──> Inject(patch, anchor) | Unchanged | Skip | Reject
//!  annotations ── policy ──> Policy┘            and warnings
//! ```
//!
//! [`plan`] reads what the author asked (`asked`; of a pod that was injected before, it is
//! unwrapped again) and lets each rule compare what should be with what is: a rule writes an
//! operation into the [`Sheet`] only where they differ. So a pod that is as it should be needs
//! no patch, which is what makes injection idempotent, and is what the validating check asks.
//!
//! No clock, no environment, no client: the same input gives the same answer everywhere.

pub mod anchor_spec;
mod annotate;
mod arrival;
mod asked;
pub mod container;
mod default_probes;
mod guard;
pub mod handler;
mod host;
mod installer;
mod metadata;
mod mounts;
mod pitfalls;
mod placement;
mod plumbing;
pub mod pod;
mod probes;
pub mod reason;
mod security;
pub mod sheet;
mod stop;
mod wrap;

pub use metadata::{MARKER, is_workload_name};
pub use security::accounts;

use crate::json::Patch;
use crate::names::{annotation, label, policy as key};
use crate::policy::{LauncherKind, Mesh, Mode, Network, Policy};
use anchor_spec::{AnchorSpec, MeshProxy};
use asked::Asked;
use pod::{Place, Pod};
use reason::Reason;
use sheet::{Refusal, Root, Sheet};
use std::borrow::Cow;
use stop::Stop;
use wrap::Wrapping;

/// What becomes of a pod.
#[derive(Debug)]
pub enum Decision {
    /// It is changed by the patch, and gets that anchor; none, where it is on the host's network.
    Inject(Patch, Option<AnchorSpec>),
    /// It was injected before, and is as it should be.
    Unchanged(Option<AnchorSpec>),
    /// It is none of our business.
    Skip(Reason),
    /// It cannot be, or may not be.
    Reject(Refusal),
}

/// A decision, and what the author should know besides.
#[derive(Debug)]
pub struct Planned {
    /// What becomes of the pod.
    pub decision: Decision,
    /// One line each.
    pub warnings: Vec<String>,
}

/// Decides what becomes of a pod in a namespace of the given policy. `root` says where the pod
/// stands in the object under review: at its top, or in a workload's template.
pub fn plan(pod: &Pod<'_>, namespace: &Policy, root: Root) -> Planned {
    if pod.labels.get(label::WORKLOAD).is_none() {
        return Planned {
            decision: Decision::Skip(Reason::NotLabelled),
            warnings: Vec::new(),
        };
    }
    if namespace.mode == Mode::Off {
        return Planned {
            decision: Decision::Skip(Reason::ModeOff),
            warnings: Vec::new(),
        };
    }
    let mut sheet = Sheet::new(root);
    security::foreign_proxies(pod, &mut sheet);
    let marked = metadata::marked(pod, &mut sheet);
    let spec = read_spec(pod, marked, &mut sheet);
    if !sheet.problems.is_empty() {
        return refused(sheet); // what the other rules say of such a pod would mislead
    }
    let policy = match namespace.with_pod(policy_annotations(pod, spec.as_ref())) {
        Ok(policy) => policy,
        Err(errors) => {
            for error in &errors {
                let field = sheet.annotation(&error.key);
                sheet.refuse(Reason::PodPolicy, field, None, error.message.clone());
            }
            Cow::Borrowed(namespace)
        }
    };
    let anchor = match policy.network {
        Network::Anchor => Some(rules(pod, &policy, spec.as_ref(), &mut sheet)),
        Network::Host => {
            host::rules(pod, &policy, marked, &mut sheet);
            None
        }
    };
    if !marked {
        pitfalls::warn_of_volumes(pod, &mut sheet);
        for (place, container) in pod.spec.all_containers() {
            pitfalls::warn_of_mounts(place, container, &mut sheet);
        }
    }
    conclude(sheet, anchor, marked, policy.mode)
}

/// The pod's policy annotations. Injection overwrites Linkerd's switch; what it was is known
/// from the anchor spec.
fn policy_annotations<'p>(
    pod: &'p Pod<'_>,
    spec: Option<&AnchorSpec>,
) -> impl Iterator<Item = (&'p str, &'p str)> {
    let switch = spec.map(|spec| match spec.mesh {
        Some(MeshProxy::Linkerd) => "enabled",
        None => "disabled",
    });
    pod.annotations
        .iter()
        .flat_map(pod::StringMap::iter)
        .map(move |(key, value)| match switch {
            Some(switch) if key == annotation::LINKERD_INJECT => (key, switch),
            _ => (key, value),
        })
}

/// The anchor spec of a pod that was injected before. A pod on the host's network has none.
fn read_spec(pod: &Pod<'_>, marked: bool, sheet: &mut Sheet) -> Option<AnchorSpec> {
    let text = pod.annotation(annotation::ANCHOR_SPEC).filter(|_| marked)?;
    AnchorSpec::parse(text)
        .map_err(|error| {
            let field = sheet.annotation(annotation::ANCHOR_SPEC);
            let way_out = "apply the original manifest, without what native-host wrote into it";
            let text = text.to_owned();
            sheet.refuse(Reason::Marker, field, text, format!("{error}; {way_out}"));
        })
        .ok()
}

/// All rules, in the order in which a person would check them.
fn rules(
    pod: &Pod<'_>,
    policy: &Policy,
    spec: Option<&AnchorSpec>,
    sheet: &mut Sheet,
) -> AnchorSpec {
    let marked = spec.is_some();
    metadata::labels(pod, sheet);
    security::linux_only(pod, sheet);
    security::host_process(pod, marked, sheet);
    guard::launcher(policy, sheet);

    let wrapping = Wrapping::new(policy);
    let chosen = asked::to_wrap(pod, policy.containers.as_deref(), sheet);
    let asked = read_asked(pod, policy, &chosen, spec, &wrapping, sheet);
    default_probes::check_health_port(pod, &asked, policy, sheet);
    guard::executables(pod, &asked, Some(&wrapping), policy, sheet);
    if policy.launcher == LauncherKind::Cplauncher && !policy.ip_env.is_empty() {
        let field = sheet.annotation(key::IP_ENV);
        sheet.warn(
            &field,
            "not set: cplauncher cannot change the program's environment (the launcher \
             native-host can)",
        );
    }

    let needs_tool = wrapping.needs_tool(&asked, sheet);
    let volumes = plumbing::Volumes {
        launcher_image: wrapping.image().filter(|_| needs_tool),
        // An exec probe of ours finds the compartment by it, as `run` does.
        status: needs_tool,
    };
    let by_image = volumes.launcher_image.is_some();
    placement::place(pod, policy, by_image, marked, sheet);

    let stop = Stop::new(pod, &asked, marked, &wrapping, policy);
    stop.write(pod, sheet);
    for (place, container) in pod.spec.all_containers() {
        let wrapped = asked.iter().find(|asked| asked.place == place);
        let here = (place, container);
        security::account(pod, here, wrapped.is_some(), marked, policy, sheet);
        let wraps = wrapped.map(|_| &wrapping);
        mounts::write(place, container, wraps, volumes, marked, sheet);
        match wrapped {
            None => guard::warn_of_unwrapped(place, container, sheet),
            Some(asked) => {
                let refers = asked.argv.iter().any(|arg| arg.contains("$("));
                let vars = plumbing::variables(place, container, marked || refers, sheet);
                wrap::write(container, asked, &vars, stop.grace(), &wrapping, sheet);
                plumbing::write_env(place, container, &vars, marked, sheet);
                plumbing::warn_of_pod_ip(place, &vars, wrapping.probes_itself(), sheet);
                probes::write(container, asked, &wrapping, sheet);
                stop.write_hook(container, asked, &wrapping, sheet);
                asked::warn_of_hooks(place, container, sheet);
                finish_container(place, container, marked, sheet);
            }
        }
    }
    plumbing::write_volumes(pod, volumes, marked, sheet);
    plumbing::write_gate(pod, sheet);
    // Last of the arrays: it moves the other init containers by one.
    installer::write(pod, volumes.launcher_image, marked, sheet);

    let anchor = anchor(pod, policy, &asked);
    annotate::write(
        pod,
        &anchor,
        marked,
        volumes.launcher_image.is_some(),
        sheet,
    );
    anchor
}

fn read_asked<'a>(
    pod: &Pod<'a>,
    policy: &Policy,
    chosen: &[Place],
    spec: Option<&AnchorSpec>,
    wrapping: &Wrapping<'_>,
    sheet: &mut Sheet,
) -> Vec<Asked<'a>> {
    let mut all = Vec::with_capacity(chosen.len());
    for (place, container) in pod
        .spec
        .all_containers()
        .filter(|(place, _)| chosen.contains(place))
    {
        // Without a choice all containers are wrapped, and in a pod that was injected before
        // these are the ones that its anchor spec knows: others came later, from other webhooks.
        let known = spec.is_none_or(|spec| spec.container(&container.name).is_some());
        if policy.containers.is_none() && !known && wrap::unwrap(container, wrapping).is_err() {
            continue;
        }
        let asked = match spec {
            None => {
                let host_network = pod.spec.host_network;
                let mut asked = Asked::as_written(place, container, host_network, wrapping, sheet);
                default_probes::add(&mut asked, policy, sheet);
                Some(asked)
            }
            Some(spec) => Asked::unwrapped(place, container, spec, wrapping, sheet),
        };
        all.extend(asked);
    }
    all
}

/// What is left to say of a wrapped container.
fn finish_container(
    place: Place,
    container: &container::Container<'_>,
    marked: bool,
    sheet: &mut Sheet,
) {
    if container
        .ports
        .as_ref()
        .is_some_and(|ports| !ports.is_empty())
    {
        // Left on a hostNetwork pod they become host ports, and a second replica never schedules.
        sheet.remove_in(place, "/ports");
    }
    // The API server fills in `File` before it asks us, so that cannot be told from a choice; once
    // injected, it is somebody's.
    if !marked
        && matches!(
            container.termination_message_policy.as_deref(),
            None | Some("" | "File")
        )
    {
        sheet.add_string_in(place, "/terminationMessagePolicy", "FallbackToLogsOnError");
    }
    if container.interactive {
        let field = sheet.container_field(place, "stdin");
        sheet.warn(&field, "the launcher gives the program no standard input");
    }
}

fn anchor(pod: &Pod<'_>, policy: &Policy, asked: &[Asked<'_>]) -> AnchorSpec {
    let name = |place: Place| {
        let mut all = pod.spec.all_containers();
        all.find(|(other, _)| *other == place)
            .map_or("", |(_, container)| container.name.as_ref())
    };
    AnchorSpec {
        version: anchor_spec::VERSION,
        image: policy.anchor_image.clone(),
        mesh: match policy.mesh {
            Mesh::None => None,
            Mesh::Linkerd => Some(MeshProxy::Linkerd),
        },
        labels: policy
            .anchor_labels
            .iter()
            .filter_map(|key| Some((key.clone(), pod.labels.get(key)?.to_owned())))
            .collect(),
        containers: asked
            .iter()
            .map(|asked| asked.to_anchor(name(asked.place)))
            .collect(),
    }
}

/// The decision that a filled-in sheet amounts to.
fn conclude(mut sheet: Sheet, anchor: Option<AnchorSpec>, marked: bool, mode: Mode) -> Planned {
    if mode == Mode::Warn {
        for problem in sheet.problems.extract_if(.., |problem| problem.guard_rail) {
            sheet
                .warnings
                .push(format!("{problem} (let pass, since mode is warn)"));
        }
    }
    // A pod that is not what its marker says breaks other rules too, which would mislead.
    if let Some(at) = sheet
        .problems
        .iter()
        .position(|p| p.reason == Reason::Marker)
    {
        sheet.problems = vec![sheet.problems.swap_remove(at)];
    }
    if sheet.problems.is_empty() && marked {
        let status = Patch::segment(annotation::ANCHOR_STATUS);
        let status = format!("{}/metadata/annotations/{status}", sheet.root.pointer);
        let changed = sheet.patch.paths();
        let changed = changed.iter().filter(|path| **path != status);
        let fields: Vec<_> = changed.map(|path| sheet::field_of_pointer(path)).collect();
        for field in fields {
            let text = "the pod says that it was injected, but this field is not as native-host \
                writes it; was it changed by another webhook, or is it from another version? \
                Apply the original manifest";
            sheet.refuse(Reason::Invariant, field, None, text);
        }
    }
    if !sheet.problems.is_empty() {
        return refused(sheet);
    }
    let decision = if sheet.patch.is_empty() {
        Decision::Unchanged(anchor)
    } else {
        Decision::Inject(sheet.patch, anchor)
    };
    Planned {
        decision,
        warnings: sheet.warnings,
    }
}

fn refused(sheet: Sheet) -> Planned {
    let refusal = Refusal {
        problems: sheet.problems,
    };
    Planned {
        decision: Decision::Reject(refusal),
        warnings: sheet.warnings,
    }
}
