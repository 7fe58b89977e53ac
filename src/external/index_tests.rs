#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::names::{external, label, policy};

fn index() -> (Arc<Queue>, Index) {
    let queue = Arc::new(Queue::default());
    queue.open();
    let ranges = Arc::new(Ranges::new(Vec::new()));
    let index = Index::new(Arc::clone(&queue), ranges, Arc::new(Policy::builtin()));
    (queue, index)
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn service(name: &str, external: &str, address: &str) -> Service {
    of(json!({"metadata": {
        "namespace": "shop", "name": name, "uid": name, "labels": {label::EXTERNAL: external},
        "annotations": {external::ADDRESSES: address},
    }}))
}

fn slice(name: &str, service: &str, version: &str, address: &str) -> EndpointSlice {
    of(json!({
        "metadata": {
            "namespace": "shop", "name": name, "uid": name, "resourceVersion": version,
            "labels": {label::SLICE_MANAGED_BY: label::SLICE_MANAGED_BY_US, label::SERVICE_NAME: service},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": service, "uid": service, "controller": true}],
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": true, "serving": true, "terminating": false}}],
    }))
}

/// What is in the queue now.
async fn queued(queue: &Queue) -> Vec<String> {
    let mut all = Vec::new();
    while queue.depth() > 0 {
        let key = queue.take().await;
        queue.done(&key, crate::anchor::queue::Turn::Done(None));
        all.push(key.to_string());
    }
    all.sort();
    all
}

fn list<T>(index: &Index, take: fn(&Index, Event<T>), all: impl IntoIterator<Item = T>) {
    take(index, Event::Init);
    all.into_iter()
        .for_each(|one| take(index, Event::InitApply(one)));
    take(index, Event::InitDone);
}

#[tokio::test]
async fn nodes_and_namespaces_are_waited_for_only_where_they_are_needed() {
    let (_, index) = index();
    let synced = index.synced();
    list(&index, Index::take_service, []);
    assert!(!*synced.borrow());
    list(&index, Index::take_slice, []);
    assert!(*synced.borrow() && !*index.needed().borrow());
    index.take_service(Event::Apply(service("a", "false", "172.19.1.1")));
    assert!(*synced.borrow());
    index.take_service(Event::Apply(service("b", "true", "172.19.1.1")));
    assert!(!*synced.borrow() && *index.needed().borrow());
    list(&index, Index::take_node, []);
    list(&index, Index::take_namespace, []);
    assert!(*synced.borrow());
}

#[tokio::test]
async fn only_what_changes_is_looked_at() {
    let (queue, index) = index();
    list(
        &index,
        Index::take_service,
        [service("a", "true", "172.19.1.1")],
    );
    assert_eq!(queued(&queue).await, ["shop/a"]);
    index.take_service(Event::Apply(service("a", "true", "172.19.1.1")));
    assert!(queued(&queue).await.is_empty());
    index.take_service(Event::Apply(service("a", "true", "172.19.1.2")));
    assert_eq!(queued(&queue).await, ["shop/a"]);
    index.take_service(Event::Apply(service("a", "false", "172.19.1.2")));
    assert_eq!(queued(&queue).await, ["shop/a"]);
    assert!(
        index.service(&key("shop", "a")).is_none(),
        "it is external no more"
    );
}

#[tokio::test]
async fn a_list_drops_what_it_does_not_show() {
    let (queue, index) = index();
    list(
        &index,
        Index::take_service,
        [
            service("a", "true", "172.19.1.1"),
            service("b", "true", "172.19.1.1"),
        ],
    );
    list(
        &index,
        Index::take_slice,
        [
            slice("a-0", "a", "1", "172.19.1.1"),
            slice("b-0", "b", "1", "172.19.1.1"),
        ],
    );
    queued(&queue).await;
    list(
        &index,
        Index::take_service,
        [service("a", "true", "172.19.1.1")],
    );
    list(
        &index,
        Index::take_slice,
        [slice("b-0", "b", "1", "172.19.1.1")],
    );
    assert_eq!(queued(&queue).await, ["shop/a", "shop/b"]);
    assert!(index.service(&key("shop", "b")).is_none());
    assert!(index.published(&key("shop", "a")).is_empty());
    assert_eq!(index.published(&key("shop", "b")).len(), 1);
}

#[tokio::test]
async fn an_old_event_does_not_undo_what_a_write_answered() {
    let (queue, index) = index();
    index.observe(&slice("a-0", "a", "10", "172.19.1.2"));
    queued(&queue).await;
    index.take_slice(Event::Apply(slice("a-0", "a", "9", "172.19.1.1")));
    assert!(queued(&queue).await.is_empty());
    assert_eq!(index.published(&key("shop", "a"))[0].version, "10");
    // Its label may be anybody's writing; its owner is ours.
    let mut stolen = slice("a-0", "a", "11", "172.19.1.2");
    stolen
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .insert(label::SERVICE_NAME.into(), "other".into());
    index.take_slice(Event::Apply(stolen));
    let there = index.published(&key("shop", "a"));
    assert!(!there[0].sound, "and it is written anew");
}

#[tokio::test]
async fn a_namespace_that_allows_something_else_has_its_services_looked_at() {
    let (queue, index) = index();
    list(
        &index,
        Index::take_service,
        [service("a", "true", "172.19.1.1")],
    );
    queued(&queue).await;
    let namespace = |name: &str, cidrs: &str| -> PartialObjectMeta<NamespaceObject> {
        of(json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": name, "annotations": {policy::EXTERNAL_CIDRS: cidrs}},
        }))
    };
    index.take_namespace(Event::Apply(namespace("shop", "172.19.1.0/24")));
    assert_eq!(queued(&queue).await, ["shop/a"]);
    index.take_namespace(Event::Apply(namespace("shop", "172.19.1.0/24")));
    index.take_namespace(Event::Apply(namespace("shop-2", "172.19.2.0/24")));
    assert!(queued(&queue).await.is_empty());
    index.take_namespace(Event::Apply(namespace("shop", "everything")));
    assert_eq!(queued(&queue).await, ["shop/a"]);
    assert!(matches!(index.rails("shop"), Some(Rails::Invalid(_))));
}

#[tokio::test]
async fn a_heartbeat_of_a_node_is_nothing_new() {
    let (queue, index) = index();
    list(
        &index,
        Index::take_service,
        [service("a", "true", "172.19.1.1")],
    );
    let node = |heartbeat: &str, ready: &str| -> SlimNode {
        of(
            json!({"metadata": {"name": "win-1", "resourceVersion": heartbeat}, "spec": {"podCIDRs": ["10.244.1.0/24"]},
            "status": {"conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": heartbeat}]}}),
        )
    };
    list(&index, Index::take_node, [node("1", "True")]);
    queued(&queue).await;
    assert_eq!(
        index.ranges.all().len(),
        1,
        "where its pods are no external address may be"
    );
    index.take_node(Event::Apply(node("2", "True")));
    assert!(queued(&queue).await.is_empty());
    index.take_node(Event::Apply(node("3", "Unknown")));
    assert_eq!(queued(&queue).await, ["shop/a"]);
}
