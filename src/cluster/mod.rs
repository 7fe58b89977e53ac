//! Talking to the API server: the way there, and watches that outlive every failure.

pub mod client;
pub mod failure;
pub mod follow;

pub use client::{ClientError, client};
pub use failure::Chain;
pub use follow::{Sink, follow};
