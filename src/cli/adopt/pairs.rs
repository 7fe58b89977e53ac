//! Who belongs together: HostProcess workloads, their anchors, and the Services in front of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::command::{Launch, Reader};
use super::env::Env;
use super::probes;
use super::world::{World, items, pairs, selects};
use crate::names::label;
use crate::plan::is_workload_name;

/// A workload that is adopted.
#[derive(Debug)]
pub(super) struct Adopted {
    /// Its place among the objects.
    pub(super) object: usize,
    /// Its containers that are started in a compartment.
    pub(super) launches: Vec<(usize, Launch)>,
    /// Its anchors, by their places.
    pub(super) anchors: BTreeSet<usize>,
    /// The name that it gets.
    pub(super) workload: String,
}

/// A Service in front of adopted workloads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Front {
    pub(super) service: usize,
    /// Which of the adopted, by their places among those.
    pub(super) of: BTreeSet<usize>,
    /// It selects HostProcess pods, not anchors.
    pub(super) of_pods: bool,
    /// Nothing but probes needs it.
    pub(super) probes_only: bool,
}

/// Everything that is adopted; what is not understood is told of.
pub(super) fn adopted(world: &mut World) -> Vec<Adopted> {
    let mut found = Vec::new();
    for index in 0..world.objects.len() {
        match launches(world, index) {
            Ok(launches) if launches.is_empty() => {}
            Ok(launches) => {
                let anchors = anchors(world, index, &launches);
                let workload = world
                    .objects
                    .get(index)
                    .map(|object| object.name().to_owned());
                found.push(Adopted {
                    object: index,
                    launches,
                    anchors,
                    workload: workload.unwrap_or_default(),
                });
            }
            Err(unclear) => {
                world.unclear = true;
                let way_out = "Write the program itself and its arguments as the container's command, and run this again";
                world.lose(index, &format!("{unclear}. {way_out}"));
            }
        }
    }
    found
}

/// Whether containers of a pod run on the host.
fn is_host_process(pod: &Value) -> bool {
    let on =
        |security: &Value| security["securityContext"]["windowsOptions"]["hostProcess"] == true;
    on(&pod["spec"]) || items(&pod["spec"]["containers"]).any(on)
}

fn launches(world: &World, index: usize) -> Result<Vec<(usize, Launch)>, String> {
    let object = world.objects.get(index);
    let Some((object, pod)) = object.and_then(|object| Some((object, object.pod()?))) else {
        return Ok(Vec::new());
    };
    if !is_host_process(pod) || !pod["metadata"]["labels"][label::WORKLOAD].is_null() {
        return Ok(Vec::new());
    }
    let mut launches = Vec::new();
    for (place, container) in items(&pod["spec"]["containers"]).enumerate() {
        let env = Env::of(container, &object.namespace, world);
        let reader = Reader {
            container,
            spec: &pod["spec"],
            namespace: &object.namespace,
            world,
            env: &env,
        };
        let name = container["name"].as_str().unwrap_or_default();
        let launch = reader
            .read()
            .map_err(|unclear| format!("the command line of container {name} holds {unclear}"))?;
        launches.extend(launch.map(|launch| (place, launch)));
    }
    Ok(launches)
}

/// The pods that own the compartments: by the launcher's selector, else by the Service that the probes go to.
fn anchors(world: &World, index: usize, launches: &[(usize, Launch)]) -> BTreeSet<usize> {
    let Some(object) = world.objects.get(index) else {
        return BTreeSet::new();
    };
    let mut found = BTreeSet::new();
    for (_, launch) in launches {
        let namespace = launch.namespace.as_ref().unwrap_or(&object.namespace);
        for selector in &launch.selectors {
            let pairs = selector
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()));
            found.extend(plain_pods(world, namespace, &pairs.collect()));
        }
    }
    if found.is_empty() {
        let hosts = object.pod().into_iter().flat_map(probes::hosts);
        for service in hosts.filter_map(|host| probes::service(world, host)) {
            let selector = pairs(&service.value["spec"]["selector"]);
            found.extend(plain_pods(world, &service.namespace, &selector));
        }
    }
    found
}

/// Pods, or what makes them, that run in containers.
fn plain_pods(world: &World, namespace: &str, selector: &BTreeMap<&str, &str>) -> Vec<usize> {
    let objects = world.objects.iter().enumerate();
    let is_one = objects.filter(|(_, object)| {
        object.namespace == namespace
            && object
                .pod()
                .is_some_and(|pod| !is_host_process(pod) && selects(selector, pod))
    });
    is_one.map(|(index, _)| index).collect()
}

/// The Services in front of what is adopted.
pub(super) fn fronts(world: &World, adopted: &[Adopted]) -> Vec<Front> {
    let mut fronts = Vec::new();
    for (index, service) in world.objects.iter().enumerate() {
        if service.kind() != "Service" || !service.group().is_empty() {
            continue;
        }
        let selector = pairs(&service.value["spec"]["selector"]);
        let pod_of = |place: &usize| world.objects.get(*place).and_then(|object| object.pod());
        let here = |one: &&Adopted| {
            let object = world.objects.get(one.object);
            object.is_some_and(|object| object.namespace == service.namespace)
        };
        let of = |test: &dyn Fn(&Adopted) -> bool| -> BTreeSet<usize> {
            let all = adopted.iter().enumerate();
            all.filter(|(_, one)| here(one) && test(one))
                .map(|(place, _)| place)
                .collect()
        };
        let by_anchors = of(&|one| {
            let mut anchors = one.anchors.iter().filter_map(pod_of);
            anchors.any(|pod| selects(&selector, pod))
        });
        let by_pods = of(&|one| pod_of(&one.object).is_some_and(|pod| selects(&selector, pod)));
        let of_pods = by_anchors.is_empty();
        let of: BTreeSet<usize> = by_anchors.union(&by_pods).copied().collect();
        if !of.is_empty() {
            fronts.push(Front {
                service: index,
                of,
                of_pods,
                probes_only: false,
            });
        }
    }
    only_for_probes(world, adopted, &mut fronts);
    fronts
}

/// Marks those whose every port is one that probes go to, where another Service is for the rest.
fn only_for_probes(world: &World, adopted: &[Adopted], fronts: &mut [Front]) {
    let probed: Vec<bool> = fronts
        .iter()
        .map(|front| {
            let Some(service) = world.objects.get(front.service) else {
                return false;
            };
            let pods = front.of.iter().filter_map(|place| {
                let object = world.objects.get(adopted.get(*place)?.object)?;
                object.pod()
            });
            let asked: BTreeSet<u64> = pods
                .flat_map(probes::targets)
                .filter(|(host, _)| probes::is_address_of(service, host))
                .map(|(_, port)| port)
                .collect();
            let ports = items(&service.value["spec"]["ports"]);
            let mut ports = ports.filter_map(|port| port["port"].as_u64()).peekable();
            ports.peek().is_some() && ports.all(|port| asked.contains(&port))
        })
        .collect();
    for (index, probed_only) in probed.iter().enumerate() {
        let others = fronts.iter().zip(&probed).enumerate();
        let of = fronts
            .get(index)
            .map(|front| front.of.clone())
            .unwrap_or_default();
        let another = others
            .filter(|(other, (_, probed))| *other != index && !**probed)
            .any(|(_, (front, _))| of.is_subset(&front.of));
        if let Some(front) = fronts.get_mut(index) {
            front.probes_only = *probed_only && another;
        }
    }
}

/// Gives names: what has a Service in common is one workload, since a Service selects one.
pub(super) fn name(world: &World, adopted: &mut [Adopted], fronts: &[Front]) {
    let mut groups: Vec<(BTreeSet<usize>, Option<usize>)> = (0..adopted.len())
        .map(|place| (BTreeSet::from([place]), None))
        .collect();
    for front in fronts.iter().filter(|front| !front.probes_only) {
        let (joined, others): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .partition(|(group, _)| !group.is_disjoint(&front.of));
        let first = joined.iter().find_map(|(_, service)| *service);
        let all = joined.into_iter().flat_map(|(group, _)| group).collect();
        groups = others;
        groups.push((all, first.or(Some(front.service))));
    }
    for (group, service) in groups {
        let name_of = |place: usize| {
            world
                .objects
                .get(place)
                .map(|object| object.name().to_owned())
        };
        let shared = service.filter(|_| group.len() > 1).and_then(name_of);
        for place in group {
            if let Some(one) = adopted.get_mut(place) {
                let own = std::mem::take(&mut one.workload);
                one.workload = as_workload(shared.as_ref().unwrap_or(&own));
            }
        }
    }
}

/// A name that may be a label's value.
fn as_workload(name: &str) -> String {
    let short: String = name.chars().take(63).collect();
    let short = short
        .trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned();
    if is_workload_name(&short) {
        short
    } else {
        "workload".to_owned()
    }
}
