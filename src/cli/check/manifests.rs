//! What is to be installed: the very manifests of `deploy/`, which this program carries.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use serde::de::DeserializeOwned;
use serde_json::Value;

const RBAC: &str = include_str!("../../../deploy/base/rbac.yaml");
const POLICIES: &str = include_str!("../../../deploy/base/policies.yaml");
const WEBHOOKS: &str = include_str!("../../../deploy/base/webhooks.yaml");

/// The documents of a file. They are tested to be readable, with the program that carries them.
fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_default()
}

fn of_kind<T: DeserializeOwned>(documents: &[Value], kind: &str) -> Vec<T> {
    let wanted = documents.iter().filter(|one| one["kind"] == kind);
    wanted
        .filter_map(|one| serde_json::from_value(one.clone()).ok())
        .collect()
}

/// The webhook configuration of this name.
pub(super) fn webhooks(name: &str) -> Vec<Value> {
    let all = documents(WEBHOOKS);
    let configuration = all.iter().find(|one| one["metadata"]["name"] == name);
    let webhooks = configuration.and_then(|one| one["webhooks"].as_array());
    webhooks.cloned().unwrap_or_default()
}

/// The rules that the ServiceAccount is bound to, with the namespace where they hold; None: everywhere.
pub(super) fn rules(service_account: &str) -> Vec<(Option<String>, PolicyRule)> {
    let all = documents(RBAC);
    let mut rules = Vec::new();
    let roles: Vec<ClusterRole> = of_kind(&all, "ClusterRole");
    for binding in of_kind::<ClusterRoleBinding>(&all, "ClusterRoleBinding") {
        let bound = binding.subjects.iter().flatten();
        let role = roles
            .iter()
            .find(|role| role.metadata.name.as_ref() == Some(&binding.role_ref.name));
        if let (Some(role), true) = (role, is_bound(bound, service_account)) {
            rules.extend(role.rules.iter().flatten().map(|rule| (None, rule.clone())));
        }
    }
    let roles: Vec<Role> = of_kind(&all, "Role");
    for binding in of_kind::<RoleBinding>(&all, "RoleBinding") {
        let bound = binding.subjects.iter().flatten();
        let role = roles.iter().find(|role| {
            role.metadata.name.as_ref() == Some(&binding.role_ref.name)
                && role.metadata.namespace == binding.metadata.namespace
        });
        if let (Some(role), true) = (role, is_bound(bound, service_account)) {
            let namespace = &role.metadata.namespace;
            let own = role.rules.iter().flatten();
            rules.extend(own.map(|rule| (namespace.clone(), rule.clone())));
        }
    }
    rules
}

fn is_bound<'s>(
    mut subjects: impl Iterator<Item = &'s k8s_openapi::api::rbac::v1::Subject>,
    service_account: &str,
) -> bool {
    subjects.any(|subject| subject.kind == "ServiceAccount" && subject.name == service_account)
}

/// A guard rail that has to be in force.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Guard {
    /// The name of the ValidatingAdmissionPolicy.
    pub(super) name: String,
    /// Its `spec`.
    pub(super) spec: Value,
    /// The names of its bindings, and the `spec` of each.
    pub(super) bindings: Vec<(String, Value)>,
}

/// The guard rails.
pub(super) fn guards() -> Vec<Guard> {
    guards_of(POLICIES)
}

pub(super) fn guards_of(text: &str) -> Vec<Guard> {
    let all = documents(text);
    let name = |object: &Value| object["metadata"]["name"].as_str().map(str::to_owned);
    let of_kind = |kind: &'static str| all.iter().filter(move |one| one["kind"] == kind);
    let policies = of_kind("ValidatingAdmissionPolicy");
    let guards = policies.filter_map(|policy| {
        let own = name(policy)?;
        let bindings = of_kind("ValidatingAdmissionPolicyBinding");
        let bindings = bindings.filter(|binding| binding["spec"]["policyName"] == own);
        Some(Guard {
            bindings: bindings
                .filter_map(|one| Some((name(one)?, one["spec"].clone())))
                .collect(),
            spec: policy["spec"].clone(),
            name: own,
        })
    });
    guards.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{install, webhook};

    #[test]
    fn the_manifests_that_are_carried_can_be_read() {
        assert_eq!(webhooks(webhook::MUTATING).len(), 2);
        assert!(webhooks(webhook::VALIDATING).len() >= 5);
        let rules = rules(install::NAME);
        let everywhere = rules.iter().filter(|(namespace, _)| namespace.is_none());
        assert!(everywhere.count() >= 5, "{rules:?}");
        let at_home = rules
            .iter()
            .filter(|(namespace, _)| namespace.as_deref() == Some(install::NAME));
        assert!(at_home.count() >= 2, "{rules:?}");
        assert!(super::rules("somebody-else").is_empty());
        let guards = guards();
        assert!(guards.len() >= 5, "{guards:?}");
        for guard in guards {
            assert!(
                !guard.bindings.is_empty(),
                "{} is bound to nothing",
                guard.name
            );
            assert!(guard.spec["validations"].is_array(), "{}", guard.name);
        }
    }
}
