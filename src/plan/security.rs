//! HostProcess, accounts, what only Linux has, and other injectors' proxies.

use super::container::{Container, SecurityContext};
use super::pod::{Place, Pod, StringMap};
use super::reason::Reason;
use super::sheet::Sheet;
use crate::json::quote;
use crate::names::{injected, label, policy as key};
use crate::policy::Policy;
use crate::windows::account::{Account, AccountKind};

/// Proxies and their set-up containers that meshes inject, and whose they are.
const PROXIES: [(&str, &str); 7] = [
    ("linkerd-proxy", "Linkerd"),
    ("linkerd-init", "Linkerd"),
    ("linkerd-network-validator", "Linkerd"),
    ("istio-proxy", "Istio"),
    ("istio-init", "Istio"),
    ("istio-validation", "Istio"),
    ("kuma-sidecar", "Kuma"),
];

/// Refuses what only Linux has, on the pod and on each container.
pub(super) fn linux_only(pod: &Pod<'_>, sheet: &mut Sheet) {
    let way_out = "a Windows pod cannot have this field (the API server refuses it); remove it";
    for (name, value) in &pod.spec.linux_only {
        let field = sheet.field(format_args!("spec.{name}"));
        sheet.refuse(Reason::LinuxOnly, field, (*value).to_owned(), way_out);
    }
    for (name, value) in &pod.spec.security.linux_only {
        let field = sheet.field(format_args!("spec.securityContext.{name}"));
        sheet.refuse(Reason::LinuxOnly, field, (*value).to_owned(), way_out);
    }
    for (place, container) in pod.spec.all_containers() {
        for (name, value) in &container.security.linux_only {
            let field = sheet.container_field(place, &format!("securityContext.{name}"));
            sheet.refuse(Reason::LinuxOnly, field, (*value).to_owned(), way_out);
        }
    }
    match pod.spec.os.as_deref() {
        None => {
            sheet.add("/spec/os", r#"{"name":"windows"}"#);
        }
        Some(label::OS_WINDOWS) => {}
        Some(other) => {
            let (field, other) = (sheet.field("spec.os.name"), other.to_owned());
            sheet.refuse(
                Reason::LinuxOnly,
                field,
                other,
                "a native-host workload runs on Windows; remove spec.os or say \"windows\"",
            );
        }
    }
}

/// Refuses a pod that another injector was at before: its proxy belongs into the anchor.
pub(super) fn foreign_proxies(pod: &Pod<'_>, sheet: &mut Sheet) {
    for (place, container) in pod.spec.all_containers() {
        if let Some((name, mesh)) = PROXIES.iter().find(|(name, _)| *name == container.name) {
            let field = sheet.container_field(place, "name");
            sheet.refuse(
                Reason::Mesh,
                field,
                (*name).to_owned(),
                format!(
                    "{mesh} has put its proxy into the pod, where it does not run: it would be on the \
                     host's network. Let native-host's mutating configuration sort before \
                     {mesh}'s, which then passes over the pod; Linkerd's proxy goes into the anchor \
                     where {} says so",
                    key::MESH
                ),
            );
        }
    }
}

/// `hostProcess` on every container and none on the pod: a container that somebody adds later
/// without it then makes the API server refuse the pod, instead of running as SYSTEM on the host.
pub(super) fn host_process(pod: &Pod<'_>, marked: bool, sheet: &mut Sheet) {
    pod_level(pod, sheet);
    if !pod.spec.host_network {
        sheet.add("/spec/hostNetwork", "true");
    }
    for (place, container) in pod.spec.all_containers() {
        let security = &container.security;
        let field = |sheet: &Sheet, name: &str| {
            sheet.container_field(place, &format!("securityContext.{name}"))
        };
        if security.host_process == Some(false) {
            let field = field(sheet, "windowsOptions.hostProcess");
            sheet.refuse(
                Reason::HostProcess,
                field,
                "false".to_owned(),
                NEEDS_HOST_PROCESS,
            );
        }
        if marked && security.host_process.is_none() {
            let field = field(sheet, "windowsOptions.hostProcess");
            sheet.refuse(Reason::Invariant, field, None, left_out(&container.name));
        }
        if security.run_as_non_root == Some(true) {
            let field = field(sheet, "runAsNonRoot");
            sheet.refuse(Reason::HostProcess, field, "true".to_owned(), NO_NON_ROOT);
        }
    }
}

/// The account that may do everything here.
pub(super) const SYSTEM: &str = r"NT AUTHORITY\SYSTEM";

const NEEDS_HOST_PROCESS: &str = "a native-host workload runs as HostProcess containers; remove \
    this field, or the label native-host.io/workload to run it as an ordinary container";
const NO_NON_ROOT: &str = "HostProcess containers run as an account of the host, and the kubelet \
    refuses them with runAsNonRoot; remove it and choose the account by \
    securityContext.windowsOptions.runAsUserName";

/// What is said of a container that came into the pod after injection.
fn left_out(container: &str) -> String {
    format!(
        "missing on the container {container}, which another webhook has put in or changed after \
         native-host: every container of the pod runs on the host's own network, so it must be \
         left out, or say hostProcess: true and its runAsUserName itself"
    )
}

fn pod_level(pod: &Pod<'_>, sheet: &mut Sheet) {
    let security = &pod.spec.security;
    match security.host_process {
        Some(false) => {
            let field = sheet.field("spec.securityContext.windowsOptions.hostProcess");
            sheet.refuse(
                Reason::HostProcess,
                field,
                "false".to_owned(),
                NEEDS_HOST_PROCESS,
            );
        }
        Some(true) => {
            sheet.remove("/spec/securityContext/windowsOptions/hostProcess");
        }
        None => {}
    }
    if security.run_as_non_root == Some(true) {
        let field = sheet.field("spec.securityContext.runAsNonRoot");
        sheet.refuse(Reason::HostProcess, field, "true".to_owned(), NO_NON_ROOT);
    }
}

/// The account that the pod says for a container, and whether on the container itself.
fn given<'p>(pod: &'p Pod<'_>, container: &'p Container<'_>) -> Option<(&'p str, bool)> {
    let own = container.security.run_as.as_deref();
    let pods = pod.spec.security.run_as.as_deref();
    own.map(|name| (name, true))
        .or(pods.map(|name| (name, false)))
}

/// The accounts that a pod's containers run as, or will once it is injected; each once. Not that of the
/// container that brings the launcher, which is always SYSTEM and whose command is fixed. What names no
/// account is left out: [`plan`](super::plan) refuses it.
pub fn accounts(pod: &Pod<'_>, namespace: &Policy) -> Vec<Account> {
    let annotations = pod.annotations.iter().flat_map(StringMap::iter);
    let Ok(policy) = namespace.with_pod(annotations) else {
        return Vec::new();
    };
    let mut accounts = Vec::new();
    for (_, container) in pod.spec.all_containers() {
        if container.name == injected::LAUNCHER {
            continue;
        }
        let account = match given(pod, container) {
            None => Ok(policy.run_as.clone()),
            Some((name, _)) => Account::parse(name),
        };
        if let Ok(account) = account
            && !accounts.contains(&account)
        {
            accounts.push(account);
        }
    }
    accounts
}

/// Sets HostProcess and the account on a container, and checks the account.
pub(super) fn account(
    pod: &Pod<'_>,
    (place, container): (Place, &Container<'_>),
    wrapped: bool,
    marked: bool,
    policy: &Policy,
    sheet: &mut Sheet,
) {
    let given = given(pod, container);
    let field = |sheet: &Sheet| match given {
        Some((_, false)) => sheet.field("spec.securityContext.windowsOptions.runAsUserName"),
        _ => sheet.container_field(place, "securityContext.windowsOptions.runAsUserName"),
    };
    if marked && given.is_none() && container.security.host_process.is_some() {
        sheet.refuse(
            Reason::Invariant,
            field(sheet),
            None,
            left_out(&container.name),
        );
        return;
    }
    let parsed;
    let account = match given {
        None => &policy.run_as,
        Some((name, _)) => match Account::parse(name) {
            Ok(account) => {
                parsed = account;
                &parsed
            }
            Err(fault) => {
                let text = format!("{fault}; expected an account of the node, e.g. {SYSTEM}");
                sheet.refuse(Reason::User, field(sheet), name.to_owned(), text);
                return;
            }
        },
    };
    // hcsshim fails on an empty account, so one is always set, and it knows the service accounts
    // by one spelling only.
    let canonical = account.canonical();
    let to_set = given
        .is_none_or(|(name, _)| name != canonical)
        .then_some(canonical.as_str());
    set(place, &container.security, to_set, sheet);

    let ours = container.name == injected::LAUNCHER;
    if let Some(allowed) = &policy.allowed_users
        && !ours
        && !allowed.contains(account)
    {
        let list = allowed
            .iter()
            .map(|one| format!("{:?}", one.as_str()))
            .collect::<Vec<_>>();
        sheet.forbid(
            Reason::User,
            field(sheet),
            account.as_str().to_owned(),
            format!(
                "this namespace allows only {} (annotation {}); set one of them as runAsUserName",
                list.join(", ").replace(r"\\", r"\"),
                key::ALLOWED_USERS
            ),
        );
    }
    if wrapped {
        compartment_account(account, field, sheet);
    }
}

/// Only SYSTEM, and with luck the two service accounts, may move a process into a compartment.
fn compartment_account(account: &Account, field: impl Fn(&Sheet) -> String, sheet: &mut Sheet) {
    if account.kind() == AccountKind::System {
        return;
    }
    let field = field(sheet);
    match account.kind() {
        AccountKind::System => {}
        AccountKind::LocalService | AccountKind::NetworkService => sheet.warn(
            &field,
            format_args!(
                "{}: Windows documents SetJobCompartmentId for SYSTEM; if the launcher ends with \
                 \"access denied\", use NT AUTHORITY\\SYSTEM",
                account.as_str()
            ),
        ),
        AccountKind::Other => sheet.refuse(
            Reason::User,
            field,
            account.as_str().to_owned(),
            "only NT AUTHORITY\\SYSTEM (or, with luck, LocalService and NetworkService) may move \
             a program into its pod's network compartment; use NT AUTHORITY\\SYSTEM",
        ),
    }
}

/// Writes `hostProcess: true`, and `run_as` if there is one, with as few operations as the
/// objects that are there already allow.
fn set(place: Place, security: &SecurityContext<'_>, run_as: Option<&str>, sheet: &mut Sheet) {
    let host_process = security.host_process != Some(true);
    if !host_process && run_as.is_none() {
        return;
    }
    let options = "/securityContext/windowsOptions";
    if security.windows_present {
        if host_process {
            sheet.add_in(place, &format!("{options}/hostProcess"), "true");
        }
        if let Some(user) = run_as {
            sheet.add_string_in(place, &format!("{options}/runAsUserName"), user);
        }
        return;
    }
    let mut value = r#"{"hostProcess":true"#.to_owned();
    if let Some(user) = run_as {
        value.push_str(r#","runAsUserName":"#);
        quote(user, &mut value);
    }
    value.push('}');
    if security.present {
        sheet.add_in(place, options, &value);
    } else {
        let value = format!(r#"{{"windowsOptions":{value}}}"#);
        sheet.add_in(place, "/securityContext", &value);
    }
}
