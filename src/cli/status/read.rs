//! The pairs of a moment, read from the API server.
//!
//! HP pods come first and anchors second. An anchor whose HP pod is not among them is no orphan before
//! the pod has been asked for by its name: it may be younger than the list, or have lost its label.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::ListParams;

use super::row::Row;
use super::seen::{AnchorSeen, HpSeen};
use crate::anchor::rules::Rules;
use crate::cli::connection::{AskError, api, list};
use crate::names::label;

/// How many pods are asked for by name at a time.
const AT_A_TIME: usize = 8;

/// Which pairs are wanted.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Wanted {
    /// None: of all namespaces.
    pub(in crate::cli) namespace: Option<String>,
    /// Of a pod, a workload or an anchor.
    pub(in crate::cli) name: Option<String>,
    /// Of HP pods.
    pub(in crate::cli) selector: Option<String>,
    /// By which they stand where they stand.
    pub(in crate::cli) rules: Rules,
}

impl Wanted {
    /// The label selector of HP pods that have `also`.
    pub(super) fn hp_selector(&self, also: &str) -> String {
        match &self.selector {
            Some(selector) => format!("{also},{selector}"),
            None => also.to_owned(),
        }
    }

    /// The label selector of anchors.
    pub(super) fn anchor_selector() -> String {
        format!("{}={}", label::ROLE, label::ROLE_ANCHOR)
    }

    /// Whether an anchor without an HP pod is wanted: it has no labels to select by.
    pub(super) fn orphans(&self) -> bool {
        self.selector.is_none()
    }
}

/// Pods by what makes them pairs: the UID of the HP pod.
#[derive(Debug, Default)]
pub(in crate::cli) struct Pods {
    pub(super) hps: HashMap<Arc<str>, HpSeen>,
    pub(super) anchors: HashMap<Arc<str>, AnchorSeen>,
}

impl Pods {
    pub(super) fn hp(&mut self, hp: HpSeen) {
        self.hps.insert(Arc::clone(&hp.view.id.uid), hp);
    }

    pub(super) fn anchor(&mut self, anchor: AnchorSeen) {
        self.anchors
            .insert(Arc::clone(&anchor.view.owner_uid), anchor);
    }

    /// Takes a pod for what it is.
    fn either(&mut self, pod: &Pod) {
        if let Some(anchor) = AnchorSeen::of(pod) {
            self.anchor(anchor);
        } else if let Some(hp) = HpSeen::of(pod).filter(HpSeen::is_ours) {
            self.hp(hp);
        }
    }

    /// The pair of an HP pod's UID.
    pub(super) fn pair(&self, uid: &str) -> (Option<&HpSeen>, Option<&AnchorSeen>) {
        (self.hps.get(uid), self.anchors.get(uid))
    }

    /// Anchors without their HP pod.
    fn lonely(&self) -> Vec<(Arc<str>, Arc<str>, Arc<str>)> {
        let anchors = self.anchors.values().map(|anchor| &anchor.view);
        let lonely = anchors.filter(|anchor| !self.hps.contains_key(&anchor.owner_uid));
        lonely
            .map(|a| {
                let id = (&a.id.namespace, &a.owner, &a.owner_uid);
                (Arc::clone(id.0), Arc::clone(id.1), Arc::clone(id.2))
            })
            .collect()
    }

    /// All pairs, in order.
    pub(in crate::cli) fn rows(&self, wanted: &Wanted, now: Timestamp) -> Vec<Row> {
        self.rows_of(wanted, now, |_| true)
    }

    /// The pairs of those HP pods, in order.
    pub(in crate::cli) fn rows_of(
        &self,
        wanted: &Wanted,
        now: Timestamp,
        of: impl Fn(&HpSeen) -> bool,
    ) -> Vec<Row> {
        let alone = self
            .anchors
            .keys()
            .filter(|uid| !self.hps.contains_key(*uid));
        let alone = alone.filter(|_| wanted.orphans());
        let rows = self.hps.keys().chain(alone).filter_map(|uid| {
            let (hp, anchor) = self.pair(uid);
            if hp.is_some_and(|hp| !of(hp)) {
                return None;
            }
            Row::of(hp, anchor, &wanted.rules, now).map(|(row, _)| row)
        });
        let name = wanted.name.as_deref();
        let mut rows: Vec<_> = rows
            .filter(|row| name.is_none_or(|name| row.answers_to(name)))
            .collect();
        rows.sort_by_cached_key(Row::order);
        rows
    }
}

/// Reads what is wanted, and no more.
pub(in crate::cli) async fn pods(client: &Client, wanted: &Wanted) -> Result<Pods, AskError> {
    let api = api::<Pod>(client, wanted.namespace.as_deref());
    let mut pods = Pods::default();
    let anchors = Wanted::anchor_selector();
    let by_label = |labels: &str| ListParams::default().labels(labels);
    let Some(name) = wanted.name.as_deref() else {
        let labelled = by_label(&wanted.hp_selector(label::WORKLOAD));
        for hp in list(&api, &labelled, |pod| HpSeen::of(&pod)).await? {
            pods.hp(hp);
        }
        for anchor in list(&api, &by_label(&anchors), |pod| AnchorSeen::of(&pod)).await? {
            pods.anchor(anchor);
        }
        return find_owners(client, wanted, pods).await;
    };
    // A name that is no value of a label is not asked for as one: that would be a bad request.
    let workload = crate::plan::is_workload_name(name);
    if workload {
        let of_workload = wanted.hp_selector(&format!("{}={name}", label::WORKLOAD));
        for hp in list(&api, &by_label(&of_workload), |pod| HpSeen::of(&pod)).await? {
            pods.hp(hp);
        }
    }
    let mut named = ListParams::default().fields(&format!("metadata.name={name}"));
    named.label_selector.clone_from(&wanted.selector);
    for pod in list(&api, &named, Some).await? {
        pods.either(&pod);
    }
    if workload {
        let of_workload = format!("{anchors},{}={name}", label::ANCHOR);
        for anchor in list(&api, &by_label(&of_workload), |pod| AnchorSeen::of(&pod)).await? {
            pods.anchor(anchor);
        }
    }
    let without: Vec<_> = pods
        .hps
        .keys()
        .filter(|uid| !pods.anchors.contains_key(*uid))
        .cloned()
        .collect();
    for uid in without {
        let of_pod = format!("{anchors},{}={uid}", label::ANCHOR_FOR);
        for anchor in list(&api, &by_label(&of_pod), |pod| AnchorSeen::of(&pod)).await? {
            pods.anchor(anchor);
        }
    }
    find_owners(client, wanted, pods).await
}

async fn find_owners(client: &Client, wanted: &Wanted, mut pods: Pods) -> Result<Pods, AskError> {
    if !wanted.orphans() {
        return Ok(pods);
    }
    let lonely = futures::stream::iter(pods.lonely());
    let found: Vec<_> = lonely
        .map(|(namespace, name, uid)| owner(client, namespace, name, uid))
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    for hp in found.into_iter().flatten() {
        pods.hp(hp);
    }
    Ok(pods)
}

/// The very HP pod of an anchor, if it is there.
pub(super) async fn owner(
    client: &Client,
    namespace: Arc<str>,
    name: Arc<str>,
    uid: Arc<str>,
) -> Result<Option<HpSeen>, AskError> {
    let pod = api::<Pod>(client, Some(&namespace)).get_opt(&name).await?;
    let seen = pod.as_ref().and_then(HpSeen::of);
    Ok(seen.filter(|hp| hp.view.id.uid == uid))
}
