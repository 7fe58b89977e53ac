//! native-host: native Windows programs as full Kubernetes workloads.
//!
//! - [`names`]: the vocabulary; every label, annotation, variable and path.
//! - [`windows`]: what a Windows node makes of a command line, a path and an account; pure.

pub mod names;
pub mod windows;
