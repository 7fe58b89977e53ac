//! The workloads of a cluster, as selectors see them: the labels of their pods and of their anchors.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::names::{annotation, label};
use crate::plan::anchor_spec::AnchorSpec;

/// Labels of a pod or a namespace.
pub type Labels = BTreeMap<String, String>;

/// Of so many pods of a workload are the labels kept, where they differ. Those of a Deployment are
/// alike; those of a StatefulSet each have the pod's name among them.
const KEPT: usize = 100;

/// The labels of a pod of a workload, and of its anchor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The pod's labels.
    pub pod: Labels,
    /// The anchor's labels.
    pub anchor: Labels,
}

/// The workloads of one namespace.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    /// The namespace's own labels.
    pub labels: Labels,
    workloads: BTreeMap<String, BTreeSet<Pair>>,
}

impl Namespace {
    /// The pairs, with the names of their workloads.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &Pair)> {
        let workloads = self.workloads.iter();
        workloads.flat_map(|(name, pairs)| pairs.iter().map(move |pair| (name.as_str(), pair)))
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    namespaces: BTreeMap<String, Namespace>,
}

impl Workloads {
    /// Adds a pod. One that will have no anchor is left out: it lacks what admission writes.
    pub fn add(&mut self, pod: &ObjectMeta) {
        let Some((namespace, workload, pair)) = read(pod) else {
            return;
        };
        let namespace = self.namespaces.entry(namespace.to_owned()).or_default();
        let pairs = namespace.workloads.entry(workload.to_owned()).or_default();
        if pairs.len() < KEPT {
            pairs.insert(pair);
        }
    }

    /// Notes the labels of a namespace that has workloads.
    pub fn set_labels(&mut self, namespace: &str, labels: Labels) {
        if let Some(namespace) = self.namespaces.get_mut(namespace) {
            namespace.labels = labels;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// The namespaces that have workloads.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.namespaces.keys().map(String::as_str)
    }

    /// One namespace, if it has workloads.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// All of them.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &Namespace)> {
        self.namespaces.iter().map(|(name, of)| (name.as_str(), of))
    }
}

/// A pod's namespace, its workload, and the labels of the pair (those of the anchor as
/// [`manifest()`](crate::anchor::manifest()) gives them).
fn read(pod: &ObjectMeta) -> Option<(&str, &str, Pair)> {
    let labels = pod.labels.as_ref()?;
    let workload = labels.get(label::WORKLOAD)?;
    let spec = pod.annotations.as_ref()?.get(annotation::ANCHOR_SPEC)?;
    let mut anchor = AnchorSpec::parse(spec).ok()?.labels;
    anchor.extend([
        (label::ANCHOR.to_owned(), workload.clone()),
        // Each has another value; what matters is that the label is there.
        (label::ANCHOR_FOR.to_owned(), String::new()),
        (label::ROLE.to_owned(), label::ROLE_ANCHOR.to_owned()),
    ]);
    let pair = Pair {
        pod: labels.clone(),
        anchor,
    };
    Some((pod.namespace.as_deref()?, workload, pair))
}
