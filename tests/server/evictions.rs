//! `/evict` as the program serves it, without an API server that answers.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use native_host::names::label;
use serde_json::{Value, json};

use super::client::Client;
use super::process::Program;

const ANCHOR: &str = "albums-anchor-0123abcd";

fn eviction(name: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u1", "operation": "CREATE", "namespace": "shop", "name": name,
            "kind": {"group": "policy", "version": "v1", "kind": "Eviction"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "subResource": "eviction", "dryRun": false,
            "object": {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}},
        },
    })
}

/// The `response` to a review.
async fn ask(client: &mut Client, path: &str, review: &Value) -> Value {
    let body = review.to_string();
    let response = client.post(path, body.as_bytes()).await.unwrap();
    assert_eq!(response.status, 200, "{}", response.body);
    let answer: Value = serde_json::from_str(&response.body).unwrap();
    answer["response"].clone()
}

fn passed() -> Value {
    json!({"uid": "u1", "allowed": true})
}

#[tokio::test]
async fn without_a_cluster_evictions_of_anchors_pass_and_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path(), &[]);
    let mut client = program.client(folder.path()).await;

    let response = ask(&mut client, "/evict", &eviction(ANCHOR)).await;
    assert_eq!(response["allowed"], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains(ANCHOR) && warning.contains("--no-cluster"),
        "{warning}"
    );
    let line = program.line(warning);
    let fields = [
        "level",
        "door",
        "namespace",
        "name",
        "kind",
        "outcome",
        "reason",
    ]
    .map(|field| line[field].as_str().unwrap());
    let said = [
        "WARN",
        "evict",
        "shop",
        ANCHOR,
        "Eviction",
        "error",
        "pair-unavailable",
    ];
    assert_eq!(fields, said);

    assert_eq!(
        ask(&mut client, "/evict", &eviction("albums-0")).await,
        passed()
    );
    assert_eq!(program.line("reviewed")["reason"], "not-an-anchor");
}

#[tokio::test]
async fn what_is_no_eviction_passes_and_what_is_no_review_gets_none() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path(), &[]);
    let mut client = program.client(folder.path()).await;

    let but = |at: &str, value: Value| {
        let mut review = eviction(ANCHOR);
        *review.pointer_mut(at).unwrap() = value;
        review
    };
    // It would be refused at /mutate.
    let labels = json!({label::WORKLOAD: "Not A Name"});
    let mut pod = but(
        "/request/object",
        json!({"kind": "Pod", "metadata": {"labels": labels}}),
    );
    pod["request"]["kind"] = json!({"group": "", "version": "v1", "kind": "Pod"});
    pod["request"]["subResource"] = json!("");
    for other in [
        pod,
        but("/request/operation", json!("DELETE")),
        but("/request/subResource", json!("binding")),
        but("/request/kind/kind", json!("Binding")),
        but("/request/kind/group", json!("")),
    ] {
        assert_eq!(
            ask(&mut client, "/evict", &other).await,
            passed(),
            "{other}"
        );
        assert_eq!(program.line("reviewed")["reason"], "not-handled");
    }
    // An eviction is no business of the other doors.
    for path in ["/mutate", "/validate", "/validate-templates"] {
        assert_eq!(
            ask(&mut client, path, &eviction(ANCHOR)).await,
            passed(),
            "{path}"
        );
        assert_eq!(program.line("reviewed")["reason"], "not-handled");
    }

    for bad in ["", "{", "[]", r#"{"request":{}}"#, "\u{1}"] {
        let response = client.post("/evict", bad.as_bytes()).await.unwrap();
        assert_eq!(response.status, 400, "{bad}: {}", response.body);
    }
    let response = ask(&mut client, "/evict", &but("/request/name", json!(7))).await;
    assert_eq!(
        (&response["allowed"], &response["status"]["code"]),
        (&json!(false), &json!(422))
    );
    let request = b"GET /evict HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.send(request).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 405);
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_holds_no_eviction_up() {
    let folder = tempfile::tempdir().unwrap();
    // It takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = folder.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u}}]\n",
        silent.local_addr().unwrap()
    );
    std::fs::write(&config, text).unwrap();
    let program = Program::with(folder.path(), &["--kubeconfig", config.to_str().unwrap()]);
    let mut client = program.client(folder.path()).await;

    let begin = Instant::now();
    let response = ask(&mut client, "/evict", &eviction(ANCHOR)).await;
    // The webhook's timeoutSeconds is 2.
    assert!(
        begin.elapsed() < Duration::from_millis(1900),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(response["allowed"], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("did not answer within 1500 ms"),
        "{warning}"
    );
}
