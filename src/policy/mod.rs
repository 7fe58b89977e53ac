//! Policy: what a cluster's flags, a Namespace and a pod say to native-host, as annotations.
//!
//! ```text
//!  built-in  <  flags  <  Namespace  <  pod
//!     \___________\___________\__________\___ one table of keys, one parser (`keys`)
//! ```
//!
//! This module is pure, and the only one that reads policy annotations: the webhook, the
//! offline command, the flags and the namespaces' cache all come here, so that they agree on what
//! is valid. Unknown keys and bad values are errors for the person who wrote them; there is no
//! silent default.

mod choice;
pub mod docs;
mod error;
mod image;
mod keys;
mod namespace;
mod tolerations;
mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use k8s_openapi::api::core::v1::Toleration;

use crate::names::{PREFIX, annotation, label, policy as key};
use crate::windows::account::Account;
use crate::windows::path::{PathPattern, WindowsPath};

pub use choice::{Authorize, LauncherKind, Mesh, Mode, Network, Probes};
pub use error::{Kind, Place, PolicyError, PolicyErrors};
pub use ipnet::IpNet as Cidr;
pub use keys::{KEYS, Key};
pub use namespace::{Namespace, PodSecurityLevel};
pub use value::PortRef;

use error::Errors;
use value::closest;

/// Reads a network in CIDR notation, as strictly as in an annotation.
///
/// # Errors
/// What is wrong with it, and what was expected.
pub fn parse_cidr(text: &str) -> Result<Cidr, String> {
    let expected = "Expected a network in CIDR notation, for example \"10.244.0.0/16\"";
    value::cidr(text.trim()).map_err(|why| format!("{} {expected}", why.sentence(text)))
}

/// Everything that policy decides, each key with its value in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How much the webhook insists.
    pub mode: Mode,
    /// Whose network the program is on.
    pub network: Network,
    /// What wraps the program.
    pub launcher: LauncherKind,
    /// Where `cplauncher.exe` lies on every node: no spaces, backslashes only.
    pub cplauncher_path: WindowsPath,
    /// What `cplauncher` injects.
    pub cplauncher_dll: CplauncherDll,
    /// The image that brings our launcher; `None` where the policy says `none`.
    pub launcher_image: Option<String>,
    /// Where our launcher is pre-installed: no spaces, backslashes only.
    pub launcher_path: Option<WindowsPath>,
    /// How long a launcher waits for its anchor.
    pub launcher_timeout_seconds: u32,
    /// Environment variables that get the anchor's IP.
    pub ip_env: Vec<String>,
    /// The anchor's pause image.
    pub anchor_image: String,
    /// Keys of the pod's labels that the anchor gets too.
    pub anchor_labels: Vec<String>,
    /// The account where the pod does not say.
    pub run_as: Account,
    /// The containers to wrap; `None`: all regular ones.
    pub containers: Option<Vec<String>>,
    /// Added to the pod's nodeSelector. No key is there twice.
    pub node_selector: Vec<(String, String)>,
    /// Added to the pod's tolerations.
    pub tolerations: Vec<Toleration>,
    /// Whether a container without probes gets some.
    pub probes: Probes,
    /// Where default HTTP probes go.
    pub health_port: PortRef,
    /// Base path of default HTTP probes, without its trailing slash: the root is the empty text,
    /// so that `/readiness` can always be added.
    pub health_path: String,
    /// How long a stopping program goes on serving.
    pub drain_seconds: u16,
    /// The mesh whose proxy the anchor gets.
    pub mesh: Mesh,
    /// Guard rail; `None`: any.
    pub allowed_users: Option<Vec<Account>>,
    /// Guard rail; `None`: any.
    pub allowed_executables: Option<Vec<PathPattern>>,
    /// Guard rail; `None`: any.
    pub allowed_launchers: Option<Vec<LauncherKind>>,
    /// Who must be allowed to use the account.
    pub authorize: Authorize,
    /// Networks that external Services may point at.
    pub external_cidrs: Vec<Cidr>,
}

/// What `cplauncher` injects into the program.
#[derive(Clone, Debug, PartialEq)]
pub enum CplauncherDll {
    /// What it finds: `cphook.dll` beside itself.
    Default,
    /// This DLL (`-dll`).
    Path(WindowsPath),
    /// Nothing (`-no-inject`): the program attaches itself.
    None,
}

impl Policy {
    /// What holds where nothing else is said.
    pub fn builtin() -> Self {
        Self {
            mode: Mode::Enforce,
            network: Network::Anchor,
            launcher: LauncherKind::NativeHost,
            // K2s installs into a folder of one's choice; where it must name one itself it says
            // C:\k (K2s `addons/common/manifests/addon-sync/base/configmap.yaml`,
            // K2S_INSTALL_DIR; `upgrade.module.psm1`, $installFolder), and below it
            // bin\cni\cplauncher.exe (`docs/op-manual/running-apps-as-hostprocess.md`).
            cplauncher_path: constant(WindowsPath::parse(r"C:\k\bin\cni\cplauncher.exe")),
            cplauncher_dll: CplauncherDll::Default,
            launcher_image: Some(
                concat!(
                    "registry.native-host.io/launcher:v",
                    env!("CARGO_PKG_VERSION")
                )
                .to_owned(),
            ),
            launcher_path: None,
            launcher_timeout_seconds: 180,
            ip_env: Vec::new(),
            // Multi-platform: it has variants for Windows Server 2019 to 2025
            // (kubernetes `build/pause/Makefile`).
            anchor_image: "registry.k8s.io/pause:3.10.1".to_owned(),
            anchor_labels: Vec::new(),
            run_as: constant(Account::parse(r"NT AUTHORITY\SYSTEM")),
            containers: None,
            node_selector: Vec::new(),
            tolerations: Vec::new(),
            probes: Probes::Auto,
            health_port: PortRef::Name("health".to_owned()),
            health_path: "/health".to_owned(),
            drain_seconds: 5,
            mesh: Mesh::None,
            allowed_users: None,
            allowed_executables: None,
            allowed_launchers: None,
            authorize: Authorize::None,
            external_cidrs: Vec::new(),
        }
    }

    /// This policy with the cluster's flags: pairs of a policy key (with its prefix) and a value.
    pub fn with_flags<'s>(
        &self,
        pairs: impl IntoIterator<Item = (&'s str, &'s str)>,
    ) -> Result<Self, PolicyErrors> {
        let mut policy = self.clone();
        let mut errors = Errors::default();
        policy.read(Place::Flag, pairs, &mut errors);
        errors.or(policy)
    }

    /// This policy with a pod's annotations. Most pods set none: nothing is allocated then.
    pub fn with_pod<'p, 's>(
        &'p self,
        annotations: impl IntoIterator<Item = (&'s str, &'s str)>,
    ) -> Result<Cow<'p, Self>, PolicyErrors> {
        let mut policy = Cow::Borrowed(self);
        let mut errors = Errors::default();
        let mut mesh = MeshSaid::default();
        for (name, value) in annotations {
            if mesh.hears(name, value)
                || !name.starts_with(PREFIX)
                || annotation::OWN.contains(&name)
            {
                continue;
            }
            match Key::find(name) {
                Some(key) if key.on_pod => {
                    let result = (key.set)(policy.to_mut(), value.trim());
                    errors.take(Place::Pod, key, value, result);
                }
                Some(key) => errors.push(|| namespace_only(key, value)),
                None => errors.push(|| unknown(Place::Pod, name)),
            }
        }
        if let Some(linkerd) = mesh.by_linkerd().filter(|mesh| *mesh != policy.mesh) {
            policy.to_mut().mesh = linkerd;
        }
        errors.or(policy)
    }

    /// Reads the keys that a Namespace or a flag may set.
    fn read<'s>(
        &mut self,
        place: Place,
        pairs: impl IntoIterator<Item = (&'s str, &'s str)>,
        errors: &mut Errors,
    ) {
        let mut mesh = MeshSaid::default();
        for (name, value) in pairs {
            if mesh.hears(name, value) || !name.starts_with(PREFIX) {
                continue;
            }
            match Key::find(name) {
                Some(key) => {
                    let result = (key.set)(self, value.trim());
                    errors.take(place, key, value, result);
                }
                None => errors.push(|| unknown(place, name)),
            }
        }
        if let Some(linkerd) = mesh.by_linkerd() {
            self.mesh = linkerd;
        }
    }
}

/// A value of the built-in policy, which a test reads.
fn constant<T, E: std::fmt::Display>(parsed: Result<T, E>) -> T {
    parsed.unwrap_or_else(|fault| unreachable!("a built-in value is not valid: {fault}"))
}

/// What the annotations of one object say about the mesh; their order does not matter.
#[derive(Default)]
struct MeshSaid {
    by_key: bool,
    linkerd: Option<Mesh>,
}

impl MeshSaid {
    /// Listens; true where the annotation was Linkerd's and is done with.
    fn hears(&mut self, name: &str, value: &str) -> bool {
        if name == key::MESH {
            self.by_key = true;
        } else if name == annotation::LINKERD_INJECT {
            self.linkerd = Mesh::of_linkerd(value);
            return true;
        }
        false
    }

    /// What Linkerd's annotation decides: nothing beside our own key.
    fn by_linkerd(&self) -> Option<Mesh> {
        self.linkerd.filter(|_| !self.by_key)
    }
}

/// A pod set what only its Namespace may set.
fn namespace_only(key: &Key, value: &str) -> PolicyError {
    PolicyError {
        place: Place::Pod,
        key: key.name.to_owned(),
        kind: Kind::NamespaceOnly,
        message: format!(
            "{}: only a Namespace may set it; remove it from the pod, or annotate the pod's Namespace",
            error::Quoted(value)
        ),
    }
}

/// A key under our prefix that is no policy key, and what it may have been meant to be.
fn unknown(place: Place, name: &str) -> PolicyError {
    let misplaced = |message: &str| (Kind::Misplaced, message.to_owned());
    let (kind, message) = if name == label::WORKLOAD || name == label::EXTERNAL {
        misplaced("this is a label; move it to metadata.labels")
    } else if label::RESERVED.contains(&name) {
        misplaced("this is a label that native-host itself puts on anchors; remove it")
    } else if annotation::OWN.contains(&name) {
        misplaced("native-host itself writes this, on pods; remove it")
    } else if name
        .strip_prefix(label::EXTERNAL)
        .is_some_and(|rest| rest.starts_with('-'))
    {
        misplaced("this belongs on a Service")
    } else {
        let here = KEYS
            .iter()
            .filter(|key| place != Place::Pod || key.on_pod)
            .map(Key::flag);
        let bare = name.strip_prefix(PREFIX).unwrap_or(name);
        let near =
            closest(bare, here.clone()).or_else(|| closest(bare, KEYS.iter().map(Key::flag)));
        let message = near.map_or_else(
            || {
                format!(
                    "unknown key; policy keys here are {}",
                    here.collect::<Vec<_>>().join(", ")
                )
            },
            |near| format!("unknown key, did you mean {PREFIX}{near}?"),
        );
        (Kind::Unknown, message)
    };
    PolicyError {
        place,
        key: name.to_owned(),
        kind,
        message,
    }
}
