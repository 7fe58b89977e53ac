//! A simulated Windows node: what kubelet, containerd and hcsshim make of the pods bound to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Until the node itself uses them.
#![allow(dead_code, unused_imports)]

mod env;
mod objects;
mod probes;
mod volumes;

fn main() {
    eprintln!("windows-node: its parts only; see the tests");
}
