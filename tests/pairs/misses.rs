//! What selects a workload's labels and so misses its anchors gets an Event, once, and stays as it is.

use std::time::Duration;

use native_host::anchor::misses::Kind;
use serde_json::{Value, json};

use crate::support::wait_until;
use crate::world::{World, condition, deployment, name};
use crate::{ControlPlane, PATIENCE};

const REASON: &str = "MissesAnchors";

/// Longer than a few looks of the program take (`--misses-interval=1s`).
const A_FEW_LOOKS: Duration = Duration::from_secs(10);

/// The two kinds that Kubernetes does not bring, as far as a selector goes.
fn define(plane: &ControlPlane) {
    let kinds = [
        // Two versions, as Linkerd has it: the group's preferred one is not the first by name.
        (
            "policy.linkerd.io",
            "servers",
            "Server",
            &["v1beta1", "v1beta3"][..],
        ),
        (
            "monitoring.coreos.com",
            "podmonitors",
            "PodMonitor",
            &["v1"][..],
        ),
    ];
    for (group, plural, kind, versions) in kinds {
        let versions: Vec<_> = versions.iter().map(|version| json!({
            "name": version, "served": true, "storage": Some(version) == versions.last(),
            "schema": {"openAPIV3Schema": {"type": "object", "properties":
                {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
        })).collect();
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "versions": versions,
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind}},
        });
        plane.apply(&definition.to_string());
        let crd = format!("crd/{plural}.{group}");
        plane.kubectl_ok(&["wait", "--for=condition=Established", "--timeout=60s", &crd]);
    }
    // In a group of Linkerd's that has a version without Servers, which goes first.
    let other = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "networkauthentications.policy.linkerd.io"},
        "spec": {"group": "policy.linkerd.io", "scope": "Namespaced",
            "names": {"plural": "networkauthentications", "singular": "networkauthentication",
                "kind": "NetworkAuthentication"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}]},
    });
    plane.apply(&other.to_string());
}

/// Objects of every kind that do what they would do for any other program.
const WRONG: &str = r"
apiVersion: v1
kind: Service
metadata: {name: wrong-service}
spec: {selector: {app: albums}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: wrong-policy}
spec:
  podSelector: {matchLabels: {app: albums}}
  policyTypes: [Ingress]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: wrong-budget}
spec: {selector: {}, maxUnavailable: 1}
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: wrong-server}
spec: {port: http, podSelector: {matchLabels: {app: albums}}}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: wrong-monitor}
spec: {selector: {matchLabels: {app: albums}}, podMetricsEndpoints: [{port: http}]}
";

/// The same, made for a workload with anchors.
const RIGHT: &str = r"
apiVersion: v1
kind: Service
metadata: {name: right-service}
spec: {selector: {'@/anchor': albums}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: right-policy}
spec:
  podSelector: {matchLabels: {'@/anchor': albums}}
  policyTypes: [Ingress]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: right-budget}
spec: {selector: {matchLabels: {app: albums}}, maxUnavailable: 1}
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: right-server}
spec: {port: http, podSelector: {matchLabels: {'@/anchor': albums}}}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: right-monitor}
spec: {selector: {matchLabels: {'@/anchor': albums}}, podMetricsEndpoints: [{port: http}]}
";

/// What the Events say, among other things.
const SAID: [(&str, &str); 5] = [
    ("wrong-service", "`selector: {@/anchor: albums}`"),
    (
        "wrong-policy",
        "`podSelector: {matchLabels: {@/anchor: albums}}`",
    ),
    ("wrong-budget", "DisruptionAllowed False, SyncFailed"),
    ("wrong-server", "proxy is in the anchor"),
    ("wrong-monitor", "nothing of it is scraped"),
];

const KINDS: &str =
    "services,networkpolicies,poddisruptionbudgets,servers.policy.linkerd.io,podmonitors";

/// The objects, by name: what an author can see of them.
fn objects(world: &World, namespace: &str) -> Vec<(String, Value)> {
    let all = world.plane.get(&[KINDS, "-n", namespace]);
    let all = all["items"].as_array().unwrap().iter();
    let mut all: Vec<_> = all
        .map(|object| {
            let metadata = &object["metadata"];
            let seen = json!([
                metadata["labels"],
                metadata["annotations"],
                object["spec"],
                metadata["generation"],
                metadata["uid"]
            ]);
            (name(object).to_owned(), seen)
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// How often it was said of an object: each Event that is repeated counts up.
fn times(world: &World, namespace: &str, name: &str) -> u64 {
    let field = format!("--field-selector=regarding.name={name},reason={REASON}");
    let list = world.kubectl(
        namespace,
        &["get", "events.v1.events.k8s.io", &field, "-o", "json"],
    );
    let list: Value = serde_json::from_str(&list).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|event| event["series"]["count"].as_u64().unwrap_or(1))
        .sum()
}

#[test]
fn each_is_told_once_and_none_is_rewritten() {
    let Some(world) = World::shared() else { return };
    define(world.plane);
    for (namespace, manifest) in [("misses", WRONG), ("meets", RIGHT)] {
        world.namespace(namespace);
        world.apply(namespace, manifest);
    }
    let before = [objects(world, "misses"), objects(world, "meets")];
    assert_eq!(before.each_ref().map(Vec::len), [5, 5]);
    for namespace in ["misses", "meets"] {
        world.apply(namespace, &deployment("albums", 2));
    }
    for (object, text) in SAID {
        let said = world.event("misses", object, REASON);
        let text = text.replace("@/", native_host::names::PREFIX);
        assert!(said.contains(&text), "{said}");
    }
    what_is_said_is_so(world);

    std::thread::sleep(A_FEW_LOOKS);
    for (object, _) in SAID {
        assert_eq!(times(world, "misses", object), 1, "{object}");
        let right = object.replace("wrong", "right");
        assert_eq!(times(world, "meets", &right), 0, "{right}");
    }
    let after = [objects(world, "misses"), objects(world, "meets")];
    assert_eq!(after, before, "the author's objects");
    for kind in Kind::ALL {
        let gauge = format!("native_host_misses{{kind=\"{kind}\"}}");
        assert!(world.program.metric(&gauge) >= 1.0, "{kind}");
    }

    // What the author changes is judged anew.
    let whole = r#"{"spec": {"maxUnavailable": null, "minAvailable": 1}}"#;
    world.kubectl("misses", &["patch", "pdb/wrong-budget", "-p", whole]);
    wait_until("the changed budget is told of", PATIENCE, || {
        let mut events = world.events("misses", "wrong-budget").into_iter();
        events.find(|(_, said)| said.contains("counts twice towards minAvailable: 1"))
    });
    // And what is put right counts no more.
    for part in WRONG
        .split("---")
        .filter(|part| part.contains("app: albums"))
    {
        world.apply("misses", &part.replace("app: albums", "'@/anchor': albums"));
    }
    wait_until("nothing of Linkerd's misses the anchors", PATIENCE, || {
        let servers = "native_host_misses{kind=\"Server\"}";
        (world.program.metric(servers) == 0.0).then_some(())
    });
}

/// The Services' endpoints and the budgets' status are what the Events say.
fn what_is_said_is_so(world: &World) {
    let (pods, _) = world.pairs("misses", 2);
    assert_eq!(
        ready(world, "misses", "wrong-service"),
        field(&pods, "hostIP")
    );
    let (_, anchors) = world.pairs("meets", 2);
    assert_eq!(
        ready(world, "meets", "right-service"),
        field(&anchors, "podIP")
    );
    wait_until("the wrong budget cannot be computed", PATIENCE, || {
        let budget = world
            .eyes
            .see("misses", "poddisruptionbudgets/wrong-budget")?;
        let allowed = condition(&budget, "DisruptionAllowed");
        (allowed["status"] == "False" && allowed["reason"] == "SyncFailed").then_some(())
    });
    wait_until("the right budget can", PATIENCE, || {
        let budget = world
            .eyes
            .see("meets", "poddisruptionbudgets/right-budget")?;
        (budget["status"]["disruptionsAllowed"] == 1).then_some(())
    });
}

/// The addresses of a Service's ready endpoints.
fn ready(world: &World, namespace: &str, service: &str) -> Vec<String> {
    let label = format!("kubernetes.io/service-name={service}");
    wait_until(&format!("two endpoints of {service}"), PATIENCE, || {
        let slices = world
            .plane
            .get(&["endpointslices", "-n", namespace, "-l", &label]);
        let slices = slices["items"].as_array()?.iter();
        let endpoints =
            slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
        let mut ready: Vec<_> = ready
            .map(|e| e["addresses"][0].as_str().unwrap().to_owned())
            .collect();
        ready.sort();
        (ready.len() == 2).then_some(ready)
    })
}

fn field(pods: &[Value], field: &str) -> Vec<String> {
    let all = pods
        .iter()
        .map(|pod| pod["status"][field].as_str().unwrap().to_owned());
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}
