//! What a Windows node makes of the text in a pod, as executable specification. Pure: nothing
//! here runs on Windows, and everything here says what Windows will do.
//!
//! - [`pipeline`]: how `command` and `args` become one command line, and an argument vector again;
//!   which arguments come out as they went in.
//! - [`cmd`]: what `cmd /c` does to that line.
//! - [`path`]: absolute paths, and patterns of them, compared as Windows compares.
//! - [`account`]: the accounts of `runAsUserName`.
//!
//! ```text
//! command, args --EscapeArg, join--> line --[cmd /c]--> line --C run time--> argv
//! ```
//!
//! Where documentation, sources and a real program disagree, the model takes the careful side: it
//! refuses what might not arrive, and takes for different what might be the same.

pub mod account;
pub mod cmd;
mod fold;
pub mod path;
pub mod pipeline;

pub use account::{Account, AccountKind};
pub use path::{PathPattern, WindowsPath};
pub use pipeline::{Fault, Mangled};
