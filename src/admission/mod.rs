//! `AdmissionReview` in, patch out.
//!
//! - [`review`]: one review, decoded and answered without IO.
//! - `answer`: the response, and what logs and metrics say of it.
//! - [`offline`]: the same decisions without a server.
//! - `services`, `namespaces_kind`, `templates`: the objects besides pods.

mod answer;
mod namespaces_kind;
pub mod offline;
pub mod review;
mod services;
mod templates;

pub use answer::{Answer, Denial};
pub use review::{Door, Review, Unavailable};
