#![allow(clippy::unwrap_used)]

use super::*;
use crate::anchor::view::{Identity, Phase};
use std::net::IpAddr;

const BOUND: &str = "2026-11-21T10:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// So many seconds after the HP pod was bound.
fn after(seconds: i64) -> Timestamp {
    Timestamp::from_second(at(BOUND).as_second() + seconds).unwrap()
}

fn id(name: &str, uid: &str) -> Identity {
    Identity {
        namespace: "shop".into(),
        name: name.into(),
        uid: uid.into(),
        version: "7".into(),
    }
}

/// A bound, marked pod of a controller, of which no container runs.
fn hp() -> Hp {
    Hp {
        id: id("albums-0", "u1"),
        node: Some("win-1".into()),
        workload: Some("albums".into()),
        marked: true,
        on_host: false,
        controller: Some("rs1".into()),
        terminating: None,
        phase: Phase::Pending,
        bound: at(BOUND),
        containers_ready: None,
        gate: None,
        published: Published::Nothing,
        disrupted: false,
    }
}

fn bare() -> Hp {
    Hp {
        controller: None,
        ..hp()
    }
}

/// Its anchor, just created.
fn anchor() -> Anchor {
    Anchor {
        id: id(&crate::anchor::name("albums-0", "u1"), "a1"),
        owner: "albums-0".into(),
        owner_uid: "u1".into(),
        terminating: None,
        phase: Phase::Pending,
        ip: None,
        started: None,
        ready: None,
        gate: None,
        trouble: None,
        down_since: None,
    }
}

fn running() -> Anchor {
    Anchor {
        phase: Phase::Running,
        ip: Some(IpAddr::from([10, 244, 1, 7])),
        started: Some(after(3)),
        ready: Some(Condition::new(
            false,
            "ContainersNotReady",
            "containers with unready status: [albums]",
        )),
        ..anchor()
    }
}

fn told(hp: Hp) -> Hp {
    Hp {
        published: Published::Status(running().status().unwrap()),
        ..hp
    }
}

fn up() -> Condition {
    Condition::new(true, "", "")
}

/// An HP pod and an anchor of a pair that serves.
fn serving() -> (Hp, Anchor) {
    let hp = Hp {
        phase: Phase::Running,
        containers_ready: Some(up()),
        gate: Some(Condition::new(true, "AnchorReady", "")),
        ..told(hp())
    };
    let anchor = Anchor {
        ready: Some(up()),
        gate: Some(up()),
        ..running()
    };
    (hp, anchor)
}

fn assess_at(hp: Option<&Hp>, anchor: Option<&Anchor>, now: Timestamp) -> Assessment {
    let pair = Pair {
        hp,
        anchor,
        refused: None,
    };
    pair.assess(&Rules::default(), now)
}

fn assess(hp: &Hp, anchor: Option<&Anchor>) -> Assessment {
    assess_at(Some(hp), anchor, after(10))
}

/// The steps without what is only said.
fn steps(assessment: &Assessment) -> Vec<Step> {
    let silent = |step: &&Step| !matches!(step, Step::Say(_));
    assessment.steps.iter().filter(silent).cloned().collect()
}

fn said(assessment: &Assessment) -> Vec<Reason> {
    let note = |step: &Step| match step {
        Step::Say(note) => Some(note.reason),
        _ => None,
    };
    assessment.steps.iter().filter_map(note).collect()
}

fn certain(hp: Option<&Hp>, anchor: Option<&Anchor>) -> bool {
    let pair = Pair {
        hp,
        anchor,
        refused: None,
    };
    pair.assess(&Rules::default(), after(10))
        .wants_certainty(&pair)
}

#[test]
fn a_bound_pod_gets_an_anchor_and_no_write_that_nobody_reads() {
    let assessment = assess(&hp(), None);
    assert_eq!(assessment.state, State::Pending);
    assert_eq!(assessment.steps, [Step::Create]);
    assert_eq!(assessment.again.unwrap().as_secs(), 110);
    assert!(!certain(Some(&hp()), None));
}

#[test]
fn an_anchor_that_starts_as_it_should_needs_nothing() {
    let assessment = assess(&hp(), Some(&anchor()));
    assert_eq!(assessment.state, State::Starting);
    assert!(assessment.steps.is_empty(), "{:?}", assessment.steps);
}

#[test]
fn an_anchor_is_published_once_all_of_it_runs_and_has_an_ip() {
    let without_ip = Anchor {
        ip: None,
        ..running()
    };
    assert!(assess(&hp(), Some(&without_ip)).steps.is_empty());
    let assessment = assess(&hp(), Some(&running()));
    let status = running().status().unwrap();
    assert!(assessment.steps.contains(&Step::Publish(status)));
    assert_eq!(said(&assessment), [Reason::Started]);
    assert_eq!(assessment.state, State::Running);
}

#[test]
fn readiness_is_mirrored_both_ways() {
    let hp = Hp {
        containers_ready: Some(up()),
        ..told(hp())
    };
    let assessment = assess(&hp, Some(&running()));
    let gate = Condition::new(
        false,
        "AnchorNotReady",
        &format!(
            "anchor {}: containers with unready status: [albums]",
            running().id.name
        ),
    );
    assert_eq!(
        steps(&assessment),
        [Step::AnchorGate(up()), Step::HpGate(gate)]
    );

    let ready = Anchor {
        ready: Some(up()),
        gate: Some(up()),
        ..running()
    };
    let assessment = assess(&hp, Some(&ready));
    assert_eq!(assessment.state, State::Ready);
    assert_eq!(
        steps(&assessment),
        [Step::HpGate(Condition::new(true, "AnchorReady", ""))]
    );

    // A program that crashes is out of the endpoints at once.
    let down = Condition::new(
        false,
        "ContainersNotReady",
        "containers with unready status: [albums]",
    );
    let (crashed, anchor) = serving();
    let crashed = Hp {
        containers_ready: Some(down.clone()),
        ..crashed
    };
    assert_eq!(
        steps(&assess(&crashed, Some(&anchor))),
        [Step::AnchorGate(down)]
    );
}

#[test]
fn a_pair_that_serves_needs_nothing() {
    let (hp, anchor) = serving();
    let assessment = assess(&hp, Some(&anchor));
    assert_eq!(
        (assessment.state, assessment.steps.len()),
        (State::Ready, 0)
    );
    assert_eq!((assessment.again, assessment.why.as_str()), (None, ""));
}

#[test]
fn trouble_stands_in_the_gate_and_past_the_deadline_in_an_event() {
    let full = Anchor {
        trouble: Some("Unschedulable: 0/1 nodes are available: 1 Too many pods.".into()),
        ..anchor()
    };
    let gate = Condition::new(false, "AnchorStarting", full.trouble.as_deref().unwrap());
    assert_eq!(
        assess(&hp(), Some(&full)).steps,
        [Step::HpGate(gate.clone())]
    );

    let late = assess_at(Some(&hp()), Some(&full), after(121));
    assert_eq!(
        (late.state, said(&late)),
        (State::Stuck, vec![Reason::NotStarting])
    );
    assert_eq!(late.again.unwrap().as_secs(), 479);
    let Step::Say(note) = &late.steps[0] else {
        unreachable!()
    };
    assert!(note.text.contains("Too many pods"), "{}", note.text);

    let past = assess_at(Some(&hp()), Some(&full), after(601));
    assert!(
        past.steps
            .iter()
            .any(|step| matches!(step, Step::Replace(_)))
    );
    let past = assess_at(Some(&bare()), Some(&full), after(601));
    assert!(
        !past
            .steps
            .iter()
            .any(|step| matches!(step, Step::Replace(_))),
        "nobody would make another"
    );
}

#[test]
fn a_refusal_stands_in_the_gate() {
    let hp = hp();
    let pair = Pair {
        hp: Some(&hp),
        anchor: None,
        refused: Some("exceeded quota: small"),
    };
    let assessment = pair.assess(&Rules::default(), after(10));
    let gate = Condition::new(false, "AnchorRefused", "exceeded quota: small");
    assert_eq!(assessment.steps, [Step::Create, Step::HpGate(gate)]);
    assert_eq!(assessment.why, "exceeded quota: small");
}

#[test]
fn one_that_ran_and_went_down_is_late_only_from_then_on() {
    let (hp, anchor) = serving();
    let down = Anchor {
        started: None,
        ready: Some(Condition::new(false, "", "")),
        down_since: Some(after(5000)),
        ..anchor
    };
    let early = assess_at(Some(&hp), Some(&down), after(5060));
    assert_eq!(
        (early.state, early.again.unwrap().as_secs()),
        (State::Starting, 60)
    );
    let late = assess_at(Some(&hp), Some(&down), after(5121));
    assert_eq!(late.state, State::Stuck);
}

#[test]
fn a_pod_that_admission_did_not_make_is_left_alone() {
    let stray = Hp {
        marked: false,
        ..hp()
    };
    for anchor in [None, Some(running())] {
        let assessment = assess(&stray, anchor.as_ref());
        assert_eq!(assessment.state, State::NotInjected);
        assert!(steps(&assessment).is_empty());
        assert_eq!(said(&assessment), [Reason::NotInjected]);
    }
}

#[test]
fn a_pod_that_lost_its_label_is_kept_and_read_now_and_then() {
    let (hp, anchor) = serving();
    let unlabelled = Hp {
        workload: None,
        ..hp
    };
    let assessment = assess(&unlabelled, Some(&anchor));
    assert_eq!(assessment.state, State::Ready);
    assert!(steps(&assessment).is_empty());
    assert_eq!(said(&assessment), [Reason::LabelRemoved]);
    assert_eq!(assessment.again, Some(UNSEEN));
}

#[test]
fn nothing_happens_before_the_scheduler_has_decided() {
    let unbound = Hp { node: None, ..hp() };
    let assessment = assess(&unbound, None);
    assert_eq!(
        (assessment.state, assessment.steps.len()),
        (State::Unscheduled, 0)
    );
}

#[path = "pair_endings_tests.rs"]
mod endings;
#[path = "pair_fixpoint_tests.rs"]
mod fixpoint;

#[test]
fn a_pod_on_the_hosts_network_is_no_pair() {
    let hp = Hp {
        on_host: true,
        ..hp()
    };
    let pair = |anchor| Pair {
        hp: Some(&hp),
        anchor,
        refused: None,
    };
    let alone = pair(None).assess(&Rules::default(), at(BOUND));
    assert_eq!((alone.state, alone.steps), (State::OnHost, vec![]));
    assert_eq!(alone.again, None);
    // One that somebody gave it is not left behind.
    let anchor = anchor();
    let with = pair(Some(&anchor)).assess(&Rules::default(), at(BOUND));
    assert_eq!(with.state, State::OnHost);
    assert!(
        matches!(with.steps[..], [Step::Delete(_)]),
        "{:?}",
        with.steps
    );
}

#[test]
fn only_without_an_anchor_spec_is_a_pod_on_the_hosts_network() {
    let pod = |annotations: serde_json::Value| -> k8s_openapi::api::core::v1::Pod {
        serde_json::from_value(serde_json::json!({"metadata": {
            "namespace": "shop", "name": "a", "uid": "u", "resourceVersion": "1", "annotations": annotations,
        }}))
        .unwrap()
    };
    let network = crate::names::policy::NETWORK;
    let spec = crate::names::annotation::ANCHOR_SPEC;
    for (annotations, expected) in [
        (serde_json::json!({network: "host"}), true),
        (serde_json::json!({network: "host", spec: "{}"}), false),
        (serde_json::json!({network: "anchor"}), false),
        (serde_json::json!({}), false),
    ] {
        let text = annotations.to_string();
        assert_eq!(
            Hp::of(&pod(annotations)).unwrap().on_host,
            expected,
            "{text}"
        );
    }
}
