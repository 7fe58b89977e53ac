//! The server as its clients meet it: over real sockets, with a review that does as it is told.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod client;
mod evictions;
mod harness;
mod limits;
mod operations;
mod process;
mod requests;
mod shutdown;
mod siege;
