#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;

use super::hcn::{Calls, Guid};
use super::*;
use proptest::prelude::*;

/// A node that answers from memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// `None`: there is no computenetwork.dll.
    pub(crate) hcn: Option<MemoryHcn>,
    pub(crate) adapters: Option<Vec<Assigned>>,
    pub(crate) ipconfig: Option<&'static str>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryHcn {
    /// In the list; `None`: gone when it is opened.
    endpoints: Vec<(String, Option<String>)>,
    namespaces: HashMap<String, String>,
}

impl Calls for MemoryHcn {
    fn endpoints(&self) -> Result<String, String> {
        let ids: Vec<_> = self
            .endpoints
            .iter()
            .map(|(id, _)| format!("{id:?}"))
            .collect();
        Ok(format!("[{}]", ids.join(",")))
    }

    fn endpoint(&self, id: Guid) -> Result<String, String> {
        let found = self
            .endpoints
            .iter()
            .find(|(known, _)| *known == id.to_string());
        found
            .unwrap()
            .1
            .clone()
            .ok_or_else(|| "0x803B0002".to_owned())
    }

    fn namespace(&self, id: Guid) -> Result<String, String> {
        let found = self.namespaces.get(&id.to_string());
        found.cloned().ok_or_else(|| "not found".to_owned())
    }
}

impl Node for Memory {
    type Hcn = MemoryHcn;

    fn hcn(&self) -> Result<MemoryHcn, String> {
        self.hcn
            .clone()
            .ok_or_else(|| "no computenetwork.dll".to_owned())
    }

    fn adapters(&self) -> Result<Vec<Assigned>, String> {
        self.adapters
            .clone()
            .ok_or_else(|| "no GetAdaptersAddresses".to_owned())
    }

    fn ipconfig(&self) -> Result<Vec<u8>, String> {
        self.ipconfig
            .map(Into::into)
            .ok_or_else(|| "no ipconfig.exe".to_owned())
    }
}

fn guid(n: u32) -> String {
    format!("{n:08x}-8c5b-4f8f-9f0e-3f9b6f7d2c11")
}

/// An endpoint as Windows Server describes one, members of no matter here included.
fn endpoint(ip: &str, flags: u32, namespace: Option<u32>) -> String {
    let namespace = namespace.map_or_else(String::new, |n| {
        format!(r#""HostComputeNamespace":"{}","#, guid(n).to_uppercase())
    });
    format!(
        r#"{{"ID":"{}","Name":"cni","HostComputeNetwork":"{}",{namespace}"Policies":[{{"Type":"OutBoundNAT",
            "Settings":{{"Exceptions":["10.244.0.0/16"]}}}}],"IpConfigurations":[{{"IpAddress":"{ip}",
            "PrefixLength":24}}],"Dns":{{"ServerList":["10.96.0.10"]}},"Routes":[{{"NextHop":"10.244.1.1",
            "DestinationPrefix":"0.0.0.0/0"}}],"MacAddress":"00-15-5D-0A-0B-0C","Flags":{flags},"Health":
            {{"Data":null,"Extra":{{}}}},"SchemaVersion":{{"Major":2,"Minor":0}}}}"#,
        guid(1),
        guid(2)
    )
}

fn hcn(endpoints: &[Option<String>], namespaces: &[(u32, u32)]) -> Memory {
    let endpoints = endpoints.iter().zip(100..);
    let namespace = |(n, compartment): &(u32, u32)| {
        let id = guid(*n);
        let document = format!(
            r#"{{"ID":"{id}","NamespaceId":{compartment},"Type":"Host","Resources":[],
                "SchemaVersion":{{"Major":2,"Minor":0}}}}"#
        );
        (id, document)
    };
    Memory {
        hcn: Some(MemoryHcn {
            endpoints: endpoints.map(|(one, n)| (guid(n), one.clone())).collect(),
            namespaces: namespaces.iter().map(namespace).collect(),
        }),
        ..Memory::default()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const IP: &str = "10.244.1.7";

/// A node on which the first way finds compartment 5.
pub(crate) fn node_with_compartment_5() -> Memory {
    hcn(&[Some(endpoint(IP, 0, Some(50)))], &[(50, 5)])
}

#[test]
fn hcn_finds_the_compartment() {
    let others = [
        Some(endpoint("10.244.1.70", 0, Some(51))),
        Some(endpoint(IP, 0, Some(50))),
        Some(endpoint("10.244.1.77", 0, None)),
    ];
    let node = hcn(&others, &[(50, 5), (51, 6)]);
    let found = Found {
        compartment: 5,
        way: Way::Hcn,
    };
    assert_eq!(find(&node, ip(IP)), Ok(found));
}

#[test]
fn a_remote_endpoint_of_the_same_ip_is_passed_over() {
    // As an overlay network on Server 2019 and 2022 keeps them.
    let all = [
        Some(endpoint(IP, 1, Some(51))),
        Some(endpoint(IP, 0, Some(50))),
    ];
    assert_eq!(find_by(Way::Hcn, &hcn(&all, &[(50, 5)]), ip(IP)), Ok(5));
}

#[test]
fn an_endpoint_that_goes_while_it_is_looked_at_is_passed_over() {
    let all = [None, Some(endpoint(IP, 0, Some(50)))];
    assert_eq!(find_by(Way::Hcn, &hcn(&all, &[(50, 5)]), ip(IP)), Ok(5));
}

#[test]
fn hcn_refuses_what_is_no_pods_compartment() {
    let one = [Some(endpoint(IP, 0, Some(50)))];
    let two = [one[0].clone(), Some(endpoint(IP, 0, Some(51)))];
    for (endpoints, namespaces, reason) in [
        (&one[..], &[(50, 0)][..], "not up yet"),
        (&one[..], &[(50, 1)], "the host's own"),
        (&one[..], &[], "not found"),
        (&two[..], &[(50, 5), (51, 5)], "2 endpoints have 10.244.1.7"),
    ] {
        let mut node = hcn(endpoints, namespaces);
        // Another way would answer, and is not asked.
        node.adapters = Some(vec![(9, ip(IP))]);
        let why = find(&node, ip(IP)).unwrap_err();
        assert!(why.contains(reason), "{why}");
    }
}

#[test]
fn where_hcn_knows_nothing_the_adapters_are_asked() {
    for hcn in [
        Memory::default(),
        hcn(&[], &[]),
        hcn(&[Some(endpoint(IP, 0, None))], &[]),
        hcn(&[Some(endpoint(IP, 1, Some(50)))], &[(50, 5)]),
    ] {
        let adapters = Some(vec![
            (1, ip("10.0.0.1")),
            (7, ip(IP)),
            (7, ip(IP)),
            (8, ip("10.244.1.8")),
        ]);
        let found = find(&Memory { adapters, ..hcn }, ip(IP)).unwrap();
        assert_eq!((found.compartment, found.way), (7, Way::Adapters));
    }
}

#[test]
fn adapters_refuse_what_is_no_pods_compartment() {
    for (adapters, reason) in [
        (
            vec![(7, ip(IP)), (8, ip(IP))],
            "more than one compartment: [7, 8]",
        ),
        (vec![(1, ip(IP))], "the host's own"),
    ] {
        let node = Memory {
            adapters: Some(adapters),
            ipconfig: Some(ENGLISH),
            ..Memory::default()
        };
        let why = find(&node, ip(IP)).unwrap_err();
        assert!(why.contains(reason), "{why}");
    }
}

#[test]
fn ipconfig_is_the_last_resort_and_all_reasons_are_said() {
    let node = Memory {
        adapters: Some(Vec::new()),
        ipconfig: Some(ENGLISH),
        ..Memory::default()
    };
    let found = find(&node, ip(IP)).unwrap();
    assert_eq!((found.compartment, found.way), (5, Way::Ipconfig));

    let why = find(&node, ip("10.9.9.9")).unwrap_err();
    for part in [
        "hcn: no computenetwork.dll",
        "adapters: no adapter has",
        "ipconfig: no adapter has",
    ] {
        assert!(why.contains(part), "{why}");
    }
}

// Windows' own words for adapters; of the headings only the English one is known from a real machine, the
// others are ours, in its shape.
const ENGLISH: &str = include_str!("fixtures/ipconfig-en.txt");
const GERMAN: &str = include_str!("fixtures/ipconfig-de.txt");
const FRENCH: &str = include_str!("fixtures/ipconfig-fr.txt");
const JAPANESE: &str = include_str!("fixtures/ipconfig-ja.txt");
const CHINESE: &str = include_str!("fixtures/ipconfig-zh.txt");

#[test]
fn ipconfig_is_read_in_every_language() {
    for (language, text) in [
        ("en", ENGLISH),
        ("de", GERMAN),
        ("fr", FRENCH),
        ("ja", JAPANESE),
        ("zh", CHINESE),
    ] {
        let expected = [
            (1, "fe80::4d5:4d3c:b7a1:1%9"),
            (1, "172.19.1.100"),
            (5, "fd00:244:1::7"),
            (5, "fe80::9c2d:2:3:4%41"),
            (5, "10.244.1.7"),
            (12, "fe80::9c2d:2:3:5%52"),
            (12, "10.244.1.8"),
        ];
        let bare = |text: &str| ip(text.split('%').next().unwrap());
        let expected: Vec<_> = expected.iter().map(|(n, text)| (*n, bare(text))).collect();
        assert_eq!(ipconfig::parse(text.as_bytes()), expected, "{language}");
        // Windows ends lines with CR LF, and has code pages of its own.
        let garbled: Vec<u8> = text.replace('\n', "\r\n").chars().map(code_page).collect();
        assert_eq!(ipconfig::parse(&garbled), expected, "{language}, garbled");
    }
}

fn code_page(c: char) -> u8 {
    if c.is_ascii() { c as u8 } else { 0x84 }
}

#[test]
fn gateways_and_servers_of_others_are_no_addresses() {
    let addresses = ipconfig::parse(ENGLISH.as_bytes());
    for other in ["10.244.1.1", "172.19.1.1", "fd00:244:1::1", "255.255.255.0"] {
        assert!(
            addresses.iter().all(|(_, address)| *address != ip(other)),
            "{other}"
        );
    }
}

#[test]
fn guids_are_read_and_written() {
    let text = "8f4ae4b6-8c5b-4f8f-9f0e-3f9b6f7d2c11";
    let id = Guid::parse(&text.to_uppercase()).unwrap();
    assert_eq!(id.data, (0x8f4a_e4b6, 0x8c5b, 0x4f8f));
    assert_eq!(id.rest, [0x9f, 0x0e, 0x3f, 0x9b, 0x6f, 0x7d, 0x2c, 0x11]);
    assert_eq!(id.to_string(), text);
    assert_eq!(Guid::parse(&format!("{{{text}}}")), Some(id));
    for wrong in [
        "",
        "8f4ae4b6",
        "8f4ae4b6-8c5b-4f8f-9f0e-3f9b6f7d2c1",
        "8f4ae4b6-8c5b-4f8f-9f0e-3f9b6f7d2c1+",
    ] {
        assert_eq!(Guid::parse(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_output_panics(output: Vec<u8>, lines in "(=========\n|[0-9]{1,12}\n|a . . : [0-9.:(%]{0,12}\n|\n){0,20}") {
        let _ = ipconfig::parse(&output);
        let _ = ipconfig::parse(lines.as_bytes());
    }
}
