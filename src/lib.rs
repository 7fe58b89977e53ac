//! native-host: native Windows programs as full Kubernetes workloads.
//!
//! - [`names`]: the vocabulary; every label, annotation, variable and path.

pub mod names;
