//! One container as the rules see it.

use super::handler::{Handler, Probe};
use crate::json::{Cursor, Error};
use crate::names::env;
use std::borrow::Cow;

/// One container of a pod's spec.
#[derive(Debug, Default)]
pub struct Container<'a> {
    /// `name`
    pub name: Cow<'a, str>,
    /// `image`
    pub image: Option<Cow<'a, str>>,
    /// `command`
    pub command: Vec<Cow<'a, str>>,
    /// `args`
    pub args: Vec<Cow<'a, str>>,
    /// `ports`; `None` if there is no such array.
    pub ports: Option<Vec<Port<'a>>>,
    /// `env`: read only when a rule needs it, since pods can have hundreds.
    pub env: Option<Env<'a>>,
    /// Whether `envFrom` has entries: variables of names that are not known here.
    pub env_from: bool,
    /// Whether a source of `envFrom` can set `PATH`: one without a prefix of other letters.
    pub env_from_path: bool,
    /// `workingDir`
    pub working_dir: Option<Cow<'a, str>>,
    /// `volumeMounts`; `None` if there is no such array.
    pub mounts: Option<Vec<Mount<'a>>>,
    /// `livenessProbe`
    pub liveness: Option<Probe<'a>>,
    /// `readinessProbe`
    pub readiness: Option<Probe<'a>>,
    /// `startupProbe`
    pub startup: Option<Probe<'a>>,
    /// `lifecycle`; `None` if there is no such object.
    pub lifecycle: Option<Lifecycle<'a>>,
    /// `securityContext`
    pub security: SecurityContext<'a>,
    /// `terminationMessagePolicy`
    pub termination_message_policy: Option<Cow<'a, str>>,
    /// `restartPolicy`: `Always` makes an init container a sidecar.
    pub restart_policy: Option<Cow<'a, str>>,
    /// `stdin` or `tty`
    pub interactive: bool,
}

impl<'a> Container<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let mut this = Self::default();
        cursor.object(|key, value| this.read_member(key, value))?;
        Ok(this)
    }

    fn read_member(&mut self, key: &str, value: &mut Cursor<'a>) -> Result<(), Error> {
        match key {
            "name" => self.name = value.string_or_null()?.unwrap_or_default(),
            "image" => self.image = value.string_or_null()?,
            "command" => self.command = value.strings()?,
            "args" => self.args = value.strings()?,
            "ports" => self.ports = list(value, Port::read)?,
            "env" if value.null()? => {}
            "env" => self.env = Some(Env::scan(value)?),
            "envFrom" => value.array(|_, source| {
                self.env_from = true;
                let mut prefix = Cow::Borrowed("");
                source.object(|key, value| {
                    match key {
                        "prefix" => prefix = value.string_or_null()?.unwrap_or_default(),
                        _ => value.skip()?,
                    }
                    Ok(())
                })?;
                self.env_from_path |= can_become_path(&prefix);
                Ok(())
            })?,
            "workingDir" => {
                self.working_dir = value.string_or_null()?.filter(|dir| !dir.is_empty());
            }
            "volumeMounts" => self.mounts = list(value, Mount::read)?,
            "livenessProbe" => self.liveness = Probe::read(value)?,
            "readinessProbe" => self.readiness = Probe::read(value)?,
            "startupProbe" => self.startup = Probe::read(value)?,
            "lifecycle" => self.lifecycle = Lifecycle::read(value)?,
            "securityContext" => self.security = SecurityContext::read(value)?,
            "terminationMessagePolicy" => {
                self.termination_message_policy = value.string_or_null()?;
            }
            "restartPolicy" => self.restart_policy = value.string_or_null()?,
            "stdin" | "tty" => self.interactive |= value.bool_or_null()? == Some(true),
            _ => value.skip()?,
        }
        Ok(())
    }

    /// `command` and `args` as one.
    pub fn argv(&self) -> impl Iterator<Item = &Cow<'a, str>> {
        self.command.iter().chain(&self.args)
    }

    /// `lifecycle.preStop`
    pub fn pre_stop(&self) -> Option<&Handler<'a>> {
        self.lifecycle.as_ref()?.pre_stop.as_ref()
    }

    /// Whether this is a native sidecar (KEP-753), given that it is an init container.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

fn list<'a, T>(
    cursor: &mut Cursor<'a>,
    read: impl Fn(&mut Cursor<'a>) -> Result<T, Error>,
) -> Result<Option<Vec<T>>, Error> {
    if cursor.null()? {
        return Ok(None);
    }
    let mut items = Vec::new();
    cursor.array(|_, item| {
        items.push(read(item)?);
        Ok(())
    })?;
    Ok(Some(items))
}

/// One of `ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port<'a> {
    /// `name`
    pub name: Option<Cow<'a, str>>,
    /// `containerPort`
    pub number: i64,
    /// `protocol`
    pub protocol: Option<Cow<'a, str>>,
    /// `hostPort`
    pub host_port: Option<i64>,
}

impl<'a> Port<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let mut port = Self::default();
        cursor.object(|key, value| {
            match key {
                "name" => port.name = value.string_or_null()?,
                "containerPort" => port.number = value.int_or_null()?.unwrap_or_default(),
                "protocol" => port.protocol = value.string_or_null()?,
                "hostPort" => port.host_port = value.int_or_null()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(port)
    }
}

/// `env`, not yet read.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    raw: &'a str,
    matters: bool,
}

/// What paths of fields that hold the pod's IP, or its IPs, begin with.
const POD_IP: &str = "status.podIP";

/// Whether a name that begins so can be that of `PATH` or `PATHEXT`, which Windows compares
/// without case.
fn can_become_path(prefix: &str) -> bool {
    let begins = |name: &str| {
        name.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    begins("PATH") || begins("PATHEXT")
}

/// Whether native-host sets the variable itself. Windows compares their names without case.
pub(super) fn is_reserved(name: &str) -> bool {
    env::RESERVED
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// One of `env`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvVar<'a> {
    /// `name`
    pub name: Cow<'a, str>,
    /// `value`
    pub value: Option<Cow<'a, str>>,
    /// `valueFrom.fieldRef.fieldPath`
    pub field_path: Option<Cow<'a, str>>,
    /// Whether `valueFrom` is a `resourceFieldRef`.
    pub resource: bool,
    /// Whether `valueFrom` is something whose value is not known here.
    pub unknown: bool,
}

impl<'a> Env<'a> {
    /// Moves past the list, and notes on the way whether any rule cares for what is in it.
    fn scan(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let mut matters = false;
        let raw = cursor.raw_by(|cursor| {
            cursor.array(|_, item| {
                item.object(|key, value| {
                    match key {
                        "name" => {
                            matters |= is_reserved(&value.string_or_null()?.unwrap_or_default());
                        }
                        "valueFrom" => matters |= value.raw()?.contains(POD_IP),
                        _ => value.skip()?,
                    }
                    Ok(())
                })
            })
        })?;
        Ok(Self { raw, matters })
    }

    /// Whether some variable has a reserved name or is filled with the pod's IP.
    pub const fn matters(&self) -> bool {
        self.matters
    }

    /// Whether the list has no entries.
    pub fn is_empty(&self) -> bool {
        !self.raw.contains('{')
    }

    /// The variables, in their order.
    pub fn read(&self) -> Result<Vec<EnvVar<'a>>, Error> {
        list(&mut Cursor::new(self.raw), EnvVar::read).map(Option::unwrap_or_default)
    }
}

impl<'a> EnvVar<'a> {
    /// Whether it is to hold the pod's IP, which in a HostProcess pod is the node's.
    pub fn is_pod_ip(&self) -> bool {
        self.field_path
            .as_deref()
            .is_some_and(|path| path.starts_with(POD_IP))
    }

    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let mut var = Self::default();
        cursor.object(|key, value| {
            match key {
                "name" => var.name = value.string_or_null()?.unwrap_or_default(),
                "value" => var.value = value.string_or_null()?,
                "valueFrom" => value.object(|key, value| match key {
                    "fieldRef" => value.object(|key, value| {
                        match key {
                            "fieldPath" => var.field_path = value.string_or_null()?,
                            _ => value.skip()?,
                        }
                        Ok(())
                    }),
                    "resourceFieldRef" => {
                        var.resource = true;
                        value.skip()
                    }
                    _ => {
                        var.unknown = true;
                        value.skip()
                    }
                })?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(var)
    }
}

/// One of `volumeMounts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount<'a> {
    /// `name`
    pub name: Cow<'a, str>,
    /// `mountPath`
    pub path: Cow<'a, str>,
    /// `readOnly`
    pub read_only: bool,
    /// `subPath` or `subPathExpr` is set.
    pub sub_path: bool,
}

impl<'a> Mount<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let mut mount = Self::default();
        cursor.object(|key, value| {
            match key {
                "name" => mount.name = value.string_or_null()?.unwrap_or_default(),
                "mountPath" => mount.path = value.string_or_null()?.unwrap_or_default(),
                "readOnly" => mount.read_only = value.bool_or_null()? == Some(true),
                "subPath" | "subPathExpr" => {
                    mount.sub_path |= value.string_or_null()?.is_some_and(|p| !p.is_empty());
                }
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(mount)
    }
}

/// `lifecycle`
#[derive(Clone, Debug, Default)]
pub struct Lifecycle<'a> {
    /// `preStop`
    pub pre_stop: Option<Handler<'a>>,
    /// `postStart`
    pub post_start: Option<Handler<'a>>,
}

impl<'a> Lifecycle<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Option<Self>, Error> {
        if cursor.null()? {
            return Ok(None);
        }
        let mut lifecycle = Self::default();
        cursor.object(|key, value| {
            match key {
                "preStop" => lifecycle.pre_stop = Handler::read(value)?,
                "postStart" => lifecycle.post_start = Handler::read(value)?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(Some(lifecycle))
    }
}

/// `securityContext`, of a pod or of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityContext<'a> {
    /// Whether there is such an object.
    pub present: bool,
    /// Whether it has a `windowsOptions` object.
    pub windows_present: bool,
    /// `windowsOptions.hostProcess`
    pub host_process: Option<bool>,
    /// `windowsOptions.runAsUserName`
    pub run_as: Option<Cow<'a, str>>,
    /// `runAsNonRoot`
    pub run_as_non_root: Option<bool>,
    /// Fields that only Linux has, and that are set, with their values.
    pub linux_only: Vec<(&'static str, &'a str)>,
}

/// What the API server refuses on a Windows pod (`validateWindows` and
/// `validateWindowsSecurityContext`, pkg/apis/core/validation/validation.go).
const LINUX_ONLY: [&str; 16] = [
    "allowPrivilegeEscalation",
    "appArmorProfile",
    "capabilities",
    "fsGroup",
    "fsGroupChangePolicy",
    "privileged",
    "procMount",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsUser",
    "seLinuxChangePolicy",
    "seLinuxOptions",
    "seccompProfile",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "sysctls",
];

impl<'a> SecurityContext<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let mut this = Self::default();
        if cursor.null()? {
            return Ok(this);
        }
        this.present = true;
        cursor.object(|key, value| {
            match key {
                "windowsOptions" if value.null()? => {}
                "windowsOptions" => {
                    this.windows_present = true;
                    value.object(|key, value| {
                        match key {
                            "hostProcess" => this.host_process = value.bool_or_null()?,
                            "runAsUserName" => this.run_as = value.string_or_null()?,
                            _ => value.skip()?,
                        }
                        Ok(())
                    })?;
                }
                "runAsNonRoot" => this.run_as_non_root = value.bool_or_null()?,
                _ => match LINUX_ONLY.iter().find(|name| **name == key) {
                    Some(name) => {
                        let raw = value.raw()?;
                        if !matches!(raw, "null" | "[]") {
                            this.linux_only.push((name, raw));
                        }
                    }
                    None => value.skip()?,
                },
            }
            Ok(())
        })?;
        Ok(this)
    }
}
