//! `native-host status` and `native-host explain` as a person runs them: the very binary, on a real API
//! server, with pods made by hand in every state that the two tell apart.
//!
//! - [`status::table`]: what is printed once.
//! - [`status::watch`]: what goes on being printed, and how it ends.
//! - [`status::explain`]: what is told in sentences.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod status;
mod support;
