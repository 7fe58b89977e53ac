//! A container's environment and command line, as the kubelet makes them
//! (`pkg/kubelet/kubelet_pods.go`, `makeEnvironmentVariables`).
//!
//! ```text
//! envFrom ─┐
//! env ─────┼─► declared ─┐
//!          │             ├─► Environment ─► command, subPathExpr: $(VAR) put in
//! Services ┴─► links ────┘              └─► the process (hcsshim drops what is empty)
//! ```
//!
//! - [`fields`]: `fieldRef`, in variables and in downwardAPI volumes.
//! - [`resources`]: `resourceFieldRef`, in both too.
//! - [`links`]: the variables that tell of Services.

pub mod fields;
pub mod links;
pub mod resources;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVar, EnvVarSource, Pod, Secret, SecretKeySelector,
};
use native_host_launcher::{expand, references};

use crate::objects::{Objects, no_config_map, no_secret};
pub use resources::Allocatable;

/// What a node knows of itself and of the pod's network.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The node's addresses, of `status.hostIPs`.
    pub host_ips: Vec<String>,
    /// The pod's, once it has them; a pod on the host's network has the node's.
    pub pod_ips: Vec<String>,
    /// What the node's pods may use, for a container without limits.
    pub allocatable: Allocatable,
}

/// A container's variables. Sorted, where the kubelet has them in the order of a Go map, which is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of one, letter for letter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Those that reach a Windows process: hcsshim drops the empty ones (`internal/cmd/cmd.go`).
    pub fn of_process(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(|(_, value)| !value.is_empty())
    }

    /// Puts variables in the place of `$(VAR)`.
    pub fn expand(&self, text: &str) -> String {
        expand(text, |name| self.0.get(name).cloned())
    }

    /// The container's command and arguments (`ExpandContainerCommandAndArgs`, `container/helpers.go`).
    /// An empty command is the image's.
    pub fn command(&self, container: &Container) -> (Vec<String>, Vec<String>) {
        let all = |texts: &Option<Vec<String>>| {
            texts
                .iter()
                .flatten()
                .map(|text| self.expand(text))
                .collect()
        };
        (all(&container.command), all(&container.args))
    }

    /// A `subPathExpr`: there, no variable may be missing or empty (`ExpandContainerVolumeMounts`).
    pub fn sub_path(&self, expression: &str) -> Result<String, String> {
        let empty = |name: &&str| self.get(name).is_none_or(str::is_empty);
        let mut missing: Vec<_> = references(expression).filter(empty).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(self.expand(expression));
        }
        Err(format!("missing value for {}", missing.join(", ")))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(pairs.into_iter().map(owned).collect())
    }
}

/// The command of an exec probe: it sees only the variables whose values stand in the pod, as they are
/// written there, and the others as empty (`ExpandContainerCommandOnlyStatic`, `container/helpers.go`).
/// Commands of lifecycle hooks are not expanded at all (`lifecycle/handlers.go`).
pub fn probe_command(command: &[String], container: &Container) -> Vec<String> {
    let lookup = |name: &str| {
        let mut variables = container.env.iter().flatten();
        let last = variables.rfind(|variable| variable.name == name)?;
        Some(last.value.clone().unwrap_or_default())
    };
    command.iter().map(|word| expand(word, lookup)).collect()
}

/// Makes the environment of a container. The error is the message of its state
/// `CreateContainerConfigError`.
pub async fn environment(
    objects: &impl Objects,
    pod: &Pod,
    container: &Container,
    facts: &Facts,
) -> Result<Environment, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = links::links(objects, pod).await?;
    let mut read = Read {
        objects,
        namespace,
        config_maps: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    let mut declared = BTreeMap::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(from) = &source.config_map_ref {
            let map = read.config_map(&from.name, from.optional).await?;
            for (key, value) in map.iter().flat_map(|map| map.data.iter().flatten()) {
                declared.insert(format!("{prefix}{key}"), value.clone());
            }
        } else if let Some(from) = &source.secret_ref {
            let secret = read.secret(&from.name, from.optional).await?;
            for (key, value) in secret.iter().flat_map(|s| s.data.iter().flatten()) {
                let value = String::from_utf8_lossy(&value.0).into_owned();
                declared.insert(format!("{prefix}{key}"), value);
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match value(variable) {
            Value::Literal(text) => Some(expand(text, |name| {
                declared.get(name).or_else(|| links.get(name)).cloned()
            })),
            Value::From(source) => read.source(source, pod, container, facts).await?,
        };
        if let Some(value) = value {
            declared.insert(variable.name.clone(), value);
        }
    }
    // What is declared goes before what Services say.
    let mut all = links;
    all.append(&mut declared);
    Ok(Environment(all))
}

enum Value<'a> {
    Literal(&'a str),
    From(&'a EnvVarSource),
}

/// A literal value goes before a source, unless it is empty.
fn value(variable: &EnvVar) -> Value<'_> {
    let literal = variable.value.as_deref().unwrap_or_default();
    match &variable.value_from {
        Some(source) if literal.is_empty() => Value::From(source),
        _ => Value::Literal(literal),
    }
}

/// What was read for one container; each object once.
struct Read<'a, O> {
    objects: &'a O,
    namespace: &'a str,
    config_maps: BTreeMap<String, ConfigMap>,
    secrets: BTreeMap<String, Secret>,
}

impl<O: Objects> Read<'_, O> {
    async fn config_map(
        &mut self,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<ConfigMap>, String> {
        if let Some(map) = self.config_maps.get(name) {
            return Ok(Some(map.clone()));
        }
        match self.objects.config_map(self.namespace, name).await? {
            Some(map) => {
                self.config_maps.insert(name.to_owned(), map.clone());
                Ok(Some(map))
            }
            None if optional == Some(true) => Ok(None),
            None => Err(no_config_map(name)),
        }
    }

    async fn secret(
        &mut self,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<Secret>, String> {
        if let Some(secret) = self.secrets.get(name) {
            return Ok(Some(secret.clone()));
        }
        match self.objects.secret(self.namespace, name).await? {
            Some(secret) => {
                self.secrets.insert(name.to_owned(), secret.clone());
                Ok(Some(secret))
            }
            None if optional == Some(true) => Ok(None),
            None => Err(no_secret(name)),
        }
    }

    /// The value that a source has; None where an optional one is not there: the variable is then not
    /// set at all.
    async fn source(
        &mut self,
        source: &EnvVarSource,
        pod: &Pod,
        container: &Container,
        facts: &Facts,
    ) -> Result<Option<String>, String> {
        if let Some(field) = &source.field_ref {
            return fields::of_variable(&field.field_path, pod, facts).map(Some);
        }
        if let Some(field) = &source.resource_field_ref {
            let named = field
                .container_name
                .as_deref()
                .filter(|name| !name.is_empty());
            let container = match named {
                None => container,
                Some(name) => resources::container(pod, name)?,
            };
            return resources::value(field, container, &facts.allocatable).map(Some);
        }
        if let Some(key) = &source.config_map_key_ref {
            let map = self.config_map(&key.name, key.optional).await?;
            let Some(map) = map else { return Ok(None) };
            let value = map.data.as_ref().and_then(|data| data.get(&key.key));
            return self.found(
                value.cloned(),
                "ConfigMap",
                &key.name,
                &key.key,
                key.optional,
            );
        }
        if let Some(key) = &source.secret_key_ref {
            return self.secret_key(key).await;
        }
        // `fileKeyRef` (KEP-3721) and whatever comes after it. The kubelet of an older version than the
        // API server's would set an empty variable; here it is said.
        Err("a source of a variable that the simulated node does not have".into())
    }

    async fn secret_key(&mut self, key: &SecretKeySelector) -> Result<Option<String>, String> {
        let secret = self.secret(&key.name, key.optional).await?;
        let Some(secret) = secret else {
            return Ok(None);
        };
        let value = secret.data.as_ref().and_then(|data| data.get(&key.key));
        let value = value.map(|value| String::from_utf8_lossy(&value.0).into_owned());
        self.found(value, "Secret", &key.name, &key.key, key.optional)
    }

    fn found(
        &self,
        value: Option<String>,
        kind: &str,
        name: &str,
        key: &str,
        optional: Option<bool>,
    ) -> Result<Option<String>, String> {
        if value.is_none() && optional != Some(true) {
            let namespace = self.namespace;
            return Err(format!(
                "couldn't find key {key} in {kind} {namespace}/{name}"
            ));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
