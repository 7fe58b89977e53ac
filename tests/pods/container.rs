//! One container: its command, probes, hooks, variables, mounts.

use super::UNKNOWN;
use super::value::{list, object, one_of, with};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};

pub fn program() -> BoxedStrategy<Value> {
    prop_oneof![
        8 => one_of(&[json!(r"C:\apps\albums.exe"), json!("c:/Apps/bin/albums.exe"), json!(r"C:\apps\Müller & Söhne\a.exe")]),
        1 => one_of(&[json!(r"C:\apps\run.cmd"), json!(r"C:\other\b.exe"), json!(r"\\files\apps\a.exe"), json!("albums.exe"),
            json!(r"C:\apps\..\b.exe"), json!(r"C:\APPS~1\a.exe"), json!("$(EXE)"), json!(""), json!(r"%CONTAINER_SANDBOX_MOUNT_POINT%\a.exe"),
            json!(r"C:\native-host\bin\native-host-launcher.exe")]),
    ]
    .boxed()
}

pub fn argument() -> BoxedStrategy<Value> {
    prop_oneof![
        3 => "[a-z0-9=./:-]{1,12}".prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        2 => one_of(&[json!("$(A)"), json!("$$(A)"), json!("100%"), json!("%PATH%"), json!("& calc.exe"), json!("\"|calc.exe"), json!("größe"),
            json!(""), json!("a b"), json!(r"C:\dir with space\"), json!("$(NATIVE_HOST_POD_UID)"), json!("$(UNKNOWN)"), json!("--")]),
    ]
    .boxed()
}

pub fn command() -> BoxedStrategy<Value> {
    (program(), vec(argument(), 0..3))
        .prop_map(|(program, mut rest)| {
            rest.insert(0, program);
            Value::Array(rest)
        })
        .boxed()
}

pub fn launcher_command() -> BoxedStrategy<Value> {
    let tool = r"C:\native-host\bin\native-host-launcher.exe";
    one_of(&[
        json!([
            tool,
            "stop",
            "--container",
            "albums",
            "--drain",
            "5",
            "--grace",
            "28"
        ]),
        json!([tool, "probe", "tcp", "--port", "8080", "--timeout", "4"]),
        json!([
            tool,
            "run",
            "--container",
            "albums",
            "--",
            r"C:\other\b.exe"
        ]),
    ])
}

pub fn exec() -> BoxedStrategy<Value> {
    let command = prop_oneof![4 => command(), 1 => launcher_command()].boxed();
    with(object(vec![]), vec![("command", command)])
}

pub fn port_ref() -> BoxedStrategy<Value> {
    prop_oneof![6 => one_of(&[json!(8080), json!(8081), json!("http")]), 1 => one_of(&[json!("health"), json!(0)])].boxed()
}

pub fn number() -> BoxedStrategy<Value> {
    prop_oneof![12 => (0..100i64).prop_map(Value::from), 1 => one_of(&[json!(null), json!(-1), json!(i64::MAX)])].boxed()
}

pub fn probe() -> BoxedStrategy<Value> {
    let header = one_of(&[
        json!({ "name": "Host", "value": "albums:80" }),
        json!({ "name": "X-A", "value": "a, b=c~" }),
    ]);
    let http = with(
        object(vec![
            (
                "path",
                one_of(&[json!("/"), json!("/live?a=b&c"), json!(""), json!("8/x")]),
            ),
            ("scheme", one_of(&[json!("HTTP"), json!("HTTPS")])),
            ("httpHeaders", list(header, 2)),
        ]),
        vec![("port", port_ref())],
    );
    let kind = prop_oneof![
        4 => http.prop_map(|http| json!({ "httpGet": http })),
        3 => with(object(vec![]), vec![("port", port_ref())]).prop_map(|tcp| json!({ "tcpSocket": tcp })),
        3 => exec().prop_map(|exec| json!({ "exec": exec })),
        1 => Just(json!({ "grpc": { "port": 9000, "service": "a" } })),
    ];
    let numbers = object(vec![
        ("initialDelaySeconds", number()),
        ("periodSeconds", number()),
        ("timeoutSeconds", number()),
        (
            "successThreshold",
            one_of(&[json!(1), json!(1), json!(1), json!(2)]),
        ),
        ("failureThreshold", number()),
        (
            "terminationGracePeriodSeconds",
            (1..100i64).prop_map(Value::from).boxed(),
        ),
    ]);
    (kind, numbers)
        .prop_map(|(kind, mut numbers)| {
            for (name, handler) in kind.as_object().unwrap() {
                numbers[name] = handler.clone();
            }
            numbers
        })
        .boxed()
}

pub fn hook() -> BoxedStrategy<Value> {
    prop_oneof![
        exec().prop_map(|exec| json!({ "exec": exec })),
        one_of(&[
            json!({ "sleep": { "seconds": 5 } }),
            json!({ "sleep": { "seconds": 9 } }),
            json!({ "httpGet": { "port": 80 } }),
            json!({}),
            json!(null)
        ]),
    ]
    .boxed()
}

pub fn env() -> BoxedStrategy<Value> {
    let own = subsequence(
        vec![
            json!({ "name": "A", "value": "plain" }),
            json!({ "name": "EMPTY", "value": "" }),
            json!({ "name": "LATE", "value": "$(A)/x", UNKNOWN: 1 }),
            json!({ "name": "EXE", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } }),
            json!({ "name": "POD_IP", "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } } }),
            json!({ "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }),
        ],
        0..=6,
    );
    let reserved = option::weighted(
        0.03,
        one_of(&[
            json!({ "name": "COMPARTMENT_ID_ATTACH", "value": "1" }),
            json!({ "name": "NATIVE_HOST_POD_UID", "valueFrom": { "fieldRef": { "fieldPath": "metadata.uid" } } }),
        ]),
    );
    (own, reserved)
        .prop_map(|(mut own, reserved)| {
            own.extend(reserved);
            Value::Array(own)
        })
        .boxed()
}

pub fn windows_options() -> BoxedStrategy<Value> {
    object(vec![
        (
            "hostProcess",
            one_of(&[json!(true), json!(true), json!(true), json!(null)]),
        ),
        (
            "runAsUserName",
            one_of(&[
                json!(r"NT AUTHORITY\SYSTEM"),
                json!(r"nt authority\system"),
                json!(r"NT AUTHORITY\LocalService"),
                json!(r"NT AUTHORITY\SYSTEM"),
                json!("hpc-users"),
            ]),
        ),
    ])
}

pub fn security() -> BoxedStrategy<Value> {
    let linux = prop_oneof![20 => Just(json!(null)), 1 => Just(json!(0))].boxed();
    object(vec![
        ("windowsOptions", windows_options()),
        ("runAsUser", linux),
        ("runAsNonRoot", one_of(&[json!(false), json!(null)])),
    ])
}

pub fn container(name: &'static str) -> BoxedStrategy<Value> {
    let port = object(vec![
        (
            "name",
            one_of(&[json!("http"), json!("http"), json!("health")]),
        ),
        (
            "protocol",
            one_of(&[json!("TCP"), json!("TCP"), json!("UDP")]),
        ),
        ("hostPort", Just(json!(8080)).boxed()),
    ]);
    let port = with(
        port,
        vec![(
            "containerPort",
            one_of(&[json!(8080), json!(8081), json!(9090)]),
        )],
    );
    let mount = prop_oneof![
        8 => one_of(&[json!({ "name": "data", "mountPath": r"C:\data" }), json!({ "name": "data", "mountPath": "/logs", "readOnly": true, UNKNOWN: {} })]),
        1 => one_of(&[json!({ "name": "data", "mountPath": "/apps" }), json!({ "name": "data", "mountPath": r"C:\Apps\bin" }),
            json!({ "name": "data", "mountPath": r"C:\native-host\bin" }), json!({ "name": "data", "mountPath": r"C:\x\..\apps" })]),
    ];
    let fields = object(vec![
        ("image", Just(json!("registry.example.com/a:1")).boxed()),
        ("imagePullPolicy", Just(json!("Always")).boxed()),
        ("workingDir", Just(json!(r"C:\apps")).boxed()),
        ("args", list(argument(), 3)),
        ("ports", list(port.boxed(), 2)),
        ("env", env()),
        (
            "envFrom",
            Just(json!([{ "configMapRef": { "name": "m" } }])).boxed(),
        ),
        (
            "resources",
            Just(json!({ "limits": { "cpu": "1.50" } })).boxed(),
        ),
        ("volumeMounts", list(mount.boxed(), 2)),
        ("livenessProbe", probe()),
        ("readinessProbe", probe()),
        ("startupProbe", probe()),
        (
            "lifecycle",
            object(vec![("preStop", hook()), ("postStart", hook())]),
        ),
        ("securityContext", security()),
        (
            "terminationMessagePath",
            Just(json!("/dev/termination-log")).boxed(),
        ),
        (
            "terminationMessagePolicy",
            one_of(&[json!("File"), json!("FallbackToLogsOnError")]),
        ),
        ("stdin", one_of(&[json!(true), json!(false)])),
    ]);
    with(
        fields,
        vec![("name", Just(json!(name)).boxed()), ("command", command())],
    )
}

/// One-shot init containers have no probes and no hooks; the API server sees to that.
pub fn init_container() -> BoxedStrategy<Value> {
    (container("prepare"), any::<bool>())
        .prop_map(|(mut container, sidecar)| {
            let map = container.as_object_mut().unwrap();
            if sidecar {
                map.insert("restartPolicy".to_owned(), json!("Always"));
            } else {
                for field in [
                    "livenessProbe",
                    "readinessProbe",
                    "startupProbe",
                    "lifecycle",
                ] {
                    map.remove(field);
                }
            }
            container
        })
        .boxed()
}
