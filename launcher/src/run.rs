//! `run`: the command line that wraps a target.
//!
//! ```text
//! native-host-launcher.exe run --container albums --timeout 180s [--ip-env NAME]...
//!     [--liveness PROBE] [--startup PROBE] [--grace S]
//!     [--cplauncher PATH [--cplauncher-dll PATH | --cplauncher-no-inject]]
//!     [--var NAME]... (-- EXE ARG... | --argv64 WORD)
//! ```
//!
//! The target stands there in plain, for people to read, where *every* argument is of
//! [plain characters](crate::word); else all of it travels as one word (`--argv64`), so every
//! argument survives the way. What the kubelet and hcsshim would have done to it on the way, the
//! launcher then does itself ([`expand`](mod@crate::expand)).

use std::fmt;

use crate::argv64;
use crate::expand::{expand, references, replace_mount_point};
use crate::options::{Arguments, UsageError, add, number, once, required, unknown};
use crate::probe::Probe;
use crate::word::{escape, is_plain_argument};

/// How long the launcher waits for its anchor unless told otherwise, in seconds.
pub const DEFAULT_TIMEOUT: u32 = 180;

/// Which DLL K2s's cplauncher injects into the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hook {
    /// Its own default: `cphook.dll` beside it.
    #[default]
    Own,
    /// This one (`-dll`).
    Dll(String),
    /// None: the target attaches itself to its compartment (`-no-inject`).
    None,
}

/// The target is started by K2s's cplauncher, in the compartment that our launcher found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cplauncher {
    /// Where `cplauncher.exe` lies on the node.
    pub path: String,
    /// What it injects.
    pub hook: Hook,
}

/// What `run` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The container's name; with the pod's UID it names the event that `stop` signals.
    pub container: String,
    /// How long to wait for the anchor, in seconds.
    pub timeout_seconds: u32,
    /// Names of variables that get the anchor's IP.
    pub ip_env: Vec<String>,
    /// The container's liveness probe.
    pub liveness: Option<Probe>,
    /// The container's startup probe.
    pub startup: Option<Probe>,
    /// The pod's `terminationGracePeriodSeconds`: how long a target that failed a probe has to
    /// stop, unless the probe has a grace of its own.
    pub grace_seconds: Option<u32>,
    /// Where set, cplauncher starts the target.
    pub cplauncher: Option<Cplauncher>,
    /// Names of variables that the container declares and `argv` refers to, see [`Run::declare`].
    pub declared: Vec<String>,
    /// The target and its arguments, as the pod's `command` and `args` have them.
    pub argv: Vec<String>,
}

/// A [`Run`] that cannot be written as a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// There is no target.
    NoTarget,
    /// The target is the empty string.
    EmptyTarget,
    /// An argument holds a NUL, which ends a Windows command line.
    Nul {
        /// Its place in `argv`.
        index: usize,
    },
    /// A field that needs a name holds the empty string.
    Empty(&'static str),
    /// A list holds a name twice.
    Twice(&'static str, String),
    /// A probe has a number that the API server would refuse.
    Probe(&'static str, &'static str),
    /// A name is declared that no encoded argument refers to.
    NotReferenced(String),
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTarget => f.write_str("there is no command to run"),
            Self::EmptyTarget => f.write_str("the command to run is the empty string"),
            Self::Nul { index } => write!(
                f,
                "argument {index} holds a NUL character, which ends a Windows command line"
            ),
            Self::Empty(field) => write!(f, "{field} holds an empty name"),
            Self::Twice(field, name) => write!(f, "{field} holds {name} twice"),
            Self::Probe(field, fault) => write!(f, "the {field} probe's {fault}"),
            Self::NotReferenced(name) => {
                write!(
                    f,
                    "variable {name} is declared, but no encoded argument refers to it"
                )
            }
        }
    }
}

impl std::error::Error for Unwritable {}

impl Run {
    /// A run with nothing but a container and its target.
    pub fn new(container: impl Into<String>, argv: Vec<String>) -> Self {
        Self {
            container: container.into(),
            timeout_seconds: DEFAULT_TIMEOUT,
            ip_env: Vec::new(),
            liveness: None,
            startup: None,
            grace_seconds: None,
            cplauncher: None,
            declared: Vec::new(),
            argv,
        }
    }

    /// Takes from `names` (the container's `env`, in order) those that an encoded argument refers
    /// to. hcsshim drops variables with an empty value (`internal/cmd/cmd.go`); for the names
    /// that travel here the launcher knows that a missing one is empty and not unknown.
    pub fn declare<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.declared.clear();
        for name in names {
            if self.refers_to(name) && !self.declared.iter().any(|known| known == name) {
                self.declared.push(name.to_owned());
            }
        }
    }

    /// Whether the target can stand in plain.
    pub fn is_plain(&self) -> bool {
        self.argv.iter().all(|argument| is_plain_argument(argument))
    }

    fn refers_to(&self, name: &str) -> bool {
        // A plain argument holds no `$`, so only encoded ones refer to anything.
        self.argv
            .iter()
            .any(|argument| references(argument).any(|known| known == name))
    }

    /// The launcher's arguments, from `run` on, in their one canonical order. Each of them is of
    /// plain characters, whatever the fields hold.
    pub fn to_args(&self) -> Result<Vec<String>, Unwritable> {
        self.check()?;
        let mut args = vec!["run".to_owned()];
        let mut option = |name: &str, value: String| args.extend([name.to_owned(), value]);
        option("--container", escape(&self.container));
        option("--timeout", format!("{}s", self.timeout_seconds));
        for name in &self.ip_env {
            option("--ip-env", escape(name));
        }
        if let Some(probe) = &self.liveness {
            option("--liveness", probe.to_string());
        }
        if let Some(probe) = &self.startup {
            option("--startup", probe.to_string());
        }
        if let Some(seconds) = self.grace_seconds {
            option("--grace", seconds.to_string());
        }
        if let Some(Cplauncher { path, hook }) = &self.cplauncher {
            option("--cplauncher", escape(path));
            match hook {
                Hook::Own => {}
                Hook::Dll(dll) => option("--cplauncher-dll", escape(dll)),
                Hook::None => args.push("--cplauncher-no-inject".to_owned()),
            }
        }
        for name in &self.declared {
            args.extend(["--var".to_owned(), escape(name)]);
        }
        if self.is_plain() {
            args.push("--".to_owned());
            args.extend(self.argv.iter().cloned());
        } else {
            args.extend(["--argv64".to_owned(), argv64::encode(&self.argv)]);
        }
        Ok(args)
    }

    fn check(&self) -> Result<(), Unwritable> {
        match self.argv.first() {
            None => return Err(Unwritable::NoTarget),
            Some(target) if target.is_empty() => return Err(Unwritable::EmptyTarget),
            Some(_) => {}
        }
        if let Some(index) = self
            .argv
            .iter()
            .position(|argument| argument.contains('\0'))
        {
            return Err(Unwritable::Nul { index });
        }
        if self.container.is_empty() {
            return Err(Unwritable::Empty("container"));
        }
        for (field, names) in [("ip-env", &self.ip_env), ("var", &self.declared)] {
            for (i, name) in names.iter().enumerate() {
                if name.is_empty() {
                    return Err(Unwritable::Empty(field));
                }
                if names[..i].contains(name) {
                    return Err(Unwritable::Twice(field, name.clone()));
                }
            }
        }
        if let Some(Cplauncher { path, hook }) = &self.cplauncher {
            if path.is_empty() {
                return Err(Unwritable::Empty("cplauncher"));
            }
            if *hook == Hook::Dll(String::new()) {
                return Err(Unwritable::Empty("cplauncher-dll"));
            }
        }
        for (field, probe) in [("liveness", &self.liveness), ("startup", &self.startup)] {
            if let Some(fault) = probe.as_ref().and_then(Probe::fault) {
                return Err(Unwritable::Probe(field, fault));
            }
        }
        match self.declared.iter().find(|name| !self.refers_to(name)) {
            Some(name) => Err(Unwritable::NotReferenced(name.clone())),
            None => Ok(()),
        }
    }

    /// The target and its arguments as they are to run, on the node: `$(VAR)` expanded as the
    /// kubelet does, then the container's root folder put in place as hcsshim does. For arguments
    /// that stood there in plain this changes nothing, so it holds for both forms.
    ///
    /// `environment` gives a variable's value by its exact name, `root` is that of
    /// [`MOUNT_POINT`](crate::expand::MOUNT_POINT). In the environment are more variables than the
    /// kubelet knows, the node's own; a reference to one of those is expanded here and would have
    /// stayed there.
    pub fn resolve(
        &self,
        environment: impl Fn(&str) -> Option<String>,
        root: Option<&str>,
    ) -> Vec<String> {
        let declared = |name: &str| self.declared.iter().any(|known| known == name);
        let value = |name: &str| environment(name).or_else(|| declared(name).then(String::new));
        let resolve = |argument: &String| {
            let expanded = expand(argument, value);
            match root {
                Some(root) => replace_mount_point(&expanded, root),
                None => expanded,
            }
        };
        self.argv.iter().map(resolve).collect()
    }

    /// Reads what [`Run::to_args`] wrote, `run` included. Options may stand in another order and
    /// `--timeout` may be missing; values may not be spelled otherwise, nor be given twice.
    pub fn parse(args: &[String]) -> Result<Self, UsageError> {
        let mut args = Arguments::new(args);
        match args.next() {
            Some("run") => Self::parse_options(args),
            other => Err(UsageError::new(format!(
                "expected `run`, not `{}`",
                other.unwrap_or("")
            ))),
        }
    }

    pub(crate) fn parse_options(mut args: Arguments<'_>) -> Result<Self, UsageError> {
        let (mut container, mut timeout, mut grace) = (None, None, None);
        let (mut liveness, mut startup) = (None, None);
        let (mut ip_env, mut declared) = (Vec::new(), Vec::new());
        let (mut path, mut hook) = (None, None);
        let argv = loop {
            let name = args.next().ok_or_else(|| {
                UsageError::new("expected `-- EXE ARG...` or `--argv64 WORD` at the end")
            })?;
            match name {
                "--container" => once(&mut container, name, args.text(name)?)?,
                "--timeout" => once(&mut timeout, name, seconds(name, args.value(name)?)?)?,
                "--ip-env" => add(&mut ip_env, name, args.text(name)?)?,
                "--liveness" => once(&mut liveness, name, args.value(name)?.parse()?)?,
                "--startup" => once(&mut startup, name, args.value(name)?.parse()?)?,
                "--grace" => once(&mut grace, name, args.number(name)?)?,
                "--cplauncher" => once(&mut path, name, args.text(name)?)?,
                "--cplauncher-dll" => once(&mut hook, name, Hook::Dll(args.text(name)?))?,
                "--cplauncher-no-inject" => once(&mut hook, name, Hook::None)?,
                "--var" => add(&mut declared, name, args.text(name)?)?,
                "--" => break plain(args.rest())?,
                "--argv64" => {
                    let word = args.value(name)?;
                    let argv = argv64::decode(word)
                        .map_err(|why| UsageError::new(format!("--argv64 {word}: {why}")))?;
                    args.end()?;
                    break argv;
                }
                _ => return Err(unknown(name)),
            }
        };
        let cplauncher = match (path, hook) {
            (Some(path), hook) => Some(Cplauncher {
                path,
                hook: hook.unwrap_or_default(),
            }),
            (None, Some(_)) => return Err(UsageError::new("--cplauncher is missing")),
            (None, None) => None,
        };
        let run = Self {
            container: required(container, "--container")?,
            timeout_seconds: timeout.unwrap_or(DEFAULT_TIMEOUT),
            ip_env,
            liveness,
            startup,
            grace_seconds: grace,
            cplauncher,
            declared,
            argv,
        };
        run.check()
            .map_err(|fault| UsageError::new(fault.to_string()))?;
        Ok(run)
    }
}

/// The target in plain. It is expanded as an encoded one is, which changes nothing in it: so
/// nothing but plain arguments may stand here.
fn plain(argv: &[String]) -> Result<Vec<String>, UsageError> {
    match argv.iter().find(|argument| !is_plain_argument(argument)) {
        None => Ok(argv.to_vec()),
        Some(argument) => Err(UsageError::new(format!(
            "`{argument}` after `--` holds more than letters, digits and -_./\\:@+,=~#: \
             such arguments travel by --argv64, as the webhook writes it"
        ))),
    }
}

/// `180s`
fn seconds(name: &str, word: &str) -> Result<u32, UsageError> {
    word.strip_suffix('s').and_then(number).ok_or_else(|| {
        UsageError::new(format!(
            "{name} {word}: expected whole seconds such as 180s"
        ))
    })
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
