//! `network: host`: no pair at all, by plain kubectl.

use native_host::names::{annotation, gate, policy};

use crate::PATIENCE;
use crate::support::wait_until;
use crate::world::{World, bare, is, name};

#[test]
fn a_node_agent_runs_on_the_hosts_network_without_an_anchor() {
    let Some(world) = World::shared() else { return };
    world.namespace("agents");
    let agent = r"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata:
      labels: {app: agent, '@/workload': agent}
      annotations: {'@/network': host}
    spec:
      nodeSelector: {kubernetes.io/os: windows}
      # What an anchored pod may not have: a local group of the node.
      securityContext: {windowsOptions: {runAsUserName: agents}}
      containers:
      - {name: agent, image: registry.example/agent, ports: [{containerPort: 9182}]}
";
    world.apply("agents", agent);
    // A pair beside it: once that stands, the controller has seen both.
    world.apply("agents", &bare("albums"));
    let (pods, anchors) = wait_until("an agent on each node, and a pair", PATIENCE, || {
        let (pods, anchors) = world.pods("agents");
        let all = pods.len() == 4 && pods.iter().all(|pod| is(pod, "Ready"));
        (all && !anchors.is_empty()).then_some((pods, anchors))
    });
    assert_eq!(anchors.len(), 1, "the pair's own");
    let agents = pods
        .iter()
        .filter(|pod| pod["metadata"]["labels"]["app"] == "agent");
    for pod in agents {
        let annotations = &pod["metadata"]["annotations"];
        assert_eq!(annotations[policy::NETWORK], "host");
        assert!(annotations[annotation::INJECTED].is_string());
        assert!(annotations[annotation::ANCHOR_SPEC].is_null());
        let spec = &pod["spec"];
        assert_eq!(spec["hostNetwork"], true);
        assert!(spec["readinessGates"].is_null());
        assert!(spec["initContainers"].is_null());
        let container = &spec["containers"][0];
        assert!(container["command"].is_null());
        let options = &container["securityContext"]["windowsOptions"];
        assert_eq!(options["hostProcess"], true);
        // On the host's network the API server makes host ports of them.
        assert_eq!(container["ports"][0]["hostPort"], 9182);
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        assert!(conditions.iter().all(|c| c["type"] != gate::ANCHOR_READY));
        let events = world.events("agents", name(pod));
        assert!(
            events.iter().all(|(reason, _)| reason == "Scheduled"),
            "{events:?}"
        );
    }
}
