//! By the Host Compute Network (computenetwork.dll): endpoints have addresses and lie in namespaces, and a
//! namespace's `NamespaceId` is its compartment.
//!
//! The documents are those of hcsshim's `hcn/hcnendpoint.go` and `hcn/hcnnamespace.go`; a member with an
//! empty value may be left out.

use std::fmt;
use std::net::IpAddr;

use super::{Miss, pods};
use crate::json::Value;

/// What every query is asked with, as hcsshim's `defaultQuery` (`hcn/hcn.go`).
pub const QUERY: &str = r#"{"SchemaVersion":{"Major":2,"Minor":0}}"#;

/// An endpoint that stands for one on another node (`EndpointFlagsRemoteEndpoint`). Overlay networks on
/// Server 2019 and 2022 hold such for pods elsewhere, and an IP can have been another node's before.
const REMOTE: u32 = 1;

/// The calls that are needed, each giving the document that Windows answers with.
pub trait Calls {
    /// `HcnEnumerateEndpoints`: an array of GUIDs.
    fn endpoints(&self) -> Result<String, String>;
    /// `HcnOpenEndpoint`, `HcnQueryEndpointProperties`, `HcnCloseEndpoint`.
    fn endpoint(&self, id: Guid) -> Result<String, String>;
    /// `HcnOpenNamespace`, `HcnQueryNamespaceProperties`, `HcnCloseNamespace`.
    fn namespace(&self, id: Guid) -> Result<String, String>;
}

/// A GUID, in the parts that Windows has it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guid {
    /// `Data1` to `Data3`.
    pub data: (u32, u16, u16),
    /// `Data4`
    pub rest: [u8; 8],
}

impl Guid {
    /// Reads `8f4ae4b6-8c5b-4f8f-9f0e-3f9b6f7d2c11`, in either case, in braces or not.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .unwrap_or(text);
        let mut parts = bare.split('-');
        let mut number = |length: usize| {
            let part = parts.next()?;
            let hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
            let digits = Some(part).filter(|part| hex && part.len() == length)?;
            u64::from_str_radix(digits, 16).ok()
        };
        let data = (
            number(8)?.try_into().ok()?,
            number(4)?.try_into().ok()?,
            number(4)?.try_into().ok()?,
        );
        let rest = number(4)? << 48 | number(12)?;
        parts.next().is_none().then_some(Self {
            data,
            rest: rest.to_be_bytes(),
        })
    }

    /// All zeros: none.
    fn is_nil(self) -> bool {
        self.data == (0, 0, 0) && self.rest == [0; 8]
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (data1, data2, data3) = self.data;
        let rest = u64::from_be_bytes(self.rest);
        let (data4, node) = (rest >> 48, rest & 0xffff_ffff_ffff);
        write!(
            f,
            "{data1:08x}-{data2:04x}-{data3:04x}-{data4:04x}-{node:012x}"
        )
    }
}

/// An endpoint, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it stands for one on another node.
    pub remote: bool,
    /// The namespace it lies in.
    pub namespace: Option<Guid>,
}

impl Endpoint {
    /// Reads a document of `HcnQueryEndpointProperties`.
    pub fn parse(document: &str) -> Result<Self, String> {
        let value = Value::parse(document).map_err(|error| format!("an endpoint: {error}"))?;
        let configurations = value
            .get("IpConfigurations")
            .map(Value::items)
            .unwrap_or_default();
        let flags = value.get("Flags").and_then(Value::as_u32).unwrap_or(0);
        Ok(Self {
            addresses: configurations
                .iter()
                .filter_map(|one| one.get("IpAddress")?.as_str()?.parse().ok())
                .collect(),
            remote: flags & REMOTE != 0,
            namespace: value
                .get("HostComputeNamespace")
                .and_then(Value::as_str)
                .and_then(Guid::parse)
                .filter(|id| !id.is_nil()),
        })
    }
}

/// All endpoints of the node. One that goes away between two calls is left out, as if it had gone before.
pub fn endpoints(calls: &impl Calls) -> Result<Vec<(Guid, Endpoint)>, String> {
    let list = calls.endpoints()?;
    let list = Value::parse(&list).map_err(|error| format!("the list of endpoints: {error}"))?;
    let ids = list.items().iter().filter_map(Value::as_str);
    let mut endpoints = Vec::new();
    for id in ids.filter_map(Guid::parse) {
        if let Ok(document) = calls.endpoint(id) {
            endpoints.push((id, Endpoint::parse(&document)?));
        }
    }
    Ok(endpoints)
}

/// A namespace's compartment; 0 until its sandbox runs.
pub fn compartment(calls: &impl Calls, namespace: Guid) -> Result<u32, String> {
    let document = calls.namespace(namespace)?;
    let value = Value::parse(&document).map_err(|error| format!("a namespace: {error}"))?;
    Ok(value
        .get("NamespaceId")
        .and_then(Value::as_u32)
        .unwrap_or(0))
}

/// The compartment of the one local endpoint that has this IP and lies in a namespace.
pub(super) fn find(calls: &impl Calls, ip: IpAddr) -> Result<u32, Miss> {
    let all = endpoints(calls).map_err(Miss::Unavailable)?;
    let mut here = Vec::new();
    let mut other = None;
    for (id, endpoint) in all {
        if !endpoint.addresses.contains(&ip) {
            continue;
        }
        match endpoint.namespace {
            _ if endpoint.remote => other = Some("only an endpoint of another node has"),
            None => other = Some("only an endpoint outside all namespaces has"),
            Some(namespace) => here.push((id, namespace)),
        }
    }
    match here[..] {
        [] => {
            let who = other.unwrap_or("no endpoint has");
            Err(Miss::Unknown(format!("{who} {ip}")))
        }
        [(_, namespace)] => {
            let found = compartment(calls, namespace)
                .map_err(|why| Miss::Refused(format!("namespace {namespace} of {ip}: {why}")))?;
            pods(found, ip)
        }
        _ => Err(Miss::Refused(format!(
            "{} endpoints have {ip}: {}",
            here.len(),
            here.iter()
                .map(|(id, _)| id.to_string())
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}
