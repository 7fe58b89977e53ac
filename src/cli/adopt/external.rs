//! K2s's Option 1: a Service without a selector, with endpoints that somebody wrote by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};

use super::draft::Draft;
use super::world::{Fate, Object, World, items, text};
use crate::names::{external, label, policy};

/// Endpoints that somebody wrote by hand.
#[derive(Default)]
struct Endpoints {
    /// Their objects.
    objects: Vec<usize>,
    addresses: Vec<IpAddr>,
    /// Ports by name.
    ports: BTreeMap<String, BTreeSet<u64>>,
    lost: Vec<String>,
}

/// Rewrites each.
pub(super) fn rewrite(world: &mut World) {
    let mut allowed: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for index in 0..world.objects.len() {
        let Some(service) = world.objects.get(index).filter(|one| is_open(one)) else {
            continue;
        };
        let endpoints = endpoints(world, service);
        if endpoints.objects.is_empty() {
            continue;
        }
        let namespace = service.namespace.clone();
        if endpoints.addresses.is_empty() {
            world.lose(
                index,
                "its endpoints have no IP address: write native-host's annotations by hand",
            );
            continue;
        }
        allowed
            .entry(namespace)
            .or_default()
            .extend(&endpoints.addresses);
        one(world, index, endpoints);
    }
    for (namespace, addresses) in allowed {
        allow(world, &namespace, &addresses);
    }
}

/// A Service that selects nothing, and is not ours yet.
fn is_open(object: &Object) -> bool {
    let spec = &object.value["spec"];
    let selector = spec["selector"].as_object();
    object.kind() == "Service"
        && object.group().is_empty()
        && selector.is_none_or(serde_json::Map::is_empty)
        && spec["type"] != "ExternalName"
        && object.value["metadata"]["labels"][label::EXTERNAL].is_null()
}

fn endpoints(world: &World, service: &Object) -> Endpoints {
    let mut found = Endpoints::default();
    for (index, object) in world.objects.iter().enumerate() {
        if object.namespace != service.namespace {
            continue;
        }
        let value = &object.value;
        match object.kind() {
            "EndpointSlice"
                if value["metadata"]["labels"][label::SERVICE_NAME] == service.name() =>
            {
                found.objects.push(index);
                found.ports(&value["ports"]);
                for endpoint in items(&value["endpoints"]) {
                    if endpoint["conditions"]["ready"] == false {
                        let shown: Vec<_> =
                            items(&endpoint["addresses"]).filter_map(text).collect();
                        found.lost.push(format!(
                            "{} was written as not ready: native-host probes it, and publishes it when it answers",
                            shown.join(", ")
                        ));
                    }
                    found.addresses(items(&endpoint["addresses"]));
                }
            }
            "Endpoints" if object.name() == service.name() => {
                found.objects.push(index);
                for subset in items(&value["subsets"]) {
                    found.ports(&subset["ports"]);
                    let both =
                        items(&subset["addresses"]).chain(items(&subset["notReadyAddresses"]));
                    found.addresses(both.map(|one| &one["ip"]));
                }
            }
            _ => {}
        }
    }
    found
}

impl Endpoints {
    fn ports(&mut self, ports: &Value) {
        for port in items(ports) {
            let name = text(&port["name"]).unwrap_or_default();
            self.ports
                .entry(name)
                .or_default()
                .extend(port["port"].as_u64());
        }
    }

    fn addresses<'v>(&mut self, addresses: impl Iterator<Item = &'v Value>) {
        for address in addresses.filter_map(Value::as_str) {
            match address.parse() {
                Ok(address) if self.addresses.contains(&address) => {}
                Ok(address) => self.addresses.push(address),
                Err(_) => self.lost.push(format!(
                    "the endpoint {address} is a name: an external Service takes addresses only; a Service of type \
                     ExternalName takes a name"
                )),
            }
        }
    }
}

fn one(world: &mut World, index: usize, endpoints: Endpoints) {
    let mut lost = endpoints.lost.clone();
    let Some(service) = world.objects.get_mut(index) else {
        return;
    };
    let (name, namespace) = (service.name().to_owned(), service.namespace.clone());
    service.edit(|draft| publish(draft, &endpoints, &mut lost));
    for place in endpoints.objects {
        let Some(object) = world.objects.get_mut(place) else {
            continue;
        };
        object.fate =
            Fate::LeftOut("native-host writes the endpoints, and keeps them true".to_owned());
        let (kind, name) = (object.kind().to_lowercase(), object.name().to_owned());
        world.do_after(format!(
            "kubectl delete {kind} {name} -n {namespace}        # else its addresses stay published, alive or not"
        ));
    }
    for text in lost {
        world.lose(index, &text);
    }
    if endpoints
        .addresses
        .iter()
        .any(|address| address.is_loopback() || address.is_multicast())
    {
        world.lose(
            index,
            &format!("{name} points at an address that external Services must not have"),
        );
    }
}

/// Its addresses and ports, as native-host wants them.
fn publish(draft: &mut Draft, endpoints: &Endpoints, lost: &mut Vec<String>) {
    let shown: Vec<_> = endpoints
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    let metadata = &mut draft.value["metadata"];
    for (key, field, value) in [
        ("labels", label::EXTERNAL, label::EXTERNAL_ON.to_owned()),
        ("annotations", external::ADDRESSES, shown.join(",")),
    ] {
        if !metadata[key].is_object() {
            metadata[key] = json!({});
        }
        metadata[key][field] = value.into();
    }
    let pointer = |key: &str, field: &str| format!("/metadata/{key}/{}", field.replace('/', "~1"));
    draft.comment(
        &pointer("labels", label::EXTERNAL),
        "new: native-host keeps its endpoints",
    );
    let probe = format!(
        "new: what was in the endpoints. They are ready while a connection to each port opens; to ask the process \
         itself, add\n  {}: http://:HEALTH-PORT/health/readiness",
        external::PROBE
    );
    draft.comment(&pointer("annotations", external::ADDRESSES), probe);
    let ports = items(&draft.value["spec"]["ports"]).cloned().enumerate();
    for (place, port) in ports.collect::<Vec<_>>() {
        let of = text(&port["name"]).unwrap_or_default();
        // The name of the only port plays no part.
        let known = endpoints.ports.get(&of).or_else(|| {
            let only = endpoints.ports.len() == 1;
            endpoints.ports.values().next().filter(|_| only)
        });
        let pointer = format!("/spec/ports/{place}/targetPort");
        match known.map(|ports| ports.iter().copied().collect::<Vec<_>>()).as_deref() {
            Some([number]) => {
                if port["targetPort"] != *number && !(port["targetPort"].is_null() && port["port"] == *number) {
                    draft.value["spec"]["ports"][place]["targetPort"] = (*number).into();
                    draft.comment(&pointer, "the endpoints'; a Service without a selector looked at those only");
                }
            }
            Some([]) | None => lost.push(format!(
                "port {} {} has no port among the endpoints: nothing was behind it",
                of, port["port"]
            )),
            Some(several) => lost.push(format!(
                "port {of} had several ports behind it ({several:?}): an external Service has one. Make a Service of \
                 each"
            )),
        }
    }
}

/// The Namespace has to allow the addresses.
fn allow(world: &mut World, namespace: &str, addresses: &BTreeSet<IpAddr>) {
    let networks: Vec<_> = addresses
        .iter()
        .map(|address| format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }))
        .collect();
    let networks = networks.join(",");
    let key = policy::EXTERNAL_CIDRS;
    let is_it = |one: &&mut Object| one.kind() == "Namespace" && one.name() == namespace;
    let Some(object) = world.objects.iter_mut().find(is_it) else {
        world.before.push(format!(
            "kubectl annotate namespace {namespace} {key}={networks}"
        ));
        return;
    };
    if object.value["metadata"]["annotations"][key].is_string() {
        return;
    }
    object.edit(|draft| {
        let metadata = &mut draft.value["metadata"];
        if !metadata["annotations"].is_object() {
            metadata["annotations"] = json!({});
        }
        metadata["annotations"][key] = networks.into();
        draft.comment(
            &format!("/metadata/annotations/{}", key.replace('/', "~1")),
            "new: where external Services of this namespace may point",
        );
    });
}
