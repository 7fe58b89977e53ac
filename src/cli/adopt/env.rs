//! A container's variables, as far as they are known from manifests.

use std::collections::BTreeMap;

use native_host_launcher::expand::MOUNT_POINT;
use serde_json::Value;

use super::text::Variables;
use super::world::{World, items, text};

/// Names are compared without case, as Windows does.
#[derive(Debug, Default)]
pub(super) struct Env {
    values: BTreeMap<String, Option<String>>,
}

impl Env {
    /// The variables of a container in a namespace.
    pub(super) fn of(container: &Value, namespace: &str, world: &World) -> Self {
        let mut env = Self::default();
        for from in items(&container["envFrom"]) {
            let prefix = from["prefix"].as_str().unwrap_or_default();
            let name = from["configMapRef"]["name"].as_str();
            let data = name.and_then(|name| world.config_map(namespace, name));
            for (key, value) in data.into_iter().filter_map(Value::as_object).flatten() {
                env.set(&format!("{prefix}{key}"), text(value));
            }
        }
        for one in items(&container["env"]) {
            let Some(name) = one["name"].as_str() else {
                continue;
            };
            let from = &one["valueFrom"];
            let value = if let Some(value) = one["value"].as_str() {
                env.expand(value)
            } else if from["fieldRef"]["fieldPath"] == "metadata.namespace" {
                Some(namespace.to_owned())
            } else {
                let key = &from["configMapKeyRef"];
                let map = key["name"].as_str();
                let data = map.and_then(|map| world.config_map(namespace, map));
                data.and_then(|data| text(&data[key["key"].as_str().unwrap_or_default()]))
            };
            env.set(name, value);
        }
        env
    }

    fn set(&mut self, name: &str, value: Option<String>) {
        self.values.insert(name.to_ascii_uppercase(), value);
    }

    /// `$(NAME)` by values, as the kubelet does; `None` where one is not known.
    pub(super) fn expand(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("$(") {
            out.push_str(before);
            let Some((name, after)) = after.split_once(')') else {
                out.push_str("$(");
                rest = after;
                continue;
            };
            match self.values.get(&name.to_ascii_uppercase()) {
                Some(Some(value)) => out.push_str(value),
                Some(None) => return None,
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }

    /// The same; what is not known stays as it is.
    pub(super) fn expanded(&self, text: &str) -> String {
        self.expand(text).unwrap_or_else(|| text.to_owned())
    }
}

impl Variables for Env {
    fn value(&self, name: &str) -> Option<String> {
        // hcsshim puts a folder in its place, wherever it stands in a command line.
        if is_mount_point(name) {
            return Some(format!("%{MOUNT_POINT}%"));
        }
        self.values
            .get(&name.to_ascii_uppercase())
            .cloned()
            .flatten()
    }

    fn is_set(&self, name: &str) -> bool {
        is_mount_point(name) || self.values.contains_key(&name.to_ascii_uppercase())
    }
}

fn is_mount_point(name: &str) -> bool {
    MOUNT_POINT.eq_ignore_ascii_case(name)
}
