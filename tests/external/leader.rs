//! The leader is killed, and no endpoint flaps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use native_host::names::LEASE;

use crate::PATIENCE;
use crate::process::Process;
use crate::program::{Certificate, Program};
use crate::support::install::HOME;
use crate::support::{ControlPlane, Options, wait_until};
use crate::world::{CLUSTER, World, quick, service};
use crate::{admin::Admin, inside};
use std::sync::Mutex;

/// Who holds the Lease.
fn leader(world: &World) -> Option<String> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/{LEASE}");
    let lease = world.admin.get(&path).ok()?;
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    (!holder.is_empty()).then(|| holder.to_owned())
}

/// A control plane of its own: the controllers of this one die.
#[test]
fn a_leader_that_is_killed_flaps_no_endpoint() {
    if !inside() {
        return;
    }
    let Some(plane) = ControlPlane::start_or_skip(&Options::apiserver_only()) else {
        return;
    };
    let plane: &'static ControlPlane = Box::leak(Box::new(plane));
    plane.install_roles();
    let kubeconfig = plane.program_kubeconfig("native-host", None);
    let start = |name| {
        let flags = ["--lease-duration=3s", "--shutdown-delay=0s", CLUSTER];
        Program::start_with(plane, name, Certificate::SelfSigned, &kubeconfig, &flags)
    };
    let mut first = start("first");
    let world = World {
        plane,
        admin: Admin::new(plane),
        program: Mutex::new(start("second")),
    };
    let (namespace, name) = ("leader", "albums");
    world.namespace(namespace);
    let mut processes = ["10.245.50.1", "10.245.50.2"].map(Process::start);
    world.apply(
        namespace,
        &service(name, &quick("10.245.50.1,10.245.50.2,10.245.50.3"), ""),
    );
    let both = ["10.245.50.1", "10.245.50.2"];
    world.until_ready(namespace, name, &both);
    let version = |world: &World| -> BTreeMap<String, String> {
        let slices = world.slices(namespace, name).into_iter();
        slices
            .map(|slice| {
                (
                    slice["metadata"]["name"].to_string(),
                    slice["metadata"]["resourceVersion"].to_string(),
                )
            })
            .collect()
    };

    // Every look at the slices from here on; each write makes another version.
    let (before, probes) = (version(&world), processes[0].probes());
    let old = wait_until("somebody leads", PATIENCE, || leader(&world));
    let stop = Arc::new(AtomicBool::new(false));
    let (versions, taken) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut seen = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let now = version(&world);
                if seen.last() != Some(&now) {
                    seen.push(now);
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            seen
        });
        // Whichever it is, both are killed in turn, and come back: the second time the leader is the other one.
        first.kill();
        let mid = wait_until("somebody leads", PATIENCE, || {
            leader(&world).filter(|_| processes[0].probes() > probes)
        });
        first.begin();
        world.program.lock().unwrap().kill();
        let after = processes[0].probes();
        let new = wait_until("another one leads and probes", PATIENCE, || {
            leader(&world)
                .filter(|holder| *holder != mid || *holder != old)
                .filter(|_| processes[0].probes() >= after + 3)
        });
        stop.store(true, Ordering::SeqCst);
        (looking.join().unwrap(), new)
    });
    assert_eq!(
        versions,
        [before],
        "nothing was written by {old} or {taken}"
    );

    // It has taken over what it did not change.
    processes[1].stop();
    world.until_ready(namespace, name, &["10.245.50.1"]);
    let _back = Process::start("10.245.50.2");
    world.until_ready(namespace, name, &both);
    // The program has to go before its control plane.
    first.kill();
}
