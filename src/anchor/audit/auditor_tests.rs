//! What the auditor asks for, and what it makes of the answers. The API server is a function.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use http_body_util::Full;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::admission::metrics as server;
use crate::anchor::leadership::Fence;
use crate::names::policy;

const NAMESPACES: &str = "/api/v1/namespaces?&limit=100";
const PODS: &str = "/api/v1/pods?&UNFINISHED&WORKLOADS&limit=100";
const ANCHORS: &str = "/api/v1/pods?&ANCHORS&limit=100";
const FORGED: &str = "/api/v1/namespaces/shop/pods/forged";

type Answers = BTreeMap<&'static str, (u16, Value)>;

struct World {
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
    server: server::Metrics,
    auditor: Auditor,
}

impl World {
    fn new(answers: impl IntoIterator<Item = (&'static str, (u16, Value))>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect::<Answers>()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (known, log) = (Arc::clone(&answers), Arc::clone(&asked));
        let service = tower::service_fn(move |request: axum::http::Request<Body>| {
            let accept = request.headers()["accept"].to_str().unwrap();
            assert!(accept.contains("PartialObjectMetadata"), "{accept}");
            let escape = |text: &str| text.replace('/', "%2F").replace('=', "%3D");
            let mut path = request.uri().to_string();
            for (long, short) in [
                (format!("labelSelector={}", escape(&anchors())), "ANCHORS"),
                (
                    format!("labelSelector={}", escape(label::WORKLOAD)),
                    "WORKLOADS",
                ),
                (
                    format!(
                        "fieldSelector={}",
                        escape(UNFINISHED).replace('!', "%21").replace(',', "%2C")
                    ),
                    "UNFINISHED",
                ),
            ] {
                path = path.replace(&long, short);
            }
            let known = known.lock().unwrap().get(path.as_str()).cloned();
            let (status, body) = known.unwrap_or_else(|| list(&[]));
            log.lock().unwrap().push(path);
            let response = axum::http::Response::builder().status(status);
            let body = Full::from(body.to_string());
            async move { Ok::<_, std::convert::Infallible>(response.body(body).unwrap()) }
        });
        let client = Client::new(service, "default");
        let server = server::Metrics::new().unwrap();
        let metrics = Arc::new(Metrics::new(&server).unwrap());
        let fence = Arc::new(Fence::shut());
        let events = Events::start(client.clone(), "test".into(), fence, Arc::clone(&metrics));
        let flags = Arc::new(Policy::builtin());
        let auditor = Auditor::new(client, Arc::new(events), metrics, flags, INTERVAL);
        World {
            answers,
            asked,
            server,
            auditor,
        }
    }

    fn answer(&self, path: &'static str, answer: (u16, Value)) {
        self.answers.lock().unwrap().insert(path, answer);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    async fn look(&mut self) {
        let findings = self.auditor.look().await.unwrap();
        self.auditor.tell(findings).await;
    }

    fn gauge(&self, problem: Problem) -> String {
        gauge(&self.server, problem)
    }
}

fn gauge(server: &server::Metrics, problem: Problem) -> String {
    let begin = format!("native_host_audit_findings{{problem=\"{problem}\"}} ");
    let text = server.text().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&begin));
    line.unwrap().to_owned()
}

fn list(items: &[Value]) -> (u16, Value) {
    let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": items});
    (200, list)
}

fn object(metadata: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

fn missing() -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404,
        "reason": "NotFound", "message": "not found"});
    (404, status)
}

fn labelled(name: &str) -> Value {
    object(
        &json!({"namespace": "shop", "name": name, "uid": name, "labels": {label::WORKLOAD: "albums"}}),
    )
}

fn forged() -> Value {
    object(
        &json!({"namespace": "shop", "name": "forged", "uid": "forged",
        "labels": {label::ROLE: label::ROLE_ANCHOR}}),
    )
}

fn invalid() -> Value {
    object(&json!({"name": "bad", "uid": "bad", "annotations": {policy::MODE: "sometimes"}}))
}

#[tokio::test(start_paused = true)]
async fn asks_for_metadata_only_and_for_no_more_than_it_needs() {
    let mut world = World::new([]);
    world.look().await;
    assert_eq!(world.asked(), [NAMESPACES, PODS, ANCHORS]);
    for &problem in Problem::ALL {
        assert_eq!(world.gauge(problem), "0");
    }
}

#[tokio::test(start_paused = true)]
async fn counts_what_it_finds_and_reads_what_it_suspects() {
    let mut world = World::new([
        (NAMESPACES, list(&[invalid()])),
        (PODS, list(&[labelled("one"), labelled("two")])),
        (ANCHORS, list(&[forged()])),
        (FORGED, (200, forged())),
    ]);
    world.look().await;
    assert_eq!(world.asked(), [NAMESPACES, PODS, ANCHORS, FORGED]);
    assert_eq!(world.gauge(Problem::NotInjected), "2");
    assert_eq!(world.gauge(Problem::Ownerless), "1");
    assert_eq!(world.gauge(Problem::InvalidPolicy), "1");
    assert_eq!(world.auditor.said.len(), 4);
    // What is gone is forgotten, what is mended too, and an anchor that went meanwhile was ending.
    world.answer(PODS, list(&[labelled("two")]));
    world.answer(NAMESPACES, list(&[]));
    world.answer(FORGED, missing());
    world.look().await;
    assert_eq!(world.gauge(Problem::NotInjected), "1");
    assert_eq!(world.gauge(Problem::Ownerless), "0");
    assert_eq!(world.gauge(Problem::InvalidPolicy), "0");
    assert_eq!(world.auditor.said.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn tells_of_so_many_at_a_look_and_counts_all() {
    let many: Vec<_> = (0..TOLD + 20).map(|n| labelled(&format!("p{n}"))).collect();
    let mut world = World::new([(PODS, list(&many))]);
    world.look().await;
    assert_eq!(world.auditor.said.len(), TOLD);
    assert_eq!(world.gauge(Problem::NotInjected), (TOLD + 20).to_string());
    world.look().await;
    assert_eq!(world.auditor.said.len(), TOLD + 20, "the rest");
}

#[tokio::test(start_paused = true)]
async fn what_was_found_stands_while_a_list_fails_and_a_leader_that_goes_counts_nothing() {
    let world = World::new([(PODS, list(&[labelled("one")]))]);
    let (answers, server) = (Arc::clone(&world.answers), world.server);
    let running = tokio::spawn(world.auditor.run());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(gauge(&server, Problem::NotInjected), "1", "on start");
    answers.lock().unwrap().insert(ANCHORS, missing());
    tokio::time::sleep(INTERVAL * 2).await;
    assert_eq!(gauge(&server, Problem::NotInjected), "1");
    answers.lock().unwrap().remove(ANCHORS);
    answers.lock().unwrap().insert(PODS, list(&[]));
    tokio::time::sleep(INTERVAL * 2).await;
    assert_eq!(gauge(&server, Problem::NotInjected), "0", "and regularly");
    answers
        .lock()
        .unwrap()
        .insert(PODS, list(&[labelled("one")]));
    tokio::time::sleep(INTERVAL * 2).await;
    assert_eq!(gauge(&server, Problem::NotInjected), "1");
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(gauge(&server, Problem::NotInjected), "0");
}
