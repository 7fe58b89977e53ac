//! What injection adds beside the command: variables, volumes, the readiness gate.

use super::container::{Container, Env, EnvVar};
use super::pod::{Place, Pod};
use super::reason::Reason;
use super::sheet::Sheet;
use super::wrap::is_pod_ip;
use crate::json::Cursor;
use crate::names::{annotation, env, gate, injected};
use serde_json::{Value, json};

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

/// Reads a wrapped container's variables, as far as some rule needs them.
pub(super) fn variables<'a>(
    place: Place,
    container: &Container<'a>,
    sheet: &mut Sheet,
) -> Vec<EnvVar<'a>> {
    match container.env.as_ref().map(Env::read) {
        None => Vec::new(),
        Some(Ok(vars)) => vars,
        Some(Err(error)) => {
            let field = sheet.container_field(place, "env");
            sheet.refuse(Reason::Malformed, field, None, error.to_string());
            Vec::new()
        }
    }
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
        if !env::RESERVED
            .iter()
            .any(|name| var.name.eq_ignore_ascii_case(name))
        {
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
    let entry = |(name, path): &(&str, &str)| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    if container.env.is_some() && !vars.is_empty() {
        for (i, wanted) in missing.iter().enumerate() {
            let pointer = sheet.container_pointer(place, format_args!("/env/{i}"));
            sheet.patch.add(pointer, &entry(wanted).to_string());
        }
    } else {
        let all: Vec<_> = missing.iter().map(entry).collect();
        let pointer = sheet.container_pointer(place, "/env");
        sheet.patch.add(pointer, &Value::Array(all).to_string());
    }
}

/// Says where a variable that should hold the pod's IP will not hold the anchor's.
pub(super) fn warn_of_pod_ip(
    place: Place,
    vars: &[EnvVar<'_>],
    launcher_overrides: bool,
    sheet: &mut Sheet,
) {
    for (i, ip) in vars.iter().enumerate().filter(|(_, var)| is_pod_ip(var)) {
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

/// Adds our volumes; refuses the pod's own of the same names.
pub(super) fn write_volumes(pod: &Pod<'_>, volumes: Volumes<'_>, marked: bool, sheet: &mut Sheet) {
    let present = pod.spec.volumes.as_deref().unwrap_or_default();
    let mut missing = Vec::new();
    let sources = [
        (
            injected::LAUNCHER,
            volumes.launcher_image.is_some(),
            json!({ "emptyDir": {} }),
        ),
        (injected::ANCHOR_VOLUME, volumes.status, status_volume()),
    ];
    for (name, needed, source) in sources {
        match present.iter().position(|(present, _)| *present == name) {
            None if needed => {
                let mut volume = json!({ "name": name });
                merge(&mut volume, source);
                missing.push(volume);
            }
            None => {}
            Some(at) if marked && needed && is_volume(&present[at].1, &source) => {}
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
            let pointer = sheet.pointer("/spec/volumes/-");
            sheet.patch.add(pointer, &volume.to_string());
        }
    } else if !missing.is_empty() {
        let pointer = sheet.pointer("/spec/volumes");
        sheet.patch.add(pointer, &Value::Array(missing).to_string());
    }
}

fn status_volume() -> Value {
    let path = format!("metadata.annotations['{}']", annotation::ANCHOR_STATUS);
    json!({ "downwardAPI": { "items": [
        { "path": injected::ANCHOR_FILE, "fieldRef": { "fieldPath": path } },
    ] } })
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// Whether a volume is of the wanted source and nothing else. The API server fills in a default
/// mode and API versions; apart from these it is compared to the letter.
fn is_volume(present: &Cursor<'_>, wanted: &Value) -> bool {
    let Ok(raw) = present.clone().raw() else {
        return false;
    };
    let Ok(Value::Object(mut volume)) = serde_json::from_slice(raw) else {
        return false;
    };
    volume.remove("name");
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
    Value::Object(volume) == *wanted
}

/// The pod waits for its anchor's readiness.
pub(super) fn write_gate(pod: &Pod<'_>, sheet: &mut Sheet) {
    let entry = json!({ "conditionType": gate::ANCHOR_READY });
    match &pod.spec.readiness_gates {
        Some(gates) if gates.iter().any(|gate| gate == gate::ANCHOR_READY) => {}
        Some(_) => {
            let pointer = sheet.pointer("/spec/readinessGates/-");
            sheet.patch.add(pointer, &entry.to_string());
        }
        None => {
            let pointer = sheet.pointer("/spec/readinessGates");
            sheet.patch.add(pointer, &json!([entry]).to_string());
        }
    }
}
