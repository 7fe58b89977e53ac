//! Beside another mutating webhook, one that the API server calls after ours.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use native_host::admission::self_signed::Authority;
use native_host::names::env;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::{PATIENCE, World, is_injected, pod, stderr};
use crate::support::wait_until;

/// Answers every review with one patch, for as long as the test runs. Gives its URL and its CA.
fn injector(patch: &Value) -> (String, String) {
    let authority = Authority::new().unwrap();
    let (chain, key) = authority.issue_pem(&["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            CertificateDer::pem_slice_iter(chain.as_bytes())
                .map(Result::unwrap)
                .collect(),
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let patch = STANDARD.encode(patch.to_string());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, patch) = (config.clone(), patch.clone());
            // A connection that breaks off is the API server's to repeat.
            std::thread::spawn(move || answer(stream.unwrap(), config, &patch));
        }
    });
    (url, authority.pem())
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, patch: &str) -> std::io::Result<()> {
    let session = ServerConnection::new(config).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(session, stream));
    loop {
        let mut length = 0;
        let mut line = String::new();
        while stream.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let review: Value = serde_json::from_slice(&body)?;
        let answer = json!({
            "apiVersion": review["apiVersion"], "kind": "AdmissionReview",
            "response": {
                "uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch,
            },
        })
        .to_string();
        write!(
            stream.get_mut(),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
        stream.get_mut().flush()?;
    }
}

/// Registers an injector of `patch` for one namespace, by a name that sorts after ours, and waits
/// until the API server asks it.
fn register(world: &World, namespace: &str, patch: &Value) {
    let (url, ca) = injector(patch);
    world.plane.apply(
        &json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": format!("z.{namespace}.example")},
            "webhooks": [{
                "name": format!("z.{namespace}.example"),
                "clientConfig": {"url": url, "caBundle": STANDARD.encode(ca)},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            }],
        })
        .to_string(),
    );
    let mut probe = pod();
    probe["metadata"] = json!({"name": "probe"});
    let args = [
        "create",
        "--dry-run=server",
        "-o",
        "json",
        "-n",
        namespace,
        "-f",
        "-",
    ];
    // One variable is there to be put before.
    probe["spec"]["containers"][0]["env"] = json!([{"name": "FIRST", "value": "1"}]);
    wait_until("the other injector is asked", PATIENCE, || {
        let output = world.plane.kubectl_stdin(&args, &probe.to_string());
        let shown: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let shown = shown?["spec"]["containers"].clone();
        let grown = shown.as_array()?.len() > 1 || shown[0]["env"].as_array()?.len() > 1;
        grown.then_some(())
    });
}

#[test]
fn a_sidecar_that_comes_after_us_does_not_run_on_the_host() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("sidecar", &[], &[]);
    let sidecar =
        json!({"name": "agent", "image": "registry.example/agent", "command": [r"C:\agent.exe"]});
    register(
        world,
        "sidecar",
        &json!([{"op": "add", "path": "/spec/containers/-", "value": sidecar}]),
    );
    let output = world.apply("sidecar", &pod());
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    // The API server asks us again, and so the person reads who did it and the way out; behind that
    // stands its own rule: all containers of a pod are HostProcess, or none.
    let denied = "spec.containers[1].securityContext.windowsOptions.hostProcess: missing on the container agent, \
         which another webhook has put in";
    assert!(said.contains(denied), "{said}");
    assert!(
        world.plane.get(&["pods", "-n", "sidecar"])["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn variables_that_another_injector_puts_first_do_no_harm() {
    let Some(world) = World::shared() else {
        return;
    };
    world.namespace("env", &[], &[]);
    let var = json!({"name": "AGENT_HOST", "value": "10.0.0.1"});
    register(
        world,
        "env",
        &json!([{"op": "add", "path": "/spec/containers/0/env/0", "value": var}]),
    );
    let output = world.apply("env", &pod());
    assert!(output.status.success(), "{}", stderr(&output));
    let stored = world.plane.get(&["pod", "albums", "-n", "env"]);
    assert!(is_injected(&stored));
    let names = stored["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap()
        .iter();
    let names: Vec<_> = names.map(|var| var["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["AGENT_HOST", env::POD_UID, env::POD_NAMESPACE]);
}
