#![allow(clippy::unwrap_used)]

use super::*;
use crate::anchor::rules::Rules;
use crate::cli::explain::finding::Severity;
use crate::cli::status::fixtures::{anchor, at, hp, yaml};
use crate::cli::status::seen::{AnchorSeen, HpSeen};
use crate::policy::Policy;

const DEPLOYMENT: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: albums, namespace: shop, labels: {'@/workload': albums}}
spec:
  template:
    metadata: {labels: {LABELS}}
    spec:
      containers: [{name: albums, image: base, command: ['PROGRAM'], ports: [{containerPort: 8080}]}]
";

fn facts(labels: &str, program: &str) -> Facts {
    let text = DEPLOYMENT
        .replace("LABELS", labels)
        .replace("PROGRAM", program);
    Facts {
        kind: Kind::Deployment,
        object: yaml(&text),
        namespace: Ok(Namespace {
            policy: Ok(Policy::builtin()),
            pod_security: None,
        }),
        events: Ok(Vec::new()),
        pairs: Ok(Vec::new()),
    }
}

fn texts(facts: &Facts, severity: Severity) -> Vec<String> {
    let all = explain(facts, at("10:05:00")).findings.into_iter();
    all.filter(|f| f.severity == severity)
        .map(|f| f.text)
        .collect()
}

#[test]
fn a_label_on_the_deployment_itself_says_nothing_of_its_pods() {
    let facts = facts("app: albums", r"C:\apps\albums.exe");
    let errors = texts(&facts, Severity::Error);
    assert!(
        errors[0].starts_with("Its pod template does not carry the label"),
        "{errors:?}"
    );
    assert!(
        errors[0].ends_with("says nothing about its pods."),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn what_its_pods_are_refused_for_stands_in_events() {
    let mut facts = facts("'@/workload': albums", "");
    let text = "{metadata: {}, involvedObject: {}, type: Warning, reason: FailedCreate, lastTimestamp: '2026-11-21T10:04:00Z', \
         message: 'Error creating: admission webhook denied the request'}";
    facts.events = Ok(vec![serde_json::from_value(yaml(text)).unwrap()]);
    facts.object["status"] =
        yaml("conditions: [{type: ReplicaFailure, status: 'True', message: too bad}]");
    let errors = texts(&facts, Severity::Error);
    assert!(
        errors[0].starts_with("As it is, each of its pods would be refused: spec.template."),
        "{errors:?}"
    );
    assert_eq!(
        errors[1],
        "A pod could not be created. Event of the object, 60s ago: FailedCreate: Error creating: admission webhook denied \
         the request"
    );
    assert!(
        texts(&facts, Severity::Info)
            .iter()
            .any(|text| text.ends_with("says: too bad"))
    );
}

#[test]
fn pods_that_are_not_as_they_should_be_are_listed() {
    let mut facts = facts("'@/workload': albums", r"C:\apps\albums.exe");
    let row = |hp_change: &str, with: bool| {
        let hp = HpSeen::of(&hp(hp_change)).unwrap();
        let anchor = AnchorSeen::of(&anchor("{}")).unwrap();
        Row::of(
            Some(&hp),
            with.then_some(&anchor),
            &Rules::default(),
            at("10:05:00"),
        )
        .unwrap()
        .0
    };
    facts.pairs = Ok(vec![
        row("{}", true),
        row("metadata: {name: albums-1}", false),
    ]);
    let infos = texts(&facts, Severity::Info);
    assert!(
        infos.contains(&"Of its 2 pairs 1 are as they should be".to_owned()),
        "{infos:?}"
    );
    let warnings = texts(&facts, Severity::Warning);
    assert!(
        warnings[0].starts_with("Pod albums-1 is Lost: its anchor "),
        "{warnings:?}"
    );
    assert_eq!(warnings.len(), 1);
    assert_eq!(texts(&facts, Severity::Error), Vec::<String>::new());
    assert!(
        texts(&facts, Severity::Ok)
            .iter()
            .any(|t| t.ends_with("each of its pods would be injected"))
    );
}

#[test]
fn what_could_not_be_read_is_said() {
    let mut facts = facts("'@/workload': albums", r"C:\apps\albums.exe");
    facts.events = Err("no rights".into());
    facts.pairs = Err("no rights".into());
    facts.namespace = Err("no rights".into());
    let warnings = texts(&facts, Severity::Warning);
    assert_eq!(
        warnings
            .iter()
            .filter(|text| text.ends_with(": no rights"))
            .count(),
        3,
        "{warnings:?}"
    );
}
