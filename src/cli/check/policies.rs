//! The guard rails: every ValidatingAdmissionPolicy of this version is there, as it is to be, and denies.

use std::collections::HashMap;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

use super::ask::{Asker, Read, cannot_tell};
use super::manifests::{self, Guard};
use super::report::{Check, Line};
use super::webhooks::rules;
use crate::cli::connection::list;

/// What there is: the policies by name, and what of them each binding binds.
#[derive(Default)]
struct Found {
    policies: HashMap<String, Value>,
    bindings: HashMap<String, Value>,
}

pub(super) async fn look(asker: &Asker<'_>) -> Line {
    match read(asker).await {
        Ok(found) => judge(&manifests::guards(), &found),
        Err(error) => cannot_tell(Check::Policies, &error),
    }
}

async fn read(asker: &Asker<'_>) -> Read<Found> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(asker.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(asker.client.clone());
    let all = ListParams::default();
    let named = |name: Option<String>, object: Result<Value, _>| {
        let object: Option<Value> = object.ok();
        Some((name?, object?))
    };
    let policies = list(&policies, &all, |one| {
        named(one.metadata.name.clone(), serde_json::to_value(&one))
    });
    let policies = policies.await?.into_iter().collect();
    let bindings = list(&bindings, &all, |one| {
        named(one.metadata.name.clone(), serde_json::to_value(&one))
    });
    let bindings = bindings.await?.into_iter().collect();
    Ok(Found { policies, bindings })
}

/// The fields of a policy that say what it refuses.
const SUBSTANCE: [&str; 4] = [
    "failurePolicy",
    "matchConditions",
    "variables",
    "validations",
];

fn judge(guards: &[Guard], found: &Found) -> Line {
    let (mut wrong, mut odd) = (Vec::new(), Vec::new());
    for guard in guards {
        let name = &guard.name;
        let Some(policy) = found.policies.get(name) else {
            wrong.push(format!("the ValidatingAdmissionPolicy {name} is not there"));
            continue;
        };
        let spec = &policy["spec"];
        let differing = SUBSTANCE
            .into_iter()
            .filter(|field| spec[*field] != guard.spec[*field]);
        wrong.extend(
            differing.map(|field| format!("{name}: {field} are not those of this version")),
        );
        let matched = |spec: &Value| rules(&spec["matchConstraints"]["resourceRules"]);
        if matched(spec) != matched(&guard.spec) {
            wrong.push(format!("{name}: it does not look at what it is to look at"));
        }
        let warnings = policy["status"]["typeChecking"]["expressionWarnings"].as_array();
        odd.extend(warnings.into_iter().flatten().map(|warning| {
            let text = |field: &str| warning[field].as_str().unwrap_or_default().trim();
            format!("{name}: {}: {}", text("fieldRef"), text("warning"))
        }));
        for (binding, spec) in &guard.bindings {
            wrong.extend(unbound(name, binding, spec, found.bindings.get(binding)));
        }
    }
    let hint = "kubectl apply -f deploy/base/policies.yaml of this version";
    if wrong.is_empty() {
        let fine = format!("{} policies", guards.len());
        Line::but_for(Check::Policies, odd, hint, fine)
    } else {
        wrong.extend(odd);
        Line::failed(Check::Policies, wrong, hint)
    }
}

/// Why a binding does not put its policy in force as it is to.
fn unbound(policy: &str, name: &str, expected: &Value, binding: Option<&Value>) -> Option<String> {
    let Some(binding) = binding else {
        return Some(format!(
            "{policy}: its binding {name} is not there, so it holds for nothing"
        ));
    };
    let spec = &binding["spec"];
    if spec["policyName"] != policy {
        return Some(format!(
            "{policy}: its binding {name} binds {}",
            spec["policyName"]
        ));
    }
    let actions = spec["validationActions"].as_array();
    let denies = actions.is_some_and(|actions| actions.iter().any(|action| action == "Deny"));
    if !denies {
        return Some(format!(
            "{policy}: its binding {name} only does {}, and is to do Deny",
            spec["validationActions"]
        ));
    }
    (bound(spec) != bound(expected))
        .then(|| format!("{policy}: its binding {name} binds other objects than it is to"))
}

/// What a binding narrows its policy to.
fn bound(spec: &Value) -> [Value; 4] {
    let narrowed = &spec["matchResources"];
    let selector = |field: &str| match &narrowed[field] {
        Value::Null => Value::Object(serde_json::Map::new()),
        selector => selector.clone(),
    };
    [
        selector("objectSelector"),
        selector("namespaceSelector"),
        rules(&narrowed["resourceRules"]),
        rules(&narrowed["excludeResourceRules"]),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::check::report::Mark;
    use serde_json::json;

    const GUARD: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: anchors}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
  validations: [{expression: 'false', reason: Forbidden}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: anchors}
spec: {policyName: anchors, validationActions: [Deny]}
";

    /// What the API server has, with a change; and what is said of it.
    fn said(change: impl FnOnce(&mut Value, &mut Value)) -> (Mark, String) {
        let guards = manifests::guards_of(GUARD);
        assert_eq!(guards.len(), 1);
        let mut policy = json!({ "spec": guards[0].spec });
        policy["spec"]["matchConstraints"]["matchPolicy"] = json!("Equivalent");
        policy["spec"]["matchConstraints"]["resourceRules"][0]["scope"] = json!("*");
        let mut binding = json!({"spec": {"policyName": "anchors", "validationActions": ["Deny", "Audit"],
                "matchResources": {"matchPolicy": "Equivalent", "namespaceSelector": {}}}});
        change(&mut policy, &mut binding);
        let mut found = Found::default();
        for (map, object) in [
            (&mut found.policies, policy),
            (&mut found.bindings, binding),
        ] {
            if !object.is_null() {
                map.insert("anchors".to_owned(), object);
            }
        }
        let line = judge(&guards, &found);
        (line.mark, line.found.join("; "))
    }

    #[test]
    fn what_the_api_server_fills_in_is_no_difference() {
        assert_eq!(said(|_, _| {}), (Mark::Ok, "1 policies".to_owned()));
    }

    #[test]
    fn a_guard_rail_that_is_gone_loose_or_changed_is_told() {
        type Change = fn(&mut Value, &mut Value);
        let cases: [(Change, &str); 8] = [
            (|policy, _| *policy = Value::Null, "anchors is not there"),
            (|_, binding| *binding = Value::Null, "holds for nothing"),
            (
                |_, binding| binding["spec"]["policyName"] = json!("x"),
                "binds \"x\"",
            ),
            (
                |_, binding| binding["spec"]["validationActions"] = json!(["Warn"]),
                "only does [\"Warn\"]",
            ),
            (
                |_, binding| {
                    binding["spec"]["matchResources"] =
                        json!({"namespaceSelector": {"matchLabels": {"a": "b"}}});
                },
                "binds other objects",
            ),
            (
                |policy, _| policy["spec"]["validations"][0]["expression"] = json!("true"),
                "validations are not those",
            ),
            (
                |policy, _| policy["spec"]["failurePolicy"] = json!("Ignore"),
                "failurePolicy are not those",
            ),
            (
                |policy, _| {
                    policy["spec"]["matchConstraints"]["resourceRules"][0]["resources"] = json!([]);
                },
                "what it is to look at",
            ),
        ];
        for (change, words) in cases {
            let (mark, found) = said(change);
            assert_eq!(mark, Mark::Failed, "{words}");
            assert!(found.contains(words), "{found}");
        }
        let (mark, found) = said(|policy, _| {
            policy["status"]["typeChecking"]["expressionWarnings"] =
                json!([{"fieldRef": "spec.validations[0]", "warning": "no such field"}]);
        });
        assert_eq!(mark, Mark::Warning);
        assert!(found.contains("no such field"), "{found}");
    }
}
