#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn cidrs(all: &[&str]) -> Vec<Cidr> {
    all.iter().map(|one| one.parse().unwrap()).collect()
}

#[test]
fn some_addresses_are_never_published_whatever_is_allowed() {
    let everything = cidrs(&["0.0.0.0/0", "::/0"]);
    for (address, fault) in [
        ("0.0.0.0", Fault::Unspecified),
        ("0.1.2.3", Fault::Unspecified),
        ("::", Fault::Unspecified),
        ("127.0.0.1", Fault::Loopback),
        ("127.255.0.1", Fault::Loopback),
        ("::1", Fault::Loopback),
        ("169.254.169.254", Fault::LinkLocal),
        ("fe80::1", Fault::LinkLocal),
        ("febf::1", Fault::LinkLocal),
        ("224.0.0.1", Fault::Multicast),
        ("239.255.255.255", Fault::Multicast),
        ("ff02::1", Fault::Multicast),
        ("240.0.0.1", Fault::Reserved),
        ("255.255.255.255", Fault::Reserved),
        ("::ffff:10.0.0.1", Fault::Mapped),
        ("::ffff:127.0.0.1", Fault::Mapped),
        ("::10.0.0.1", Fault::Mapped),
        ("64:ff9b::7f00:1", Fault::Loopback),
        ("64:ff9b::a9fe:a9fe", Fault::LinkLocal),
        ("2002:7f00:1::1", Fault::Loopback),
        ("2002:e000:1::1", Fault::Multicast),
    ] {
        assert_eq!(
            check(ip(address), &everything, &[]),
            Err(fault),
            "{address}"
        );
    }
    for address in [
        "172.19.1.1",
        "1.1.1.1",
        "223.255.255.255",
        "fd00:172:19::1",
        "2001:db8::1",
        "64:ff9b::101:101",
    ] {
        assert_eq!(check(ip(address), &everything, &[]), Ok(()), "{address}");
    }
}

#[test]
fn what_is_allowed_does_not_reach_into_the_cluster() {
    let cluster = cidrs(&["10.96.0.0/12", "fd00:10:244::/56"]);
    let allowed = cidrs(&["10.0.0.0/8", "fd00::/8", "64:ff9b::/96"]);
    assert_eq!(
        check(ip("10.96.0.1"), &allowed, &cluster),
        Err(Fault::OfCluster(cluster[0]))
    );
    assert_eq!(
        check(ip("10.111.255.1"), &allowed, &cluster),
        Err(Fault::OfCluster(cluster[0]))
    );
    assert_eq!(check(ip("10.112.0.1"), &allowed, &cluster), Ok(()));
    assert_eq!(
        check(ip("fd00:10:244::1"), &allowed, &cluster),
        Err(Fault::OfCluster(cluster[1]))
    );
    // Through a translator.
    assert_eq!(
        check(ip("64:ff9b::a60:1"), &allowed, &cluster),
        Err(Fault::OfCluster(cluster[0]))
    );
    assert_eq!(
        check(ip("192.168.0.1"), &allowed, &cluster),
        Err(Fault::NotAllowed)
    );
    assert_eq!(check(ip("192.168.0.1"), &[], &[]), Err(Fault::NotAllowed));
}

#[test]
fn a_fault_says_the_way_out() {
    let allowed = cidrs(&["172.19.1.0/24"]);
    assert!(Fault::NotAllowed.tell(&allowed).contains("172.19.1.0/24"));
    assert!(
        Fault::NotAllowed
            .tell(&[])
            .contains(crate::names::policy::EXTERNAL_CIDRS)
    );
    let many = vec![allowed[0]; 9];
    assert!(Fault::NotAllowed.tell(&many).contains("4 more"));
    assert!(
        Fault::OfCluster(allowed[0])
            .tell(&[])
            .contains("Service with a selector")
    );
    assert!(Fault::NotAllowed.is_guard_rail() && !Fault::Loopback.is_guard_rail());
}

proptest! {
    #[test]
    fn nothing_passes_that_the_api_server_would_refuse(address in any::<IpAddr>()) {
        // ValidateEndpointIP (pkg/apis/core/validation/validation.go).
        let refused = address.is_unspecified() || address.is_loopback() || address.is_multicast() || match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let own = [Cidr::from(address)];
        let passes = check(address, &own, &[]).is_ok();
        prop_assert!(!(refused && passes), "{address}");
        prop_assert!(check(address, &own, &own).is_err());
    }

    #[test]
    fn only_what_is_in_an_allowed_network_passes(address in any::<IpAddr>(), network in any::<IpAddr>(), length in 0u8..=32) {
        let cidr = Cidr::new(network, length).unwrap().trunc();
        let passes = check(address, &[cidr], &[]).is_ok();
        prop_assert!(!passes || cidr.contains(&address));
        prop_assert_eq!(passes, cidr.contains(&address) && never(address).is_none());
    }
}
