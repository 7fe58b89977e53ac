//! Windows: all of the launcher's `unsafe` code, one module a subject. What is decided is decided in the
//! library; here are calls, and what they need to be safe.
//!
//! Calls that not every Windows has, or that no test machine has (compartments, the Host Compute Network), are
//! looked up at run time, from system32 and nowhere else.

mod compartments;
mod console;
mod handle;
mod hcn;
mod job;
mod library;
mod look;
mod machine;
mod process;
mod rendezvous;
mod system;
mod tls;
mod windows;

pub(crate) use compartments::Compartments;
pub(crate) use job::leave_at_once;
pub(crate) use look::Look;
pub(crate) use machine::Windows;
pub(crate) use rendezvous::{Reached, Serving};
