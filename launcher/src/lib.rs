//! The contract between the webhook and `native-host-launcher.exe`: what the one writes into a
//! pod's `command`, the other reads on the node. Both use this library, so they cannot disagree.
//!
//! - [`run`]: the command line that wraps a target.
//! - [`probe`]: a liveness or startup probe as one word, for the launcher to carry out.
//! - [`command`]: every subcommand, parsed; `stop`, `probe` and `install`.
//! - [`expand`](mod@expand): `$(VAR)` and the mount point, for arguments that travel encoded.
//! - [`word`]: which characters nothing on the way touches, and the escaping of all others.
//! - [`exit`]: the launcher's own exit codes.
//!
//! The standard library only: the launcher is to stay a few hundred kilobytes.

mod argv64;
pub mod check;
pub mod command;
pub mod compartment;
pub mod environment;
pub mod exit;
pub mod expand;
pub mod json;
pub mod names;
mod options;
pub mod probe;
pub mod program;
pub mod report;
pub mod run;
pub mod status;
pub mod supervise;
pub mod timestamp;
pub mod word;

pub use command::{Command, Install, ProbeCommand, Stop};
pub use exit::Exit;
pub use expand::{expand, references, replace_mount_point};
pub use options::UsageError;
pub use probe::{Action, Probe};
pub use run::{Cplauncher, Hook, Run, Unwritable};
