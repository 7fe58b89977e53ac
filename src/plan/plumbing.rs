//! What injection adds beside the command: variables, volumes, mounts, the launcher's init
//! container, the readiness gate.

use super::container::{Container, Env, EnvVar, Mount};
use super::pod::{Place, Pod};
use super::reason::Reason;
use super::sheet::Sheet;
use super::wrap::is_pod_ip;
use crate::json::{Cursor, quote};
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
    fn wanted(self) -> impl Iterator<Item = (&'static str, &'static str)> {
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
        match ours.filter(|_| marked) {
            Some(ours) => missing.retain(|wanted| wanted != ours),
            None => {
                let field = sheet.container_field(place, &format!("env[{i}].name"));
                sheet.refuse(
                    Reason::Plumbing,
                    field,
                    var.name.clone().into_owned(),
                    "native-host sets this variable itself; remove it",
                );
            }
        }
    }
    if missing.is_empty() {
        return;
    }
    let entries: Vec<_> = missing.iter().map(variable).collect();
    if container.env.as_ref().is_some_and(|env| !env.is_empty()) {
        for (i, entry) in entries.iter().enumerate() {
            sheet.add_in(place, format_args!("/env/{i}"), entry);
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

/// Refuses mounts that collide with ours, and adds ours to a wrapped container.
pub(super) fn write_mounts(
    place: Place,
    container: &Container<'_>,
    wrapped: bool,
    volumes: Volumes<'_>,
    marked: bool,
    sheet: &mut Sheet,
) {
    let mounts = container.mounts.as_deref().unwrap_or_default();
    let mut missing: Vec<_> = volumes.wanted().filter(|_| wrapped).collect();
    for (i, mount) in mounts.iter().enumerate() {
        if !is_ours_by_name(mount) && !is_in_our_dir(&mount.path) {
            continue;
        }
        let allowed = wrapped || container.name == injected::LAUNCHER;
        let ours = volumes.wanted().find(|(name, path)| {
            allowed && mount.name == *name && mount.path == *path && !mount.sub_path
        });
        match ours.filter(|_| marked) {
            Some(ours) => missing.retain(|wanted| *wanted != ours),
            None => {
                let field = sheet.container_field(place, &format!("volumeMounts[{i}]"));
                sheet.refuse(
                    Reason::Plumbing,
                    field,
                    format!("{} at {}", mount.name, mount.path),
                    format!(
                        "native-host keeps its own files in {} and the volumes {} and {}; choose \
                         another place or name",
                        our_dir(),
                        injected::LAUNCHER,
                        injected::ANCHOR_VOLUME
                    ),
                );
            }
        }
    }
    let entries: Vec<_> = missing.iter().map(mount).collect();
    if container.mounts.is_some() {
        for entry in &entries {
            sheet.add_in(place, "/volumeMounts/-", entry);
        }
    } else if !entries.is_empty() {
        sheet.add_in(place, "/volumeMounts", &array(&entries));
    }
}

/// JSON text of a variable that is filled from a field of the pod.
fn variable((name, path): &(&str, &str)) -> String {
    format!(r#"{{"name":"{name}","valueFrom":{{"fieldRef":{{"fieldPath":"{path}"}}}}}}"#)
}

/// JSON text of a mount. The programs only read what is there.
fn mount((name, path): &(&str, &str)) -> String {
    let mut text = format!(r#"{{"name":"{name}","mountPath":"#);
    quote(path, &mut text);
    text.push_str(r#","readOnly":true}"#);
    text
}

/// JSON text of an array of such texts.
fn array(entries: &[impl std::borrow::Borrow<str>]) -> String {
    format!("[{}]", entries.join(","))
}

fn is_ours_by_name(mount: &Mount<'_>) -> bool {
    mount.name == injected::LAUNCHER || mount.name == injected::ANCHOR_VOLUME
}

/// `C:\native-host`, the folder that both of our mounts lie in.
fn our_dir() -> &'static str {
    injected::LAUNCHER_DIR
        .rsplit_once('\\')
        .map_or(injected::LAUNCHER_DIR, |(dir, _)| dir)
}

/// Whether a mount path lies in our folder, or is it, or holds it, as Windows compares. The
/// kubelet puts `c:` before a path without a drive (`MakeAbsolutePath`, pkg/volume/util).
fn is_in_our_dir(path: &str) -> bool {
    const STEM: &[u8] = b"native";
    // Nearly all paths are long enough and have nothing of ours in them.
    if path.len() > r"\\c:\\".len()
        && !path
            .as_bytes()
            .windows(STEM.len())
            .any(|part| part.eq_ignore_ascii_case(STEM))
    {
        return false;
    }
    let path = path.replace('/', r"\").to_ascii_lowercase();
    let mut absolute = match path.as_bytes() {
        [b'\\', ..] => format!("c:{path}"),
        [_, b':', ..] => path,
        _ => format!(r"c:\{path}"),
    };
    while absolute.contains(r"\\") {
        absolute = absolute.replace(r"\\", r"\");
    }
    let absolute = absolute.trim_end_matches(['\\', '.', ' ']);
    let ours = our_dir().to_ascii_lowercase();
    absolute == "c:"
        || absolute.starts_with(r"c:\native~") // its short name (8.3)
        || absolute
            .strip_prefix(&ours)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('\\'))
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
    let Ok(Value::Object(mut volume)) = serde_json::from_slice(raw) else {
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
