//! Tests of [`super`].

#![allow(clippy::unwrap_used)]

use super::*;
use crate::compartment::tests::{Memory, MemoryHcn, node_with_compartment_5};
use crate::compartment::{Assigned, Found, find};
use crate::json::Value;

const STATUS: &str = r#"{"ip":"10.244.1.7","started":"2026-11-21T10:00:00Z","uid":"a-b"}"#;

struct Sick {
    node: Memory,
    missing: bool,
    booted: &'static str,
    status: Option<&'static str>,
    inside: Inside,
}

impl Sick {
    fn well() -> Self {
        let mut node = node_with_compartment_5();
        let address = |text: &str| text.parse().unwrap();
        node.adapters = Some(vec![
            (1, address("10.0.0.4")),
            (5, address("10.244.1.7")),
            (1, address("fe80::1")),
        ]);
        Self {
            node,
            missing: false,
            booted: "2026-11-20T00:00:00Z",
            status: Some(STATUS),
            inside: Inside {
                entered: Ok(()),
                bound: Some(Ok(())),
                resolved: Some(Ok(vec![address("10.96.0.1")])),
            },
        }
    }
}

impl Node for Sick {
    type Hcn = MemoryHcn;

    fn hcn(&self) -> Result<MemoryHcn, String> {
        self.node.hcn()
    }

    fn adapters(&self) -> Result<Vec<Assigned>, String> {
        self.node.adapters()
    }

    fn ipconfig(&self) -> Result<Vec<u8>, String> {
        self.node.ipconfig()
    }
}

impl Patient for Sick {
    fn system(&self) -> Vec<(&'static str, Result<String, String>)> {
        vec![
            ("windows", Ok("10.0.20348".to_owned())),
            ("account", Err("denied".to_owned())),
        ]
    }

    fn calls(&self) -> Vec<(&'static str, Result<(), String>)> {
        let there = if self.missing {
            Err("not found".to_owned())
        } else {
            Ok(())
        };
        let names = ["SetJobCompartmentId", "HcnOpenEndpoint"];
        names.map(|name| (name, there.clone())).to_vec()
    }

    fn booted(&self) -> Timestamp {
        Timestamp::parse(self.booted).unwrap()
    }

    fn status(&self) -> io::Result<Vec<u8>> {
        self.status
            .map(Into::into)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inside(&self, _: u32, _: Option<IpAddr>, _: &str) -> Inside {
        self.inside.clone()
    }
}

fn look(sick: &Sick) -> Findings {
    examine(&Doctor::default(), sick)
}

#[test]
fn a_node_that_is_well_is_told_of_on_a_page() {
    let findings = look(&Sick::well());
    assert_eq!(findings.problems(), [""; 0]);
    let version = env!("CARGO_PKG_VERSION");
    let endpoint = findings.sections[5].1[0].0.clone();
    let expected = format!(
        r"launcher
  version  {version}
system
  windows  10.0.20348
  account  unknown: denied
  booted   2026-11-20T00:00:00Z
calls
  SetJobCompartmentId  there
  HcnOpenEndpoint      there
anchor
  status file  C:\native-host\anchor\status
  ip           10.244.1.7
  started      2026-11-21T10:00:00Z
  uid          a-b
compartments
  1 (the host's)  10.0.0.4, fe80::1
  5               10.244.1.7
  ipconfig        cannot be asked: no ipconfig.exe
endpoints
  {endpoint}  10.244.1.7: compartment 5
look-up of 10.244.1.7
  hcn       compartment 5
  adapters  compartment 5
  ipconfig  cannot be gone: no ipconfig.exe
in compartment 5
  entered                         yes
  bind 10.244.1.7                 yes
  resolve kubernetes.default.svc  10.96.0.1
problems
  none
"
    );
    assert_eq!(findings.text(), expected);
}

#[test]
fn json_says_the_same() {
    let mut sick = Sick::well();
    sick.status = Some("{\"ip\":\"x\\\"\"}\n");
    let findings = look(&sick);
    let value = Value::parse(findings.json().trim_end()).unwrap();
    let windows = value.get("system").and_then(|system| system.get("windows"));
    assert_eq!(windows.and_then(Value::as_str), Some("10.0.20348"));
    let content = value.get("anchor").and_then(|anchor| anchor.get("content"));
    assert_eq!(content.and_then(Value::as_str), Some(r#"{"ip":"x\""}"#));
    let problems: Vec<_> = value
        .get("problems")
        .unwrap()
        .items()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(problems, findings.problems());
}

#[test]
fn each_fault_is_a_problem_with_a_way_out() {
    let address = |text: &str| text.parse().unwrap();
    for (change, expected) in [
        (
            Box::new(|sick: &mut Sick| sick.missing = true) as Box<dyn Fn(&mut Sick)>,
            "missing: SetJobCompartmentId, HcnOpenEndpoint (not found). Windows Server 2022",
        ),
        (Box::new(|sick| sick.status = Some("{}")), "of one version?"),
        (
            Box::new(|sick| sick.booted = "2026-11-22T00:00:00Z"),
            "waits for the anchor's restart",
        ),
        (
            Box::new(move |sick| sick.node.adapters = Some(vec![(6, address("10.244.1.7"))])),
            "different compartments: [5, 6]",
        ),
        (
            Box::new(move |sick| {
                sick.node.hcn = None;
                sick.node.adapters = Some(vec![(1, address("10.244.1.7"))]);
            }),
            "the host's own",
        ),
        (
            Box::new(|sick| sick.node = Memory::default()),
            "no way leads from 10.244.1.7 to a compartment",
        ),
        (
            Box::new(|sick| sick.inside.entered = Err("denied".to_owned())),
            "run as SYSTEM",
        ),
        (
            Box::new(|sick| sick.inside.bound = Some(Err("10049".to_owned()))),
            "cannot be bound",
        ),
        (
            Box::new(|sick| sick.inside.resolved = Some(Err("11001".to_owned()))),
            "dnsConfig",
        ),
    ] {
        let mut sick = Sick::well();
        change(&mut sick);
        let findings = look(&sick);
        assert!(
            findings
                .problems()
                .iter()
                .any(|problem| problem.contains(expected)),
            "{expected}: {:?}",
            findings.problems()
        );
        assert!(findings.text().contains(expected));
    }
}

#[test]
fn without_an_anchor_it_can_be_asked_for_an_ip_or_a_compartment() {
    let mut sick = Sick::well();
    sick.status = None;
    let findings = look(&sick);
    assert_eq!(findings.problems(), [""; 0]);
    assert!(!findings.text().contains("look-up"));
    let asked = Doctor {
        ip: Some("10.244.1.7".parse().unwrap()),
        ..Doctor::default()
    };
    let text = examine(&asked, &sick).text();
    assert!(
        text.contains("look-up of 10.244.1.7\n") && text.contains("in compartment 5\n"),
        "{text}"
    );
    let asked = Doctor {
        compartment: Some(9),
        resolve: Some("albums".to_owned()),
        ..Doctor::default()
    };
    let text = examine(&asked, &sick).text();
    assert!(
        text.contains("in compartment 9\n") && text.contains("resolve albums"),
        "{text}"
    );
}

/// It goes the ways that `run` goes.
#[test]
fn it_finds_what_run_finds() {
    let sick = Sick::well();
    let found: Found = find(&sick, "10.244.1.7".parse().unwrap()).unwrap();
    assert!(
        look(&sick)
            .text()
            .contains(&format!("hcn       compartment {}", found.compartment))
    );
}
