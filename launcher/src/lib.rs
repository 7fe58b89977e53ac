//! The contract between the webhook and `native-host-launcher.exe`: what the one writes into a
//! pod's `command`, the other reads on the node. Both use this library, so they cannot disagree. And
//! all of the launcher that is not a call of Windows, so that it is tested anywhere.
//!
//! The contract:
//!
//! - [`run`]: the command line that wraps a target.
//! - [`probe`]: a liveness or startup probe as one word, for the launcher to carry out.
//! - [`command`]: every subcommand, parsed; `stop`, `probe` and `install`.
//! - [`expand`](mod@expand): `$(VAR)` and the mount point, for arguments that travel encoded.
//! - [`word`]: which characters nothing on the way touches, and the escaping of all others.
//! - [`exit`]: the launcher's own exit codes.
//! - [`names`]: variables, files and places that both sides spell.
//!
//! What the launcher does with it:
//!
//! - [`supervise`]: `run`, from the anchor's [`status`] and its [`compartment`] to the target's end.
//! - [`check`]: the process that makes sure that a job is in the compartment.
//! - [`stop`]: how the preStop hook reaches a running launcher.
//! - [`probing`]: carrying a probe out, by the kubelet's rules.
//! - [`program`], [`command_line`], [`environment`]: which file a target is, and how it is started.
//! - [`install`](mod@install): how the launcher gets to where containers find it.
//! - [`doctor`], [`help`]: for people.
//! - [`report`]: the one line that says why the launcher failed.
//! - [`json`], [`timestamp`]: just enough of both.
//!
//! The standard library only: the launcher is to stay a few hundred kilobytes.

mod argv64;
pub mod check;
pub mod command;
pub mod command_line;
pub mod compartment;
pub mod doctor;
pub mod environment;
pub mod exit;
pub mod expand;
pub mod help;
pub mod install;
pub mod json;
pub mod names;
mod options;
pub mod probe;
pub mod probing;
pub mod program;
pub mod report;
pub mod run;
pub mod status;
pub mod stop;
pub mod supervise;
pub mod timestamp;
pub mod word;

pub use command::{Command, Doctor, Install, ProbeCommand, Stop};
pub use command_line::CommandLine;
pub use exit::Exit;
pub use expand::{expand, references, replace_mount_point};
pub use options::UsageError;
pub use probe::{Action, Probe};
pub use run::{Cplauncher, Hook, Run, Unwritable};
