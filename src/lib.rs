//! native-host: native Windows programs as full Kubernetes workloads.
//!
//! - [`names`]: the vocabulary; every label, annotation, variable and path.
//! - [`json`]: raw JSON; a cursor that decodes only what a rule names.
//! - [`windows`]: what a Windows node makes of a command line, a path and an account; pure.
//! - [`policy`]: annotations in, policy out; the only parser of them; pure.
//! - [`plan`]: the pure core; pod and policy in, decision out.
//! - [`anchor`]: the companion pod that owns the network compartment, and the controller that keeps
//!   every pair whole.
//! - [`external`]: Services of processes that Kubernetes does not run: their endpoints and health.
//! - [`admission`]: `AdmissionReview` in, patch out.
//! - [`cluster`]: the way to the API server, and watches that outlive every failure.
//! - [`cli`]: arguments in, one command out; one file a subcommand.

pub mod admission;
pub mod anchor;
pub mod cli;
mod closed_set;
pub mod cluster;
#[cfg(test)]
mod documentation;
pub mod external;
pub mod json;
pub mod names;
pub mod plan;
pub mod policy;
pub mod windows;
