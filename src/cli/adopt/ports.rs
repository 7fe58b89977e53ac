//! The program's ports: by hand nobody declares them on a pod that is on the host's network.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::draft::Draft;
use super::pairs::{Adopted, Front};
use super::probes;
use super::world::{World, items, text};

/// A port of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) name: Option<String>,
    pub(super) number: u64,
    pub(super) protocol: Option<String>,
}

/// The program's ports, as anchors and Services have them.
pub(super) fn of(world: &World, adopted: &Adopted, fronts: &[&Front]) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    let mut add = |name: Option<String>, number: Option<u64>, protocol: &Value| {
        let protocol = text(protocol).filter(|protocol| protocol != "TCP");
        let Some(number) = number else { return };
        match ports
            .iter_mut()
            .find(|port| port.number == number && port.protocol == protocol)
        {
            Some(known) => known.name = known.name.take().or(name),
            None => ports.push(Port {
                name,
                number,
                protocol,
            }),
        }
    };
    for anchor in adopted
        .anchors
        .iter()
        .filter_map(|place| world.objects.get(*place)?.pod())
    {
        for port in items(&anchor["spec"]["containers"]).flat_map(|one| items(&one["ports"])) {
            add(
                text(&port["name"]),
                port["containerPort"].as_u64(),
                &port["protocol"],
            );
        }
    }
    for service in fronts
        .iter()
        .filter_map(|front| world.objects.get(front.service))
    {
        for port in items(&service.value["spec"]["ports"]) {
            let (name, number) = match &port["targetPort"] {
                Value::String(name) => (Some(name.clone()), probes::named(service, name, world)),
                Value::Null => (text(&port["name"]), port["port"].as_u64()),
                number => (text(&port["name"]), number.as_u64()),
            };
            add(
                name.filter(|name| is_port_name(name)),
                number,
                &port["protocol"],
            );
        }
    }
    ports
}

/// IANA_SVC_NAME, as Kubernetes checks it.
fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && name.chars().any(|c| c.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// Declares ports that the container does not; those that probes alone know get the name `health`.
pub(super) fn add(draft: &mut Draft, container: &str, ports: &[Port], probed: &[u64]) {
    let pointer = format!("{container}/ports");
    let known = draft
        .value
        .pointer(&pointer)
        .cloned()
        .unwrap_or_else(|| json!([]));
    let mut numbers: BTreeSet<u64> = items(&known)
        .filter_map(|port| port["containerPort"].as_u64())
        .collect();
    let mut names: BTreeSet<String> = items(&known)
        .filter_map(|port| text(&port["name"]))
        .collect();
    let mut new = Vec::new();
    let of_probes = probed.iter().map(|number| Port {
        name: Some("health".to_owned()),
        number: *number,
        protocol: None,
    });
    for port in ports.iter().cloned().chain(of_probes) {
        if !numbers.insert(port.number) {
            continue;
        }
        let mut entry = json!({});
        if let Some(name) = port.name.filter(|name| names.insert(name.clone())) {
            entry["name"] = name.into();
        }
        entry["containerPort"] = port.number.into();
        if let Some(protocol) = port.protocol {
            entry["protocol"] = protocol.into();
        }
        new.push(entry);
    }
    let before = items(&known).count();
    for place in 0..before {
        draft.comment(
            &format!("{pointer}/{place}/hostPort"),
            "can go: native-host drops it",
        );
    }
    if new.is_empty() {
        return;
    }
    let made = before == 0;
    if let Some(fields) = draft
        .value
        .pointer_mut(container)
        .and_then(Value::as_object_mut)
        && let Some(list) = fields
            .entry("ports")
            .or_insert_with(|| json!([]))
            .as_array_mut()
    {
        list.extend(new);
    }
    if made {
        draft.comment(
            &pointer,
            "new: they move to the anchors, where Services find them by name",
        );
    }
}
