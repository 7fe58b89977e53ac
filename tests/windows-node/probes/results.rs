//! What the results of probes make of a container (`UpdatePodStatus` and `isContainerStarted`,
//! `prober_manager.go`; `computePodActions`, `kuberuntime_manager.go`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;

use super::{Kind, News, Outcome, Update};

/// What is known of the runs of containers.
#[derive(Debug, Default)]
pub struct Results(BTreeMap<(String, Kind), Outcome>);

impl Results {
    /// Takes an update in. Gives whether it changes anything: then the pod is to be synced.
    pub fn take(&mut self, update: &Update) -> bool {
        let News::Outcome(outcome) = update.news else {
            return false;
        };
        let key = (update.id.clone(), update.kind);
        self.0.insert(key, outcome) != Some(outcome)
    }

    /// Forgets a run.
    pub fn forget(&mut self, id: &str) {
        self.0.retain(|(of, _), _| of != id);
    }

    fn get(&self, id: &str, kind: Kind) -> Option<Outcome> {
        self.0.get(&(id.to_owned(), kind)).copied()
    }

    /// Whether a container that runs has started.
    pub fn started(&self, container: &Container, id: &str) -> bool {
        let probed = container.startup_probe.is_some();
        !probed || self.get(id, Kind::Startup) == Some(Outcome::Success)
    }

    /// Whether a container that runs is ready.
    pub fn ready(&self, container: &Container, id: &str) -> bool {
        let probed = container.readiness_probe.is_some();
        let passed = !probed || self.get(id, Kind::Readiness) == Some(Outcome::Success);
        passed && self.started(container, id)
    }

    /// Whether a container that runs is to be killed, and what the Event `Killing` says of it, which goes
    /// on with `, will be restarted` where it will be.
    pub fn to_be_killed(&self, container: &Container, id: &str) -> Option<String> {
        let name = &container.name;
        let failed = |kind| self.get(id, kind) == Some(Outcome::Failure);
        if failed(Kind::Liveness) {
            return Some(format!("Container {name} failed liveness probe"));
        }
        failed(Kind::Startup).then(|| format!("Container {name} failed startup probe"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn update(kind: Kind, outcome: Outcome) -> Update {
        Update {
            pod: "u-1".into(),
            container: "albums".into(),
            id: "a".into(),
            kind,
            news: News::Outcome(outcome),
        }
    }

    fn container(probes: &[&str]) -> Container {
        let mut container = json!({"name": "albums"});
        for probe in probes {
            container[*probe] = json!({});
        }
        serde_json::from_value(container).unwrap()
    }

    #[test]
    fn without_probes_what_runs_is_ready() {
        let results = Results::default();
        assert!(results.ready(&container(&[]), "a"));
        assert!(!results.ready(&container(&["readinessProbe"]), "a"));
        assert!(!results.started(&container(&["startupProbe"]), "a"));
        assert_eq!(
            results.to_be_killed(&container(&["livenessProbe"]), "a"),
            None
        );
    }

    #[test]
    fn what_has_not_started_is_not_ready() {
        let container = container(&["startupProbe", "readinessProbe"]);
        let mut results = Results::default();
        assert!(results.take(&update(Kind::Startup, Outcome::Unknown)));
        assert!(results.take(&update(Kind::Readiness, Outcome::Success)));
        assert!(!results.take(&update(Kind::Readiness, Outcome::Success)));
        assert!(!results.ready(&container, "a"));
        results.take(&update(Kind::Startup, Outcome::Success));
        assert!(results.ready(&container, "a"));
        assert!(!results.ready(&container, "b"));
        results.forget("a");
        assert!(!results.started(&container, "a"));
    }

    #[test]
    fn what_fails_startup_or_liveness_is_killed() {
        for (kind, expected) in [
            (
                Kind::Liveness,
                Some("Container albums failed liveness probe"),
            ),
            (Kind::Startup, Some("Container albums failed startup probe")),
            (Kind::Readiness, None),
        ] {
            let mut results = Results::default();
            results.take(&update(kind, Outcome::Failure));
            let message = results.to_be_killed(&container(&[]), "a");
            assert_eq!(message.as_deref(), expected);
        }
    }
}
