//! Which addresses may be published.
//!
//! Write access to EndpointSlices is in no default user role, because with it one reaches through a
//! Service or an Ingress what one could not reach oneself (CVE-2021-25740). An external Service gives
//! that access to who may write Services, so an address has to lie in the networks that the Namespace
//! or the cluster's flags allow, and some addresses are never allowed, whatever those say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::policy::Cidr;

/// Why an address is not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `0.0.0.0/8`, `::`
    Unspecified,
    /// `127.0.0.0/8`, `::1`: of whichever node the client is on
    Loopback,
    /// `169.254.0.0/16`, `fe80::/10`: clouds' metadata services are here
    LinkLocal,
    /// `224.0.0.0/4`, `ff00::/8`
    Multicast,
    /// `240.0.0.0/4`, broadcast among them
    Reserved,
    /// An IPv4 address in IPv6's clothes, which programs read differently
    Mapped,
    /// In the cluster's own networks
    OfCluster(Cidr),
    /// In none of the allowed networks
    NotAllowed,
}

impl Fault {
    /// What is wrong and the way out. `allowed` is what the namespace may point at.
    pub fn tell(&self, allowed: &[Cidr]) -> String {
        match self {
            Self::Unspecified => "is no address of a machine".into(),
            Self::Loopback => {
                "is a loopback address: on every node another machine. Publish the address that the process listens on \
                 for others"
                    .into()
            }
            Self::LinkLocal => "is link-local: no router passes it on".into(),
            Self::Multicast => "is a multicast address".into(),
            Self::Reserved => "is reserved, or broadcast".into(),
            Self::Mapped => "is an IPv4 address written as IPv6: write it as IPv4".into(),
            Self::OfCluster(cidr) => format!(
                "lies in {cidr}, the cluster's own (Services or pods): point a Service with a selector at pods"
            ),
            Self::NotAllowed if allowed.is_empty() => format!(
                "is not allowed: this namespace allows no external addresses. A cluster administrator allows networks \
                 by the Namespace's annotation {}, or for all namespaces by --external-cidrs",
                crate::names::policy::EXTERNAL_CIDRS
            ),
            Self::NotAllowed => format!(
                "lies in none of the networks that this namespace allows ({}, by annotation {} or --external-cidrs)",
                joined(allowed),
                crate::names::policy::EXTERNAL_CIDRS
            ),
        }
    }

    /// Whether it is for the namespace's owner to change.
    pub fn is_guard_rail(&self) -> bool {
        matches!(self, Self::NotAllowed | Self::OfCluster(_))
    }
}

fn joined(cidrs: &[Cidr]) -> String {
    const MOST: usize = 5;
    let mut all: Vec<_> = cidrs.iter().take(MOST).map(ToString::to_string).collect();
    if cidrs.len() > MOST {
        all.push(format!("{} more", cidrs.len() - MOST));
    }
    all.join(", ")
}

/// What is wrong with an address whatever anybody allows.
pub fn never(address: IpAddr) -> Option<Fault> {
    match address {
        IpAddr::V4(v4) => never_v4(v4),
        IpAddr::V6(v6) => never_v6(v6),
    }
}

fn never_v4(address: Ipv4Addr) -> Option<Fault> {
    let first = address.octets()[0];
    if first == 0 {
        Some(Fault::Unspecified)
    } else if address.is_loopback() {
        Some(Fault::Loopback)
    } else if address.is_link_local() {
        Some(Fault::LinkLocal)
    } else if address.is_multicast() {
        Some(Fault::Multicast)
    } else if first >= 240 {
        Some(Fault::Reserved)
    } else {
        None
    }
}

fn never_v6(address: Ipv6Addr) -> Option<Fault> {
    if address.is_unspecified() {
        Some(Fault::Unspecified)
    } else if address.is_loopback() {
        Some(Fault::Loopback)
    } else if address.is_unicast_link_local() {
        Some(Fault::LinkLocal)
    } else if address.is_multicast() {
        Some(Fault::Multicast)
    } else if address.to_ipv4().is_some() {
        Some(Fault::Mapped)
    } else {
        embedded(address).and_then(never_v4)
    }
}

/// The IPv4 address that a translator would make of it: NAT64's well-known prefix (RFC 6052) and 6to4
/// (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    if octets[..12] == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0] {
        Some(Ipv4Addr::new(
            octets[12], octets[13], octets[14], octets[15],
        ))
    } else if octets[..2] == [0x20, 0x02] {
        Some(Ipv4Addr::new(octets[2], octets[3], octets[4], octets[5]))
    } else {
        None
    }
}

/// The network of `cidrs` that an address lies in, also by the IPv4 address within it.
fn within(address: IpAddr, cidrs: &[Cidr]) -> Option<Cidr> {
    let inner = match address {
        IpAddr::V6(v6) => embedded(v6).map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    let holds =
        |cidr: &&Cidr| cidr.contains(&address) || inner.is_some_and(|inner| cidr.contains(&inner));
    cidrs.iter().find(holds).copied()
}

/// Whether an address may be published: in one of the networks that are `allowed`, and in none of the
/// `cluster`'s own. `allowed` never makes up for the others.
pub fn check(address: IpAddr, allowed: &[Cidr], cluster: &[Cidr]) -> Result<(), Fault> {
    if let Some(fault) = never(address) {
        return Err(fault);
    }
    if let Some(cidr) = within(address, cluster) {
        return Err(Fault::OfCluster(cidr));
    }
    if allowed.iter().any(|cidr| cidr.contains(&address)) {
        Ok(())
    } else {
        Err(Fault::NotAllowed)
    }
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
