//! 2,000 addresses over 50 Services: sockets and memory are bounded, and dead ones keep nobody waiting
//! for ever.

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::PATIENCE;
use crate::support::wait_until;
use crate::world::{World, service};

const SERVICES: usize = 50;
const ADDRESSES: usize = 40;
/// As the shared program is told by `--external-probes`.
const PLACES: usize = 64;

/// Accepts what comes, and answers none of it: a probe by TCP is passed, one by HTTP waits for its
/// timeout.
fn listen(stop: &Arc<AtomicBool>, open: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("0.0.0.0", 8090)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (stop, open, most) = (Arc::clone(stop), Arc::clone(open), Arc::clone(most));
    std::thread::spawn(move || {
        let mut held = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true).unwrap();
                    held.push(stream);
                }
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(1)),
            }
            // Those whose other end is closed are over.
            held.retain_mut(|stream: &mut std::net::TcpStream| {
                let mut bytes = [0; 512];
                loop {
                    match stream.read(&mut bytes) {
                        Ok(0) => return false,
                        Ok(_) => {}
                        Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
                    }
                }
            });
            open.store(held.len(), Ordering::SeqCst);
            most.fetch_max(held.len(), Ordering::SeqCst);
        }
    });
}

fn addresses(of: usize) -> String {
    let all: Vec<_> = (0..ADDRESSES)
        .map(|n| format!("10.245.{}.{}", 100 + of, 1 + n))
        .collect();
    all.join(",")
}

#[test]
fn two_thousand_addresses_take_bounded_sockets_and_memory() {
    let Some(world) = World::shared() else { return };
    let namespace = "scale";
    world.namespace(namespace);
    let (stop, open, most) = (Arc::default(), Arc::default(), Arc::default());
    listen(&stop, &open, &most);
    let started = Instant::now();
    let manifests: Vec<_> = (0..SERVICES)
        .map(|of| {
            let addresses = addresses(of);
            // A fifth of them hang: each probe of those has its socket for the whole timeout.
            let probe = if of % 5 == 4 {
                "http://:8090/"
            } else {
                "tcp://:8090"
            };
            let annotations = [
                ("external-addresses", &*addresses),
                ("external-probe", probe),
                ("external-probe-period", "10s"),
            ];
            service(&format!("albums-{of}"), &annotations, "")
        })
        .collect();
    world.apply(namespace, &manifests.join("\n---\n"));
    let program = || world.program.lock().unwrap();
    let well = ADDRESSES * SERVICES * 4 / 5;
    let count = |state: &str| {
        let series = format!("native_host_external_endpoints{{state=\"{state}\"}}");
        program().metric(&series)
    };
    wait_until("all that answer are ready", PATIENCE, || {
        let ready = world
            .admin
            .list(&format!(
                "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
            ))
            .unwrap();
        let ready = ready
            .iter()
            .flat_map(|slice| slice["endpoints"].as_array().unwrap());
        (ready
            .filter(|endpoint| endpoint["conditions"]["ready"] == true)
            .count()
            == well)
            .then_some(())
    });
    let ready_after = started.elapsed();
    let timeouts = || program().metric("native_host_external_probes_total{outcome=\"timeout\"}");
    // As many tries as there are dead ones: with 64 places, each of which a dead one holds for 2 s.
    wait_until("the dead ones are tried", PATIENCE, || {
        (timeouts() >= number(ADDRESSES * SERVICES / 5)).then_some(())
    });
    assert!(count("ready") >= number(well));
    let writes = program().metric("native_host_api_requests_total{request=\"update-slice\"}");
    // What this end has not seen closed yet is over at the other.
    let most = most.load(Ordering::SeqCst);
    let (sockets, resident) = usage(program().pid());
    println!(
        "{} addresses of {SERVICES} Services: all well ones ready after {ready_after:.1?}; {writes} slice updates in all; \
         {sockets} descriptors, {resident} KiB resident, at most {most} connections held at once",
        SERVICES * ADDRESSES
    );
    assert!(sockets < PLACES + 100, "{sockets} descriptors");
    assert!(resident < 200 * 1024, "{resident} KiB");
    world.kubectl(
        "default",
        &["delete", "namespace", namespace, "--wait=false"],
    );
    wait_until("nothing is probed any more", PATIENCE, || {
        world.kubectl(namespace, &["delete", "services", "--all"]);
        (program().metric("native_host_external_probes_in_flight") <= number(PLACES)).then_some(())
    });
    stop.store(true, Ordering::SeqCst);
}

/// As metrics have it.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// Open descriptors and KiB of resident memory of a process.
fn usage(pid: u32) -> (usize, u64) {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    (
        descriptors,
        line.split_whitespace().nth(1).unwrap().parse().unwrap(),
    )
}
