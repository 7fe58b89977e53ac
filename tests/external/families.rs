//! IPv6 and dual stack.

use std::process::Command;

use crate::process::Process;
use crate::world::{World, quick, service};

/// Gives this machine an IPv6 address; only in the network of pods. Gives whether that worked.
fn has_v6(address: &str) -> bool {
    let add = ["-6", "address", "replace", address, "dev", "lo", "nodad"];
    let made = Command::new("ip").args(add).output();
    made.is_ok_and(|output| output.status.success())
}

#[test]
fn each_family_has_slices_of_its_own() {
    let Some(world) = World::shared() else { return };
    let namespace = "families";
    world.namespace(namespace);
    let v6 = has_v6("fd00:245::1/128");
    let _v4 = Process::start("10.245.30.1");
    let _v6 = v6.then(|| Process::start("fd00:245::1"));
    if !v6 {
        println!(
            "this machine has no IPv6: its addresses are published, and not probed with success"
        );
    }
    // Of a single-stack cluster a Service has one family; a headless one without a selector has both.
    let warned = world.apply(namespace, &service("both", &quick("10.245.30.1,fd00:245::1"), "clusterIP: None\n  ports: [{port: 8080}]\n  ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: RequireDualStack"));
    assert!(!warned.contains("not published"), "{warned}");
    world.until_published(namespace, "both", &["10.245.30.1", "fd00:245::1"]);
    let expected: &[&str] = if v6 {
        &["10.245.30.1", "fd00:245::1"]
    } else {
        &["10.245.30.1"]
    };
    world.until_ready(namespace, "both", expected);
    let mut types: Vec<_> = world
        .slices(namespace, "both")
        .iter()
        .map(|slice| slice["addressType"].to_string())
        .collect();
    types.sort();
    assert_eq!(types, ["\"IPv4\"", "\"IPv6\""]);

    world.apply(
        namespace,
        &service("v4", &quick("10.245.30.1,fd00:245::1"), ""),
    );
    world.until_ready(namespace, "v4", &["10.245.30.1"]);
    world.until_published(namespace, "v4", &["10.245.30.1"]);
    // Now that the API server has set its family, that is said.
    let warned = world.apply(
        namespace,
        &service(
            "v4",
            &quick("10.245.30.1,fd00:245::1,fd00:245::2"),
            "ipFamilies: [IPv4]",
        ),
    );
    assert!(warned.contains("fd00:245::1 is not published"), "{warned}");
}
