//! External Services: processes that Kubernetes does not run, among a Service's endpoints while they
//! answer their probes.
//!
//! ```text
//!  Service --> spec --.                   .--> probes --> health --.
//!  Nodes --> candidates --> reach (allowed?) --------------------> endpoints --> slices --> API server
//!  Namespace, ranges of the cluster --'
//! ```
//!
//! Pure: what is wanted, and what is to be written.
//! - [`spec`]: what a Service asks for; [`reader`]: its annotations and ports, read strictly; [`grammar`]: their values.
//! - [`reach`]: which addresses may be published at all.
//! - [`node`]: what is looked at of a node; [`endpoints`]: from addresses, nodes and health to endpoints.
//! - [`health`]: what probes add up to.
//! - [`slices`]: from endpoints to the fewest writes.
//!
//! On the leader, beside the anchor controller:
//! - [`controller`]: what runs when; [`index`]: what the watches show; [`ranges`]: the cluster's own networks.
//! - [`worker`]: one turn for one Service; [`writer`]: its requests; [`words`]: its Events.
//! - [`probe`]: one attempt; [`prober`]: all of them, so many at a time; [`board`]: what came of them.
//! - [`metrics`]: what is counted.
//!
//! For people: [`look`], a Service at a glance.

pub mod board;
pub mod controller;
pub mod endpoints;
pub mod grammar;
pub mod health;
pub mod index;
pub mod look;
pub mod metrics;
pub mod node;
pub mod probe;
pub mod prober;
pub mod ranges;
pub mod reach;
pub mod reader;
pub mod slices;
pub mod spec;
pub mod words;
pub mod worker;
pub mod writer;
