//! Where the pod may run: a Windows node, and what the policy adds.

use super::pod::Pod;
use super::reason::Reason;
use super::sheet::{Root, Sheet};
use crate::json::Patch;
use crate::names::{label, policy as key};
use crate::policy::Policy;
use k8s_openapi::api::core::v1::Toleration;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// nodeSelector, tolerations, affinity.
pub(super) fn place(
    pod: &Pod<'_>,
    policy: &Policy,
    launcher_image: bool,
    marked: bool,
    sheet: &mut Sheet,
) {
    node_selector(pod, policy, sheet);
    tolerations(pod, policy, marked, sheet);
    if launcher_image {
        affinity(pod, sheet);
    }
}

/// The labels that the pod's node must have, and who says so.
fn wanted(policy: &Policy) -> impl Iterator<Item = (&str, &str, String)> {
    let windows = (
        label::OS,
        label::OS_WINDOWS,
        "a native-host workload runs on Windows".to_owned(),
    );
    let own = policy.node_selector.iter().map(|(name, value)| {
        let who = format!(
            "the namespace's policy says so, by annotation {}",
            key::NODE_SELECTOR
        );
        (name.as_str(), value.as_str(), who)
    });
    std::iter::once(windows).chain(own)
}

fn node_selector(pod: &Pod<'_>, policy: &Policy, sheet: &mut Sheet) {
    let present = pod.spec.node_selector.as_ref();
    let mut missing = Vec::new();
    for (name, value, who) in wanted(policy) {
        match present.and_then(|map| map.get(name)) {
            Some(found) if found == value => {}
            Some(found) => {
                let field = sheet.field(format_args!("spec.nodeSelector[{name}]"));
                sheet.refuse(
                    Reason::Placement,
                    field,
                    found.to_owned(),
                    format!("expected {value:?}: {who}; remove or change it"),
                );
            }
            None => missing.push((name, value, who)),
        }
    }
    if pod.of_daemonset {
        refuse_endless_wait(pod, &missing, sheet);
    }
    if present.is_some() {
        for (name, value, _) in missing {
            sheet.add_string(
                &format!("/spec/nodeSelector/{}", Patch::segment(name)),
                value,
            );
        }
    } else if !missing.is_empty() {
        let map: serde_json::Map<String, Value> = missing
            .into_iter()
            .map(|(name, value, _)| (name.to_owned(), value.into()))
            .collect();
        sheet.add("/spec/nodeSelector", &Value::Object(map).to_string());
    }
}

/// A DaemonSet's controller pins its pods by what the *template* says, so what is added to the
/// pod later leaves it waiting for ever on a node that does not fit.
fn refuse_endless_wait(pod: &Pod<'_>, missing: &[(&str, &str, String)], sheet: &mut Sheet) {
    let terms = pod
        .spec
        .affinity
        .and_then(|raw| serde_json::from_str(raw).ok());
    let terms: &[Value] = terms
        .as_ref()
        .and_then(|affinity: &Value| affinity.pointer(REQUIRED_TERMS))
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice);
    for (name, value, who) in missing {
        if terms.is_empty() || !terms.iter().all(|term| requires(term, name, value)) {
            let field = sheet.field(format_args!("spec.nodeSelector[{name}]"));
            sheet.refuse(
                Reason::Placement,
                field,
                None,
                format!(
                    "a DaemonSet reads its template to choose nodes, so the template itself must \
                     say {name}: {value} ({who}); otherwise its pods wait for ever on other nodes"
                ),
            );
        }
    }
}

const REQUIRED_TERMS: &str =
    "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

/// Whether a node selector term lets only nodes through whose label `name` is `value`.
fn requires(term: &Value, name: &str, value: &str) -> bool {
    term["matchExpressions"]
        .as_array()
        .is_some_and(|expressions| {
            expressions.iter().any(|expression| {
                expression["key"] == name
                    && expression["operator"] == "In"
                    && expression["values"] == json!([value])
            })
        })
}

fn tolerations(pod: &Pod<'_>, policy: &Policy, marked: bool, sheet: &mut Sheet) {
    if policy.tolerations.is_empty() {
        return;
    }
    let present: Vec<Toleration> = match pod.spec.tolerations.map(serde_json::from_str) {
        None => Vec::new(),
        Some(Ok(list)) => list,
        Some(Err(error)) => {
            let field = sheet.field("spec.tolerations");
            sheet.refuse(Reason::Malformed, field, None, error.to_string());
            return;
        }
    };
    let missing: Vec<_> = policy
        .tolerations
        .iter()
        .filter(|one| !present.contains(one))
        .collect();
    if pod.of_daemonset && !missing.is_empty() {
        let field = sheet.field("spec.tolerations");
        sheet.refuse(
            Reason::Placement,
            field,
            None,
            format!(
                "a DaemonSet reads its template to choose nodes, so the template itself must have \
                 the tolerations {} (the namespace's policy says so, annotation {}); otherwise it \
                 passes over the nodes of that taint",
                json!(missing),
                key::TOLERATIONS
            ),
        );
    }
    if marked {
        return; // they were there; what became of them since is the scheduler's business
    }
    if pod.spec.tolerations.is_some() {
        for toleration in missing {
            sheet.add("/spec/tolerations/-", &json!(toleration).to_string());
        }
    } else if !missing.is_empty() {
        sheet.add("/spec/tolerations", &json!(missing).to_string());
    }
}

fn not_2019() -> Value {
    json!({
        "key": label::WINDOWS_BUILD, "operator": "NotIn", "values": [label::WINDOWS_BUILD_2019],
    })
}

/// A whole affinity of nothing else.
static NOT_2019: LazyLock<String> = LazyLock::new(|| {
    let terms = json!([{ "matchExpressions": [not_2019()] }]);
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": terms,
    } } })
    .to_string()
});

/// Keeps the pod from Windows Server 2019, which has no bind filter: there the launcher's mount
/// would appear elsewhere, and its path would be the host's own
/// (Kubernetes docs, "Create a Windows HostProcess Pod", volume mounts).
fn affinity(pod: &Pod<'_>, sheet: &mut Sheet) {
    let expression = not_2019();
    let operations = sheet.patch.len();
    exclude(pod, &expression, sheet);
    let template = pod.of_daemonset && sheet.root != Root::POD;
    if template && sheet.patch.len() != operations {
        // Refusing would ask every DaemonSet of a cluster without such nodes to exclude them.
        let field = sheet.field("spec.affinity");
        sheet.warn(
            &field,
            format_args!(
                "the launcher needs Windows Server 2022 or newer, and a DaemonSet reads its \
                 template to choose nodes: on a Server 2019 node its pod would wait for ever. If \
                 the cluster has one, add to the template's nodeAffinity {expression}"
            ),
        );
    }
}

/// Adds an expression to the pod's required node affinity.
fn exclude(pod: &Pod<'_>, expression: &Value, sheet: &mut Sheet) {
    let Some(affinity) = pod.spec.affinity else {
        sheet.add("/spec/affinity", &NOT_2019);
        return;
    };
    let present: Value = match serde_json::from_str(affinity) {
        Ok(value) => value,
        Err(error) => {
            let field = sheet.field("spec.affinity");
            sheet.refuse(Reason::Malformed, field, None, error.to_string());
            return;
        }
    };
    if let Some(terms) = present.pointer(REQUIRED_TERMS).and_then(Value::as_array)
        && !terms.is_empty()
    {
        for (i, term) in terms.iter().enumerate() {
            add_to_term(term, i, expression, sheet);
        }
        return;
    }
    // The deepest object that is there gets the rest as one value.
    let mut value = json!({ "nodeSelectorTerms": [{ "matchExpressions": [expression] }] });
    let mut path = "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    while !path.is_empty() {
        let (parent, name) = path.rsplit_once('/').unwrap_or_default();
        if present.pointer(parent).is_some_and(Value::is_object) {
            break;
        }
        value = json!({ name: value });
        path = parent;
    }
    sheet.add(&format!("/spec/affinity{path}"), &value.to_string());
}

/// Terms are alternatives, so each gets the expression. A term without any requirement matches
/// no node and must go on doing so (`nodeaffinity.isEmptyNodeSelectorTerm`, k8s.io/component-helpers).
fn add_to_term(term: &Value, index: usize, expression: &Value, sheet: &mut Sheet) {
    let list = |name: &str| term[name].as_array().map_or(&[][..], Vec::as_slice);
    if list("matchExpressions").is_empty() && list("matchFields").is_empty() {
        return;
    }
    if list("matchExpressions").contains(expression) {
        return;
    }
    let base = format!("/spec/affinity{REQUIRED_TERMS}/{index}/matchExpressions");
    if term["matchExpressions"].is_array() {
        sheet.add(&format!("{base}/-"), &expression.to_string());
    } else {
        sheet.add(&base, &json!([expression]).to_string());
    }
}
