//! The pure core: pod, policy and settings in; inject, skip or reject out.

pub mod reason;
