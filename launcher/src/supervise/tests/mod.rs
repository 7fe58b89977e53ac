#![allow(clippy::unwrap_used, clippy::panic)]

mod ending;
mod property;
mod stage;
mod start;
