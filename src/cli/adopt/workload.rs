//! A HostProcess workload as native-host wants it: the program itself, its own ports, its own probes.

use serde_json::{Map, Value, json};

use super::command::Launch;
use super::draft::Draft;
use super::pairs::{Adopted, Front};
use super::world::{World, items, text};
use super::{heritage, ports, probes};
use crate::names::env::COMPARTMENT_ID_ATTACH;
use crate::names::{label, policy};

pub(super) const SETS: &str = "can go: native-host sets it";
const SYSTEM: &str = r"NT AUTHORITY\SYSTEM";
/// native-host's own patience (`launcher-timeout`), in seconds.
const TIMEOUT: u64 = 180;

/// Rewrites one.
pub(super) fn rewrite(world: &mut World, adopted: &Adopted, fronts: &[&Front]) {
    let index = adopted.object;
    let Some(object) = world.objects.get(index) else {
        return;
    };
    let Some(root) = object.template() else {
        return;
    };
    let namespace = object.namespace.clone();
    let mut draft = Draft::new(object.value.clone());
    let mut lost = Vec::new();
    label(&mut draft, root, &adopted.workload);
    placement(&mut draft, root);
    let ports = ports::of(world, adopted, fronts);
    for (first, (place, launch)) in adopted
        .launches
        .iter()
        .enumerate()
        .map(|(n, one)| (n == 0, one))
    {
        let container = format!("{root}/spec/containers/{place}");
        command(&mut draft, &container, launch);
        env(&mut draft, &container, launch);
        env_from(&mut draft, &container, launch, world, &namespace);
        let probed = probes::rewrite(&mut draft, &container, world);
        lost.extend(probed.lost);
        let ports = if first { ports.as_slice() } else { &[] };
        ports::add(&mut draft, &container, ports, &probed.ports);
        volumes(&mut draft, root, &container, launch);
        lost.extend(launch.lost.iter().cloned());
        timeout(&mut draft, root, launch);
        draft.comment(
            &format!("{container}/lifecycle/preStop"),
            "while it is there, native-host's own, which drains and stops the program, is not",
        );
    }
    for anchor in &adopted.anchors {
        lost.extend(heritage::take_over(&mut draft, root, world, *anchor));
    }
    draft.comment(
        "/spec/strategy/type",
        "can go: each replica has an anchor of its own, so that old and new can be there at once",
    );
    if let Some(object) = world.objects.get_mut(index) {
        object.edit(|before| *before = draft);
    }
    for text in lost {
        world.lose(index, &text);
    }
}

/// A mapping in the draft, made where there is none.
pub(super) fn map<'d>(
    draft: &'d mut Draft,
    parent: &str,
    key: &str,
) -> Option<&'d mut Map<String, Value>> {
    let parent = draft.value.pointer_mut(parent)?.as_object_mut()?;
    let value = parent.entry(key.to_owned()).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

fn label(draft: &mut Draft, root: &str, workload: &str) {
    if map(draft, root, "metadata").is_none() {
        return;
    }
    let metadata = format!("{root}/metadata");
    if let Some(labels) = map(draft, &metadata, "labels") {
        labels.insert(label::WORKLOAD.to_owned(), workload.into());
    }
    let pointer = format!("{metadata}/labels/{}", label::WORKLOAD.replace('/', "~1"));
    draft.comment(&pointer, "new: all that native-host needs");
}

/// Sets an annotation of the pods, unless they have it.
pub(super) fn annotate(draft: &mut Draft, root: &str, key: &str, value: &str, why: &str) -> bool {
    let metadata = format!("{root}/metadata");
    let Some(annotations) = map(draft, &metadata, "annotations") else {
        return false;
    };
    if annotations.contains_key(key) {
        return false;
    }
    annotations.insert(key.to_owned(), value.into());
    let pointer = format!("{metadata}/annotations/{}", key.replace('/', "~1"));
    draft.comment(&pointer, why);
    true
}

/// What native-host sets by itself.
fn placement(draft: &mut Draft, root: &str) {
    let spec = format!("{root}/spec");
    draft.comment(&format!("{spec}/hostNetwork"), SETS);
    draft.comment(&format!("{spec}/os"), SETS);
    draft.comment(&format!("{spec}/nodeSelector/kubernetes.io~1os"), SETS);
    draft.comment(
        &format!("{spec}/nodeSelector/kubernetes.io~1hostname"),
        "can go, if it was there to have the anchor on the same node",
    );
    draft.comment(
        &format!("{spec}/tolerations"),
        &*format!(
            "can go where the Namespace says them ({})",
            policy::TOLERATIONS
        ),
    );
    let containers = draft.value.pointer(&format!("{spec}/containers"));
    let count = containers.into_iter().flat_map(items).count();
    let of_containers = (0..count).map(|place| format!("{spec}/containers/{place}"));
    for holder in std::iter::once(spec.clone()).chain(of_containers) {
        let options = format!("{holder}/securityContext/windowsOptions");
        draft.comment(&format!("{options}/hostProcess"), SETS);
        let user = format!("{options}/runAsUserName");
        let is_system = draft
            .value
            .pointer(&user)
            .and_then(Value::as_str)
            .is_some_and(|user| user.eq_ignore_ascii_case(SYSTEM));
        if is_system {
            draft.comment(&user, "can go: native-host's default");
        }
    }
}

/// The program instead of its launcher.
fn command(draft: &mut Draft, container: &str, launch: &Launch) {
    let Some(fields) = draft
        .value
        .pointer_mut(container)
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let words = |key: &str| -> Vec<String> {
        fields
            .get(key)
            .into_iter()
            .flat_map(items)
            .filter_map(text)
            .collect()
    };
    let before = [words("command"), words("args")].concat().join(" ");
    // Where the command was, if there was one.
    fields.insert("command".to_owned(), json!(launch.argv));
    fields.shift_remove("args");
    if let Some(folder) = &launch.folder {
        fields
            .entry("workingDir")
            .or_insert_with(|| folder.clone().into());
    }
    let before: String = before.split_whitespace().collect::<Vec<_>>().join(" ");
    if before != launch.argv.join(" ") {
        let short: String = before.chars().take(300).collect();
        let dots = if short.len() < before.len() {
            " ..."
        } else {
            ""
        };
        draft.comment(
            &format!("{container}/command"),
            format!("the program itself; before: {short}{dots}"),
        );
    }
}

fn env(draft: &mut Draft, container: &str, launch: &Launch) {
    let pointer = format!("{container}/env");
    if !launch.env.is_empty()
        && let Some(fields) = draft
            .value
            .pointer_mut(container)
            .and_then(Value::as_object_mut)
        && let Some(list) = fields
            .entry("env")
            .or_insert_with(|| json!([]))
            .as_array_mut()
    {
        for (name, value) in &launch.env {
            list.retain(|one| one["name"] != name.as_str());
            list.push(json!({"name": name, "value": value}));
        }
    }
    let Some(list) = draft
        .value
        .pointer_mut(&pointer)
        .and_then(Value::as_array_mut)
    else {
        return;
    };
    list.retain(|one| one["name"] != COMPARTMENT_ID_ATTACH);
    let said: Vec<(usize, &str)> = list
        .iter()
        .enumerate()
        .filter_map(|(place, one)| {
            let name = one["name"].as_str()?;
            let used = launch
                .used
                .iter()
                .any(|used| used.eq_ignore_ascii_case(name));
            let in_argv = launch
                .argv
                .iter()
                .any(|word| word.contains(&format!("$({name})")));
            let set = launch.env.iter().any(|(set, _)| set == name);
            if in_argv {
                return None;
            }
            if set {
                return Some((place, "before: set by the command line"));
            }
            let launcher = matches!(
                name,
                "KUBECTL" | "KUBECONFIG" | "CPLAUNCHER" | "CPLAUNCHER_BASE"
            );
            (used || launcher).then_some((
                place,
                "can go, unless the program itself reads it: the launcher's command line did",
            ))
        })
        .collect();
    if list.is_empty()
        && let Some(fields) = draft
            .value
            .pointer_mut(container)
            .and_then(Value::as_object_mut)
    {
        fields.shift_remove("env");
    }
    for (place, text) in said {
        draft.comment(&format!("{pointer}/{place}"), text);
    }
}

/// ConfigMaps that nothing but the command line was made of.
fn env_from(draft: &mut Draft, container: &str, launch: &Launch, world: &World, namespace: &str) {
    let pointer = format!("{container}/envFrom");
    let list = draft.value.pointer(&pointer).cloned().unwrap_or_default();
    for (place, one) in items(&list).enumerate() {
        let name = one["configMapRef"]["name"].as_str();
        let data = name.and_then(|name| world.config_map(namespace, name));
        let Some(data) = data.and_then(Value::as_object) else {
            continue;
        };
        let used = |key: &String| {
            launch
                .used
                .iter()
                .any(|used| used.eq_ignore_ascii_case(key))
        };
        if !data.is_empty() && data.keys().all(used) {
            draft.comment(
                &format!("{pointer}/{place}"),
                "can go, unless the program itself reads it: the launcher's command line did",
            );
        }
    }
}

/// A path without what Windows does not tell apart.
fn path(text: &str) -> String {
    text.replace('/', "\\")
        .trim_end_matches('\\')
        .to_ascii_lowercase()
}

fn volumes(draft: &mut Draft, root: &str, container: &str, launch: &Launch) {
    let spec = draft
        .value
        .pointer(&format!("{root}/spec"))
        .cloned()
        .unwrap_or_default();
    let mounts = draft
        .value
        .pointer(&format!("{container}/volumeMounts"))
        .cloned()
        .unwrap_or_default();
    let mut said = Vec::new();
    for (place, mount) in items(&mounts).enumerate() {
        let volume = items(&spec["volumes"])
            .enumerate()
            .find(|(_, one)| one["name"] == mount["name"]);
        let Some((of, volume)) = volume else { continue };
        let on_host = volume["hostPath"]["path"].as_str().map(path);
        let inside = mount["mountPath"].as_str().map(path);
        let why = if volume["name"]
            .as_str()
            .is_some_and(|name| launch.scripts.contains(name))
        {
            "can go: it held the script that started the program"
        } else if on_host.as_deref() == Some(r"c:\var\log") {
            r"can go: cplauncher's logs were there; the launcher's stand in the container's own log"
        } else if on_host.is_some() && on_host == inside && mount["subPath"].is_null() {
            "can go: a HostProcess container sees the host's own folders"
        } else {
            continue;
        };
        said.push((format!("{container}/volumeMounts/{place}"), why));
        said.push((
            format!("{root}/spec/volumes/{of}"),
            "can go, with its mount",
        ));
    }
    for (pointer, why) in said {
        draft.comment(&pointer, why);
    }
}

fn timeout(draft: &mut Draft, root: &str, launch: &Launch) {
    let Some(timeout) = &launch.timeout else {
        return;
    };
    let units: [(&str, u64); 3] = [("h", 3600), ("m", 60), ("s", 1)];
    let seconds = units.iter().find_map(|(unit, factor)| {
        let number: u64 = timeout.strip_suffix(unit)?.parse().ok()?;
        Some(number * factor)
    });
    if seconds.is_some_and(|seconds| seconds > TIMEOUT) {
        annotate(
            draft,
            root,
            policy::LAUNCHER_TIMEOUT,
            timeout,
            "cplauncher's -label-timeout",
        );
    }
}
