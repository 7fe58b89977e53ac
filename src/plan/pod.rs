//! A pod, or a workload's pod template, as the rules see it: borrowed from raw JSON, and only
//! what some rule names.

use super::container::{Container, SecurityContext};
use crate::json::{Cursor, Error};
use crate::names;
use std::borrow::Cow;

/// A JSON object of strings, in its own order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringMap<'a>(pub Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> StringMap<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Option<Self>, Error> {
        Self::read_where(cursor, |_| true)
    }

    /// Reads the members whose key is `wanted`; `None` for `null`.
    fn read_where(
        cursor: &mut Cursor<'a>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<Self>, Error> {
        if cursor.null()? {
            return Ok(None);
        }
        let mut entries = Vec::new();
        cursor.members(|key, value| {
            if wanted(&key) {
                let text = value.string_or_null()?.unwrap_or_default();
                entries.push((key, text));
                Ok(())
            } else {
                value.skip()
            }
        })?;
        Ok(Some(Self(entries)))
    }

    /// The value of a key; the last one, if a key stands twice.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .filter(|(k, _)| *k == key)
            .map(|(_, value)| value)
            .last()
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}

/// A pod's metadata and spec.
#[derive(Debug, Default)]
pub struct Pod<'a> {
    /// `metadata.name`
    pub name: Option<Cow<'a, str>>,
    /// `metadata.generateName`
    pub generate_name: Option<Cow<'a, str>>,
    /// `metadata.labels`
    pub labels: StringMap<'a>,
    /// Those of `metadata.annotations` that some rule names; `None` if there is no such object.
    pub annotations: Option<StringMap<'a>>,
    /// Whether the pod's controller is a DaemonSet, whose scheduling reads its template.
    pub of_daemonset: bool,
    /// `spec`
    pub spec: PodSpec<'a>,
}

/// A pod's spec.
#[derive(Debug, Default)]
pub struct PodSpec<'a> {
    /// `containers`
    pub containers: Vec<Container<'a>>,
    /// `initContainers`; `None` if there is no such array.
    pub init_containers: Option<Vec<Container<'a>>>,
    /// Names of `volumes`, and where each stands; `None` if there is no such array.
    pub volumes: Option<Vec<(Cow<'a, str>, Cursor<'a>)>>,
    /// `nodeSelector`
    pub node_selector: Option<StringMap<'a>>,
    /// `serviceAccountName`
    pub service_account: Option<Cow<'a, str>>,
    /// `tolerations`
    pub tolerations: Option<&'a str>,
    /// `affinity`
    pub affinity: Option<&'a str>,
    /// `hostNetwork`
    pub host_network: bool,
    /// `os.name`
    pub os: Option<Cow<'a, str>>,
    /// `securityContext`
    pub security: SecurityContext<'a>,
    /// Fields of the spec itself that only Linux has, and that are set, with their values.
    pub linux_only: Vec<(&'static str, &'a str)>,
    /// `terminationGracePeriodSeconds`
    pub grace_seconds: Option<i64>,
    /// `readinessGates[].conditionType`; `None` if there is no such array.
    pub readiness_gates: Option<Vec<Cow<'a, str>>>,
}

/// What the API server refuses on a Windows pod, and the value that it lets pass
/// (`validateWindows`, pkg/apis/core/validation/validation.go).
const LINUX_ONLY: [(&str, &str); 4] = [
    ("hostPID", "false"),
    ("hostIPC", "false"),
    ("hostUsers", "null"),
    ("shareProcessNamespace", "null"),
];

/// The grace period that the API server fills in
/// (`DefaultTerminationGracePeriodSeconds`, `k8s.io/api/core/v1/types.go`).
pub const DEFAULT_GRACE_SECONDS: i64 = 30;

impl<'a> Pod<'a> {
    /// Reads a Pod or a PodTemplateSpec.
    pub fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let mut pod = Self::default();
        cursor.object(|key, value| match key {
            "metadata" => pod.read_metadata(value),
            "spec" => pod.spec.read(value),
            _ => value.skip(),
        })?;
        Ok(pod)
    }

    fn read_metadata(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Error> {
        cursor.object(|key, value| {
            match key {
                "name" => self.name = value.string_or_null()?,
                "generateName" => self.generate_name = value.string_or_null()?,
                "labels" => self.labels = StringMap::read(value)?.unwrap_or_default(),
                "annotations" => self.annotations = StringMap::read_where(value, of_interest)?,
                "ownerReferences" => {
                    value.array(|_, owner| self.read_owner(owner))?;
                }
                _ => value.skip()?,
            }
            Ok(())
        })
    }

    fn read_owner(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Error> {
        let (mut daemonset, mut controller) = (false, false);
        cursor.object(|key, value| {
            match key {
                "kind" => daemonset = value.string_or_null()?.as_deref() == Some("DaemonSet"),
                "controller" => controller = value.bool_or_null()? == Some(true),
                _ => value.skip()?,
            }
            Ok(())
        })?;
        self.of_daemonset |= daemonset && controller;
        Ok(())
    }

    /// The value of one of the annotations that some rule names.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)
    }

    /// What a log calls the pod: its name, or what its name will begin with.
    pub fn display_name(&self) -> &str {
        self.name
            .as_deref()
            .or(self.generate_name.as_deref())
            .unwrap_or_default()
    }
}

/// Whether some rule names the annotation.
fn of_interest(key: &str) -> bool {
    key.starts_with(names::PREFIX)
        || key == names::annotation::LINKERD_INJECT
        || key == names::annotation::SAFE_TO_EVICT_LOCAL_VOLUMES
}

impl<'a> PodSpec<'a> {
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Error> {
        cursor.object(|key, value| self.read_member(key, value))
    }

    fn read_member(&mut self, key: &str, value: &mut Cursor<'a>) -> Result<(), Error> {
        match key {
            "containers" => self.containers = read_containers(value)?.unwrap_or_default(),
            "initContainers" => self.init_containers = read_containers(value)?,
            "volumes" => self.volumes = read_volumes(value)?,
            "nodeSelector" => self.node_selector = StringMap::read(value)?,
            "serviceAccountName" => {
                self.service_account = value.string_or_null()?.filter(|name| !name.is_empty());
            }
            "tolerations" => self.tolerations = raw_or_null(value)?,
            "affinity" => self.affinity = raw_or_null(value)?,
            "hostNetwork" => self.host_network = value.bool_or_null()? == Some(true),
            "os" => value.object(|key, value| {
                match key {
                    "name" => self.os = value.string_or_null()?,
                    _ => value.skip()?,
                }
                Ok(())
            })?,
            "securityContext" => self.security = SecurityContext::read(value)?,
            "terminationGracePeriodSeconds" => self.grace_seconds = value.int_or_null()?,
            "readinessGates" => self.readiness_gates = read_gates(value)?,
            _ => match LINUX_ONLY.iter().find(|(name, _)| *name == key) {
                Some((name, harmless)) => {
                    let raw = value.raw()?;
                    if raw != "null" && raw != *harmless {
                        self.linux_only.push((name, raw));
                    }
                }
                None => value.skip()?,
            },
        }
        Ok(())
    }

    /// All containers that run commands, with the array that each stands in.
    pub fn all_containers(&self) -> impl Iterator<Item = (Place, &Container<'a>)> {
        let init = self.init_containers.iter().flatten().enumerate();
        let regular = self.containers.iter().enumerate();
        init.map(|(i, container)| (Place::Init(i), container))
            .chain(regular.map(|(i, container)| (Place::Regular(i), container)))
    }

    /// The grace period in force. A negative one is 1 (`CheckGracefulDelete`,
    /// pkg/registry/core/pod/strategy.go).
    pub fn effective_grace(&self) -> i64 {
        match self.grace_seconds {
            None => DEFAULT_GRACE_SECONDS,
            Some(negative) if negative < 0 => 1,
            Some(seconds) => seconds,
        }
    }
}

/// Whether a container runs to its end before the others start: it has no probes and no hooks.
pub fn is_one_shot(place: Place, container: &Container<'_>) -> bool {
    matches!(place, Place::Init(_)) && !container.is_sidecar()
}

/// Where a container stands in the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `initContainers[i]`
    Init(usize),
    /// `containers[i]`
    Regular(usize),
}

fn raw_or_null<'a>(value: &mut Cursor<'a>) -> Result<Option<&'a str>, Error> {
    if value.null()? {
        Ok(None)
    } else {
        value.raw().map(Some)
    }
}

fn read_containers<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Vec<Container<'a>>>, Error> {
    if cursor.null()? {
        return Ok(None);
    }
    let mut containers = Vec::new();
    cursor.array(|_, item| {
        containers.push(Container::read(item)?);
        Ok(())
    })?;
    Ok(Some(containers))
}

type NamedVolumes<'a> = Vec<(Cow<'a, str>, Cursor<'a>)>;

fn read_volumes<'a>(cursor: &mut Cursor<'a>) -> Result<Option<NamedVolumes<'a>>, Error> {
    if cursor.null()? {
        return Ok(None);
    }
    let mut volumes = Vec::new();
    cursor.array(|_, item| {
        let whole = item.clone();
        let mut name = Cow::Borrowed("");
        item.object(|key, value| {
            match key {
                "name" => name = value.string_or_null()?.unwrap_or_default(),
                _ => value.skip()?,
            }
            Ok(())
        })?;
        volumes.push((name, whole));
        Ok(())
    })?;
    Ok(Some(volumes))
}

fn read_gates<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Vec<Cow<'a, str>>>, Error> {
    if cursor.null()? {
        return Ok(None);
    }
    let mut gates = Vec::new();
    cursor.array(|_, item| {
        item.object(|key, value| {
            match key {
                "conditionType" => gates.push(value.string_or_null()?.unwrap_or_default()),
                _ => value.skip()?,
            }
            Ok(())
        })
    })?;
    Ok(Some(gates))
}
