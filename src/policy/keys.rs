//! The one table of policy keys. Parser, flags, error messages and `docs/policy.md` come from it.

use crate::names::policy as key;
use crate::windows::account::Account;
use crate::windows::path::{PathPattern, WindowsPath};

use super::choice::{Authorize, LauncherKind, Mesh, Mode, Network, Probes};
use super::image::image;
use super::tolerations::{show_tolerations, tolerations};
use super::value::{self, Why, list};
use super::{CplauncherDll, Policy};

/// One policy key: what it is called, what it takes, what it does.
#[derive(Debug)]
pub struct Key {
    /// The annotation's key, with its prefix.
    pub name: &'static str,
    /// Whether a pod may set it; the others are the Namespace's.
    pub on_pod: bool,
    /// What a value must be, as the rest of a sentence that begins with "expected".
    pub expected: &'static str,
    /// A value that is accepted.
    pub example: &'static str,
    /// What holds while the key is set nowhere, where the built-in policy has no value for it.
    pub unset: &'static str,
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
    /// Reads a value into a policy.
    pub(super) set: fn(&mut Policy, &str) -> Result<(), Why>,
    /// A policy's value as it would be written; `None` where it is unset.
    pub(super) show: fn(&Policy) -> Option<String>,
}

impl Key {
    /// The name without its prefix: what the flag is called.
    pub fn flag(&self) -> &'static str {
        self.name
            .strip_prefix(crate::names::PREFIX)
            .unwrap_or(self.name)
    }

    /// What `policy` says for this key, as it would be written; `None` where it is unset.
    pub fn show(&self, policy: &Policy) -> Option<String> {
        (self.show)(policy)
    }

    /// The key called `name`.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

const ACCOUNT: &str = "a Windows account or local group as runAsUserName takes it";

/// Every policy key, in the order of the documentation.
pub static KEYS: [Key; 25] = [
    Key {
        name: key::MODE,
        on_pod: false,
        expected: "enforce, warn or off",
        example: "warn",
        unset: "",
        doc: "`enforce` injects and refuses; `warn` injects where possible and warns where a guard \
              rail would refuse; `off` leaves the namespace's pods alone.",
        set: |policy, text| Mode::parse(text).map(|mode| policy.mode = mode),
        show: |policy| Some(policy.mode.to_string()),
    },
    Key {
        name: key::NETWORK,
        on_pod: true,
        expected: "anchor or host",
        example: "host",
        unset: "",
        doc: "Whose network the program is on: `anchor` gives every pod an IP of its own; `host` is for \
              node agents and drivers, which get the same checks, account and placement, but no anchor \
              and no launcher.",
        set: |policy, text| Network::parse(text).map(|network| policy.network = network),
        show: |policy| Some(policy.network.to_string()),
    },
    Key {
        name: key::LAUNCHER,
        on_pod: true,
        expected: "native-host, cplauncher or native-host-cplauncher",
        example: "cplauncher",
        unset: "",
        doc: "What wraps the program on its node: native-host's own launcher, K2s's `cplauncher`, \
              or the first starting the program by the second.",
        set: |policy, text| LauncherKind::parse(text).map(|launcher| policy.launcher = launcher),
        show: |policy| Some(policy.launcher.to_string()),
    },
    Key {
        name: key::CPLAUNCHER_PATH,
        on_pod: false,
        expected: "the absolute path of an .exe, of letters, digits, dots, dashes and underscores",
        example: r"C:\k2s\bin\cni\cplauncher.exe",
        unset: "",
        doc: "Where `cplauncher.exe` lies on every node.",
        set: |policy, text| launcher_path(text).map(|path| policy.cplauncher_path = path),
        show: |policy| Some(policy.cplauncher_path.to_string()),
    },
    Key {
        name: key::CPLAUNCHER_DLL,
        on_pod: false,
        expected: "the absolute path of a .dll, or none",
        example: r"C:\k2s\bin\cni\cphook.dll",
        unset: "`cphook.dll` beside `cplauncher.exe`",
        doc: "The DLL that `cplauncher` injects into the program (`-dll`), or `none` for a program \
              that attaches itself (`-no-inject`).",
        set: |policy, text| {
            policy.cplauncher_dll = if text == "none" {
                CplauncherDll::None
            } else {
                CplauncherDll::Path(windows_path(text)?)
            };
            Ok(())
        },
        show: |policy| match &policy.cplauncher_dll {
            CplauncherDll::Default => None,
            CplauncherDll::None => Some("none".to_owned()),
            CplauncherDll::Path(path) => Some(path.to_string()),
        },
    },
    Key {
        name: key::LAUNCHER_IMAGE,
        on_pod: false,
        expected: "an image reference, or none",
        example: "registry.example.com/native-host/launcher:v0.1.0",
        unset: "",
        doc: "The image that brings `native-host-launcher.exe` to the node, or `none` where it is \
              pre-installed.",
        set: |policy, text| {
            policy.launcher_image = if text == "none" {
                None
            } else {
                Some(image(text)?)
            };
            Ok(())
        },
        show: |policy| {
            Some(
                policy
                    .launcher_image
                    .clone()
                    .unwrap_or_else(|| "none".to_owned()),
            )
        },
    },
    Key {
        name: key::LAUNCHER_PATH,
        on_pod: false,
        expected: "the absolute path of an .exe, of letters, digits, dots, dashes and underscores",
        example: r"C:\native-host\native-host-launcher.exe",
        unset: "brought by `launcher-image`",
        doc: "Where `native-host-launcher.exe` lies on every node, if it is pre-installed. It goes \
              before `launcher-image`.",
        set: |policy, text| launcher_path(text).map(|path| policy.launcher_path = Some(path)),
        show: |policy| policy.launcher_path.as_ref().map(ToString::to_string),
    },
    Key {
        name: key::LAUNCHER_TIMEOUT,
        on_pod: true,
        expected: "a duration from 1s to 1h in whole hours, minutes and seconds",
        example: "3m",
        unset: "",
        doc: "How long a launcher waits for its anchor before it gives up and the kubelet starts \
              it again.",
        set: |policy, text| {
            value::timeout(text).map(|seconds| policy.launcher_timeout_seconds = seconds)
        },
        show: |policy| Some(format!("{}s", policy.launcher_timeout_seconds)),
    },
    Key {
        name: key::IP_ENV,
        on_pod: true,
        expected: "a list of environment variables' names",
        example: "BIND_ADDRESS",
        unset: "none",
        doc: "Environment variables that get the anchor's IP, for programs that must be told what \
              to bind.",
        set: |policy, text| list(text, value::env_name).map(|names| policy.ip_env = names),
        show: |policy| joined(&policy.ip_env),
    },
    Key {
        name: key::ANCHOR_IMAGE,
        on_pod: false,
        expected: "an image reference",
        example: "registry.example.com/pause:3.10.1",
        unset: "",
        doc: "The anchor's pause image. It must have a Windows variant for the nodes' build.",
        set: |policy, text| image(text).map(|image| policy.anchor_image = image),
        show: |policy| Some(policy.anchor_image.clone()),
    },
    Key {
        name: key::ANCHOR_LABELS,
        on_pod: true,
        expected: "a list of labels' keys",
        example: "app.kubernetes.io/part-of,team",
        unset: "none",
        doc: "Labels of the pod that its anchor gets too. None by default: a copied label can bring \
              the anchor under a PodDisruptionBudget, an autoscaler or a spread constraint.",
        set: |policy, text| list(text, value::anchor_label).map(|keys| policy.anchor_labels = keys),
        show: |policy| joined(&policy.anchor_labels),
    },
    Key {
        name: key::RUN_AS,
        on_pod: true,
        expected: ACCOUNT,
        example: r"NT AUTHORITY\LocalService",
        unset: "",
        doc: "The account that the pod's containers run as, where the pod's own `runAsUserName` \
              does not say.",
        set: |policy, text| account(text).map(|account| policy.run_as = account),
        show: |policy| Some(policy.run_as.to_string()),
    },
    Key {
        name: key::CONTAINERS,
        on_pod: true,
        expected: "a list of the names of containers",
        example: "albums,licence-daemon",
        unset: "all regular containers",
        doc: "The containers whose programs go into the anchor's network. The others stay on the \
              node's.",
        set: |policy, text| {
            list(text, value::dns_label).map(|names| policy.containers = Some(names))
        },
        show: |policy| joined(policy.containers.as_deref().unwrap_or_default()),
    },
    Key {
        name: key::NODE_SELECTOR,
        on_pod: false,
        expected: "a list of key=value pairs",
        example: "node-pool=windows,disk=ssd",
        unset: "none",
        doc: "Labels of nodes, added to the pod's `nodeSelector`.",
        set: |policy, text| value::node_selector(text).map(|pairs| policy.node_selector = pairs),
        show: |policy| {
            let pairs = policy
                .node_selector
                .iter()
                .map(|(key, value)| format!("{key}={value}"));
            joined(&pairs.collect::<Vec<_>>())
        },
    },
    Key {
        name: key::TOLERATIONS,
        on_pod: false,
        expected: "a JSON list of Tolerations",
        example: r#"[{"key":"os","operator":"Equal","value":"windows","effect":"NoSchedule"}]"#,
        unset: "none",
        doc: "Tolerations added to the pod's.",
        set: |policy, text| tolerations(text).map(|list| policy.tolerations = list),
        show: |policy| show_tolerations(&policy.tolerations),
    },
    Key {
        name: key::PROBES,
        on_pod: true,
        expected: "auto or none",
        example: "none",
        unset: "",
        doc: "`auto` gives a container without probes some by its ports: HTTP on the health port if \
              it has one, else TCP on its first port.",
        set: |policy, text| Probes::parse(text).map(|probes| policy.probes = probes),
        show: |policy| Some(policy.probes.to_string()),
    },
    Key {
        name: key::HEALTH_PORT,
        on_pod: true,
        expected: "a port's number, or its name of at most 15 lower-case letters, digits and dashes",
        example: "8081",
        unset: "",
        doc: "The port that default HTTP probes go to.",
        set: |policy, text| value::port(text).map(|port| policy.health_port = port),
        show: |policy| Some(policy.health_port.to_string()),
    },
    Key {
        name: key::HEALTH_PATH,
        on_pod: true,
        expected: "a path that begins with a slash",
        example: "/healthz",
        unset: "",
        doc: "The base path of default HTTP probes; `/readiness`, `/liveness` and `/startup` are \
              added to it.",
        set: |policy, text| value::base_path(text).map(|path| policy.health_path = path),
        show: |policy| {
            let path = Some(&policy.health_path).filter(|path| !path.is_empty());
            Some(path.map_or("/", String::as_str).to_owned())
        },
    },
    Key {
        name: key::DRAIN_SECONDS,
        on_pod: true,
        expected: "a whole number of seconds from 0 to 300",
        example: "15",
        unset: "",
        doc: "How long a stopping program goes on serving while its endpoint is withdrawn; 0 for no \
              drain. The grace period is raised by it.",
        set: |policy, text| value::number(text, 300).map(|seconds| policy.drain_seconds = seconds),
        show: |policy| Some(policy.drain_seconds.to_string()),
    },
    Key {
        name: key::MESH,
        on_pod: true,
        expected: "none or linkerd",
        example: "linkerd",
        unset: "",
        doc: "The mesh whose proxy the anchor gets. `linkerd.io/inject` on the pod or the Namespace \
              says the same where this key does not.",
        set: |policy, text| Mesh::parse(text).map(|mesh| policy.mesh = mesh),
        show: |policy| Some(policy.mesh.to_string()),
    },
    Key {
        name: key::ALLOWED_USERS,
        on_pod: false,
        expected: "a list of Windows accounts or local groups",
        example: r"NT AUTHORITY\LocalService,NT AUTHORITY\NetworkService",
        unset: "any",
        doc: "Guard rail: the accounts that pods may run as, compared without case.",
        set: |policy, text| list(text, account).map(|users| policy.allowed_users = Some(users)),
        show: |policy| joined(policy.allowed_users.as_deref().unwrap_or_default()),
    },
    Key {
        name: key::ALLOWED_EXECUTABLES,
        on_pod: false,
        expected: r"a list of absolute paths, or of folders and all below them as C:\apps\*",
        example: r"C:\apps\*,C:\tools\licenced.exe",
        unset: "any",
        doc: "Guard rail: the programs that pods may start, compared as Windows compares paths.",
        set: |policy, text| {
            list(text, pattern).map(|patterns| policy.allowed_executables = Some(patterns))
        },
        show: |policy| joined(policy.allowed_executables.as_deref().unwrap_or_default()),
    },
    Key {
        name: key::ALLOWED_LAUNCHERS,
        on_pod: false,
        expected: "a list of native-host, cplauncher and native-host-cplauncher",
        example: "native-host",
        unset: "any",
        doc: "Guard rail: the launchers that pods may choose.",
        set: |policy, text| {
            list(text, LauncherKind::parse)
                .map(|launchers| policy.allowed_launchers = Some(launchers))
        },
        show: |policy| joined(policy.allowed_launchers.as_deref().unwrap_or_default()),
    },
    Key {
        name: key::AUTHORIZE,
        on_pod: false,
        expected: "none or serviceaccount",
        example: "serviceaccount",
        unset: "",
        doc: "Guard rail: `serviceaccount` asks whether the pod's ServiceAccount has the verb `use` on the \
              account that the pod runs as (see [below](#who-may-use-an-account)).",
        set: |policy, text| Authorize::parse(text).map(|authorize| policy.authorize = authorize),
        show: |policy| Some(policy.authorize.to_string()),
    },
    Key {
        name: key::EXTERNAL_CIDRS,
        on_pod: false,
        expected: "a list of networks in CIDR notation",
        example: "172.19.1.0/24,fd00:172:19::/64",
        unset: "none",
        doc: "Networks that the namespace's external Services may point at.",
        set: |policy, text| list(text, value::cidr).map(|cidrs| policy.external_cidrs = cidrs),
        show: |policy| joined(&policy.external_cidrs),
    },
];

/// A list as it would be written; an empty one is unset.
fn joined<T: ToString>(list: &[T]) -> Option<String> {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    Some(texts.join(",")).filter(|_| !list.is_empty())
}

fn account(text: &str) -> Result<Account, Why> {
    Account::parse(text).map_err(|error| Why::part(text, error.to_string()))
}

fn pattern(text: &str) -> Result<PathPattern, Why> {
    PathPattern::parse(text).map_err(|error| Why::part(text, error.to_string()))
}

fn windows_path(text: &str) -> Result<WindowsPath, Why> {
    WindowsPath::parse(text).map_err(|error| Why::part(text, error.to_string()))
}

/// A path that begins the container's command line. On nodes with the bind filter hcsshim puts
/// `cmd /c ` before it (`internal/jobcontainers/jobcontainer.go`), and an unquoted first word
/// of a line of cmd ends at a space, a comma, a semicolon, an equals sign or a slash; quotes
/// would be stripped. So only what is plain everywhere.
fn launcher_path(text: &str) -> Result<WindowsPath, Why> {
    if text.contains(' ') {
        return Err(Why::About(
            "holds a space, where `cmd /c` would end the path".into(),
        ));
    }
    let special =
        |c: &char| !c.is_alphanumeric() && !matches!(c, '\\' | '/' | ':' | '.' | '-' | '_');
    if let Some(c) = text.chars().find(special) {
        return Err(Why::part(
            c.encode_utf8(&mut [0; 4]),
            "may mean something to `cmd /c`",
        ));
    }
    let path = text.replace('/', r"\");
    if !path.to_ascii_lowercase().ends_with(".exe") {
        return Err(Why::Shape);
    }
    windows_path(&path)
}
