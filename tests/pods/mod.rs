//! Pods and policies of every kind: random subsets of all fields that some rule names, with
//! unknown fields at every level.

mod container;
mod defaults;
mod value;

pub use defaults::defaulted;

use container::{container, init_container, security};
use native_host::policy::Namespace;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use value::{list, object, one_of, with};

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
