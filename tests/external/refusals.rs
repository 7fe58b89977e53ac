//! What the webhook says at `kubectl apply`.

use crate::world::{World, quick, service};

#[test]
fn each_forbidden_address_is_refused_with_its_reason() {
    let Some(world) = World::shared() else { return };
    let namespace = "refused";
    world.namespace_with(namespace, "0.0.0.0/0, ::/0");
    for (address, reason) in [
        ("0.0.0.0", "is no address of a machine"),
        ("127.0.0.1", "is a loopback address"),
        ("::1", "is a loopback address"),
        ("169.254.169.254", "is link-local"),
        ("fe80::1", "is link-local"),
        ("224.0.0.1", "is a multicast address"),
        ("ff02::1", "is a multicast address"),
        ("255.255.255.255", "is reserved"),
        ("::ffff:10.1.1.1", "is an IPv4 address written as IPv6"),
        ("64:ff9b::7f00:1", "is a loopback address"),
        // The API server's own range, by its ServiceCIDR; the pods' by the flag.
        ("10.96.0.1", "lies in 10.96.0.0/16, the cluster's own"),
        ("10.244.3.4", "lies in 10.244.0.0/16, the cluster's own"),
        ("fd00:244::1", "lies in fd00:244::/64, the cluster's own"),
    ] {
        let said = world.refused(
            namespace,
            &service("a", &[("external-addresses", address)], ""),
        );
        let expected = format!(
            "metadata.annotations[native-host.io/external-addresses]: \"{address}\": {reason}"
        );
        assert!(said.contains(&expected), "{address}: {said}");
    }
    world.namespace_with("refused-all", "");
    let said = world.refused(
        "refused-all",
        &service("a", &[("external-addresses", "10.245.1.1")], ""),
    );
    assert!(
        said.contains("this namespace allows no external addresses"),
        "{said}"
    );
    let said = world.refused(
        "refused-all",
        &service("a", &[("external-nodes", "a=b")], ""),
    );
    assert!(
        said.contains("this namespace allows no external addresses"),
        "{said}"
    );
    world.namespace("refused-some");
    let said = world.refused(
        "refused-some",
        &service("a", &[("external-addresses", "10.245.1.1,192.0.2.1")], ""),
    );
    assert!(
        said.contains("\"192.0.2.1\": lies in none of the networks")
            && !said.contains("\"10.245.1.1\""),
        "{said}"
    );
}

#[test]
fn what_no_external_service_can_be_is_refused() {
    let Some(world) = World::shared() else { return };
    let namespace = "refused-shapes";
    world.namespace(namespace);
    let good = quick("10.245.1.1");
    for (more, expected) in [
        (
            "selector: {app: albums}",
            "spec.selector: Kubernetes itself would publish",
        ),
        (
            "ports: [{port: 80, targetPort: http}]",
            "spec.ports[0].targetPort: \"http\": a name is looked up in pods",
        ),
        (
            "type: ExternalName\n  externalName: albums.example.com",
            "spec.type: \"ExternalName\"",
        ),
    ] {
        let said = world.refused(namespace, &service("a", &good, more));
        assert!(said.contains(expected), "{said}");
    }
    for (key, value, expected) in [
        (
            "external-probe",
            "http://10.245.1.1:80/",
            "leave the host out",
        ),
        ("external-probe-period", "10", "expected a time"),
        (
            "external-adresses",
            "10.245.1.1",
            "did you mean native-host.io/external-addresses?",
        ),
    ] {
        let annotations = [&good[..], &[(key, value)]].concat();
        let said = world.refused(namespace, &service("a", &annotations, ""));
        assert!(said.contains(expected), "{said}");
    }
    // What is right passes, and can be changed into nothing that is wrong.
    world.apply(namespace, &service("a", &good, ""));
    let said = world.refused(namespace, &service("a", &good, "selector: {app: albums}"));
    assert!(said.contains("spec.selector"), "{said}");
    // Others are not asked about: a plain Service, and one that says that it is none.
    world.apply(namespace, "{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {selector: {app: x}, ports: [{port: 80, targetPort: http}]}}");
    let not = service("c", &good, "selector: {app: albums}").replace("'true'", "'false'");
    world.apply(namespace, &not);
}

#[test]
fn a_hand_made_slice_is_warned_of_and_said() {
    let Some(world) = World::shared() else { return };
    let namespace = "refused-slice";
    world.namespace(namespace);
    world.apply(
        namespace,
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: by-hand, labels: {kubernetes.io/service-name: albums}}, \
         addressType: IPv4, endpoints: [{addresses: [10.245.1.9]}], ports: [{port: 8080}]}",
    );
    let warned = world.apply(namespace, &service("albums", &quick("10.245.1.1"), ""));
    assert!(
        warned.contains("Warning:") && warned.contains("EndpointSlice by-hand"),
        "{warned}"
    );
    world.event(
        namespace,
        "albums",
        "ForeignEndpointSlice",
        "EndpointSlice by-hand",
    );
    let warned = world.apply(
        namespace,
        &service("other", &quick("10.245.1.1"), "clusterIP: None"),
    );
    assert!(warned.contains("clients have to use 8080"), "{warned}");
}
