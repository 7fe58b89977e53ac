#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Mutex;

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::*;
use crate::admission::review::{Door, Review};
use crate::names::label;

const ANCHOR: &str = "albums-anchor-0123abcd";

/// Pods by name; one that is not here is not there. Notes who was asked for.
#[derive(Default)]
struct Store {
    pods: HashMap<String, Value>,
    asked: Mutex<Vec<String>>,
    hangs: bool,
    fails: bool,
}

impl PairLookup for Store {
    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<PodView>, Unread> {
        self.asked
            .lock()
            .unwrap()
            .push(format!("{namespace}/{name}"));
        if self.hangs {
            return std::future::pending().await;
        }
        if self.fails {
            return Err(Unread::Failed {
                pod: name.to_owned(),
                cause: "forbidden".to_owned(),
            });
        }
        Ok(self
            .pods
            .get(name)
            .map(|pod| PodView::deserialize(pod).unwrap()))
    }
}

fn pair(hp: Value) -> Store {
    let anchor = json!({"metadata": {
        "labels": {label::ROLE: label::ROLE_ANCHOR},
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "albums", "uid": "1", "controller": true}
        ],
    }});
    Store {
        pods: [(ANCHOR.to_owned(), anchor), ("albums".to_owned(), hp)].into(),
        ..Store::default()
    }
}

fn running() -> Store {
    pair(json!({"metadata": {"uid": "1"}, "status": {"phase": "Running"}}))
}

fn request(name: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "shop", "name": name, "dryRun": false,
            "kind": {"group": "policy", "version": "v1", "kind": "Eviction"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "subResource": "eviction",
            "object": {"apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": name, "namespace": "shop"}},
        },
    })
}

/// The `response` to an eviction, and what the log and the metrics say.
async fn evict(store: Store, name: &str) -> (Value, Outcome, Reason, Evictions<Store>) {
    let evictions = Evictions::new(Some(store));
    let body = request(name).to_string();
    let review = Review::parse(Door::Evict, body.as_bytes()).unwrap();
    let answer = review.conclude(evictions.review(review.eviction().unwrap()).await);
    assert_eq!(
        (answer.namespace.as_str(), answer.name.as_str()),
        ("shop", name)
    );
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    (
        body["response"].clone(),
        answer.outcome,
        answer.reason,
        evictions,
    )
}

fn eviction(name: &str) -> Eviction<'_> {
    Eviction {
        namespace: "shop",
        name,
        dry_run: false,
    }
}

fn asked(evictions: &Evictions<Store>) -> Vec<String> {
    evictions
        .pods
        .as_ref()
        .unwrap()
        .asked
        .lock()
        .unwrap()
        .clone()
}

#[tokio::test]
async fn the_anchor_of_a_running_pod_is_refused_as_a_budget_does() {
    let (response, outcome, reason, evictions) = evict(running(), ANCHOR).await;
    assert_eq!((outcome, reason), (Outcome::Rejected, Reason::PairRunning));
    assert_eq!(response["allowed"], false);
    let status = &response["status"];
    assert_eq!(status["code"], 429);
    assert_eq!(status["reason"], "TooManyRequests");
    assert_eq!(
        status["details"],
        json!({"causes": [{
            "reason": "DisruptionBudget", "message": "The pod albums still needs its anchor",
        }]})
    );
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("Evict albums instead"), "{message}");
    assert_eq!(
        asked(&evictions),
        [&format!("shop/{ANCHOR}"), "shop/albums"]
    );
}

#[tokio::test]
async fn a_daemonsets_anchor_is_not_found() {
    let hp = json!({"metadata": {"uid": "1", "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d", "controller": true}
    ]}});
    let (response, outcome, reason, _) = evict(pair(hp), ANCHOR).await;
    assert_eq!((outcome, reason), (Outcome::Rejected, Reason::OfDaemonSet));
    assert_eq!(response["status"]["code"], 404);
    assert_eq!(response["status"]["reason"], "NotFound");
}

#[tokio::test]
async fn an_anchor_whose_pod_goes_may_go() {
    let hp = json!({"metadata": {"uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let (response, outcome, reason, _) = evict(pair(hp), ANCHOR).await;
    assert_eq!((outcome, reason), (Outcome::Allowed, Reason::PairEnding));
    assert_eq!(response, json!({"uid": "u", "allowed": true}));
}

#[tokio::test]
async fn other_pods_are_let_pass_and_of_other_names_not_even_asked_for() {
    let foreign = |name: &str| Store {
        pods: [(name.to_owned(), json!({"metadata": {"uid": "2"}}))].into(),
        ..Store::default()
    };
    for (name, reads) in [
        ("albums", 0),
        ("boat-anchor-store-5d4f8-x2x9k", 0),
        ("albums-anchor-0123ABCD", 0),
        ("albums-anchor-0123abcde", 0),
        ("-anchor-0123abcd", 0),
        (ANCHOR, 1),
    ] {
        let (response, outcome, reason, evictions) = evict(foreign(name), name).await;
        assert_eq!(response, json!({"uid": "u", "allowed": true}), "{name}");
        assert_eq!((outcome, reason), (Outcome::Skipped, Reason::NotAnAnchor));
        assert_eq!(asked(&evictions).len(), reads, "{name}");
    }
    // The API server says itself that there is no such pod.
    let (_, outcome, reason, _) = evict(Store::default(), ANCHOR).await;
    assert_eq!((outcome, reason), (Outcome::Skipped, Reason::NotAnAnchor));
}

fn warned(response: &Value, of: &str) {
    assert_eq!(response["allowed"], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains(ANCHOR) && warning.contains(of),
        "{warning}"
    );
}

#[tokio::test]
async fn a_pair_that_cannot_be_read_is_let_pass_and_said() {
    let store = Store {
        fails: true,
        ..running()
    };
    let (response, outcome, reason, _) = evict(store, ANCHOR).await;
    assert_eq!((outcome, reason), (Outcome::Error, Reason::PairUnavailable));
    warned(
        &response,
        "reading pod albums-anchor-0123abcd failed: forbidden",
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_is_waited_for_less_than_the_webhook_may_take() {
    let store = Store {
        hangs: true,
        ..running()
    };
    let begin = tokio::time::Instant::now();
    let (response, outcome, reason, evictions) = evict(store, ANCHOR).await;
    assert_eq!((outcome, reason), (Outcome::Error, Reason::PairUnavailable));
    warned(&response, "within 1500 ms");
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(evictions.places.available_permits(), AT_A_TIME);
}

#[tokio::test]
async fn without_a_cluster_it_is_let_pass_and_said() {
    let evictions = Evictions::<Store>::new(None);
    let verdict = evictions.review(eviction(ANCHOR)).await;
    assert!(verdict.denial.is_none());
    assert!(
        verdict.warnings[0].contains("--no-cluster"),
        "{:?}",
        verdict.warnings
    );
    assert_eq!(evictions.review(eviction("albums")).await.warnings, [""; 0]);
}

#[tokio::test]
async fn more_than_can_be_looked_at_are_to_come_again() {
    let evictions = Evictions::new(Some(running()));
    let places: Vec<_> = std::iter::from_fn(|| evictions.places.try_acquire().ok()).collect();
    assert_eq!(places.len(), AT_A_TIME);
    let denial = evictions.review(eviction(ANCHOR)).await.denial.unwrap();
    assert_eq!(
        (denial.code, denial.details),
        (429, Some(Details::RetryAfter(1)))
    );
    drop(places);
    let denial = evictions.review(eviction(ANCHOR)).await.denial.unwrap();
    assert!(matches!(denial.details, Some(Details::Cause { .. })));
}

#[tokio::test]
async fn a_dry_run_is_told_what_a_drain_would_meet_and_does_not_hang() {
    let dry_run = |name| Eviction {
        dry_run: true,
        ..eviction(name)
    };
    let evictions = Evictions::new(Some(running()));
    let verdict = evictions.review(dry_run(ANCHOR)).await;
    assert!(verdict.denial.is_none());
    assert_eq!(verdict.reason, Reason::PairRunning);
    assert!(
        verdict.warnings[0].contains("until albums is going"),
        "{:?}",
        verdict.warnings
    );
}

#[test]
fn a_dry_run_is_known_by_the_request_or_by_the_evictions_options() {
    let is_dry = |at: &str, value: Value| {
        let mut body = request(ANCHOR);
        let (parent, key) = at.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[key] = value;
        let body = body.to_string();
        let review = Review::parse(Door::Evict, body.as_bytes()).unwrap();
        review.eviction().unwrap().dry_run
    };
    assert!(is_dry("/request/dryRun", json!(true)));
    assert!(is_dry(
        "/request/object/deleteOptions",
        json!({"dryRun": ["All"]})
    ));
    assert!(!is_dry(
        "/request/object/deleteOptions",
        json!({"gracePeriodSeconds": 0})
    ));
    assert!(!is_dry(
        "/request/object/deleteOptions",
        json!({"dryRun": []})
    ));
    assert!(!is_dry("/request/object", Value::Null));
}

#[test]
fn only_an_eviction_is_one() {
    let is_eviction = |at: &str, value: &str| {
        let mut body = request(ANCHOR);
        *body.pointer_mut(at).unwrap() = json!(value);
        let body = body.to_string();
        let review = Review::parse(Door::Evict, body.as_bytes()).unwrap();
        review.eviction().is_some()
    };
    assert!(is_eviction("/request/name", "albums"));
    for (at, value) in [
        ("/request/operation", "UPDATE"),
        ("/request/subResource", "binding"),
        ("/request/kind/kind", "Pod"),
        ("/request/kind/group", ""),
    ] {
        assert!(!is_eviction(at, value), "{at} {value}");
    }
}
