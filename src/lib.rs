//! native-host: native Windows programs as full Kubernetes workloads.
//!
//! - [`names`]: the vocabulary; every label, annotation, variable and path.
//! - [`windows`]: what a Windows node makes of a command line, a path and an account; pure.
//! - [`policy`]: annotations in, [`policy::Policy`] out; pure, and the only parser of them.
//! - [`plan`]: the pure core; pod and policy in, decision out.
//! - [`admission`]: `AdmissionReview` in, patch out.

pub mod admission;
pub mod names;
pub mod plan;
pub mod policy;
pub mod windows;
