//! What holds whatever goes wrong.
//!
//! - [`wrong`]: at every moment. All pods of one list are as they were at one moment.
//! - [`unsettled`]: once the dust has settled.
//! - [`Bystanders`]: who has nothing to do with us is left alone.
//! - [`rightful`], [`polite`]: what was asked of the API server.

use std::collections::{HashMap, HashSet};

use native_host::anchor;
use native_host::names::{annotation, label};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::admin::{self, Admin};
use crate::stage::{QUIET_NODE, is_anchor};
use crate::support::proxy::{Entry, Kind};
use crate::support::wait_until;
use crate::world::{finished, name, owner, published, terminating, uid, whole};

fn place(pod: &Value) -> String {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    format!("{namespace}/{}", name(pod))
}

/// Everything that must not be so, not even for a moment.
pub fn wrong(pods: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let by_uid: HashMap<&str, &Value> = pods.iter().map(|pod| (uid(pod), pod)).collect();
    let mut owners = HashSet::new();
    for one in pods.iter().filter(|pod| is_anchor(pod)) {
        let mut is_wrong = |why: &str| wrong.push(format!("anchor {}: {why}", place(one)));
        let references = one["metadata"]["ownerReferences"].as_array();
        let [reference] = references.map_or(&[][..], Vec::as_slice) else {
            is_wrong("not exactly one owner");
            continue;
        };
        if reference["controller"] != true || reference["kind"] != "Pod" {
            is_wrong("its owner is no controlling pod");
        }
        if !owners.insert(owner(one)) {
            is_wrong("its owner has another anchor");
        }
        if one["metadata"]["labels"][label::ANCHOR_FOR] != owner(one) {
            is_wrong("its label names another owner than its reference");
        }
        let of = reference["name"].as_str().unwrap_or_default();
        if name(one) != anchor::name(of, owner(one)) {
            is_wrong("its name is not the one for its owner");
        }
        let Some(hp) = by_uid.get(owner(one)) else {
            // The owner went; the anchor goes. It must not stay: see `unsettled`.
            continue;
        };
        if name(hp) != of || hp["metadata"]["namespace"] != one["metadata"]["namespace"] {
            is_wrong("its owner has another name or namespace");
        }
        if !hp["metadata"]["annotations"][annotation::INJECTED].is_string() {
            is_wrong("its owner is not marked");
        }
        let node = &hp["spec"]["nodeName"];
        if !node.is_string() {
            is_wrong("its owner is not bound");
        }
        let bound = &one["spec"]["nodeName"];
        if bound.is_string() && bound != node {
            is_wrong("it is on another node than its owner");
        }
    }
    // No HP pod is told of another one's anchor.
    for hp in pods.iter().filter(|pod| !is_anchor(pod)) {
        let status = published(hp);
        let told = status["uid"].as_str().and_then(|uid| by_uid.get(uid));
        if told.is_some_and(|anchor| owner(anchor) != uid(hp)) {
            wrong.push(format!("{}: told of another pod's anchor", place(hp)));
        }
    }
    wrong
}

/// What is not as it stays; None once every live pod is whole and there is nothing else.
pub fn unsettled(pods: &[Value]) -> Option<String> {
    let (anchors, hps): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| is_anchor(pod));
    let mut anchors: HashMap<&str, &Value> = anchors
        .into_iter()
        .map(|anchor| (owner(anchor), anchor))
        .collect();
    for hp in hps {
        if terminating(hp) {
            return Some(format!("{} is terminating", place(hp)));
        }
        if finished(hp) {
            continue;
        }
        let Some(anchor) = anchors.remove(uid(hp)) else {
            return Some(format!("{} has no anchor", place(hp)));
        };
        if !whole(hp, anchor) {
            let conditions = (&hp["status"]["conditions"], &anchor["status"]["conditions"]);
            return Some(format!(
                "{} and its anchor {} are not whole: {} {conditions:?}",
                place(hp),
                name(anchor),
                published(hp),
            ));
        }
    }
    let left = anchors.into_values().next()?;
    Some(format!("{} belongs to no live pod", place(left)))
}

/// Other people's pods: one that is no workload, one that has a workload's label and was never
/// injected, one that calls itself an anchor and is nobody's.
pub struct Bystanders(Vec<(String, String)>);

impl Bystanders {
    pub const NAMESPACE: &str = "bystanders";

    pub fn settle(admin: &Admin) -> Self {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": Self::NAMESPACE}});
        admin.create("/api/v1/namespaces", &namespace).unwrap();
        let path = format!("/api/v1/namespaces/{}/pods", Self::NAMESPACE);
        for (name, labels) in [
            ("plain", json!({"app": "plain"})),
            ("late", json!({label::WORKLOAD: "late"})),
            (
                "pretender",
                json!({label::ROLE: label::ROLE_ANCHOR, label::ANCHOR: "late", label::ANCHOR_FOR: "x"}),
            ),
        ] {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "labels": labels},
                "spec": {
                    "nodeName": QUIET_NODE,
                    "containers": [{"name": "c", "image": "registry.example/other"}],
                },
            });
            wait_until("a bystander", PATIENCE, || admin.create(&path, &pod).ok());
        }
        let ready = |pod: &Value| crate::world::is(pod, "Ready");
        wait_until("the bystanders are ready", PATIENCE, || {
            let pods = admin.list(&path).ok()?;
            (pods.len() == 3 && pods.iter().all(ready)).then_some(())
        });
        Bystanders(Self::now(admin))
    }

    fn now(admin: &Admin) -> Vec<(String, String)> {
        let path = format!("/api/v1/namespaces/{}/pods", Self::NAMESPACE);
        let pods = wait_until("the bystanders", PATIENCE, || admin.list(&path).ok());
        let version = |pod: &Value| pod["metadata"]["resourceVersion"].to_string();
        pods.iter()
            .map(|pod| (uid(pod).to_owned(), version(pod)))
            .collect()
    }

    /// Nothing of them has changed.
    pub fn check(&self, admin: &Admin) {
        assert_eq!(
            self.0,
            Self::now(admin),
            "pods of other people were written"
        );
    }
}

/// What was asked was allowed. (An API server that has just begun knows no Roles yet.)
pub fn rightful(log: &[Entry]) {
    for entry in log {
        assert!(entry.status != Some(403), "no right to: {entry}");
    }
}

/// Nothing was told over and over: the same sentence about the same object at most once each time
/// that leadership was taken. One that resumes it after a pause remembers.
pub fn polite(log: &[Entry]) {
    let takes = |entry: &&Entry| {
        entry.call.kind == Kind::Lease && entry.call.json()["spec"]["acquireTime"].is_string()
    };
    let terms = log.iter().filter(takes).count();
    let mut told: HashMap<String, usize> = HashMap::new();
    for entry in log {
        if entry.call.kind == Kind::Event && entry.call.method == "POST" {
            let event = entry.call.json();
            let regarding = &event["regarding"]["uid"];
            let sentence = format!("{regarding} {} {}", event["reason"], event["note"]);
            *told.entry(sentence).or_default() += 1;
        }
    }
    for (sentence, times) in told {
        assert!(
            times <= terms,
            "told {times} times in {terms} terms: {sentence}"
        );
    }
}

/// A pod's path, for messages.
pub fn path(pod: &Value) -> String {
    admin::pod(pod["metadata"]["namespace"].as_str().unwrap(), name(pod))
}
