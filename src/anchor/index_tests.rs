#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::admission::metrics as server;
use crate::names::{annotation, label};

fn index() -> (Index, Arc<Queue>, Arc<server::Metrics>) {
    let queue = Arc::new(Queue::default());
    queue.open();
    let server = Arc::new(server::Metrics::new().unwrap());
    let metrics = Arc::new(Metrics::new(&server).unwrap());
    (Index::new(Arc::clone(&queue), metrics), queue, server)
}

fn hp(uid: &str, version: u32) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "shop", "name": uid, "uid": uid, "resourceVersion": version.to_string(),
            "labels": {label::WORKLOAD: "albums"},
            "annotations": {
                annotation::INJECTED: "v1",
                annotation::ANCHOR_SPEC: r#"{"version":1,"image":"pause","containers":[]}"#,
            },
        },
        "spec": {"nodeName": "win-1", "containers": []},
        "status": {"phase": "Pending"},
    }))
    .unwrap()
}

fn anchor(owner: &str, uid: &str, version: u32) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "shop", "name": crate::anchor::name(owner, owner), "uid": uid,
            "resourceVersion": version.to_string(),
            "labels": {label::ROLE: label::ROLE_ANCHOR},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": owner, "controller": true}],
        },
        "spec": {"containers": []},
        "status": {"phase": "Pending"},
    }))
    .unwrap()
}

fn running(mut pod: Pod) -> Pod {
    pod.status.as_mut().unwrap().phase = Some("Running".into());
    pod
}

/// What waits now, each given back at once.
async fn waiting(queue: &Queue) -> Vec<String> {
    let mut all = Vec::new();
    let patience = std::time::Duration::from_millis(1);
    while let Ok(key) = tokio::time::timeout(patience, queue.take()).await {
        queue.done(&key, super::super::queue::Turn::Done(None));
        all.push(key.to_string());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_change_that_no_rule_looks_at_is_no_work() {
    let (index, queue, _) = index();
    index.take(Side::Hp, Event::Apply(SlimPod(hp("a", 1))));
    assert_eq!(waiting(&queue).await, ["a"]);
    index.take(Side::Hp, Event::Apply(SlimPod(hp("a", 2))));
    assert!(waiting(&queue).await.is_empty());
    assert_eq!(
        &*index.get(&"a".into()).hp.unwrap().id.version,
        "2",
        "for the next precondition"
    );
    index.take(Side::Hp, Event::Apply(SlimPod(running(hp("a", 3)))));
    assert_eq!(waiting(&queue).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_older_version_does_not_undo_a_newer_one() {
    let (index, _, _) = index();
    index.observe(Side::Hp, &running(hp("a", 10)));
    index.take(Side::Hp, Event::Apply(SlimPod(hp("a", 9))));
    assert_eq!(index.get(&"a".into()).hp.unwrap().id.version.as_ref(), "10");
    index.observe(Side::Anchor, &running(anchor("a", "x", 10)));
    index.take(Side::Anchor, Event::Apply(SlimPod(anchor("a", "x", 8))));
    assert_eq!(
        index.get(&"a".into()).anchor.unwrap().id.version.as_ref(),
        "10"
    );
    // Another anchor of the same name is not an older one, whatever its version.
    index.take(Side::Anchor, Event::Apply(SlimPod(anchor("a", "y", 8))));
    assert_eq!(&*index.get(&"a".into()).anchor.unwrap().id.uid, "y");
}

#[tokio::test(start_paused = true)]
async fn a_list_takes_away_what_it_does_not_show() {
    let (index, queue, _) = index();
    for side in [Side::Hp, Side::Anchor] {
        index.take(side, Event::Init);
        index.take(side, Event::InitDone);
    }
    assert!(*index.synced().borrow());
    index.take(Side::Hp, Event::Apply(SlimPod(hp("gone", 1))));
    index.take(Side::Hp, Event::Apply(SlimPod(hp("stays", 1))));
    index.take(Side::Anchor, Event::Apply(SlimPod(anchor("gone", "x", 1))));
    waiting(&queue).await;
    index.take(Side::Hp, Event::Init);
    index.take(Side::Hp, Event::InitApply(SlimPod(hp("stays", 1))));
    index.take(Side::Hp, Event::InitDone);
    assert_eq!(waiting(&queue).await, ["gone"], "its anchor is left");
    let known = index.get(&"gone".into());
    assert!(known.hp.is_none() && known.anchor.is_some());
    assert!(index.get(&"stays".into()).hp.is_some());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_a_pair_that_is_gone() {
    let (index, _, server) = index();
    index.take(Side::Hp, Event::Apply(SlimPod(hp("a", 1))));
    index.take(Side::Anchor, Event::Apply(SlimPod(anchor("a", "x", 1))));
    index.set_state(&"a".into(), Some(State::Starting));
    let line = "native_host_pairs{state=\"Starting\"} 1";
    assert!(server.text().unwrap().contains(line));
    index.take(Side::Anchor, Event::Delete(SlimPod(anchor("a", "x", 2))));
    index.take(Side::Hp, Event::Delete(SlimPod(hp("a", 2))));
    assert!(index.inner().slots.is_empty());
    assert!(!server.text().unwrap().contains(line));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_old_anchor_does_not_take_the_new_one() {
    let (index, _, _) = index();
    index.take(Side::Anchor, Event::Apply(SlimPod(anchor("a", "new", 5))));
    index.take(Side::Anchor, Event::Delete(SlimPod(anchor("a", "old", 4))));
    assert!(index.get(&"a".into()).anchor.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_recipe_is_kept_until_there_is_an_anchor() {
    let (index, _, _) = index();
    for name in ["p0", "p1"] {
        index.take(Side::Hp, Event::Apply(SlimPod(hp(name, 1))));
    }
    assert!(index.take_recipe(&"p0".into()).is_some());
    assert!(index.take_recipe(&"p0".into()).is_none());
    // One that has its anchor needs none.
    index.take(Side::Anchor, Event::Apply(SlimPod(anchor("p1", "x", 1))));
    assert!(index.take_recipe(&"p1".into()).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_anchor_makes_no_pair() {
    let (index, _, _) = index();
    let mut other_name = anchor("a", "x", 1);
    other_name.metadata.name = Some("my-anchor".into());
    let mut of_no_pod = anchor("a", "x", 1);
    of_no_pod.metadata.owner_references.as_mut().unwrap()[0].kind = "ReplicaSet".into();
    let mut not_controlled = anchor("a", "x", 1);
    not_controlled.metadata.owner_references.as_mut().unwrap()[0].controller = None;
    let mut unlabelled = anchor("a", "x", 1);
    unlabelled.metadata.labels = None;
    let mut path = anchor("../secrets/a", "x", 1);
    path.metadata.owner_references.as_mut().unwrap()[0].name = "../secrets/a".into();
    for pod in [other_name, of_no_pod, not_controlled, unlabelled, path] {
        index.take(Side::Anchor, Event::Apply(SlimPod(pod)));
    }
    assert!(index.inner().slots.is_empty());
}
