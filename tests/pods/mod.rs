//! Pods and policies of every kind: random subsets of all fields that some rule names, with
//! unknown fields at every level.

use native_host::policy::Namespace;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::fixtures;

/// A field that Kubernetes does not know.
pub const UNKNOWN: &str = "fieldOfTheFuture";

/// A pod, and its Namespace's annotations.
#[derive(Clone, Debug)]
pub struct Case {
    pub pod: Value,
    annotations: Map<String, Value>,
}

impl Case {
    pub fn namespace(&self) -> Namespace {
        fixtures::namespace(&json!({ "annotations": self.annotations }))
    }

    /// A policy key of the Namespace.
    pub fn policy(&self, key: &str) -> Option<&str> {
        self.annotations
            .get(&format!("native-host.io/{key}"))?
            .as_str()
    }

    pub fn mode(&self) -> Option<&str> {
        self.policy("mode")
    }
}

/// An object of some of the fields; one in eight gets an unknown one besides.
fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    let values: Vec<_> = fields
        .into_iter()
        .map(|(_, value)| option::weighted(0.4, value))
        .collect();
    let unknown = option::weighted(0.125, json_value());
    (values, unknown)
        .prop_map(move |(values, unknown)| {
            let mut map = Map::new();
            for (name, value) in names.iter().zip(values) {
                if let Some(value) = value {
                    map.insert((*name).to_owned(), value);
                }
            }
            if let Some(unknown) = unknown {
                map.insert(UNKNOWN.to_owned(), unknown);
            }
            Value::Object(map)
        })
        .boxed()
}

fn json_value() -> BoxedStrategy<Value> {
    select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!("a \"quoted\" \\ text ü"),
        json!([1, [2], {}]),
        json!({ "nested": { "command": ["x"], "name": "y" } }),
    ])
    .boxed()
}

fn one_of(values: &[Value]) -> BoxedStrategy<Value> {
    select(values.to_vec()).boxed()
}

/// `object` with `fields` on top.
fn with(
    object: BoxedStrategy<Value>,
    fields: Vec<(&'static str, BoxedStrategy<Value>)>,
) -> BoxedStrategy<Value> {
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    let values: Vec<_> = fields.into_iter().map(|(_, value)| value).collect();
    (object, values)
        .prop_map(move |(mut object, values)| {
            for (name, value) in names.iter().zip(values) {
                object[*name] = value;
            }
            object
        })
        .boxed()
}

fn list(item: BoxedStrategy<Value>, most: usize) -> BoxedStrategy<Value> {
    vec(item, 0..=most).prop_map(Value::Array).boxed()
}

fn program() -> BoxedStrategy<Value> {
    prop_oneof![
        8 => one_of(&[json!(r"C:\apps\albums.exe"), json!("c:/Apps/bin/albums.exe"), json!(r"C:\apps\Müller & Söhne\a.exe")]),
        1 => one_of(&[json!(r"C:\apps\run.cmd"), json!(r"C:\other\b.exe"), json!(r"\\files\apps\a.exe"), json!("albums.exe"),
            json!(r"C:\apps\..\b.exe"), json!(r"C:\APPS~1\a.exe"), json!("$(EXE)"), json!(""), json!(r"%CONTAINER_SANDBOX_MOUNT_POINT%\a.exe"),
            json!(r"C:\native-host\bin\native-host-launcher.exe")]),
    ]
    .boxed()
}

fn argument() -> BoxedStrategy<Value> {
    prop_oneof![
        3 => "[a-z0-9=./:-]{1,12}".prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        2 => one_of(&[json!("$(A)"), json!("$$(A)"), json!("100%"), json!("%PATH%"), json!("& calc.exe"), json!("\"|calc.exe"), json!("größe"),
            json!(""), json!("a b"), json!(r"C:\dir with space\"), json!("$(NATIVE_HOST_POD_UID)"), json!("$(UNKNOWN)"), json!("--")]),
    ]
    .boxed()
}

fn command() -> BoxedStrategy<Value> {
    (program(), vec(argument(), 0..3))
        .prop_map(|(program, mut rest)| {
            rest.insert(0, program);
            Value::Array(rest)
        })
        .boxed()
}

fn launcher_command() -> BoxedStrategy<Value> {
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

fn exec() -> BoxedStrategy<Value> {
    let command = prop_oneof![4 => command(), 1 => launcher_command()].boxed();
    with(object(vec![]), vec![("command", command)])
}

fn port_ref() -> BoxedStrategy<Value> {
    prop_oneof![6 => one_of(&[json!(8080), json!(8081), json!("http")]), 1 => one_of(&[json!("health"), json!(0)])].boxed()
}

fn number() -> BoxedStrategy<Value> {
    prop_oneof![12 => (0..100i64).prop_map(Value::from), 1 => one_of(&[json!(null), json!(-1), json!(i64::MAX)])].boxed()
}

fn probe() -> BoxedStrategy<Value> {
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

fn hook() -> BoxedStrategy<Value> {
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

fn env() -> BoxedStrategy<Value> {
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

fn windows_options() -> BoxedStrategy<Value> {
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

fn security() -> BoxedStrategy<Value> {
    let linux = prop_oneof![20 => Just(json!(null)), 1 => Just(json!(0))].boxed();
    object(vec![
        ("windowsOptions", windows_options()),
        ("runAsUser", linux),
        ("runAsNonRoot", one_of(&[json!(false), json!(null)])),
    ])
}

fn container(name: &'static str) -> BoxedStrategy<Value> {
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
fn init_container() -> BoxedStrategy<Value> {
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

fn affinity() -> BoxedStrategy<Value> {
    let expression = json!({ "key": "zone", "operator": "In", "values": ["a"] });
    let term = object(vec![
        ("matchExpressions", list(Just(expression).boxed(), 2)),
        (
            "matchFields",
            Just(json!([{ "key": "metadata.name", "operator": "In", "values": ["n"] }])).boxed(),
        ),
    ]);
    let terms = vec(term, 1..3).prop_map(|terms| json!({ "nodeSelectorTerms": terms }));
    let node = object(vec![
        (
            "requiredDuringSchedulingIgnoredDuringExecution",
            prop_oneof![4 => terms, 1 => Just(json!(null))].boxed(),
        ),
        (
            "preferredDuringSchedulingIgnoredDuringExecution",
            Just(json!([])).boxed(),
        ),
    ]);
    object(vec![
        (
            "nodeAffinity",
            prop_oneof![6 => node, 1 => Just(json!(null))].boxed(),
        ),
        ("podAntiAffinity", Just(json!({})).boxed()),
    ])
}

fn spec() -> BoxedStrategy<Value> {
    let tolerations = list(
        one_of(&[
            json!({ "key": "os", "operator": "Equal", "value": "windows", "effect": "NoSchedule" }),
            json!({ "operator": "Exists", UNKNOWN: 1 }),
        ]),
        2,
    );
    let fields = object(vec![
        ("initContainers", list(init_container(), 1)),
        (
            "volumes",
            list(
                one_of(&[
                    json!({ "name": "data", "emptyDir": {}, UNKNOWN: [] }),
                    json!({ "name": "other", "hostPath": { "path": r"C:\x" } }),
                ]),
                2,
            ),
        ),
        (
            "nodeSelector",
            one_of(&[
                json!({ "disk": "ssd" }),
                json!({}),
                json!({ "kubernetes.io/os": "windows", "pool": "windows" }),
                json!(null),
            ]),
        ),
        (
            "tolerations",
            prop_oneof![5 => tolerations, 1 => Just(json!(null))].boxed(),
        ),
        ("affinity", affinity()),
        (
            "hostNetwork",
            one_of(&[json!(true), json!(false), json!(null)]),
        ),
        ("os", one_of(&[json!({ "name": "windows" }), json!(null)])),
        ("securityContext", security()),
        (
            "terminationGracePeriodSeconds",
            prop_oneof![
                8 => (0..90i64).prop_map(Value::from),
                1 => one_of(&[json!(null), json!(-7), json!(i64::MAX), json!(i64::MIN)]),
            ]
            .boxed(),
        ),
        (
            "readinessGates",
            list(
                Just(json!({ "conditionType": "example.com/ok", UNKNOWN: 0 })).boxed(),
                1,
            ),
        ),
        ("restartPolicy", Just(json!("Always")).boxed()),
        ("serviceAccountName", Just(json!("albums")).boxed()),
        ("schedulerName", Just(json!("mine")).boxed()),
        ("priorityClassName", Just(json!("high")).boxed()),
        ("hostname", Just(json!("albums-0")).boxed()),
        ("dnsPolicy", Just(json!("ClusterFirst")).boxed()),
        ("imagePullSecrets", Just(json!([{ "name": "r" }])).boxed()),
        (
            "topologySpreadConstraints",
            Just(json!([{ "maxSkew": 1 }])).boxed(),
        ),
    ]);
    let one = container("albums").prop_map(|one| vec![one]);
    let two = (container("albums"), container("licence")).prop_map(|(a, b)| vec![a, b]);
    let containers = prop_oneof![3 => one, 1 => two].prop_map(Value::Array);
    with(fields, vec![("containers", containers.boxed())])
}

/// Some annotations: each pair with the chance of its weight.
fn annotations(
    pairs: &'static [(&'static str, &'static [&'static str])],
    chance: f64,
) -> impl Strategy<Value = Map<String, Value>> {
    let values: Vec<_> = pairs
        .iter()
        .map(|(_, values)| option::weighted(chance, select(values.to_vec())))
        .collect();
    values.prop_map(move |values| {
        let chosen = pairs.iter().zip(values);
        chosen
            .filter_map(|((key, _), value)| Some(((*key).to_owned(), Value::from(value?))))
            .collect()
    })
}

const OF_THE_POD: &[(&str, &[&str])] = &[
    (
        "native-host.io/launcher",
        &["native-host", "cplauncher", "native-host-cplauncher"],
    ),
    ("native-host.io/drain-seconds", &["0", "5", "30"]),
    ("native-host.io/ip-env", &["BIND_ADDRESS", "POD_IP,OTHER"]),
    ("native-host.io/probes", &["none", "auto"]),
    ("native-host.io/health-path", &["/", "/status/"]),
    ("native-host.io/containers", &["albums"]),
    ("native-host.io/anchor-labels", &["app", "team,missing"]),
    ("native-host.io/mesh", &["linkerd", "none"]),
    ("linkerd.io/inject", &["enabled", "disabled", "ingress"]),
    ("config.linkerd.io/proxy-log-level", &["warn"]),
    (
        "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes",
        &["", "data", "native-host-launcher"],
    ),
    ("native-host.io/anchor-status", &["{}"]),
    ("example.com/other", &["x"]),
];

const OF_THE_NAMESPACE: &[(&str, &[&str])] = &[
    ("native-host.io/mode", &["enforce", "warn", "off"]),
    (
        "native-host.io/launcher",
        &["native-host", "cplauncher", "native-host-cplauncher"],
    ),
    (
        "native-host.io/launcher-path",
        &[r"C:\k\native-host-launcher.exe"],
    ),
    ("native-host.io/allowed-executables", &[r"C:\apps\*"]),
    (
        "native-host.io/allowed-users",
        &[r"NT AUTHORITY\SYSTEM,NT AUTHORITY\LocalService"],
    ),
    ("native-host.io/run-as", &[r"NT AUTHORITY\LocalService"]),
    ("native-host.io/node-selector", &["pool=windows"]),
    (
        "native-host.io/tolerations",
        &[r#"[{"key":"os","operator":"Equal","value":"windows","effect":"NoSchedule"}]"#],
    ),
    ("native-host.io/health-port", &["8081", "http"]),
    ("native-host.io/drain-seconds", &["0", "9"]),
    ("native-host.io/cplauncher-dll", &["none", r"C:\k\hook.dll"]),
    ("linkerd.io/inject", &["enabled"]),
];

/// A pod in a namespace.
pub fn case() -> impl Strategy<Value = Case> {
    let metadata = (
        option::weighted(0.7, annotations(OF_THE_POD, 0.12)),
        any::<bool>(),
    );
    (spec(), metadata, annotations(OF_THE_NAMESPACE, 0.12)).prop_map(|(spec, (annotations, labels), of_namespace)| {
        let mut metadata = json!({ "name": "albums-0", "labels": { "native-host.io/workload": "albums" }, UNKNOWN: 1 });
        if labels {
            metadata["labels"]["app"] = json!("albums");
        }
        if let Some(annotations) = annotations {
            metadata["annotations"] = Value::Object(annotations);
        }
        Case {
            pod: json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }),
            annotations: of_namespace,
        }
    })
}

/// A pod as the API server stores it, as far as it fills in what admission wrote
/// (`pkg/apis/core/v1/defaults.go`).
pub fn defaulted(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let fill = |value: &mut Value, fields: &[(&str, Value)]| {
        if let Value::Object(map) = value {
            for (name, default) in fields {
                if map.get(*name).is_none_or(Value::is_null) {
                    map.insert((*name).to_owned(), default.clone());
                }
            }
        }
    };
    let probe_defaults = [
        ("timeoutSeconds", json!(1)),
        ("periodSeconds", json!(10)),
        ("successThreshold", json!(1)),
        ("failureThreshold", json!(3)),
    ];
    for array in ["initContainers", "containers"] {
        for container in pod["spec"][array].as_array_mut().into_iter().flatten() {
            fill(
                container,
                &[
                    ("imagePullPolicy", json!("IfNotPresent")),
                    ("resources", json!({})),
                    ("terminationMessagePath", json!("/dev/termination-log")),
                    ("terminationMessagePolicy", json!("File")),
                ],
            );
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                if container.get(probe).is_some() {
                    fill(&mut container[probe], &probe_defaults);
                }
            }
            for var in container["env"].as_array_mut().into_iter().flatten() {
                if let Some(field) = var.pointer_mut("/valueFrom/fieldRef") {
                    fill(field, &[("apiVersion", json!("v1"))]);
                }
            }
        }
    }
    for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        if let Some(source) = volume.get_mut("downwardAPI") {
            fill(source, &[("defaultMode", json!(420))]);
            for item in source["items"].as_array_mut().into_iter().flatten() {
                fill(&mut item["fieldRef"], &[("apiVersion", json!("v1"))]);
            }
        }
    }
    fill(
        &mut pod["spec"],
        &[
            ("dnsPolicy", json!("ClusterFirst")),
            ("restartPolicy", json!("Always")),
            ("schedulerName", json!("default-scheduler")),
            ("securityContext", json!({})),
            ("terminationGracePeriodSeconds", json!(30)),
        ],
    );
    pod
}
