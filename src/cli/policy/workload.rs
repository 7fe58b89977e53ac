//! What is to be guarded: a workload's ports, and who probes them.
//!
//! It is read off the anchors that admission would make of the workload's templates, and off the launcher's own
//! arguments: so defaults, named ports and the Namespace's policy count as they will.

use std::collections::BTreeMap;

use native_host_launcher::{Action, Command};
use serde_json::Value;

use crate::admission::offline;
use crate::names::{annotation, injected};
use crate::policy::Namespace;

/// How a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    /// `GET` of this path.
    Http(String),
    /// A gRPC health check.
    Grpc,
    /// HTTP within TLS, which no proxy looks into.
    Https,
    /// A connection: the proxy itself accepts it, whatever the policy is.
    Tcp,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Prober {
    /// The kubelet, or a program in the HostProcess container: from the node.
    Node,
    /// The launcher, from within the anchor's compartment.
    Launcher,
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Probe {
    pub(super) port: u16,
    pub(super) ask: Ask,
    pub(super) prober: Prober,
}

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Workload {
    /// TCP ports, and the names that they have.
    pub(super) ports: BTreeMap<u16, Option<String>>,
    pub(super) probes: Vec<Probe>,
    /// The ServiceAccounts whose identity the anchors have.
    pub(super) accounts: Vec<String>,
    /// What the person should know.
    pub(super) notes: Vec<String>,
}

/// What a workload's object stands in the way with.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkloadError {
    #[error("{0}: admission would refuse its pods: {1}")]
    Refused(String, String),
    #[error("{0}: its pods get no anchor, so that there is no proxy for a policy: {1}")]
    NoAnchor(String, &'static str),
}

impl Workload {
    /// Takes in one object, which says of itself that it is of the workload. `name` is what to call it.
    pub(super) fn add(
        &mut self,
        name: &str,
        object: &Value,
        namespace: &Namespace,
    ) -> Result<(), WorkloadError> {
        let refused = |text: String| WorkloadError::Refused(name.to_owned(), text);
        let outcome =
            offline::mutate(object, namespace).map_err(|error| refused(error.to_string()))?;
        if let Some(denial) = outcome.refusal {
            return Err(refused(denial.message));
        }
        let [anchor] = outcome.anchors.as_slice() else {
            let way_out = "the Namespace's policy leaves them alone";
            return Err(WorkloadError::NoAnchor(name.to_owned(), way_out));
        };
        self.anchor(name, anchor);
        let template = offline::template(&outcome.object).unwrap_or(&Value::Null);
        for container in all_containers(&template["spec"]) {
            self.launched(container);
        }
        self.probes.sort();
        self.probes.dedup();
        Ok(())
    }

    fn anchor(&mut self, name: &str, anchor: &Value) {
        for container in items(&anchor["spec"]["containers"]) {
            for port in items(&container["ports"]) {
                let number = number(&port["containerPort"]);
                if let Some(number) = number.filter(|_| is_tcp(port)) {
                    let known = self.ports.entry(number).or_default();
                    *known = known.take().or_else(|| text(&port["name"]));
                } else {
                    self.note(format!(
                        "{name}: port {}/{} is not TCP: Linkerd sees TCP only, and no policy of it holds \
                         there. A NetworkPolicy that selects the anchors may",
                        port["containerPort"],
                        port["protocol"].as_str().unwrap_or_default()
                    ));
                }
            }
            self.readiness(&container["readinessProbe"]);
        }
        let account = text(&anchor["spec"]["serviceAccountName"]);
        let account = account.unwrap_or_else(|| "default".to_owned());
        if !self.accounts.contains(&account) {
            self.accounts.push(account);
        }
        let annotations = &anchor["metadata"]["annotations"];
        if annotations[annotation::LINKERD_INJECT] != "enabled" {
            self.note(format!(
                "{name}: its anchors get no proxy, and nothing would hold this policy: annotate the pod \
                 template, or the Namespace, with {}: enabled",
                annotation::LINKERD_INJECT
            ));
        }
        let default = format!(
            "{}default-inbound-policy",
            annotation::LINKERD_CONFIG_PREFIX
        );
        if annotations[&default] != "deny" {
            self.note(format!(
                "{name}: a port that it does not declare is as open as Linkerd's default makes it: annotate \
                 the pod template with {default}: deny"
            ));
        }
    }

    fn readiness(&mut self, probe: &Value) {
        let http = &probe["httpGet"];
        let found = if let Some(port) = number(&http["port"]) {
            let ask = if http["scheme"] == "HTTPS" {
                Ask::Https
            } else {
                Ask::Http(path(http["path"].as_str().unwrap_or("/")))
            };
            Some((port, ask))
        } else if let Some(port) = number(&probe["grpc"]["port"]) {
            Some((port, Ask::Grpc))
        } else {
            number(&probe["tcpSocket"]["port"]).map(|port| (port, Ask::Tcp))
        };
        if let Some((port, ask)) = found {
            self.probe(port, ask, Prober::Node);
        }
    }

    /// The probes that admission moved: into the launcher, or into programs that it starts on the node.
    fn launched(&mut self, container: &Value) {
        let words = |value: &Value| -> Vec<String> { items(value).filter_map(text).collect() };
        let whole = [words(&container["command"]), words(&container["args"])].concat();
        if let Some(Command::Run(run)) = launcher(&whole) {
            for probe in [run.liveness, run.startup].into_iter().flatten() {
                self.action(probe.action, Prober::Launcher);
            }
        }
        for which in ["livenessProbe", "startupProbe"] {
            let exec = words(&container[which]["exec"]["command"]);
            if let Some(Command::Probe(probe)) = launcher(&exec) {
                self.action(probe.action, Prober::Node);
            }
        }
    }

    fn action(&mut self, action: Action, prober: Prober) {
        match action {
            Action::Http {
                port, https: true, ..
            } => self.probe(port, Ask::Https, prober),
            Action::Http { port, path: of, .. } => self.probe(port, Ask::Http(path(&of)), prober),
            Action::Tcp { port } => self.probe(port, Ask::Tcp, prober),
        }
    }

    /// A port that is probed is one of the workload, declared or not.
    fn probe(&mut self, port: u16, ask: Ask, prober: Prober) {
        self.ports.entry(port).or_default();
        self.probes.push(Probe { port, ask, prober });
    }

    fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }
}

/// The launcher's command, if that is what an argument vector runs.
fn launcher(argv: &[String]) -> Option<Command> {
    let (program, args) = argv.split_first()?;
    let file = program.rsplit(['\\', '/']).next()?;
    let is_it = file.eq_ignore_ascii_case(injected::LAUNCHER_EXE);
    Command::parse(args).ok().filter(|_| is_it)
}

/// What of a probe's path a proxy compares: its query is none of it.
fn path(text: &str) -> String {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

fn all_containers(spec: &Value) -> impl Iterator<Item = &Value> {
    items(&spec["initContainers"]).chain(items(&spec["containers"]))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok())
}

fn is_tcp(port: &Value) -> bool {
    port["protocol"]
        .as_str()
        .is_none_or(|protocol| protocol == "TCP")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use serde_json::json;

    fn read(spec: &Value, annotations: &Value) -> Result<Workload, WorkloadError> {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "w-0",
            "labels": {"native-host.io/workload": "w"}, "annotations": annotations}, "spec": spec});
        let namespace = Namespace {
            policy: Ok(Policy::builtin()),
            pod_security: None,
        };
        let mut workload = Workload::default();
        workload.add("Pod/w-0", &pod, &namespace)?;
        Ok(workload)
    }

    fn probe(port: u16, ask: Ask, prober: Prober) -> Probe {
        Probe { port, ask, prober }
    }

    fn get(path: &str) -> Ask {
        Ask::Http(path.to_owned())
    }

    #[test]
    fn ports_and_probes_are_what_admission_makes_of_them() {
        let spec = json!({"serviceAccountName": "w", "containers": [{"name": "w", "command": [r"C:\w.exe"],
            "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
            "readinessProbe": {"httpGet": {"port": "http", "path": "ready?x=1"}},
            "livenessProbe": {"httpGet": {"port": 81, "path": "/live"}},
            "startupProbe": {"tcpSocket": {"port": "http"}}}]});
        let meshed = json!({"linkerd.io/inject": "enabled", "config.linkerd.io/default-inbound-policy": "deny"});
        let workload = read(&spec, &meshed).unwrap();
        assert_eq!(
            workload.ports,
            [(80, Some("http".to_owned())), (81, None)].into()
        );
        assert_eq!(
            workload.probes,
            [
                probe(80, get("/ready"), Prober::Node),
                probe(80, Ask::Tcp, Prober::Launcher),
                probe(81, get("/live"), Prober::Launcher),
            ]
        );
        assert_eq!(workload.accounts, ["w"]);
        let [note] = workload.notes.as_slice() else {
            panic!("{:?}", workload.notes)
        };
        assert!(
            note.starts_with("Pod/w-0: port 53/UDP is not TCP"),
            "{note}"
        );
    }

    #[test]
    fn default_probes_count_and_what_keeps_a_policy_from_holding_is_said() {
        let spec = json!({"containers": [{"name": "w", "command": [r"C:\w.exe"],
            "ports": [{"name": "health", "containerPort": 81}]}]});
        let workload = read(&spec, &json!({})).unwrap();
        assert_eq!(
            workload.probes,
            [
                probe(81, get("/health/liveness"), Prober::Launcher),
                probe(81, get("/health/readiness"), Prober::Node),
                probe(81, get("/health/startup"), Prober::Launcher),
            ]
        );
        assert_eq!(workload.accounts, ["default"]);
        let notes = workload.notes.join("\n");
        assert!(notes.contains("its anchors get no proxy"), "{notes}");
        assert!(
            notes.contains("config.linkerd.io/default-inbound-policy: deny"),
            "{notes}"
        );
    }

    #[test]
    fn under_cplauncher_the_node_probes() {
        let spec = json!({"containers": [{"name": "w", "command": [r"C:\w.exe"],
            "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80, "path": "/live"}}}]});
        let launcher = json!({"native-host.io/launcher": "cplauncher"});
        let workload = read(&spec, &launcher).unwrap();
        assert_eq!(workload.probes, [probe(80, get("/live"), Prober::Node)]);
    }

    #[test]
    fn what_admission_refuses_is_an_error() {
        let error = read(&json!({"containers": [{"name": "w"}]}), &json!({})).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("Pod/w-0: admission would refuse its pods: spec.containers[0]"),
            "{error}"
        );
    }
}
