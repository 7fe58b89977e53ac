#![allow(clippy::unwrap_used)]

use super::*;
use crate::cli::status::fixtures::{anchor, at, hp};

const ALONE: &str = "{metadata: {annotations: {'@/anchor-status': null}}, status: {conditions: [{type: PodScheduled, \
     status: 'True', lastTransitionTime: '2026-11-21T10:00:05Z'}]}}";
const STARTING: &str = "status: {phase: Pending, podIP: null, containerStatuses: null, conditions: [{type: \
     ContainersReady, status: 'False', lastTransitionTime: '2026-11-21T10:00:06Z'}]}";

/// State, since when, why.
fn stands(hp: Option<&str>, anchor: Option<&str>, now: &str) -> (State, Option<Timestamp>, String) {
    let hp = hp.map(|change| HpSeen::of(&self::hp(change)).unwrap());
    let anchor = anchor.map(|change| AnchorSeen::of(&self::anchor(change)).unwrap());
    let (row, _) = Row::of(hp.as_ref(), anchor.as_ref(), &Rules::default(), at(now)).unwrap();
    (row.state, row.since, row.why)
}

#[test]
fn a_ready_pair_counts_from_its_readiness() {
    let (state, since, why) = stands(Some("{}"), Some("{}"), "10:05:00");
    assert_eq!(
        (state, since, why.as_str()),
        (State::Ready, Some(at("10:00:30")), "")
    );
}

#[test]
fn an_unbound_pod_says_what_the_scheduler_said() {
    let change = "{spec: {nodeName: null}, metadata: {annotations: {'@/anchor-status': null}}, status: {phase: Pending, \
         containerStatuses: null, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: \
         '0/3 nodes are available', lastTransitionTime: '2026-11-21T10:00:01Z'}]}}";
    let (state, since, why) = stands(Some(change), None, "10:05:00");
    assert_eq!(
        (state, since, why.as_str()),
        (
            State::Unscheduled,
            Some(at("10:00:01")),
            "0/3 nodes are available"
        )
    );
    // Before the scheduler has looked at it.
    let change = "{spec: {nodeName: null}, status: {phase: Pending, conditions: null, containerStatuses: null}}";
    let (state, since, why) = stands(Some(change), None, "10:05:00");
    assert_eq!(
        (state, since, why.as_str()),
        (
            State::Unscheduled,
            Some(at("10:00:00")),
            "the pod is not bound to a node"
        )
    );
}

#[test]
fn a_refused_anchor_is_read_from_the_gate() {
    let change = "{metadata: {annotations: {'@/anchor-status': null}}, status: {conditions: [{type: PodScheduled, \
         status: 'True', lastTransitionTime: '2026-11-21T10:00:05Z'}, {type: '@/anchor-ready', status: 'False', reason: \
         AnchorRefused, message: 'exceeded quota: small'}]}}";
    let (state, since, why) = stands(Some(change), None, "10:00:20");
    assert_eq!(
        (state, since, why.as_str()),
        (
            State::Pending,
            Some(at("10:00:05")),
            "exceeded quota: small"
        )
    );
}

#[test]
fn what_starts_is_stuck_once_its_deadline_has_passed_and_counts_from_there() {
    let (state, since, _) = stands(Some(ALONE), Some(STARTING), "10:01:00");
    assert_eq!((state, since), (State::Starting, Some(at("10:00:06"))));
    let (state, since, why) = stands(Some(ALONE), Some(STARTING), "10:03:00");
    assert_eq!((state, since), (State::Stuck, Some(at("10:02:05"))));
    assert!(why.contains("anchor albums-0-anchor-"), "{why}");
}

#[test]
fn the_deadline_is_the_one_that_the_controller_has() {
    let hp = HpSeen::of(&hp(ALONE)).unwrap();
    let anchor = AnchorSeen::of(&anchor(STARTING)).unwrap();
    let rules = Rules {
        start_deadline: Duration::from_secs(30),
        ..Rules::default()
    };
    let row = Row::of(Some(&hp), Some(&anchor), &rules, at("10:01:00"))
        .unwrap()
        .0;
    assert_eq!((row.state, row.since), (State::Stuck, Some(at("10:00:35"))));
}

#[test]
fn running_counts_from_the_anchors_start_or_from_the_readiness_it_lost() {
    let never = "status: {conditions: [{type: Ready, status: 'False', reason: ContainersNotReady, message: 'containers with \
         unready status: [albums]', lastTransitionTime: '2026-11-21T10:00:06Z'}]}";
    let (state, since, why) = stands(Some("{}"), Some(never), "10:05:00");
    assert_eq!((state, since), (State::Running, Some(at("10:00:10"))));
    assert!(
        why.ends_with("containers with unready status: [albums]"),
        "{why}"
    );
    let lost = never.replace("10:00:06", "10:04:00");
    let (state, since, _) = stands(Some("{}"), Some(&lost), "10:05:00");
    assert_eq!((state, since), (State::Running, Some(at("10:04:00"))));
}

#[test]
fn a_deletion_counts_from_the_request_and_not_from_the_end_of_its_grace() {
    let deleted =
        "metadata: {deletionTimestamp: '2026-11-21T10:05:35Z', deletionGracePeriodSeconds: 35}";
    let (state, since, _) = stands(Some(deleted), Some("{}"), "10:05:10");
    assert_eq!((state, since), (State::Draining, Some(at("10:05:00"))));
}

#[test]
fn an_anchor_without_its_pod_is_ending() {
    let deleted =
        "metadata: {deletionTimestamp: '2026-11-21T10:06:05Z', deletionGracePeriodSeconds: 65}";
    let anchor = AnchorSeen::of(&anchor(deleted)).unwrap();
    let (row, _) = Row::of(None, Some(&anchor), &Rules::default(), at("10:05:10")).unwrap();
    assert_eq!(
        (row.state, row.since),
        (State::Ending, Some(at("10:05:00")))
    );
    assert_eq!(
        (row.workload.as_deref(), row.pod.name.as_str()),
        (Some("albums"), "albums-0")
    );
    assert!(row.answers_to("albums") && row.answers_to("albums-0") && !row.answers_to("album"));
    assert_eq!(stands(None, Some("{}"), "10:05:10").1, None);
}

#[test]
fn a_pod_that_is_done_counts_from_its_programs_end() {
    let done = "status: {phase: Succeeded, containerStatuses: [{name: albums, image: base, imageID: '', ready: false, \
         restartCount: 0, state: {terminated: {exitCode: 0, finishedAt: '2026-11-21T10:04:00Z'}}}]}";
    let (state, since, _) = stands(Some(done), Some("{}"), "10:05:00");
    assert_eq!((state, since), (State::Ending, Some(at("10:04:00"))));
    let (state, since, why) = stands(Some(done), None, "10:05:00");
    assert_eq!(
        (state, since, why.as_str()),
        (
            State::Finished,
            Some(at("10:04:00")),
            "the pod is Succeeded"
        )
    );
}

#[test]
fn a_lost_network_says_so() {
    let gate = "status: {conditions: [{type: '@/anchor-ready', status: 'False', reason: AnchorLost, lastTransitionTime: \
         '2026-11-21T10:04:30Z'}]}";
    let (state, since, why) = stands(Some(gate), None, "10:05:00");
    assert_eq!((state, since), (State::Lost, Some(at("10:04:30"))));
    assert!(why.ends_with(" is gone"), "{why}");
    assert_eq!(
        stands(Some("{}"), None, "10:05:00").1,
        None,
        "the gate still says ready"
    );
}

#[test]
fn a_pod_that_admission_never_saw_is_not_injected() {
    let change = "metadata: {annotations: {'@/injected': null}}";
    let (state, since, _) = stands(Some(change), None, "10:05:00");
    assert_eq!((state, since), (State::NotInjected, Some(at("10:00:00"))));
}

#[test]
fn an_hp_pod_without_label_and_marker_is_not_ours() {
    let change = "metadata: {labels: {'@/workload': null}, annotations: {'@/injected': null}}";
    assert!(!HpSeen::of(&hp(change)).unwrap().is_ours());
    assert!(
        HpSeen::of(&hp("metadata: {labels: {'@/workload': null}}"))
            .unwrap()
            .is_ours()
    );
}
