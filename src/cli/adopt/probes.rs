//! Probes that go to a Service's address, since the kubelet could not know the anchor's.

use serde_json::{Value, json};

use super::draft::Draft;
use super::world::{Object, World, items};

/// A container's fields that are probes.
pub(super) const PROBES: [&str; 3] = ["startupProbe", "readinessProbe", "livenessProbe"];
/// The actions that may name a host.
const ACTIONS: [&str; 2] = ["httpGet", "tcpSocket"];

/// Whether an address, or a name, is a Service's.
pub(super) fn is_address_of(service: &Object, host: &str) -> bool {
    let spec = &service.value["spec"];
    if spec["clusterIP"] == host || items(&spec["clusterIPs"]).any(|one| one == host) {
        return true;
    }
    let (name, namespace) = (service.name(), &service.namespace);
    let of = format!("{name}.{namespace}");
    host == name || host == of || host.starts_with(&format!("{of}.svc"))
}

/// The Service of an address, or of a name.
pub(super) fn service<'w>(world: &'w World, host: &str) -> Option<&'w Object> {
    let mut services = world.objects.iter().filter(|one| one.kind() == "Service");
    services.find(|one| is_address_of(one, host))
}

/// The hosts that a pod's probes name.
pub(super) fn hosts(pod: &Value) -> impl Iterator<Item = &str> {
    targets(pod).map(|(host, _)| host)
}

/// Hosts and ports that a pod's probes go to.
pub(super) fn targets(pod: &Value) -> impl Iterator<Item = (&str, u64)> {
    let probes = items(&pod["spec"]["containers"])
        .flat_map(|container| PROBES.iter().map(|probe| &container[*probe]));
    probes.flat_map(|probe| {
        let direct = ACTIONS.iter().filter_map(|action| {
            let action = &probe[*action];
            Some((action["host"].as_str()?, action["port"].as_u64()?))
        });
        let url = items(&probe["exec"]["command"]).find_map(|word| {
            let (_, host, port, _) = url(word.as_str()?)?;
            Some((host, port))
        });
        direct.chain(url)
    })
}

/// Scheme, host, port and path of a URL in a command line.
fn url(text: &str) -> Option<(&str, &str, u64, &str)> {
    let start = text.find("http://").or_else(|| text.find("https://"))?;
    let url = text.get(start..)?.split([' ', '"', '\'']).next()?;
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => (rest.get(..at)?, rest.get(at..)?),
        None => (rest, "/"),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, if scheme == "https" { 443 } else { 80 }),
    };
    Some((scheme, host, port, path))
}

/// What is said, and what is lost, of a container's probes.
pub(super) struct Rewritten {
    pub(super) lost: Vec<String>,
    /// Ports that the program is probed on.
    pub(super) ports: Vec<u64>,
}

/// Points a container's probes at the program itself.
pub(super) fn rewrite(draft: &mut Draft, container: &str, world: &World) -> Rewritten {
    let mut done = Rewritten {
        lost: Vec::new(),
        ports: Vec::new(),
    };
    for which in PROBES {
        let pointer = format!("{container}/{which}");
        for action in ACTIONS {
            direct(draft, &pointer, action, world, &mut done);
        }
        exec(draft, &pointer, which, world, &mut done);
        if which != "readinessProbe" {
            draft.comment(
                &format!("{pointer}/initialDelaySeconds"),
                "can be less: it begins with the program, not with its launcher",
            );
        }
    }
    done
}

fn direct(draft: &mut Draft, probe: &str, action: &str, world: &World, done: &mut Rewritten) {
    let pointer = format!("{probe}/{action}");
    let Some(fields) = draft
        .value
        .pointer_mut(&pointer)
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let host = fields.remove("host");
    let Some(host) = host.as_ref().and_then(Value::as_str) else {
        done.ports
            .extend(fields.get("port").and_then(Value::as_u64));
        return;
    };
    let before = fields.get("port").cloned().unwrap_or_default();
    let Some(service) = service(world, host) else {
        done.ports.extend(before.as_u64());
        let at = format!("{pointer}/port");
        draft.comment(&at, format!("asked host {host} before"));
        if host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|host| !host.is_loopback())
        {
            done.lost.push(format!(
                "a probe asked {host}:{}, and no Service of that address is among what was read: the port was taken \
                 for the program's own",
                shown(&before)
            ));
        }
        return;
    };
    let port = target(service, &before, world).unwrap_or_else(|| before.clone());
    done.ports.extend(port.as_u64());
    fields.insert("port".to_owned(), port);
    let name = service.name().to_owned();
    draft.comment(
        &format!("{pointer}/port"),
        format!(
            "the program's own; before: {host}:{} of Service {name}",
            shown(&before)
        ),
    );
}

fn shown(port: &Value) -> String {
    port.as_str()
        .map_or_else(|| port.to_string(), str::to_owned)
}

/// A Service's port as the program has it.
fn target(service: &Object, port: &Value, world: &World) -> Option<Value> {
    let mut ports = items(&service.value["spec"]["ports"]);
    let found = ports.find(|one| one["port"] == *port)?;
    match &found["targetPort"] {
        Value::Null => Some(port.clone()),
        Value::String(name) => named(service, name, world).map(Value::from),
        number => Some(number.clone()),
    }
}

/// A port's number, by its name in the pods that a Service selects.
pub(super) fn named(service: &Object, name: &str, world: &World) -> Option<u64> {
    let selector = super::world::pairs(&service.value["spec"]["selector"]);
    let pods = world
        .objects
        .iter()
        .filter(|one| one.namespace == service.namespace);
    let pods = pods
        .filter_map(|one| one.pod())
        .filter(|pod| super::world::selects(&selector, pod));
    let mut ports = pods
        .flat_map(|pod| items(&pod["spec"]["containers"]))
        .flat_map(|container| items(&container["ports"]));
    ports.find(|port| port["name"] == name)?["containerPort"].as_u64()
}

/// A probe that calls curl on a Service's address becomes what curl was called for.
fn exec(draft: &mut Draft, pointer: &str, which: &str, world: &World, done: &mut Rewritten) {
    let command = draft.value.pointer(&format!("{pointer}/exec/command"));
    let found = command
        .into_iter()
        .flat_map(items)
        .find_map(|word| url(word.as_str()?));
    let Some((scheme, host, port, path)) = found else {
        return;
    };
    let Some(service) = service(world, host) else {
        done.lost.push(format!(
            "{which} calls a program that asks {host}:{port}, from the host's network: write an httpGet of the \
             program's own port, without a host"
        ));
        return;
    };
    let port = target(service, &port.into(), world).unwrap_or_else(|| port.into());
    done.ports.extend(port.as_u64());
    let mut get = json!({ "path": path, "port": port });
    if scheme == "https" {
        get["scheme"] = "HTTPS".into();
    }
    let shown = format!(
        "before: a program that asked {host}, of Service {}",
        service.name()
    );
    if let Some(probe) = draft
        .value
        .pointer_mut(pointer)
        .and_then(Value::as_object_mut)
    {
        probe.remove("exec");
        probe.insert("httpGet".to_owned(), get);
    }
    draft.comment(&format!("{pointer}/httpGet"), shown);
}
