//! Reads an external Service, out of its annotations and ports. The webhook, the offline command and the
//! controller all read it here, so that they agree on what is valid.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::Expression;

use super::grammar::{self, Probe};
use super::reach;
use super::spec::{Asked, Family, Pace, Port, Source, Spec, asked};
use crate::names::{PREFIX, external as key, label};
use crate::plan::reason::Reason;
use crate::plan::sheet::Problem;

/// Reads an external Service.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(service: &Service) -> Result<Spec, Vec<Problem>> {
    let mut reader = Reader::default();
    if asked(service) == Asked::Unclear {
        let value = service
            .metadata
            .labels
            .as_ref()
            .and_then(|all| all.get(label::EXTERNAL));
        reader.refuse(
            format!("metadata.labels[{}]", label::EXTERNAL),
            value.cloned(),
            "expected \"true\", or no such label",
        );
    }
    let empty = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&empty);
    reader.shape(service, spec);
    let ports = reader.ports(spec);
    let annotations = reader.annotations(service);
    let source = reader.source(&annotations);
    let probe = match annotations.probe {
        Some(probe) => Some(probe),
        None if annotations.bad_probe => None,
        None => reader.default_probe(&ports),
    };
    if annotations.pace.timeout > annotations.pace.period {
        reader.refuse(
            annotation(key::PROBE_TIMEOUT),
            None,
            format!(
                "the timeout ({} ms) is longer than the period ({} ms): probes of one address would overlap; lower it, or \
                 raise {}",
                annotations.pace.timeout.as_millis(),
                annotations.pace.period.as_millis(),
                key::PROBE_PERIOD
            ),
        );
    }
    match (source, probe, reader.problems.is_empty()) {
        (Some(source), Some(probe), true) => {
            let mut read = Spec {
                source,
                probe,
                pace: annotations.pace,
                fail_open: annotations.fail_open,
                ports,
                families: families(spec),
                publish_not_ready: spec.publish_not_ready_addresses == Some(true),
                warnings: Vec::new(),
            };
            read.warnings = warnings(&read, spec);
            Ok(read)
        }
        _ => Err(reader.problems),
    }
}

fn annotation(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

fn families(spec: &ServiceSpec) -> Option<BTreeSet<Family>> {
    let families = spec
        .ip_families
        .as_ref()
        .filter(|families| !families.is_empty())?;
    let named = |name: &String| {
        Family::ALL
            .into_iter()
            .find(|family| family.as_str() == name)
    };
    Some(families.iter().filter_map(named).collect())
}

/// What is not wrong, and yet not what its author will have meant.
fn warnings(read: &Spec, spec: &ServiceSpec) -> Vec<String> {
    let mut all = Vec::new();
    if let Source::Addresses(addresses) = &read.source {
        let useless: Vec<_> = addresses
            .iter()
            .filter(|address| !read.has_family_of(**address))
            .collect();
        if let Some(first) = useless.first() {
            let families: Vec<_> = read
                .families
                .iter()
                .flatten()
                .map(|family| family.as_str())
                .collect();
            all.push(format!(
                "{}: {first} is not published: the Service is {} only; set spec.ipFamilyPolicy to PreferDualStack",
                annotation(key::ADDRESSES),
                families.join(" and ")
            ));
        }
    }
    let headless = spec.cluster_ip.as_deref() == Some("None");
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let target = read.ports.get(index).map(|port| i32::from(port.port));
        if headless && target.is_some_and(|target| target != port.port) {
            all.push(format!(
                "spec.ports[{index}].targetPort: a headless Service translates no ports: clients have to use {}",
                target.unwrap_or_default()
            ));
        }
    }
    if read.publish_not_ready {
        all.push(
            "spec.publishNotReadyAddresses: true: addresses are ready whatever their probes say"
                .to_owned(),
        );
    }
    all
}

/// The values of the annotations; what is not there has its default.
#[derive(Default)]
struct Annotations {
    addresses: Option<Vec<IpAddr>>,
    nodes: Option<Vec<Expression>>,
    /// Which of the two were given, whether they could be read or not.
    given: (bool, bool),
    probe: Option<Probe>,
    bad_probe: bool,
    pace: Pace,
    fail_open: bool,
}

#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn refuse(&mut self, field: String, value: Option<String>, text: impl Into<String>) {
        self.problems.push(Problem {
            reason: Reason::External,
            field,
            value,
            text: text.into(),
            guard_rail: false,
        });
    }

    /// What a Service must not be beside.
    fn shape(&mut self, service: &Service, spec: &ServiceSpec) {
        if spec.type_.as_deref() == Some("ExternalName") {
            self.refuse(
                "spec.type".into(),
                Some("ExternalName".into()),
                "is a name in DNS and has no endpoints; leave the type out, or take the label away",
            );
        }
        if spec
            .selector
            .as_ref()
            .is_some_and(|selector| !selector.is_empty())
        {
            self.refuse(
                "spec.selector".into(),
                None,
                "Kubernetes itself would publish the pods that it selects beside the external addresses; remove the \
                 selector, or the label",
            );
        }
        let labels = service.metadata.labels.as_ref();
        if labels.is_some_and(|labels| labels.contains_key(label::WORKLOAD)) {
            self.refuse(
                format!("metadata.labels[{}]", label::WORKLOAD),
                None,
                format!(
                    "points the Service at anchors, and {} at other processes: keep one of them",
                    label::EXTERNAL
                ),
            );
        }
    }

    fn ports(&mut self, spec: &ServiceSpec) -> Vec<Port> {
        let given = spec.ports.as_deref().unwrap_or_default();
        if given.is_empty() {
            self.refuse("spec.ports".into(), None, "expected at least one port");
        }
        let ports = given.iter().enumerate();
        ports
            .filter_map(|(index, port)| self.port(index, port))
            .collect()
    }

    fn port(&mut self, index: usize, given: &ServicePort) -> Option<Port> {
        let number = match &given.target_port {
            None | Some(IntOrString::Int(0)) => given.port,
            Some(IntOrString::Int(number)) => *number,
            Some(IntOrString::String(name)) if name.is_empty() => given.port,
            Some(IntOrString::String(name)) => {
                self.refuse(
                    format!("spec.ports[{index}].targetPort"),
                    Some(name.clone()),
                    "a name is looked up in pods, and there are none here; write the number",
                );
                return None;
            }
        };
        let Some(port) = u16::try_from(number).ok().filter(|port| *port > 0) else {
            self.refuse(
                format!("spec.ports[{index}].targetPort"),
                Some(number.to_string()),
                "expected a number from 1 to 65535",
            );
            return None;
        };
        Some(Port {
            name: given.name.clone().filter(|name| !name.is_empty()),
            protocol: given.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            port,
            app_protocol: given.app_protocol.clone(),
        })
    }

    fn annotations(&mut self, service: &Service) -> Annotations {
        let mut all = Annotations::default();
        for (name, text) in service.metadata.annotations.iter().flatten() {
            if !name.starts_with(PREFIX) {
                continue;
            }
            let value = text.trim();
            let taken = match name.as_str() {
                key::ADDRESSES => {
                    all.given.0 = true;
                    grammar::addresses(value).map(|addresses| all.addresses = Some(addresses))
                }
                key::NODES => {
                    all.given.1 = true;
                    grammar::selector(value).map(|nodes| all.nodes = Some(nodes))
                }
                key::PROBE => grammar::probe(value)
                    .map(|probe| all.probe = Some(probe))
                    .inspect_err(|_| all.bad_probe = true),
                key::PROBE_PERIOD => grammar::time(value).map(|period| all.pace.period = period),
                key::PROBE_TIMEOUT => {
                    grammar::time(value).map(|timeout| all.pace.timeout = timeout)
                }
                key::PROBE_FAILURES => {
                    grammar::threshold(value).map(|failures| all.pace.failures = failures)
                }
                key::PROBE_SUCCESSES => {
                    grammar::threshold(value).map(|successes| all.pace.successes = successes)
                }
                key::FAIL_OPEN => grammar::switch(value).map(|open| all.fail_open = open),
                name => Err(unknown(name)),
            };
            if let Err(text) = taken {
                self.refuse(annotation(name), Some(value.to_owned()), text);
            }
        }
        // Whoever sets a short period and no timeout means a short timeout.
        let said = |name| {
            service
                .metadata
                .annotations
                .iter()
                .flatten()
                .any(|(key, _)| key == name)
        };
        if !said(key::PROBE_TIMEOUT) {
            all.pace.timeout = all.pace.timeout.min(all.pace.period);
        }
        all
    }

    fn source(&mut self, all: &Annotations) -> Option<Source> {
        match all.given {
            (true, true) => {
                self.refuse(
                    annotation(key::NODES),
                    None,
                    format!("is given beside {}: keep one of them", key::ADDRESSES),
                );
                None
            }
            (false, false) => {
                self.refuse(
                    format!("metadata.labels[{}]", label::EXTERNAL),
                    None,
                    format!(
                        "says that the Service is external, and nothing says where its processes are: annotate it with {} \
                         (for example \"172.19.1.1\") or {} (for example \"{}={}\")",
                        key::ADDRESSES,
                        key::NODES,
                        label::OS,
                        label::OS_WINDOWS
                    ),
                );
                None
            }
            _ => {
                let addresses = all.addresses.clone();
                for address in addresses.iter().flatten() {
                    if let Some(fault) = reach::never(*address) {
                        self.problems.push(forbidden(
                            *address,
                            &fault.tell(&[]),
                            fault.is_guard_rail(),
                        ));
                    }
                }
                let nodes = all.nodes.clone();
                let nodes = nodes.map(|all| Source::Nodes(all.into_iter().collect()));
                addresses.map(Source::Addresses).or(nodes)
            }
        }
    }

    /// A TCP connection to every port that is published.
    fn default_probe(&mut self, ports: &[Port]) -> Option<Probe> {
        let tcp = ports.iter().filter(|port| port.protocol == "TCP");
        let mut tcp: Vec<u16> = tcp.map(|port| port.port).collect();
        tcp.sort_unstable();
        tcp.dedup();
        if tcp.is_empty() && !ports.is_empty() {
            self.refuse(
                annotation(key::PROBE),
                None,
                "expected: only TCP ports are probed by default, and there are none; name a port that tells whether the \
                 process is well, as in \"http://:8081/health\" or \"tcp://:8081\"",
            );
        }
        (!tcp.is_empty()).then_some(Probe::Tcp(tcp))
    }
}

/// A problem with an address.
pub fn forbidden(address: IpAddr, text: &str, guard_rail: bool) -> Problem {
    Problem {
        reason: Reason::ExternalAddress,
        field: annotation(key::ADDRESSES),
        value: Some(address.to_string()),
        text: text.to_owned(),
        guard_rail,
    }
}

fn unknown(name: &str) -> String {
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let near = key::ALL
        .into_iter()
        .filter(|_| name.len() <= 128)
        .map(|known| {
            (
                strsim::damerau_levenshtein(&bare(name), &bare(known)),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= bare(known).len() / 3)
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((_, near)) => format!("unknown key, did you mean {near}?"),
        None => format!(
            "unknown key; those of an external Service are {}",
            key::ALL.map(bare).join(", ")
        ),
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
