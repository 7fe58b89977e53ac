//! The launcher itself, a Windows program, run under wine in the way a node runs it, from `cmd /c` on. What wine
//! lacks, network compartments and the Host Compute Network, is answered by a DLL of ours from files, so
//! that every call is really made, in its order, and seen.
//!
//! Not seen here, since wine cannot: what Windows makes of those calls; CTRL_BREAK but by the stand-in;
//! windows that are asked to close.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]
#![cfg(unix)]

mod container;
mod cost;
mod cplauncher;
mod endings;
mod failures;
mod probes;
mod target;
mod tools;

use native_host_launcher::Run;

/// The launcher's arguments for a target.
fn run(argv: &[&str]) -> Run {
    let argv = argv.iter().map(|&argument| argument.to_owned()).collect();
    let mut run = Run::new("albums", argv);
    run.timeout_seconds = 60;
    run
}

/// What a container's calls must be from the compartment's setting on: one check process, and at the very end the
/// leaving, by the process that entered.
#[track_caller]
fn entered_and_left(calls: &[(u32, String, String)]) {
    let set = |number: u32| format!("SetJobCompartmentId compartment={number}");
    let entered = calls
        .iter()
        .position(|(_, call, _)| *call == set(container::COMPARTMENT));
    let calls = &calls[entered.unwrap_or_else(|| panic!("never entered: {calls:?}"))..];
    let last = calls.last().unwrap();
    assert_eq!(
        (last.1.as_str(), last.0),
        (set(0).as_str(), calls[0].0),
        "{calls:?}"
    );
    let sets = calls
        .iter()
        .filter(|(_, call, _)| call.starts_with("SetJobCompartmentId"));
    assert_eq!(sets.count(), 2, "{calls:?}");
}

/// Every pod of a workload copies it to its node.
#[test]
fn the_program_is_small() {
    let Some(container) = container::Container::lease() else {
        return;
    };
    let program = container.file("native-host/bin/native-host-launcher.exe");
    let size = std::fs::metadata(program).unwrap().len();
    assert!(
        size <= 400_000,
        "{size} bytes; with the standard library's source (rustup component add rust-src) less"
    );
}
