//! What admission makes of a document's objects. Lists are gone through as kubectl does.

use std::collections::HashMap;

use serde_json::Value;

use crate::admission::offline::{self, Offline};
use crate::names::{label, webhook};
use crate::policy::{Namespace, Policy};

/// The Namespaces that are known, and what holds for the others.
pub(in crate::cli) struct Namespaces {
    known: HashMap<String, Namespace>,
    other: Namespace,
    default: String,
    file: Option<String>,
}

impl Namespaces {
    /// Objects that name no namespace are in `default`; `file` is where `--policy` was read.
    pub(in crate::cli) fn new(policy: &Policy, default: String, file: Option<String>) -> Self {
        let other = Namespace {
            policy: Ok(policy.clone()),
            pod_security: None,
        };
        Self {
            known: HashMap::new(),
            other,
            default,
            file,
        }
    }

    /// Takes note of a Namespace, and of nothing else; the first manifest of a name counts.
    pub(in crate::cli) fn learn(&mut self, manifest: &Value, policy: &Policy) {
        if !is_namespace(manifest) {
            return;
        }
        let name = manifest["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        self.known
            .entry(name)
            .or_insert_with(|| read_namespace(manifest, policy));
    }

    /// The namespace of an object, and what holds there.
    pub(in crate::cli) fn of<'a>(&'a self, object: &'a Value) -> (&'a str, &'a Namespace) {
        let name = object["metadata"]["namespace"]
            .as_str()
            .filter(|name| !name.is_empty());
        let name = name.unwrap_or(&self.default);
        (name, self.known.get(name).unwrap_or(&self.other))
    }
}

/// Whether the object is a Namespace.
pub(in crate::cli) fn is_namespace(object: &Value) -> bool {
    object["apiVersion"] == "v1" && object["kind"] == "Namespace"
}

fn read_namespace(manifest: &Value, policy: &Policy) -> Namespace {
    fn pairs(map: &Value) -> impl Iterator<Item = (&str, &str)> {
        let fields = map.as_object().into_iter().flatten();
        fields.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }
    let metadata = &manifest["metadata"];
    Namespace::read(
        policy,
        pairs(&metadata["labels"]),
        pairs(&metadata["annotations"]),
    )
}

/// An object's name in messages and patches.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Reference {
    api_version: String,
    pub(in crate::cli) kind: String,
    namespace: String,
    name: String,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// One object and what became of it.
#[derive(Debug)]
pub(in crate::cli) struct Treated {
    pub(in crate::cli) reference: Reference,
    pub(in crate::cli) before: Value,
    pub(in crate::cli) outcome: Offline,
    /// What went wrong, as kubectl would print it, after `error when creating "FILE": `.
    pub(in crate::cli) error: Option<Refused>,
}

/// A refusal in the API server's words.
#[derive(Debug)]
pub(in crate::cli) struct Refused {
    pub(in crate::cli) reason: &'static str,
    pub(in crate::cli) message: String,
}

/// A document, gone through.
#[derive(Debug)]
pub(in crate::cli) enum Fate {
    /// It stays as it is written.
    Untouched,
    /// It becomes this.
    Changed(Value),
    /// Nothing of it is left.
    Refused,
}

/// Does to a document what admission would do to its objects, which are added to `treated`.
pub(in crate::cli) fn treat(
    document: &Value,
    namespaces: &Namespaces,
    treated: &mut Vec<Treated>,
) -> Fate {
    let Some(items) = items(document) else {
        return one(document, namespaces, treated);
    };
    let kept: Vec<(Value, bool)> = items
        .iter()
        .filter_map(|item| {
            let item = named(item, document);
            match treat(&item, namespaces, treated) {
                Fate::Untouched => Some((item, false)),
                Fate::Changed(item) => Some((item, true)),
                Fate::Refused => None,
            }
        })
        .collect();
    if kept.len() == items.len() && kept.iter().all(|(_, changed)| !changed) {
        return Fate::Untouched;
    }
    if kept.is_empty() {
        return Fate::Refused;
    }
    let mut list = document.clone();
    list["items"] = kept.into_iter().map(|(item, _)| item).collect();
    Fate::Changed(list)
}

/// The items of a List of any kind.
fn items(document: &Value) -> Option<&Vec<Value>> {
    let is_list = document["kind"].as_str()?.ends_with("List");
    document.get("items").filter(|_| is_list)?.as_array()
}

/// A document's objects, those of Lists one by one.
pub(in crate::cli) fn flat(document: &Value) -> Vec<Value> {
    match items(document) {
        Some(items) => items
            .iter()
            .flat_map(|item| flat(&named(item, document)))
            .collect(),
        None => vec![document.clone()],
    }
}

/// Items of a PodList do not say that they are Pods (apimachinery
/// `pkg/apis/meta/v1/unstructured/helpers.go`, `decodeToList`).
fn named(item: &Value, list: &Value) -> Value {
    let kind = list["kind"]
        .as_str()
        .and_then(|kind| kind.strip_suffix("List"));
    let mut item = item.clone();
    if let (Some(kind), Some(fields)) = (kind.filter(|kind| !kind.is_empty()), item.as_object_mut())
        && !fields.contains_key("kind")
        && !fields.contains_key("apiVersion")
    {
        fields.insert("kind".to_owned(), kind.into());
        fields.insert("apiVersion".to_owned(), list["apiVersion"].clone());
    }
    item
}

fn one(object: &Value, namespaces: &Namespaces, treated: &mut Vec<Treated>) -> Fate {
    if !object.is_object() {
        return Fate::Untouched;
    }
    let (name_of_namespace, namespace) = namespaces.of(object);
    let reference = reference(object, name_of_namespace);
    let (outcome, error) = match offline::mutate(object, namespace) {
        Ok(outcome) => {
            let error = outcome
                .refusal
                .as_ref()
                .map(|denial| refused(&reference, is_external(object), denial));
            (outcome, error)
        }
        Err(error) => {
            let message = format!("{reference}: {error}");
            (
                Offline::default(),
                Some(Refused {
                    reason: "BadRequest",
                    message,
                }),
            )
        }
    };
    let mut outcome = outcome;
    outcome.warnings.extend(outcome.unasked.take());
    if let Some(file) = &namespaces.file
        && (error.is_some() || !outcome.patch.is_empty())
        && !namespaces.known.contains_key(name_of_namespace)
    {
        outcome.warnings.push(format!(
            "namespace \"{name_of_namespace}\" is not in --policy {file}; the policy of the flags was used"
        ));
    }
    if is_namespace(object) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if let Some(namespace) = namespaces.known.get(name) {
            outcome
                .warnings
                .extend(offline::namespace_warnings(namespace));
        }
    }
    let fate = if error.is_some() {
        Fate::Refused
    } else if outcome.patch.is_empty() {
        Fate::Untouched
    } else {
        Fate::Changed(outcome.object.clone())
    };
    treated.push(Treated {
        reference,
        before: object.clone(),
        outcome,
        error,
    });
    fate
}

/// Whether a Service is looked at by the webhook for external ones.
fn is_external(object: &Value) -> bool {
    object["metadata"]["labels"].get(label::EXTERNAL).is_some()
}

/// As the API server words a webhook's refusal (apiserver
/// `pkg/admission/plugin/webhook/errors/statuserror.go`).
fn refused(reference: &Reference, external: bool, denial: &crate::admission::Denial) -> Refused {
    let webhook = if reference.kind == "Service" && external {
        webhook::EXTERNAL
    } else if reference.kind == "Service" {
        webhook::SERVICES
    } else {
        webhook::PODS
    };
    Refused {
        reason: denial.reason,
        message: format!(
            "admission webhook \"{webhook}\" denied the request: {}",
            denial.message
        ),
    }
}

fn reference(object: &Value, namespace: &str) -> Reference {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    let name = metadata["name"]
        .as_str()
        .or_else(|| metadata["generateName"].as_str());
    Reference {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        namespace: namespace.to_owned(),
        name: name.unwrap_or_default().to_owned(),
    }
}
