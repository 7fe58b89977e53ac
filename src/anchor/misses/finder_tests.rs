//! What the finder asks for, and what it makes of the answers. The API server is a function.

#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use http_body_util::Full;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::admission::metrics as server;
use crate::anchor::leadership::Fence;
use crate::names::annotation;

/// Answers by path and query; what is not here is an empty list.
type Answers = BTreeMap<&'static str, (u16, Value)>;

const SERVICES: &str = "/api/v1/namespaces/shop/services?&limit=100";
const SERVICES_2: &str = "/api/v1/namespaces/shop/services?&limit=100&continue=more";
const POLICIES: &str = "/apis/networking.k8s.io/v1/networkpolicies?&limit=100";
const MONITORS: &str = "/apis/monitoring.coreos.com/v1/podmonitors?&limit=100";
const PODS: &str = "/api/v1/pods?&OURS&limit=100";

struct World {
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
    server: server::Metrics,
    finder: Finder,
}

impl World {
    fn new(answers: impl IntoIterator<Item = (&'static str, (u16, Value))>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect::<Answers>()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (known, log) = (Arc::clone(&answers), Arc::clone(&asked));
        let service = tower::service_fn(move |request: axum::http::Request<Body>| {
            let ours = format!("labelSelector={}", label::WORKLOAD.replace('/', "%2F"));
            let path = request.uri().to_string().replace(&ours, "OURS");
            let empty = json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []});
            let known = known.lock().unwrap().get(path.as_str()).cloned();
            // Of pods and namespaces no more than that travels.
            if path == PODS || path.starts_with("/api/v1/namespaces?") {
                let accept = request.headers()["accept"].to_str().unwrap();
                assert!(accept.contains("PartialObjectMetadata"), "{accept}");
            }
            log.lock().unwrap().push(path);
            let (status, body) = known.unwrap_or((200, empty));
            let response = axum::http::Response::builder().status(status);
            let body = Full::from(body.to_string());
            async move { Ok::<_, std::convert::Infallible>(response.body(body).unwrap()) }
        });
        let client = Client::new(service, "default");
        let server = server::Metrics::new().unwrap();
        let metrics = Arc::new(Metrics::new(&server).unwrap());
        let fence = Arc::new(Fence::shut());
        let events = Events::start(client.clone(), "test".into(), fence, Arc::clone(&metrics));
        let newcomers = Arc::default();
        let finder = Finder::new(client, Arc::new(events), metrics, newcomers, INTERVAL);
        World {
            answers,
            asked,
            server,
            finder,
        }
    }

    fn answer(&self, path: &'static str, answer: (u16, Value)) {
        self.answers.lock().unwrap().insert(path, answer);
    }

    /// What it asked for since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn misses(&self, kind: Kind) -> String {
        let begin = format!("native_host_misses{{kind=\"{kind}\"}} ");
        let text = self.server.text().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&begin));
        line.unwrap().to_owned()
    }
}

fn list(items: &[Value], more: &str) -> (u16, Value) {
    let metadata = json!({"continue": more});
    (
        200,
        json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}),
    )
}

fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message}),
    )
}

fn pods(namespaces: &[&str]) -> (u16, Value) {
    let spec = json!({"version": 1, "image": "pause", "containers": []}).to_string();
    let pods = namespaces.iter().map(|namespace| {
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "albums-1", "namespace": namespace,
                "labels": {label::WORKLOAD: "albums", "app": "albums"},
                "annotations": {annotation::ANCHOR_SPEC: spec}},
        })
    });
    list(&pods.collect::<Vec<_>>(), "")
}

fn object(name: &str, field: &str, selector: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1",
        "generation": 1}, "spec": {field: selector}})
}

fn service(name: &str) -> Value {
    object(name, "selector", &json!({"app": "albums"}))
}

#[tokio::test(start_paused = true)]
async fn asks_for_no_more_than_it_needs() {
    let no_groups = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []});
    let mut world = World::new([("/apis", (200, no_groups))]);
    world.finder.look().await.unwrap();
    assert_eq!(world.asked(), [PODS], "there are no workloads");
    world.answer(PODS, pods(&["shop"]));
    world.finder.look().await.unwrap();
    let expected = [
        PODS,
        "/api/v1/namespaces?&limit=100",
        "/apis",
        SERVICES,
        POLICIES,
        "/apis/policy/v1/namespaces/shop/poddisruptionbudgets?&limit=100",
    ];
    assert_eq!(world.asked(), expected, "the other kinds are not installed");
}

#[tokio::test(start_paused = true)]
async fn reads_every_page_and_speaks_once_of_each() {
    let mut world = World::new([
        (PODS, pods(&["shop"])),
        ("/apis", groups()),
        (SERVICES, list(&[service("one")], "more")),
        (SERVICES_2, list(&[service("two")], "")),
    ]);
    world.finder.look().await.unwrap();
    assert_eq!(world.misses(Kind::Service), "2");
    for name in ["one", "two"] {
        assert!(world.finder.memory.knows(Kind::Service, name), "{name}");
    }
    // The second is gone.
    world.answer(SERVICES, list(&[service("one")], ""));
    world.finder.look().await.unwrap();
    assert_eq!(world.misses(Kind::Service), "1");
    assert!(!world.finder.memory.knows(Kind::Service, "two"));
}

fn groups() -> (u16, Value) {
    let group = |name: &str, versions: &[&str], preferred: &str| {
        let version = |version: &str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
        let versions: Vec<_> = versions.iter().map(|v| version(v)).collect();
        json!({"name": name, "versions": versions, "preferredVersion": version(preferred)})
    };
    let groups = [
        group("policy.linkerd.io", &["v1alpha1", "v1", "v1beta3"], "v1"),
        group("monitoring.coreos.com", &["v1"], "v1"),
    ];
    (
        200,
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
    )
}

#[tokio::test(start_paused = true)]
async fn finds_the_version_that_has_the_kind() {
    let path = |version: &str| {
        format!("/apis/policy.linkerd.io/{version}/namespaces/shop/servers?&limit=100")
    };
    let server = object(
        "one",
        "podSelector",
        &json!({"matchLabels": {"app": "albums"}}),
    );
    let none = failure(
        404,
        "NotFound",
        "the server could not find the requested resource",
    );
    let mut world = World::new([(PODS, pods(&["shop"])), ("/apis", groups())]);
    let leak = |text: String| -> &'static str { text.leak() };
    world.answer(leak(path("v1")), none.clone());
    world.answer(leak(path("v1alpha1")), none);
    world.answer(leak(path("v1beta3")), list(&[server], ""));
    world.finder.look().await.unwrap();
    assert_eq!(world.misses(Kind::Server), "1");
    let asked = world.asked();
    let servers: Vec<_> = asked
        .iter()
        .filter(|path| path.contains("servers"))
        .collect();
    assert_eq!(servers, [&path("v1"), &path("v1alpha1"), &path("v1beta3")]);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_not_be_listed_keeps_no_other_from_it() {
    let forbidden = failure(
        403,
        "Forbidden",
        "services is forbidden: User \"x\" cannot list resource",
    );
    let monitor = object(
        "one",
        "selector",
        &json!({"matchLabels": {"app": "albums"}}),
    );
    let mut world = World::new([
        (PODS, pods(&["shop"])),
        ("/apis", groups()),
        (SERVICES, forbidden),
        (MONITORS, list(&[monitor], "")),
    ]);
    world.finder.look().await.unwrap();
    assert_eq!(world.misses(Kind::PodMonitor), "1");
    assert!(
        !world.finder.memory.is_first_refusal(Kind::Service),
        "it was said"
    );
    assert!(world.finder.memory.is_first_refusal(Kind::PodMonitor));
}

#[tokio::test(start_paused = true)]
async fn what_was_found_stands_while_a_list_fails() {
    let mut world = World::new([
        (PODS, pods(&["shop"])),
        ("/apis", groups()),
        (SERVICES, list(&[service("one")], "")),
    ]);
    world.finder.look().await.unwrap();
    world.answer(SERVICES, list(&[], "more"));
    world.answer(SERVICES_2, failure(410, "Expired", "too old"));
    world.finder.look().await.unwrap();
    assert_eq!(world.misses(Kind::Service), "1");
    assert!(world.finder.memory.knows(Kind::Service, "one"));
}

#[tokio::test(start_paused = true)]
async fn many_namespaces_are_one_list() {
    let names: Vec<_> = (0..=NAMESPACES).map(|n| format!("ns-{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut world = World::new([(PODS, pods(&names)), ("/apis", groups())]);
    world.finder.look().await.unwrap();
    let asked = world.asked();
    let services: Vec<_> = asked
        .iter()
        .filter(|path| path.contains("services"))
        .collect();
    assert_eq!(services, ["/api/v1/services?&limit=100"]);
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_comes_is_looked_at_soon_and_a_leader_that_goes_counts_nothing() {
    let world = World::new([
        (PODS, pods(&["shop"])),
        ("/apis", groups()),
        (SERVICES, list(&[service("one")], "")),
    ]);
    let newcomers = Arc::clone(&world.finder.newcomers);
    let (asked, server) = (Arc::clone(&world.asked), world.server);
    let looks = || {
        asked
            .lock()
            .unwrap()
            .iter()
            .filter(|path| *path == PODS)
            .count()
    };
    let gauge = || {
        server
            .text()
            .unwrap()
            .contains("native_host_misses{kind=\"Service\"} 1")
    };
    let running = tokio::spawn(world.finder.run());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((looks(), gauge()), (1, true));
    newcomers.saw("shop", "albums");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(looks(), 2);
    tokio::time::sleep(INTERVAL + SETTLE).await;
    assert_eq!(looks(), 3);
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert!(!gauge());
}
