//! Probes of real servers on loopback.

mod servers;
mod workers;

use std::sync::Mutex;

use super::attempt::{Found, attempt};
use super::*;
use serde_json::{Value, json};
use servers::{Answer, Health, free_port, grpc, http, https, silent};

fn container(probe: &str, of: &Value) -> Container {
    let mut container = json!({"name": "albums", "ports": [{"name": "web", "containerPort": 80}]});
    container[probe] = of.clone();
    serde_json::from_value(container).unwrap()
}

/// Commands, by a script.
#[derive(Default)]
struct Script {
    answers: Mutex<Vec<Result<Ran, ExecError>>>,
    asked: Mutex<Vec<(Target, Vec<String>)>>,
}

impl Exec for Arc<Script> {
    async fn exec(
        &self,
        target: &Target,
        command: Vec<String>,
        _: Duration,
    ) -> Result<Ran, ExecError> {
        self.asked.lock().unwrap().push((target.clone(), command));
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() {
            code(0)
        } else {
            answers.remove(0)
        }
    }
}

#[allow(clippy::unnecessary_wraps)]
fn code(code: i32) -> Result<Ran, ExecError> {
    let output = format!("ended with {code}").into_bytes();
    Ok(Ran { code, output })
}

async fn probe_with(script: &Arc<Script>, probe: Value) -> Found {
    let container = container("readinessProbe", &probe);
    let probe = container.readiness_probe.as_ref().unwrap();
    let target = Target::default();
    attempt(probe, &container, "127.0.0.1", &target, script).await
}

async fn probe(probe: Value) -> Found {
    probe_with(&Arc::default(), probe).await
}

fn failure(text: impl Into<String>) -> Found {
    Found::Failure(text.into())
}

#[tokio::test]
async fn http_is_judged_by_its_status() {
    for (status, found) in [
        (200, Found::Success),
        (204, Found::Success),
        (
            304,
            Found::Warning("Probe terminated redirects, Response body: secret".into()),
        ),
        (400, failure("HTTP probe failed with statuscode: 400")),
        (503, failure("HTTP probe failed with statuscode: 503")),
    ] {
        let server = http(move |_| Answer::new(status, "secret")).await;
        let got = probe(json!({"httpGet": {"port": server.port}})).await;
        // A 204 has no body, and neither has a 304.
        let found = match found {
            Found::Warning(text) => Found::Warning(text.replace("secret", "")),
            other => other,
        };
        assert_eq!(got, found);
    }
}

#[tokio::test]
async fn http_sends_what_the_kubelet_sends() {
    let server = http(|_| Answer::new(200, "")).await;
    probe(json!({"httpGet": {"port": server.port, "path": "health/a b?x=1"}})).await;
    let head = server.asked().remove(0);
    assert!(
        head.starts_with("GET /health/a%20b?x=1 HTTP/1.1\r\n"),
        "{head}"
    );
    for line in [
        format!("host: 127.0.0.1:{}\r\n", server.port),
        "user-agent: kube-probe/1.36\r\n".into(),
        "accept: */*\r\n".into(),
        "connection: close\r\n".into(),
    ] {
        assert!(head.contains(&line), "{head}");
    }

    let headers = json!([
        {"name": "Host", "value": "albums.local"}, {"name": "accept", "value": ""},
        {"name": "User-Agent", "value": "me"}, {"name": "X", "value": "1"}, {"name": "x", "value": "2"},
    ]);
    probe(json!({"httpGet": {"port": server.port, "httpHeaders": headers}})).await;
    let head = server.asked().remove(1);
    for line in [
        "host: albums.local\r\n",
        "user-agent: me\r\n",
        "x: 1\r\n",
        "x: 2\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("accept"), "{head}");
}

#[tokio::test]
async fn http_follows_redirects_to_its_own_host_only() {
    let to = |location: &str| Answer::new(302, "moved").with("location", location);
    for (location, found) in [
        ("/well", Found::Success),
        ("well?x#y", Found::Success),
        ("/ill", failure("HTTP probe failed with statuscode: 500")),
        (
            "http://localhost/well",
            Found::Warning("Probe terminated redirects, Response body: moved".into()),
        ),
    ] {
        let location = location.to_owned();
        let server = http(move |path| match path {
            "/" => to(&location),
            "/well" | "/well?x" => Answer::new(200, ""),
            _ => Answer::new(500, ""),
        })
        .await;
        assert_eq!(
            probe(json!({"httpGet": {"port": server.port}})).await,
            found
        );
    }
    let server = http(move |_| to("/")).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    assert_eq!(
        probe(json!({"httpGet": {"port": server.port}})).await,
        failure(format!("Get {url:?}: stopped after 10 redirects"))
    );
    assert_eq!(server.asked().len(), 10);
}

#[tokio::test]
async fn http_over_tls_trusts_anybody() {
    let server = https().await;
    let action = json!({"port": server.port, "scheme": "HTTPS", "path": "/x"});
    assert_eq!(probe(json!({"httpGet": action})).await, Found::Success);

    let server = http(|_| Answer::new(200, "")).await;
    let action = json!({"port": server.port, "scheme": "HTTPS", "path": "/x"});
    let url = format!("https://127.0.0.1:{}/x", server.port);
    assert_eq!(
        probe(json!({"httpGet": action})).await,
        failure(format!(
            "Get {url:?}: http: server gave HTTP response to HTTPS client"
        ))
    );
}

#[tokio::test]
async fn what_does_not_answer_is_said_as_on_windows() {
    let port = free_port();
    let refused = format!(
        "dial tcp 127.0.0.1:{port}: connectex: No connection could be made because the target \
         machine actively refused it."
    );
    assert_eq!(
        probe(json!({"tcpSocket": {"port": port}})).await,
        failure(refused.clone())
    );
    assert_eq!(
        probe(json!({"httpGet": {"port": port}})).await,
        failure(format!("Get \"http://127.0.0.1:{port}/\": {refused}"))
    );
    let server = silent().await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    assert_eq!(
        probe(json!({"httpGet": {"port": server.port}})).await,
        failure(format!(
            "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        ))
    );
    assert_eq!(
        probe(json!({"tcpSocket": {"port": server.port}})).await,
        Found::Success
    );
}

#[tokio::test]
async fn ports_may_be_named() {
    let container = container("readinessProbe", &json!({}));
    let port = |port: Value| attempt::port(&serde_json::from_value(port).unwrap(), &container);
    assert_eq!(port(json!("web")), Ok(80));
    assert_eq!(port(json!(81)), Ok(81));
    assert_eq!(port(json!("82")), Ok(82));
    assert!(
        port(json!("http"))
            .unwrap_err()
            .contains("parsing \"http\"")
    );
    assert_eq!(port(json!(0)), Err("invalid port number: 0".into()));
}

#[tokio::test]
async fn grpc_asks_for_the_health_of_a_service() {
    let serving = |text: &str| failure(format!("service unhealthy (responded with {text:?})"));
    for (health, found) in [
        (Health::Status(1), Found::Success),
        (Health::Status(2), serving("NOT_SERVING")),
        (Health::Status(0), serving("UNKNOWN")),
        (Health::Status(7), serving("7")),
        (
            Health::Error(5, "unknown%20service"),
            failure(
                "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service",
            ),
        ),
        (
            Health::Error(12, "nothing here"),
            failure(
                "error: this server does not implement the grpc health protocol \
                 (grpc.health.v1.Health): nothing here",
            ),
        ),
        (
            Health::Never,
            failure("timeout: health rpc did not complete within 1s"),
        ),
    ] {
        let server = grpc(health).await;
        let action = json!({"port": server.port, "service": "albums"});
        assert_eq!(probe(json!({"grpc": action})).await, found);
        let expected = "POST /grpc.health.v1.Health/Check application/grpc [10, 6, 97, 108, 98, \
                        117, 109, 115]";
        assert_eq!(server.asked(), [expected]);
    }
}

#[tokio::test]
async fn grpc_waits_for_a_server_until_its_time_is_over() {
    let port = free_port();
    let found = probe(json!({"grpc": {"port": port}})).await;
    assert_eq!(
        found,
        failure(format!(
            "timeout: failed to connect service \"127.0.0.1:{port}\" within 1s: context deadline \
             exceeded"
        ))
    );
}

#[tokio::test]
async fn commands_are_judged_by_their_code() {
    for (answers, found, tries) in [
        (vec![code(0)], Found::Success, 1),
        (vec![code(7708)], failure("ended with 7708"), 1),
        (
            vec![Err(ExecError::TimedOut)],
            failure("command timed out: \"cmd /c \\\"x\\\"\" timed out after 1s"),
            1,
        ),
        (
            vec![Err(ExecError::Failed("gone".into())), code(0)],
            Found::Success,
            2,
        ),
        (
            vec![Err(ExecError::Failed("gone".into())); 3],
            Found::Error("unknown", "gone".into()),
            3,
        ),
    ] {
        let script = Arc::new(Script {
            answers: Mutex::new(answers),
            ..Script::default()
        });
        let command = json!({"exec": {"command": ["cmd", "/c", "\"x\""]}});
        assert_eq!(probe_with(&script, command).await, found);
        assert_eq!(script.asked.lock().unwrap().len(), tries);
    }
}

#[tokio::test]
async fn a_hook_takes_any_answer_and_goes_without_tls_where_there_is_none() {
    let server = http(|_| Answer::new(500, "")).await;
    let action = json!({"port": server.port, "scheme": "HTTPS", "path": "/stop"});
    let action = serde_json::from_value(action).unwrap();
    let container = container("readinessProbe", &json!({}));
    assert_eq!(
        hook::http_get(&action, &container, "127.0.0.1").await,
        Ok(())
    );
    let asked = server.asked();
    let head = asked.last().unwrap();
    assert!(head.starts_with("GET /stop ") && head.contains("user-agent: kube-lifecycle/1.36"));
    server.stop().await;

    let error = hook::http_get(&action, &container, "127.0.0.1")
        .await
        .unwrap_err();
    assert!(error.contains("actively refused it"), "{error}");
}
