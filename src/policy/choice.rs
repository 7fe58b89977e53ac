//! The values that are one of a few words.

use crate::closed_set::closed_set;
use crate::policy::value::Why;

/// Declares a set of words: a key's value is one of them.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)* }) => {
        closed_set! {
            $(#[$meta])*
            $name { $($(#[$vmeta])* $variant = $text,)* }
        }

        impl $name {
            /// Reads the word; the case counts, as in every enumeration of Kubernetes.
            pub(super) fn parse(text: &str) -> Result<Self, Why> {
                let named = Self::ALL.iter().find(|one| one.as_str() == text);
                named.copied().ok_or_else(|| Why::unlike(text, [$($text,)*]))
            }
        }
    };
}

choice! {
    /// How much the webhook insists.
    Mode {
        /// Inject, and refuse what the guard rails do not allow.
        Enforce = "enforce",
        /// Inject where possible, and warn where a guard rail would refuse.
        Warn = "warn",
        /// Leave the namespace's pods alone.
        Off = "off",
    }
}

choice! {
    /// Whose network the program is on.
    Network {
        /// Its anchor's: a pod IP of its own.
        Anchor = "anchor",
        /// The node's.
        Host = "host",
    }
}

choice! {
    /// What wraps the program on its node.
    LauncherKind {
        /// `native-host-launcher.exe`.
        NativeHost = "native-host",
        /// K2s's `cplauncher.exe`, directly.
        Cplauncher = "cplauncher",
        /// `native-host-launcher.exe`, which starts the program by `cplauncher -compartment`.
        NativeHostCplauncher = "native-host-cplauncher",
    }
}

impl LauncherKind {
    /// Whether `native-host-launcher.exe` wraps the program, alone or around `cplauncher`.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::NativeHost | Self::NativeHostCplauncher)
    }

    /// Whether `cplauncher.exe` starts the program.
    pub const fn uses_cplauncher(self) -> bool {
        matches!(self, Self::Cplauncher | Self::NativeHostCplauncher)
    }
}

choice! {
    /// Whether a container without probes gets some.
    Probes {
        /// By its ports.
        Auto = "auto",
        /// No.
        None = "none",
    }
}

choice! {
    /// The mesh whose proxy the anchor gets.
    Mesh {
        /// No proxy.
        None = "none",
        /// Linkerd's.
        Linkerd = "linkerd",
    }
}

impl Mesh {
    /// What a value of `linkerd.io/inject` asks for. An empty one says nothing, and any that
    /// Linkerd does not know means no proxy (linkerd2 `pkg/inject/report.go`,
    /// `disableByAnnotation`).
    pub(super) fn of_linkerd(value: &str) -> Option<Self> {
        match value {
            "" => None,
            "enabled" | "ingress" => Some(Self::Linkerd),
            _ => Some(Self::None),
        }
    }
}

choice! {
    /// Who must be allowed to use the account that a pod runs as.
    Authorize {
        /// Nobody is asked.
        None = "none",
        /// The pod's ServiceAccount needs the verb `use` on it.
        ServiceAccount = "serviceaccount",
    }
}
