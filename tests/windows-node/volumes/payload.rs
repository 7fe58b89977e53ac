//! Which files a volume has: `MakePayload` of `configmap.go` and `secret.go`, `CollectData` of
//! `downwardapi.go` (all under `pkg/volume`).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret};

use crate::env::{Allocatable, fields, resources};

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub data: Vec<u8>,
    pub mode: i32,
}

/// Files by their paths in the volume, which have forward slashes.
pub type Payload = BTreeMap<String, File>;

/// The mode that the API server writes where none is.
const MODE: i32 = 0o644;

/// One file.
pub fn one(path: &str, data: Vec<u8>, mode: Option<i32>) -> Payload {
    let mode = mode.unwrap_or(MODE);
    Payload::from([(clean(path), File { data, mode })])
}

/// The files of a ConfigMap.
pub fn config_map(
    items: Option<&[KeyToPath]>,
    map: &ConfigMap,
    mode: Option<i32>,
    optional: Option<bool>,
) -> Result<Payload, String> {
    let mut data: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for (key, value) in map.binary_data.iter().flatten() {
        data.insert(key, &value.0);
    }
    for (key, value) in map.data.iter().flatten() {
        data.insert(key, value.as_bytes());
    }
    let missing = "configmap references non-existent config key";
    keys(items, &data, mode, optional, missing)
}

/// The files of a Secret.
pub fn secret(
    items: Option<&[KeyToPath]>,
    secret: &Secret,
    mode: Option<i32>,
    optional: Option<bool>,
) -> Result<Payload, String> {
    let data = secret.data.iter().flatten();
    let data = data
        .map(|(key, value)| (key.as_str(), value.0.as_slice()))
        .collect();
    keys(
        items,
        &data,
        mode,
        optional,
        "references non-existent secret key",
    )
}

fn keys(
    items: Option<&[KeyToPath]>,
    data: &BTreeMap<&str, &[u8]>,
    mode: Option<i32>,
    optional: Option<bool>,
    missing: &str,
) -> Result<Payload, String> {
    let items = items.unwrap_or_default();
    if items.is_empty() {
        let files = data
            .iter()
            .flat_map(|(key, data)| one(key, data.to_vec(), mode));
        return Ok(files.collect());
    }
    let mut payload = Payload::new();
    for item in items {
        match data.get(item.key.as_str()) {
            Some(data) => {
                payload.append(&mut one(&item.path, data.to_vec(), item.mode.or(mode)));
            }
            None if optional == Some(true) => {}
            None => return Err(format!("{missing}: {}", item.key)),
        }
    }
    Ok(payload)
}

/// The files of a downwardAPI volume.
pub fn downward_api<'a>(
    items: impl Iterator<Item = &'a DownwardAPIVolumeFile>,
    pod: &Pod,
    allocatable: &Allocatable,
    mode: Option<i32>,
) -> Result<Payload, String> {
    let mut payload = Payload::new();
    let mut errors = Vec::new();
    for item in items {
        let text = if let Some(field) = &item.field_ref {
            fields::of_volume(&field.field_path, pod)
        } else if let Some(field) = &item.resource_field_ref {
            let name = field.container_name.as_deref().unwrap_or_default();
            let container = resources::container(pod, name);
            container.and_then(|container| resources::value(field, container, allocatable))
        } else {
            Ok(String::new())
        };
        match text {
            Ok(text) => {
                payload.append(&mut one(&item.path, text.into_bytes(), item.mode.or(mode)));
            }
            Err(error) => errors.push(error),
        }
    }
    all_or(payload, errors)
}

/// The files, unless there was an error; several as Go's `NewAggregate` says them.
pub fn all_or(payload: Payload, errors: Vec<String>) -> Result<Payload, String> {
    let mut seen = BTreeSet::new();
    let unique = |error: &String| seen.insert(error.clone());
    let errors: Vec<_> = errors.into_iter().filter(unique).collect();
    match errors.as_slice() {
        [] => Ok(payload),
        [only] => Err(only.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}

/// A path without empty and `.` parts (`filepath.Clean`; the API server refuses `..`).
fn clean(path: &str) -> String {
    let root = if path.starts_with('/') { "/" } else { "" };
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    format!("{root}{}", parts.collect::<Vec<_>>().join("/"))
}
