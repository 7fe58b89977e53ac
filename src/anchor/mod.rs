//! The anchor: the companion pod that owns the network compartment, and what keeps the pair whole.
//!
//! Pure: what an anchor is, and what a pair needs next.
//! - [`mod@manifest`]: an anchor, given its HP pod.
//! - [`status`]: what the HP pod is told of it.
//! - [`view`]: what the rules look at, of either pod.
//! - [`rules`]: their numbers.
//! - [`pair`]: from two views to the next steps.

pub mod manifest;
pub mod pair;
pub mod rules;
pub mod status;
pub mod view;

pub use manifest::{Owner, manifest, name};
