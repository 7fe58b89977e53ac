//! `AdmissionReview` in, patch out.
//!
//! - [`review`]: one review, decoded and answered without IO.
//! - [`server`]: the two ports, from configuration to drain; [`limits`] bounds them.
//! - `routes`, `body`: a request of the HTTPS port; `operations`, [`readiness`]: of the other.
//! - `connection`, `connections`, `read_ahead`: what lies below HTTP.
//! - [`tls`], [`certificates`], [`self_signed`]: who we are.
//! - [`metrics`]: what is counted.

mod body;
pub mod certificates;
mod connection;
mod connections;
pub mod limits;
pub mod metrics;
mod operations;
mod read_ahead;
pub mod readiness;
pub mod review;
mod routes;
pub mod self_signed;
pub mod server;
pub mod tls;

pub use review::Answer;
pub use routes::Reviews;
