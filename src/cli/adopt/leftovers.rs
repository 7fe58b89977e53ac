//! What nothing needs any more: anchors, rights of launchers, paths of launchers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pairs::Adopted;
use super::world::{Fate, Object, World, items};

/// Leaves the anchors out.
pub(super) fn anchors(world: &mut World, adopted: &[Adopted]) {
    let all: BTreeSet<usize> = adopted
        .iter()
        .flat_map(|one| one.anchors.iter().copied())
        .collect();
    for place in all {
        let users: Vec<&Adopted> = adopted
            .iter()
            .filter(|one| one.anchors.contains(&place))
            .collect();
        let called = |one: &&Adopted| world.objects.get(one.object).map(Object::called);
        let names: Vec<_> = users.iter().filter_map(called).collect();
        for user in users.iter().filter(|_| names.len() > 1) {
            let own = world.objects.get(user.object).map(Object::called);
            let others: Vec<_> = names
                .iter()
                .filter(|name| Some(*name) != own.as_ref())
                .cloned()
                .collect();
            let text = format!(
                "it shared its anchor with {}: each has an address of its own now. What they said to each other over \
                 localhost needs the other one's Service",
                others.join(" and ")
            );
            world.lose(user.object, &text);
        }
        let other_namespace = users.iter().find(|one| {
            let namespace =
                |place: usize| world.objects.get(place).map(|one| one.namespace.clone());
            namespace(one.object) != namespace(place)
        });
        if let Some(user) = other_namespace.map(|one| one.object) {
            world.lose(
                user,
                "its anchor was in another namespace: anchors are in their pods' own, and so are the Services that \
                 select them",
            );
        }
        let Some(object) = world.objects.get_mut(place) else {
            continue;
        };
        object.fate = Fate::LeftOut("native-host makes an anchor for each replica".to_owned());
        let (kind, name, namespace) = (
            object.kind().to_lowercase(),
            object.name(),
            &object.namespace,
        );
        let by_hand = format!(
            "kubectl delete {kind} {name} -n {namespace}        # once its program runs by native-host"
        );
        world.do_after(by_hand);
    }
    for one in adopted.iter().filter(|one| one.anchors.is_empty()) {
        let object = world.objects.get(one.object);
        let selector = one
            .launches
            .iter()
            .find_map(|(_, launch)| launch.selectors.first());
        if let (Some(object), Some(selector)) = (object, selector) {
            let pairs: Vec<_> = selector
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let namespace = &object.namespace;
            world.do_after(format!(
                "kubectl delete pod -l {} -n {namespace}        # the anchor of {}, which was not among what was read",
                pairs.join(","),
                object.called()
            ));
        }
    }
}

/// Says which workloads differ in nothing but what told their anchors apart.
pub(super) fn twins(world: &mut World, adopted: &[Adopted]) {
    for (place, one) in adopted.iter().enumerate() {
        let same: Vec<&Adopted> = adopted
            .iter()
            .skip(place + 1)
            .filter(|other| {
                other.workload == one.workload && essence(world, one) == essence(world, other)
            })
            .collect();
        let first = !adopted.iter().take(place).any(|before| {
            before.workload == one.workload && essence(world, before) == essence(world, one)
        });
        if same.is_empty() || !first {
            continue;
        }
        let names: Vec<_> = same
            .iter()
            .filter_map(|other| Some(world.objects.get(other.object)?.called()))
            .collect();
        let text = format!(
            "{} and this one differ only in name and labels: one of them with replicas: {} does the same",
            names.join(", "),
            names.len() + 1
        );
        if let Some(object) = world.objects.get_mut(one.object) {
            object.remark(text);
        }
    }
}

/// What a workload runs, without what tells it from its twins.
fn essence(world: &World, one: &Adopted) -> Option<Value> {
    let object = world.objects.get(one.object)?;
    let Fate::Changed(draft) = &object.fate else {
        return None;
    };
    let mut spec = draft.value.pointer(object.template()?)?["spec"].clone();
    if let Some(selector) = spec["nodeSelector"].as_object_mut() {
        selector.remove("kubernetes.io/hostname");
    }
    Some(spec)
}

/// A launcher's right to list pods, which K2s gives to the account that it runs as.
pub(super) fn rights(world: &mut World, adopted: &[Adopted]) {
    if adopted.is_empty() {
        return;
    }
    let is_user = |subject: &Value| {
        let name = subject["name"].as_str().unwrap_or_default();
        subject["kind"] == "User" && name.to_ascii_lowercase().starts_with("k2s-")
    };
    let mut roles = BTreeSet::new();
    let why = "can go: only the launcher asked the API server, as this account";
    for object in &mut world.objects {
        let of_launcher = matches!(object.kind(), "RoleBinding" | "ClusterRoleBinding")
            && items(&object.value["subjects"]).next().is_some()
            && items(&object.value["subjects"]).all(is_user);
        if of_launcher {
            let role = &object.value["roleRef"];
            roles.insert((role["kind"].to_string(), role["name"].to_string()));
            object.remark(why);
        }
    }
    for object in &mut world.objects {
        let is_one = roles.contains(&(
            object.value["kind"].to_string(),
            object.value["metadata"]["name"].to_string(),
        ));
        let reads_pods = items(&object.value["rules"]).all(|rule| {
            items(&rule["resources"]).all(|one| one == "pods")
                && items(&rule["verbs"])
                    .all(|verb| matches!(verb.as_str(), Some("get" | "list" | "watch")))
        });
        if is_one && reads_pods {
            object.remark(why);
        }
    }
}

/// ConfigMaps of paths and scripts that only command lines were made of.
pub(super) fn config_maps(world: &mut World, adopted: &[Adopted]) {
    let mut used = BTreeSet::new();
    for one in adopted {
        let Some(object) = world.objects.get(one.object) else {
            continue;
        };
        let Some(pod) = object.pod() else { continue };
        let namespace = object.namespace.clone();
        for (place, launch) in &one.launches {
            let container = &pod["spec"]["containers"][place];
            let volumes = items(&pod["spec"]["volumes"]);
            let scripts = volumes.filter(|volume| {
                volume["name"]
                    .as_str()
                    .is_some_and(|name| launch.scripts.contains(name))
            });
            used.extend(scripts.filter_map(|volume| {
                Some((
                    namespace.clone(),
                    volume["configMap"]["name"].as_str()?.to_owned(),
                ))
            }));
            let keys = items(&container["env"])
                .filter_map(|one| one["valueFrom"]["configMapKeyRef"]["name"].as_str());
            let whole =
                items(&container["envFrom"]).filter_map(|one| one["configMapRef"]["name"].as_str());
            used.extend(
                keys.chain(whole)
                    .map(|name| (namespace.clone(), name.to_owned())),
            );
        }
    }
    let lines: BTreeSet<String> = adopted
        .iter()
        .flat_map(|one| one.launches.iter())
        .flat_map(|(_, launch)| launch.used.iter().map(|name| name.to_ascii_uppercase()))
        .collect();
    let scripts = |key: &str| key.to_ascii_lowercase().ends_with(".ps1");
    let launcher =
        |key: &str| lines.contains(&key.to_ascii_uppercase()) || key == "KUBECTL" || scripts(key);
    for object in &mut world.objects {
        let key = (object.namespace.clone(), object.name().to_owned());
        if object.kind() != "ConfigMap" || !used.contains(&key) {
            continue;
        }
        let data = object.value["data"].as_object();
        if data.is_some_and(|data| !data.is_empty() && data.keys().all(|key| launcher(key))) {
            object.remark(
                "can go, with what refers to it: only the launcher's command line was made of it, and stands in the \
                 manifest now",
            );
        }
    }
}
