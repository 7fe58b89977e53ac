use super::*;
use crate::objects::shelf::Shelf;
use serde_json::{Value as Json, json};

fn pod(container: &Json) -> Pod {
    let pod = json!({
        "metadata": {"name": "albums-0", "namespace": "music", "uid": "u-1"},
        "spec": {"nodeName": "win-1", "enableServiceLinks": false, "containers": [container]},
    });
    serde_json::from_value(pod).unwrap()
}

fn facts() -> Facts {
    Facts {
        host_ips: vec!["10.245.0.1".into()],
        pod_ips: vec!["10.245.0.1".into()],
        ..Facts::default()
    }
}

async fn made(shelf: &Shelf, container: Json) -> Result<Environment, String> {
    let pod = pod(&container);
    let container = &pod.spec.as_ref().unwrap().containers[0];
    environment(shelf, &pod, container, &facts()).await
}

fn pairs(environment: &Environment) -> Vec<(&str, &str)> {
    environment.iter().collect()
}

#[tokio::test]
async fn references_see_only_what_stands_before_them() {
    let container = json!({"name": "albums", "env": [
        {"name": "FIRST", "value": "$(LATER)-$$(X)"},
        {"name": "LATER", "value": "1"},
        {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "BOTH", "value": "$(UID)/$(LATER)/$(NOBODY)"},
        {"name": "EMPTY"},
        {"name": "LATER", "value": "$(LATER)2"},
    ]});
    let environment = made(&Shelf::default(), container).await.unwrap();
    assert_eq!(
        pairs(&environment),
        [
            ("BOTH", "u-1/1/$(NOBODY)"),
            ("EMPTY", ""),
            ("FIRST", "$(LATER)-$(X)"),
            ("LATER", "12"),
            ("UID", "u-1"),
        ]
    );
    let reach: Vec<_> = environment.of_process().map(|(name, _)| name).collect();
    assert_eq!(reach, ["BOTH", "FIRST", "LATER", "UID"]);
}

#[tokio::test]
async fn takes_whole_objects_with_a_prefix_and_single_keys() {
    let shelf = Shelf::default();
    shelf.put_config_map(
        "music",
        json!({"metadata": {"name": "config"}, "data": {"port": "8080", "mode": "prod"}}),
    );
    shelf.put_secret(
        "music",
        // s3cret
        json!({"metadata": {"name": "key"}, "data": {"token": "czNjcmV0"}}),
    );
    let container = json!({"name": "albums",
        "envFrom": [
            {"prefix": "C_", "configMapRef": {"name": "config"}},
            {"secretRef": {"name": "key"}},
            {"configMapRef": {"name": "missing", "optional": true}},
        ],
        "env": [
            {"name": "C_mode", "value": "$(C_mode)2"},
            {"name": "PORT", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "port"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "key", "key": "token"}}},
            {"name": "NO_KEY", "valueFrom": {"configMapKeyRef":
                {"name": "config", "key": "x", "optional": true}}},
            {"name": "NO_SECRET", "valueFrom": {"secretKeyRef":
                {"name": "x", "key": "x", "optional": true}}},
        ],
    });
    let environment = made(&shelf, container).await.unwrap();
    assert_eq!(
        pairs(&environment),
        [
            ("C_mode", "prod2"),
            ("C_port", "8080"),
            ("PORT", "8080"),
            ("TOKEN", "s3cret"),
            ("token", "s3cret"),
        ]
    );
}

#[tokio::test]
async fn what_is_missing_is_said_in_the_kubelets_words() {
    let shelf = Shelf::default();
    shelf.put_config_map("music", json!({"metadata": {"name": "config"}}));
    let from =
        |source: Json| json!({"name": "albums", "env": [{"name": "X", "valueFrom": source}]});
    for (container, expected) in [
        (
            json!({"name": "albums", "envFrom": [{"configMapRef": {"name": "missing"}}]}),
            "configmap \"missing\" not found",
        ),
        (
            json!({"name": "albums", "envFrom": [{"secretRef": {"name": "missing"}}]}),
            "secret \"missing\" not found",
        ),
        (
            from(json!({"configMapKeyRef": {"name": "config", "key": "port"}})),
            "couldn't find key port in ConfigMap music/config",
        ),
        (
            from(json!({"secretKeyRef": {"name": "key", "key": "port"}})),
            "secret \"key\" not found",
        ),
        (
            from(json!({"fieldRef": {"fieldPath": "status.phase"}})),
            "unsupported fieldPath: status.phase",
        ),
        (
            from(json!({"resourceFieldRef": {"resource": "limits.cpu", "containerName": "x"}})),
            "container x not found",
        ),
    ] {
        assert_eq!(made(&shelf, container).await, Err(expected.to_owned()));
    }
}

#[tokio::test]
async fn services_are_told_of_and_yield_to_what_is_declared() {
    let service = |namespace: &str, name: &str, ip: &str, ports: Json| {
        let service = json!({"metadata": {"namespace": namespace, "name": name},
            "spec": {"clusterIP": ip, "ports": ports}});
        serde_json::from_value(service).unwrap()
    };
    let shelf = Shelf {
        services: vec![
            service(
                "default",
                "kubernetes",
                "10.96.0.1",
                json!([{"name": "https", "port": 443}]),
            ),
            service("default", "other", "10.96.0.2", json!([{"port": 1}])),
            service(
                "music",
                "my-albums",
                "10.96.0.9",
                json!([
                    {"name": "web-ui", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"},
                ]),
            ),
            service("music", "headless", "None", json!([{"port": 80}])),
        ],
        ..Shelf::default()
    };
    let mut pod = pod(&json!({"name": "albums", "env": [
        {"name": "MY_ALBUMS_SERVICE_PORT", "value": "own"},
        {"name": "URL", "value": "$(KUBERNETES_PORT)"},
    ]}));
    let container = pod.spec.as_ref().unwrap().containers[0].clone();

    let environment = environment_of(&shelf, &pod, &container).await;
    assert_eq!(
        environment.get("KUBERNETES_SERVICE_HOST"),
        Some("10.96.0.1")
    );
    assert_eq!(environment.get("URL"), Some("tcp://10.96.0.1:443"));
    assert_eq!(environment.get("MY_ALBUMS_SERVICE_HOST"), None);

    pod.spec.as_mut().unwrap().enable_service_links = Some(true);
    let environment = environment_of(&shelf, &pod, &container).await;
    for (name, value) in [
        ("KUBERNETES_SERVICE_PORT_HTTPS", Some("443")),
        ("MY_ALBUMS_SERVICE_HOST", Some("10.96.0.9")),
        ("MY_ALBUMS_SERVICE_PORT", Some("own")),
        ("MY_ALBUMS_SERVICE_PORT_WEB_UI", Some("80")),
        ("MY_ALBUMS_PORT", Some("tcp://10.96.0.9:80")),
        ("MY_ALBUMS_PORT_53_UDP", Some("udp://10.96.0.9:53")),
        ("MY_ALBUMS_PORT_53_UDP_PROTO", Some("udp")),
        ("MY_ALBUMS_PORT_53_UDP_PORT", Some("53")),
        ("MY_ALBUMS_PORT_53_UDP_ADDR", Some("10.96.0.9")),
        ("HEADLESS_SERVICE_HOST", None),
        ("OTHER_SERVICE_HOST", None),
    ] {
        assert_eq!(environment.get(name), value, "{name}");
    }
}

async fn environment_of(shelf: &Shelf, pod: &Pod, container: &Container) -> Environment {
    environment(shelf, pod, container, &facts()).await.unwrap()
}

#[test]
fn commands_are_expanded() {
    let container = json!({"name": "albums", "command": ["$(EXE)", "$$(EXE)"], "args": ["$(NO)"]});
    let container: Container = serde_json::from_value(container).unwrap();
    let environment = Environment::from([("EXE", r"C:\apps\albums.exe")]);
    let (command, args) = environment.command(&container);
    assert_eq!(command, [r"C:\apps\albums.exe", "$(EXE)"]);
    assert_eq!(args, ["$(NO)"]);
}

#[test]
fn a_sub_path_needs_all_its_variables() {
    let environment = Environment::from([("POD", "albums-0"), ("EMPTY", "")]);
    assert_eq!(
        environment.sub_path("$(POD)/x").as_deref(),
        Ok("albums-0/x")
    );
    assert_eq!(
        environment.sub_path("$(NO)/$(EMPTY)/$(NO)"),
        Err("missing value for EMPTY, NO".into())
    );
}

#[test]
fn an_exec_probe_sees_only_what_is_written_in_the_pod() {
    let container = json!({"name": "albums", "env": [
        {"name": "A", "value": "$(B)"}, {"name": "B", "value": "1"},
        {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    ]});
    let container: Container = serde_json::from_value(container).unwrap();
    let command = ["$(A)-$(B)-$(UID)-$(NO)".to_owned()];
    assert_eq!(probe_command(&command, &container), ["$(B)-1--$(NO)"]);
}
