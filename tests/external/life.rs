//! The life of an external Service: processes that stop and come back, addresses that change, people who
//! write where the controller writes.

use std::time::{Duration, Instant};

use native_host::names::label;
use serde_json::json;

use crate::PATIENCE;
use crate::process::Process;
use crate::support::wait_until;
use crate::world::{World, quick, service};

#[test]
fn a_process_that_stops_is_out_after_its_failures_and_back_after_one_success() {
    let Some(world) = World::shared() else { return };
    let (namespace, name) = ("life-stops", "albums");
    world.namespace(namespace);
    let (mut one, two) = (Process::start("10.245.1.1"), Process::start("10.245.1.2"));
    world.apply(
        namespace,
        &service(name, &quick("10.245.1.1,10.245.1.2"), ""),
    );
    world.until_ready(namespace, name, &["10.245.1.1", "10.245.1.2"]);
    assert!(one.probes() > 0 && two.probes() > 0);

    let stopped = Instant::now();
    one.stop();
    world.until_ready(namespace, name, &["10.245.1.2"]);
    let out = stopped.elapsed();
    // It stays published, so that one sees where it should be.
    let seen = &world.endpoints(namespace, name)[&one.ip()];
    assert!(!seen.ready && !seen.serving);
    let said = world.event(namespace, name, "ExternalDown", "10.245.1.1");
    assert!(
        said.contains("connection refused") && said.contains("1 of 2 ready"),
        "{said}"
    );

    // As many probes as it has periods; failed ones do not come sooner than that.
    let started = Instant::now();
    let one = Process::start("10.245.1.1");
    world.until_ready(namespace, name, &["10.245.1.1", "10.245.1.2"]);
    let back = started.elapsed();
    assert!(
        (1..=3).contains(&one.probes()),
        "one success is enough: {}",
        one.probes()
    );
    world.event(namespace, name, "ExternalReady", "10.245.1.1");
    println!(
        "period 1 s, 2 failures: out after {out:.1?} (bound 3 s), back after {back:.1?} (bound 2 s)"
    );
}

#[test]
fn what_is_all_down_stays_published_and_fail_open_keeps_it_ready() {
    let Some(world) = World::shared() else { return };
    let namespace = "life-open";
    world.namespace(namespace);
    let mut process = Process::start("10.245.2.1");
    // The second never ran: it was not ready last, so it does not become ready by this.
    let addresses = "10.245.2.1,10.245.2.2";
    world.apply(namespace, &service("shut", &quick(addresses), ""));
    let open = [&quick(addresses)[..], &[("external-fail-open", "true")]].concat();
    world.apply(namespace, &service("open", &open, ""));
    for name in ["shut", "open"] {
        world.until_ready(namespace, name, &["10.245.2.1"]);
    }
    process.stop();
    world.until_ready(namespace, "shut", &[]);
    world.until_published(namespace, "shut", &["10.245.2.1", "10.245.2.2"]);
    // It has been asked as often by now.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(world.ready(namespace, "open"), ["10.245.2.1"]);
    // What is up is enough for the last ones to be forgotten.
    let _two = Process::start("10.245.2.2");
    world.until_ready(namespace, "open", &["10.245.2.2"]);
}

#[test]
fn slices_follow_the_service_and_go_with_it() {
    let Some(world) = World::shared() else { return };
    let (namespace, name) = ("life-follows", "albums");
    world.namespace(namespace);
    let addresses = |count: u32| {
        let all: Vec<_> = (0..count)
            .map(|n| format!("10.245.{}.{}", 10 + n / 200, 1 + n % 200))
            .collect();
        all.join(",")
    };
    let ports = "ports: [{name: http, port: 80, targetPort: 8080, appProtocol: http}, {name: dns, port: 53, targetPort: 5353, protocol: UDP}]";
    world.apply(namespace, &service(name, &quick(&addresses(250)), ports));
    let slices = wait_until("250 addresses in three slices", PATIENCE, || {
        let slices = world.slices(namespace, name);
        (slices.len() == 3 && world.endpoints(namespace, name).len() == 250).then_some(slices)
    });
    for slice in &slices {
        assert!(slice["endpoints"].as_array().unwrap().len() <= 100);
        assert_eq!(
            slice["metadata"]["labels"][label::SLICE_MANAGED_BY],
            label::SLICE_MANAGED_BY_US
        );
        let owner = &slice["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["kind"], &owner["name"]),
            (&json!("Service"), &json!(name))
        );
        assert_eq!(
            slice["ports"],
            json!([
                {"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http"},
                {"name": "dns", "port": 5353, "protocol": "UDP"},
            ])
        );
    }
    // Fewer addresses, another port.
    let ports = "ports: [{name: http, port: 80, targetPort: 8081}]";
    world.apply(namespace, &service(name, &quick(&addresses(3)), ports));
    wait_until("three addresses and one port", PATIENCE, || {
        let slices = world.slices(namespace, name);
        let one = slices.len() == 1
            && slices[0]["endpoints"]
                .as_array()
                .is_some_and(|all| all.len() == 3);
        (one && slices[0]["ports"][0]["port"] == 8081).then_some(())
    });

    // Who writes into it by hand finds it put right.
    let slice = world.slices(namespace, name)[0].clone();
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{}",
        slice["metadata"]["name"].as_str().unwrap()
    );
    let forged =
        json!({"endpoints": [{"addresses": ["10.245.99.99"], "conditions": {"ready": true}}]});
    world.admin.merge(&path, &forged).unwrap();
    world.until_published(
        namespace,
        name,
        &["10.245.10.1", "10.245.10.2", "10.245.10.3"],
    );
    // And who deletes it.
    world.admin.delete(&path).unwrap();
    world.until_published(
        namespace,
        name,
        &["10.245.10.1", "10.245.10.2", "10.245.10.3"],
    );

    // Without the label it is nobody's.
    world.kubectl(
        namespace,
        &["label", "service", name, "native-host.io/external-"],
    );
    wait_until("no slice is left", PATIENCE, || {
        world.slices(namespace, name).is_empty().then_some(())
    });
    world.apply(namespace, &service(name, &quick("10.245.10.1"), ""));
    world.until_published(namespace, name, &["10.245.10.1"]);
    world.kubectl(namespace, &["delete", "service", name]);
    wait_until("no slice is left", PATIENCE, || {
        world.slices(namespace, name).is_empty().then_some(())
    });
}

#[test]
fn a_tcp_probe_asks_every_port_that_is_published() {
    let Some(world) = World::shared() else { return };
    let namespace = "life-tcp";
    world.namespace(namespace);
    let _web = Process::start("10.245.3.1");
    let ports = "ports: [{name: http, port: 80, targetPort: 8080}, {name: admin, port: 81, targetPort: 8081}]";
    let annotations = [
        ("external-addresses", "10.245.3.1"),
        ("external-probe-period", "1s"),
    ];
    world.apply(namespace, &service("albums", &annotations, ports));
    world.until_published(namespace, "albums", &["10.245.3.1"]);
    let mut admin = Process::at("10.245.3.1:8081".parse().unwrap());
    world.until_ready(namespace, "albums", &["10.245.3.1"]);
    admin.stop();
    world.until_ready(namespace, "albums", &[]);
    world.event(
        namespace,
        "albums",
        "ExternalDown",
        "port 8081: connection refused",
    );
}
