//! The program as it is deployed, in front of a real API server, scheduler and controller manager.
//!
//! - [`real::example`]: what users copy, field by field as it is stored.
//! - [`real::workloads`]: from one label to a pod on a Windows node, for every kind of workload.
//! - [`real::refusals`], [`real::policies`]: what a person reads in the terminal.
//! - [`real::again`]: pods that come back: from a backup, from `native-host inject`, forged.
//! - [`real::injectors`]: beside another mutating webhook.
//! - [`real::bystanders`], [`real::outage`], [`real::upgrade`]: who is asked, and what happens when
//!   nobody answers, while the certificate changes and while instances come and go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod real;
mod support;
