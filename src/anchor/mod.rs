//! The anchor: the companion pod that owns the network compartment.
//!
//! - [`mod@manifest`]: what an anchor is, given its HP pod; pure.

pub mod manifest;

pub use manifest::{Owner, is_name, manifest, name};
