//! `AdmissionReview` in, patch out.
//!
//! - [`review`]: one review, decoded and answered without IO.
//! - `answer`: the response, and what logs and metrics say of it.
//! - [`offline`]: the same decisions without a server.
//! - [`evictions`]: the one kind of review that looks at the cluster first.
//! - [`authorize`]: who may use an account, where a namespace has it asked.
//! - `external`: external Services, which are looked at with their surroundings.
//! - `services`, `namespaces_kind`, `templates`: the objects besides pods.
//!
//! Around them, what listens:
//!
//! - [`server`]: the two ports, from configuration to drain; [`limits`] bounds them.
//! - `routes`, `body`: a request of the HTTPS port; `operations`, [`readiness`]: of the other.
//! - `connection`, `connections`, `read_ahead`: what lies below HTTP.
//! - [`tls`], [`certificates`], [`self_signed`], [`clients`]: who we are, and who may ask.
//! - [`namespaces`]: the policies, from a watch or a file.
//! - [`metrics`]: what is counted.
//! - [`shared_authority`]: one self-signed CA for all replicas.

mod answer;
pub mod authorize;
mod body;
pub mod certificates;
pub mod clients;
mod connection;
mod connections;
pub mod evictions;
mod external;
pub mod limits;
pub mod metrics;
pub mod namespaces;
mod namespaces_kind;
pub mod offline;
mod operations;
mod read_ahead;
pub mod readiness;
pub mod review;
mod routes;
pub mod self_signed;
pub mod server;
mod services;
pub mod shared_authority;
mod templates;
pub mod tls;

pub use answer::{Answer, Denial, Details};
pub use review::{Door, Review, Unavailable};
pub use routes::{Policied, Reviews};
