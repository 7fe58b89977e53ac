//! What the proxy between a program and the API server does.

use std::sync::mpsc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Config};
use serde_json::json;

use crate::PATIENCE;
use crate::support::proxy::{Gone, Kind, Moment, Verdict};
use crate::support::{ControlPlane, Proxy, wait_until};

/// A proxy, a client behind it, and a namespace of the test's own.
struct Line {
    plane: &'static ControlPlane,
    namespace: &'static str,
    proxy: Proxy,
    client: Client,
}

impl Line {
    async fn new(namespace: &'static str) -> Option<Self> {
        let plane = ControlPlane::shared()?;
        plane.kubectl_ok(&["create", "namespace", namespace]);
        let proxy = Proxy::start(plane);
        let kubeconfig = Kubeconfig::read_from(proxy.kubeconfig(plane.admin_token())).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        Some(Self {
            plane,
            namespace,
            proxy,
            client: Client::try_from(config.unwrap()).unwrap(),
        })
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn create(&self, name: &str) -> kube::Result<ConfigMap> {
        self.maps().create(&PostParams::default(), &map(name)).await
    }

    /// Whether it is there, asked past the proxy.
    fn has(&self, name: &str) -> bool {
        let args = ["get", "configmap", name, "-n", self.namespace];
        self.plane.kubectl(&args).status.success()
    }
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn code(result: kube::Result<ConfigMap>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn writes_are_told_from_everything_else() {
    let Some(line) = Line::new("tells").await else {
        return;
    };
    line.create("one").await.unwrap();
    line.maps().get("one").await.unwrap();
    line.maps().get("two").await.unwrap_err();
    let patch = Patch::Merge(json!({"data": {"a": "b"}}));
    let params = PatchParams::default();
    line.maps().patch("one", &params, &patch).await.unwrap();
    let dry_run = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    line.maps().patch("one", &dry_run, &patch).await.unwrap();
    let leases = Api::<Lease>::namespaced(line.client.clone(), line.namespace);
    let lease = serde_json::from_value(json!({"metadata": {"name": "leader"}})).unwrap();
    leases.create(&PostParams::default(), &lease).await.unwrap();
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec::default(),
        ..SelfSubjectAccessReview::default()
    };
    let reviews = Api::<SelfSubjectAccessReview>::all(line.client.clone());
    let _ = reviews.create(&PostParams::default(), &review).await;

    let maps = "/api/v1/namespaces/tells/configmaps";
    let writes: Vec<_> = line
        .proxy
        .writes()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        writes,
        [format!("POST {maps} 201"), format!("PATCH {maps}/one 200")]
    );
    let kinds: Vec<_> = line
        .proxy
        .log()
        .iter()
        .map(|entry| entry.call.kind)
        .collect();
    let Kind::Lease = kinds[5] else {
        panic!("{kinds:?}")
    };
    let reads = kinds.iter().filter(|kind| **kind == Kind::Read);
    assert_eq!(reads.count(), 4, "{kinds:?}");
    let statuses: Vec<_> = line.proxy.log().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses[..3], [Some(201), Some(200), Some(404)]);
    assert_eq!(
        line.proxy.writes()[0].call.json()["metadata"]["name"],
        "one"
    );
    line.proxy.clear_log();
    assert!(line.proxy.log().is_empty());
}

#[tokio::test]
async fn a_write_is_cut_before_or_after_it_is_done() {
    let Some(line) = Line::new("cuts").await else {
        return;
    };
    let (sender, seen) = mpsc::channel();
    line.proxy.at_write(2, Moment::Before, move |call| {
        sender
            .send(call.json()["metadata"]["name"].clone())
            .unwrap();
        Verdict::Cut
    });
    line.create("one").await.unwrap();
    assert!(line.proxy.is_armed() && seen.try_recv().is_err());
    line.create("two").await.unwrap_err();
    assert_eq!(seen.try_recv().unwrap(), "two");
    assert!(!line.proxy.is_armed() && !line.has("two"));

    line.proxy.at_write(1, Moment::After, |_| Verdict::Cut);
    line.create("three").await.unwrap_err();
    assert!(line.has("three"), "it was done");
    line.create("four").await.unwrap();
    let statuses: Vec<_> = line
        .proxy
        .writes()
        .iter()
        .map(|entry| entry.status)
        .collect();
    assert_eq!(statuses, [Some(201), None, None, Some(201)]);
}

#[tokio::test]
async fn a_call_is_answered_as_the_test_says() {
    let Some(line) = Line::new("answers").await else {
        return;
    };
    line.proxy
        .on_call(|moment, call| match (moment, call.kind) {
            (Moment::After, Kind::Write) => Verdict::Answer(500),
            _ => Verdict::Pass,
        });
    assert_eq!(code(line.create("one").await), 500);
    assert!(line.has("one"), "it was done");
    line.maps().get("one").await.unwrap();
}

#[tokio::test]
async fn each_write_meets_a_conflict_first() {
    let Some(line) = Line::new("conflicts").await else {
        return;
    };
    line.proxy.conflict_first(true);
    assert_eq!(code(line.create("one").await), 409);
    assert!(!line.has("one"));
    assert_eq!(code(line.create("two").await), 409, "another one");
    line.create("one").await.unwrap();
    line.create("two").await.unwrap();
    let patch = Patch::Merge(json!({"data": {"a": "b"}}));
    let params = PatchParams::default();
    for _ in 0..2 {
        assert_eq!(code(line.maps().patch("one", &params, &patch).await), 409);
        line.maps().patch("one", &params, &patch).await.unwrap();
    }
    line.proxy.conflict_first(false);
    line.create("three").await.unwrap();
}

#[tokio::test]
async fn watches_are_cut_and_expire() {
    let Some(line) = Line::new("watches").await else {
        return;
    };
    let maps = line.maps();
    let params = WatchParams::default();
    let watch = || maps.watch(&params, "0");
    let mut events = watch().await.unwrap().boxed();
    assert!(matches!(
        events.next().await,
        Some(Ok(WatchEvent::Added(_)))
    ));
    assert_eq!(line.proxy.open_watches(), 1);
    line.proxy.cut_watches();
    // Api::watch takes a body that breaks off for its end.
    let rest = tokio::time::timeout(PATIENCE, events.for_each(async |_| ())).await;
    assert!(rest.is_ok(), "it goes on");
    wait_until("it is closed", PATIENCE, || {
        (line.proxy.open_watches() == 0).then_some(())
    });

    line.proxy.expire_watches(1, Gone::Event);
    let mut events = watch().await.unwrap().boxed();
    let expired = events.next().await.unwrap().unwrap();
    let WatchEvent::Error(status) = expired else {
        panic!("{expired:?}");
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    line.proxy.expire_watches(1, Gone::Status);
    match watch().await.map(|_| ()) {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 410),
        other => panic!("{other:?}"),
    }
    let mut events = watch().await.unwrap().boxed();
    assert!(matches!(
        events.next().await,
        Some(Ok(WatchEvent::Added(_)))
    ));
}

#[tokio::test]
async fn a_watcher_lives_through_it() {
    let Some(line) = Line::new("lives").await else {
        return;
    };
    let mut events = watcher::watcher(line.maps(), watcher::Config::default()).boxed();
    let mut names = async |until: &str| loop {
        if let Some(Ok(Event::Apply(map) | Event::InitApply(map))) = events.next().await
            && map.metadata.name.as_deref() == Some(until)
        {
            break;
        }
    };
    line.create("one").await.unwrap();
    names("one").await;
    line.proxy.expire_watches(1, Gone::Event);
    line.proxy.cut_watches();
    line.create("two").await.unwrap();
    names("two").await;
    line.create("three").await.unwrap();
    names("three").await;
}

#[tokio::test]
async fn the_api_server_is_away_for_one_program() {
    let Some(line) = Line::new("away").await else {
        return;
    };
    line.create("one").await.unwrap();
    line.proxy.refuse();
    line.create("two").await.unwrap_err();
    assert!(!line.has("two"));
    line.proxy.restore();
    line.create("two").await.unwrap();
}

#[tokio::test]
async fn what_is_frozen_is_neither_done_nor_lost() {
    let Some(line) = Line::new("frozen").await else {
        return;
    };
    line.proxy.freeze();
    let mut create = Box::pin(line.create("one"));
    let held = tokio::time::timeout(Duration::from_millis(500), &mut create).await;
    assert!(held.is_err() && !line.has("one"));
    line.proxy.thaw();
    create.await.unwrap();
    assert!(line.has("one"));
}
