//! What injection adds beside the command: variables, volumes, the readiness gate.

use super::container::{Container, EnvVar, is_reserved};
use super::pod::{Place, Pod};
use super::reason::Reason;
use super::sheet::Sheet;
use crate::json::{Cursor, array};
use crate::names::{annotation, env, gate, injected};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// What is mounted into wrapped containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Volumes<'p> {
    /// The launcher's image, where one is used.
    pub(super) launcher_image: Option<&'p str>,
    /// Whether the launcher reads the anchor's status.
    pub(super) status: bool,
}

impl Volumes<'_> {
    /// The volumes, and where each is mounted.
    pub(super) fn wanted(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let launcher = self
            .launcher_image
            .map(|_| (injected::LAUNCHER, injected::LAUNCHER_DIR));
        let status = self
            .status
            .then_some((injected::ANCHOR_VOLUME, injected::ANCHOR_DIR));
        launcher.into_iter().chain(status)
    }
}

/// The variables that every wrapped container gets, and the field that each is filled from.
const VARIABLES: [(&str, &str); 2] = [
    (env::POD_UID, "metadata.uid"),
    (env::POD_NAMESPACE, "metadata.namespace"),
];

/// Reads a wrapped container's variables; none, if no rule needs any: pods can have hundreds.
/// `all` says that rules need them whatever they are.
pub(super) fn variables<'a>(
    place: Place,
    container: &Container<'a>,
    all: bool,
    sheet: &mut Sheet,
) -> Vec<EnvVar<'a>> {
    let Some(env) = &container.env else {
        return Vec::new();
    };
    let read = || {
        if all || env.matters() {
            return env.read();
        }
        Ok(Vec::new())
    };
    read().unwrap_or_else(|error| {
        let field = sheet.container_field(place, "env");
        sheet.refuse(Reason::Malformed, field, None, error.to_string());
        Vec::new()
    })
}

/// Puts our variables before all others, so that those can refer to them; refuses a workload
/// that sets them itself. Windows compares the names of variables without case.
pub(super) fn write_env(
    place: Place,
    container: &Container<'_>,
    vars: &[EnvVar<'_>],
    marked: bool,
    sheet: &mut Sheet,
) {
    let mut missing: Vec<_> = VARIABLES.to_vec();
    for (i, var) in vars.iter().enumerate() {
        if !is_reserved(&var.name) {
            continue;
        }
        let ours = VARIABLES.iter().find(|(name, path)| {
            var.name == *name && var.field_path.as_deref() == Some(*path) && !var.unknown
        });
        if let Some(ours) = ours.filter(|_| marked) {
            missing.retain(|wanted| wanted != ours);
        } else {
            let field = sheet.container_field(place, &format!("env[{i}].name"));
            sheet.refuse(
                Reason::Plumbing,
                field,
                var.name.clone().into_owned(),
                "native-host sets this variable itself; remove it",
            );
        }
    }
    if missing.is_empty() {
        return;
    }
    let entries: Vec<_> = missing.iter().map(variable).collect();
    if container.env.as_ref().is_some_and(|env| !env.is_empty()) {
        for (i, entry) in entries.iter().enumerate() {
            sheet.add_in(place, &format!("/env/{i}"), entry);
        }
    } else {
        sheet.add_in(place, "/env", &array(&entries));
    }
}

/// Says where a variable that should hold the pod's IP will not hold the anchor's.
pub(super) fn warn_of_pod_ip(
    place: Place,
    vars: &[EnvVar<'_>],
    launcher_overrides: bool,
    sheet: &mut Sheet,
) {
    for (i, ip) in vars.iter().enumerate().filter(|(_, var)| var.is_pod_ip()) {
        if !launcher_overrides {
            let field = sheet.container_field(place, &format!("env[{i}]"));
            sheet.warn(
                &field,
                format_args!(
                    "{} will hold the node's IP, since cplauncher cannot change it; the program's \
                     own is that of its anchor (the launcher native-host sets it)",
                    ip.name
                ),
            );
        }
        let reference = format!("$({})", ip.name);
        for (j, var) in vars.iter().enumerate() {
            if var
                .value
                .as_deref()
                .is_some_and(|value| value.contains(&reference))
            {
                let field = sheet.container_field(place, &format!("env[{j}].value"));
                sheet.warn(
                    &field,
                    format_args!(
                        "the kubelet puts the node's IP in place of {reference}; put the address \
                         together in the program, from {} itself",
                        ip.name
                    ),
                );
            }
        }
    }
}

/// JSON text of a variable that is filled from a field of the pod.
fn variable((name, path): &(&str, &str)) -> String {
    format!(r#"{{"name":"{name}","valueFrom":{{"fieldRef":{{"fieldPath":"{path}"}}}}}}"#)
}

/// Adds our volumes; refuses the pod's own of the same names.
pub(super) fn write_volumes(pod: &Pod<'_>, volumes: Volumes<'_>, marked: bool, sheet: &mut Sheet) {
    let present = pod.spec.volumes.as_deref().unwrap_or_default();
    let mut missing = Vec::new();
    let ours = [
        (
            injected::LAUNCHER,
            volumes.launcher_image.is_some(),
            &*LAUNCHER_VOLUME,
        ),
        (injected::ANCHOR_VOLUME, volumes.status, &*STATUS_VOLUME),
    ];
    for (name, needed, volume) in ours {
        match present.iter().position(|(present, _)| *present == name) {
            None if needed => missing.push(volume.as_str()),
            None => {}
            Some(at) if marked && needed && is_volume(&present[at].1, volume) => {}
            Some(at) => {
                let field = sheet.field(format_args!("spec.volumes[{at}].name"));
                sheet.refuse(
                    Reason::Plumbing,
                    field,
                    name.to_owned(),
                    "native-host uses this volume itself; name yours otherwise",
                );
            }
        }
    }
    if pod.spec.volumes.is_some() {
        for volume in &missing {
            sheet.add("/spec/volumes/-", volume);
        }
    } else if !missing.is_empty() {
        sheet.add("/spec/volumes", &array(&missing));
    }
}

static LAUNCHER_VOLUME: LazyLock<String> =
    LazyLock::new(|| json!({ "name": injected::LAUNCHER, "emptyDir": {} }).to_string());

static STATUS_VOLUME: LazyLock<String> = LazyLock::new(|| {
    let path = format!("metadata.annotations['{}']", annotation::ANCHOR_STATUS);
    let item = json!({ "path": injected::ANCHOR_FILE, "fieldRef": { "fieldPath": path } });
    json!({ "name": injected::ANCHOR_VOLUME, "downwardAPI": { "items": [item] } }).to_string()
});

/// Whether a volume is the wanted one and nothing else. The API server fills in a default mode
/// and API versions; apart from these it is compared to the letter.
fn is_volume(present: &Cursor<'_>, wanted: &str) -> bool {
    let Ok(raw) = present.clone().raw() else {
        return false;
    };
    let Ok(Value::Object(mut volume)) = serde_json::from_str(raw) else {
        return false;
    };
    if let Some(Value::Object(source)) = volume.get_mut("downwardAPI") {
        source.remove("defaultMode");
        for item in source
            .get_mut("items")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(Value::Object(field)) = item.get_mut("fieldRef") {
                field.remove("apiVersion");
            }
        }
    }
    serde_json::from_str(wanted).is_ok_and(|wanted: Value| wanted == Value::Object(volume))
}

/// The pod waits for its anchor's readiness.
pub(super) fn write_gate(pod: &Pod<'_>, sheet: &mut Sheet) {
    let entry = format!(r#"{{"conditionType":"{}"}}"#, gate::ANCHOR_READY);
    match &pod.spec.readiness_gates {
        Some(gates) if gates.iter().any(|gate| gate == gate::ANCHOR_READY) => {}
        Some(_) => {
            sheet.add("/spec/readinessGates/-", &entry);
        }
        None => {
            sheet.add("/spec/readinessGates", &format!("[{entry}]"));
        }
    }
}
