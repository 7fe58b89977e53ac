//! Linkerd's objects for a workload: everything is denied, then what the rules allow.
//!
//! Per port a Server, which denies; per route of it an HTTPRoute with an AuthorizationPolicy for each kind of
//! client, and a MeshTLSAuthentication or NetworkAuthentication that says who they are, all of the same name.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::allow::{Allow, Client, What};
use super::matching::{Match, Path, Tie, close};
use super::name;
use super::workload::{Ask, Probe, Prober, Workload};
use crate::names::{label, linkerd};

/// An object, and what it is for.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) comment: String,
    pub(super) object: Value,
}

/// What the rules and the workload make together.
#[derive(Clone, Debug)]
pub(super) struct Asked<'a> {
    pub(super) workload: &'a str,
    pub(super) namespace: &'a str,
    pub(super) facts: &'a Workload,
    pub(super) allow: &'a [Allow],
    /// Where probes come from.
    pub(super) kubelets: &'a [IpNet],
}

/// Why the rules cannot be written down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PolicyError {
    #[error("workload {0} has no TCP port: declare those of its program in its container's ports")]
    NoPorts(String),
    #[error("--allow {rule:?}: there is no TCP port {port:?}; the workload has {known}")]
    NoSuchPort {
        rule: String,
        port: String,
        known: String,
    },
    #[error("--allow {rule:?}: say on which port, as in {example:?}; the workload has {known}")]
    WhichPort {
        rule: String,
        known: String,
        example: String,
    },
    #[error("port {0}: {1}")]
    Tie(String, Box<Tie>),
    #[error(
        "--allow {rule:?}: port {port} is {other}, where Linkerd sees no requests but connections only: write \
         'tcp on {port} from ...', or allow another port"
    )]
    Mixed {
        rule: String,
        port: String,
        other: &'static str,
    },
}

/// What is allowed on one port.
#[derive(Default)]
struct Port<'a> {
    requests: Vec<(Match, BTreeSet<Client>)>,
    connections: BTreeSet<Client>,
    /// The rules that gave these, to name them in errors.
    request_rule: Option<&'a str>,
    tcp_rule: bool,
    https_probe: bool,
}

impl Asked<'_> {
    /// The objects, in an order in which nothing that is allowed is ever refused while they are applied: the
    /// Servers, which deny, come last.
    pub(super) fn documents(&self) -> Result<Vec<Document>, PolicyError> {
        let mut ports: BTreeMap<u16, Port<'_>> = self
            .facts
            .ports
            .keys()
            .map(|port| (*port, Port::default()))
            .collect();
        if ports.is_empty() {
            return Err(PolicyError::NoPorts(self.workload.to_owned()));
        }
        for allow in self.allow {
            let port = ports.entry(self.port(allow)?).or_default();
            match &allow.what {
                What::Http(matches) => {
                    port.request_rule = port.request_rule.or(Some(&allow.text));
                    let of = |one: &Match| (one.clone(), allow.clients.clone());
                    port.requests.extend(matches.iter().map(of));
                }
                What::Tcp => {
                    port.tcp_rule = true;
                    port.connections.extend(allow.clients.iter().cloned());
                }
            }
        }
        for probe in &self.facts.probes {
            let clients = self.probers(probe.prober);
            let port = ports.entry(probe.port).or_default();
            allow_probe(port, probe, clients);
        }
        let mut documents = Vec::new();
        let mut servers = Vec::new();
        for (number, port) in &ports {
            documents.extend(self.of_port(*number, port)?);
            servers.push(self.server(*number, port));
        }
        documents.extend(servers);
        Ok(documents)
    }

    /// Who makes probes, to the proxy.
    fn probers(&self, prober: Prober) -> BTreeSet<Client> {
        let own = self.facts.accounts.iter().filter(|name| *name != "default");
        match prober {
            Prober::Node => self.kubelets.iter().copied().map(Client::Network).collect(),
            Prober::Launcher => own
                .map(|name| Client::ServiceAccount {
                    namespace: self.namespace.to_owned(),
                    name: name.clone(),
                })
                .collect(),
        }
    }

    /// Which port a rule is for: the one that it names, the only one, or the only one that nothing probes.
    fn port(&self, allow: &Allow) -> Result<u16, PolicyError> {
        let ports = &self.facts.ports;
        if let Some(wanted) = &allow.port {
            let named = |(number, name): &(&u16, &Option<String>)| {
                name.as_ref() == Some(wanted) || number.to_string() == *wanted
            };
            let found = ports.iter().find(named).map(|(number, _)| *number);
            return found.ok_or_else(|| PolicyError::NoSuchPort {
                rule: allow.text.clone(),
                port: wanted.clone(),
                known: self.known(),
            });
        }
        let probed = |port: &u16| self.facts.probes.iter().any(|probe| probe.port == *port);
        let quiet: Vec<u16> = ports.keys().copied().filter(|port| !probed(port)).collect();
        let all: Vec<u16> = ports.keys().copied().collect();
        match (all.as_slice(), quiet.as_slice()) {
            ([only], _) | (_, [only]) => Ok(*only),
            _ => Err(PolicyError::WhichPort {
                rule: allow.text.clone(),
                known: self.known(),
                example: all.first().map_or_else(String::new, |first| {
                    allow
                        .text
                        .replacen(" from ", &format!(" on {} from ", self.shown(*first)), 1)
                }),
            }),
        }
    }

    /// A port's name, or else its number.
    fn shown(&self, port: u16) -> String {
        let name = self.facts.ports.get(&port).cloned().flatten();
        name.unwrap_or_else(|| port.to_string())
    }

    fn known(&self) -> String {
        let show = |(number, name): (&u16, &Option<String>)| match name {
            Some(name) => format!("{name} ({number})"),
            None => number.to_string(),
        };
        self.facts
            .ports
            .iter()
            .map(show)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn of_port(&self, number: u16, port: &Port<'_>) -> Result<Vec<Document>, PolicyError> {
        let shown = self.shown(number);
        if let (Some(rule), true) = (port.request_rule, port.tcp_rule || port.https_probe) {
            return Err(PolicyError::Mixed {
                rule: rule.to_owned(),
                port: shown,
                other: if port.tcp_rule {
                    "allowed as tcp by another rule"
                } else {
                    "probed by HTTPS"
                },
            });
        }
        let server = self.server_name(number);
        let mut documents = Vec::new();
        if !port.connections.is_empty() {
            let of = Target {
                kind: "Server",
                name: &server,
            };
            documents.extend(self.allow(
                &server,
                &of,
                &port.connections,
                &format!("connect to {shown}"),
            ));
        }
        let routes =
            close(&port.requests).map_err(|tie| PolicyError::Tie(shown.clone(), Box::new(tie)))?;
        for (one, clients) in &routes {
            let name = format!("{server}.{}", name::of_match(one));
            let of = Target {
                kind: "HTTPRoute",
                name: &name,
            };
            let what = format!("ask for {one} on {shown}");
            documents.extend(self.allow(&name, &of, clients, &what));
            documents.push(self.route(&name, &server, one, &what));
        }
        Ok(documents)
    }

    /// Who may, for one target; one policy for those with an identity, one for those without.
    fn allow(
        &self,
        name: &str,
        target: &Target<'_>,
        clients: &BTreeSet<Client>,
        what: &str,
    ) -> Vec<Document> {
        let mut networks = Vec::new();
        let mut identities = Vec::new();
        let mut shown = Vec::new();
        for client in clients {
            match client {
                Client::Network(network) => {
                    networks.push(json!({ "cidr": network.to_string() }));
                    continue;
                }
                Client::Mesh => {}
                Client::Namespace(namespace) => {
                    identities.push(json!({"kind": "Namespace", "name": namespace}));
                }
                Client::ServiceAccount { namespace, name } => identities
                    .push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})),
            }
            shown.push(client.to_string());
        }
        let mut documents = Vec::new();
        let mesh = if clients.contains(&Client::Mesh) {
            Some(json!({"identities": ["*"]}))
        } else {
            (!identities.is_empty()).then(|| json!({ "identityRefs": identities }))
        };
        if let Some(spec) = mesh {
            let comment = format!("Who may {what}: {}.", shown.join(", "));
            documents.extend(self.policy(name, "MeshTLSAuthentication", &spec, target, comment));
        }
        if !networks.is_empty() {
            let comment =
                format!("Who may {what} without an identity: whoever asks from these networks.");
            let name = name::of_networks(name);
            let spec = json!({ "networks": networks });
            documents.extend(self.policy(&name, "NetworkAuthentication", &spec, target, comment));
        }
        documents
    }

    fn policy(
        &self,
        name: &str,
        kind: &str,
        who: &Value,
        target: &Target<'_>,
        comment: String,
    ) -> [Document; 2] {
        let policy = json!({
            "targetRef": {"group": linkerd::GROUP, "kind": target.kind, "name": target.name},
            "requiredAuthenticationRefs": [{"group": linkerd::GROUP, "kind": kind, "name": name}],
        });
        let authentication = self.object(linkerd::AUTHENTICATION, kind, name, who);
        [
            Document {
                comment,
                object: authentication,
            },
            Document {
                comment: format!("They may, on {} {}.", target.kind, target.name),
                object: self.object(
                    linkerd::AUTHENTICATION,
                    "AuthorizationPolicy",
                    name,
                    &policy,
                ),
            },
        ]
    }

    fn route(&self, name: &str, server: &str, one: &Match, what: &str) -> Document {
        let (kind, value) = match &one.path {
            Path::Exact(path) => ("Exact", path),
            Path::Below(path) => ("PathPrefix", path),
        };
        let mut matched = json!({"path": {"type": kind, "value": value}});
        if let Some(method) = one.method {
            matched["method"] = method.into();
        }
        let spec = json!({
            // Without a kind it would be a Gateway.
            "parentRefs": [{"group": linkerd::GROUP, "kind": "Server", "name": server}],
            "rules": [{"matches": [matched]}],
        });
        Document {
            comment: format!("What it is to {what}."),
            object: self.object(linkerd::ROUTE, "HTTPRoute", name, &spec),
        }
    }

    fn server(&self, number: u16, port: &Port<'_>) -> Document {
        let mut spec = json!({
            "podSelector": {"matchLabels": {label::ANCHOR: self.workload}},
            "port": number,
            "accessPolicy": "deny",
        });
        // Where nothing is said the proxy finds out whether it is HTTP, and which. A program that is the
        // first to speak would make it wait for that.
        if port.tcp_rule {
            spec["proxyProtocol"] = "opaque".into();
        } else if port.https_probe {
            spec["proxyProtocol"] = "TLS".into();
        }
        let comment = if port.requests.is_empty() && port.connections.is_empty() {
            format!("Port {}: nobody may anything.", self.shown(number))
        } else {
            format!(
                "Port {}: nobody may anything but what stands above.",
                self.shown(number)
            )
        };
        Document {
            comment,
            object: self.object(linkerd::SERVER, "Server", &self.server_name(number), &spec),
        }
    }

    fn server_name(&self, port: u16) -> String {
        format!(
            "{}-{}",
            name::of(self.workload),
            name::of(&self.shown(port))
        )
    }

    fn object(&self, version: &str, kind: &str, name: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": format!("{}/{version}", linkerd::GROUP),
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {
                    label::MANAGED_BY: label::MANAGED_BY_POLICY,
                    label::WORKLOAD: self.workload,
                },
            },
            "spec": spec,
        })
    }
}

/// What a policy is for.
struct Target<'a> {
    kind: &'a str,
    name: &'a str,
}

fn allow_probe(port: &mut Port<'_>, probe: &Probe, clients: BTreeSet<Client>) {
    let method;
    let path = match &probe.ask {
        Ask::Tcp => return,
        Ask::Https => {
            port.https_probe = true;
            port.connections.extend(clients);
            return;
        }
        Ask::Http(path) => {
            method = "GET";
            path.clone()
        }
        Ask::Grpc => {
            method = "POST";
            // The method of gRPC's own health service, which the kubelet calls.
            "/grpc.health.v1.Health/Check".to_owned()
        }
    };
    if port.tcp_rule {
        // A proxy that sees connections only cannot tell this one from others.
        port.connections.extend(clients);
    } else if !clients.is_empty() {
        let one = Match {
            path: Path::Exact(path),
            method: Some(method),
        };
        port.requests.push((one, clients));
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
