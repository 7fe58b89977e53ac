//! Talking to the API server: the way there, and watches that outlive every failure.

pub mod client;
pub mod failure;
pub mod follow;

pub use client::{ClientError, client};
pub use failure::Chain;
pub use follow::{Sink, follow};

/// Whether a name can stand in a URL's path as it is, as every name of a pod and a namespace can
/// (DNS subdomain, RFC 1123). Some names come from anybody: the API server does not check the one in
/// an ownerReference, and kube does not escape what it puts into a path. `../secrets/x` would be
/// asked for with our rights.
pub fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    name.len() <= 253
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(plain)
}
