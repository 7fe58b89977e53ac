//! The anchor: the companion pod that owns the network compartment.
//!
//! - [`manifest`]: what an anchor is, given its HP pod; pure.

pub mod manifest;

pub use manifest::{Owner, manifest, name};
