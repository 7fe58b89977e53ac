//! The anchor: the companion pod that owns the network compartment, and the controller that keeps
//! the pair whole.
//!
//! Pure: what an anchor is, and what a pair needs next.
//! - [`mod@manifest`]: an anchor, given its HP pod; [`recipe`]: the request that creates it.
//! - [`status`]: what the HP pod is told of it.
//! - [`view`]: what the rules look at, of either pod.
//! - [`pair`]: from two views to the next steps; [`rules`]: its numbers; [`answer`]: its words.
//!
//! The controller:
//!
//! ```text
//!  watches --> index --> queue --> workers --> pair --> writer --> API server
//!                                                  \-> events
//!  Lease --> leadership: a fence that every write asks
//! ```
//! - [`controller`]: what runs when.
//! - [`index`]: all pairs, as the watches show them; [`packed`]: in little memory.
//! - [`slim`]: pods, decoded as far as anybody looks at them.
//! - [`queue`]: the pairs that want to be looked at.
//! - [`worker`]: one turn for one pair.
//! - [`writer`]: the requests, each safe to send late or twice.
//! - [`leadership`]: who leads.
//! - [`events`], [`metrics`]: what is told; [`limits`]: how often.
//! - [`misses`]: what selects a workload's labels and so misses its anchors.
//! - [`audit`]: what has gone wrong where nobody was asked.

pub mod answer;
pub mod audit;
pub mod controller;
pub mod events;
pub mod index;
pub mod leadership;
pub mod limits;
pub mod manifest;
pub mod metrics;
pub mod misses;
pub mod packed;
pub mod pair;
pub mod queue;
pub mod recipe;
pub mod rules;
pub mod slim;
pub mod status;
pub mod view;
pub mod worker;
pub mod writer;

pub use manifest::{Owner, is_name, manifest, name};
