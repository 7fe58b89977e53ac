#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::anchor;
use crate::names::PREFIX;

const NOW: &str = "2026-11-21T10:00:00Z";

fn at(time: &str) -> Timestamp {
    time.parse().expect(time)
}

/// Metadata in YAML; `@/` is our prefix.
fn metadata(text: &str) -> ObjectMeta {
    serde_saphyr::from_str(&text.replace("@/", PREFIX)).expect(text)
}

fn pod(change: &str) -> ObjectMeta {
    metadata(&format!(
        "{{namespace: shop, name: albums-0, uid: hp, labels: {{'@/workload': albums}}, {change}}}"
    ))
}

/// An anchor of the pod above, with more fields.
fn anchor_of(uid: &str, change: &str) -> ObjectMeta {
    let name = anchor::name("albums-0", uid);
    metadata(&format!(
        "{{namespace: shop, name: {name}, uid: a, labels: {{'@/role': anchor}}, ownerReferences: [{{apiVersion: v1, \
         kind: Pod, name: albums-0, uid: {uid}, controller: true}}], {change}}}"
    ))
}

fn problems(audit: Audit) -> Vec<(Problem, String)> {
    let findings = audit.into_findings().into_iter();
    findings
        .map(|finding| (finding.problem, finding.subject.name.to_string()))
        .collect()
}

#[test]
fn a_labelled_pod_without_the_marker_was_not_injected() {
    let mut audit = Audit::default();
    audit.pod(&pod("annotations: {'@/injected': v1}"));
    assert!(audit.found.is_empty());
    audit.pod(&pod("deletionTimestamp: '2026-11-21T10:00:00Z'"));
    assert!(audit.found.is_empty(), "it is going");
    audit.pod(&pod("annotations: {'@/injectd': v1}"));
    let found = audit.into_findings().remove(0);
    assert_eq!(found.problem, Problem::NotInjected);
    assert_eq!(
        (&*found.subject.uid, found.note.reason),
        ("hp", Reason::NotInjected)
    );
}

#[test]
fn pods_of_a_namespace_that_is_off_are_left_alone_on_purpose() {
    let mut audit = Audit::default();
    let off = metadata("{name: shop, uid: n, annotations: {'@/mode': 'off'}}");
    audit.namespace(&Policy::builtin(), &off);
    audit.pod(&pod("annotations: {}"));
    assert_eq!(problems(audit), []);
}

#[test]
fn an_invalid_policy_is_told_with_every_error() {
    let mut audit = Audit::default();
    let good = metadata("{name: good, uid: g, annotations: {'@/mode': warn, 'other.io/mode': x}}");
    audit.namespace(&Policy::builtin(), &good);
    let bad = "{name: bad, uid: b, annotations: {'@/mode': sometimes, '@/lancher': cplauncher}}";
    audit.namespace(&Policy::builtin(), &metadata(bad));
    let found = audit.into_findings();
    assert_eq!(found.len(), 1);
    assert_eq!(&*found[0].subject.namespace, "", "a Namespace is in none");
    let text = &found[0].note.text;
    for words in [
        "mode",
        "sometimes",
        "lancher",
        "none of its workloads is admitted",
    ] {
        assert!(text.contains(words), "{text}");
    }
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn an_anchor_is_suspect_only_without_its_pod() {
    let mut audit = Audit::default();
    audit.pod(&pod("annotations: {'@/injected': v1}"));
    audit.anchor(&anchor_of("hp", "generation: 1"), at(NOW));
    assert_eq!(audit.suspects(), []);
    // It ends, within its time.
    let ending = anchor_of("gone", "deletionTimestamp: '2026-11-21T09:59:00Z'");
    audit.anchor(&ending, at(NOW));
    assert_eq!(audit.suspects(), []);
    audit.anchor(&anchor_of("gone", "generation: 1"), at(NOW));
    let suspects = audit.suspects();
    assert_eq!(suspects[0].owner.as_deref(), Some("albums-0"));
    assert_eq!(problems(audit), [], "it is not confirmed");
}

#[test]
fn what_only_looks_like_an_anchor_belongs_to_no_pod() {
    for looks in [
        "{namespace: shop, name: forged, uid: a, labels: {'@/role': anchor}}",
        // Of the right pod, with a name that the controller gives to none.
        "{namespace: shop, name: forged, uid: a, labels: {'@/role': anchor}, ownerReferences: [{apiVersion: v1, kind: \
         Pod, name: albums-0, uid: hp, controller: true}]}",
    ] {
        let (mut audit, forged) = (Audit::default(), metadata(looks));
        audit.pod(&pod("annotations: {'@/injected': v1}"));
        audit.anchor(&forged, at(NOW));
        let suspect = audit.suspects().remove(0);
        assert_eq!(suspect.owner, None);
        audit.confirm(suspect, Some(&forged), None, at(NOW));
        let text = &audit.found[0].note.text;
        assert!(text.contains("it belongs to no pod"), "{text}");
        assert!(text.contains("kubectl delete pod -n shop forged"), "{text}");
    }
}

#[test]
fn only_what_is_confirmed_is_told() {
    let anchor = anchor_of("gone", "generation: 1");
    let same_name = metadata("{namespace: shop, name: albums-0, uid: another}");
    let its_own = metadata("{namespace: shop, name: albums-0, uid: gone}");
    let another = metadata("{namespace: shop, name: x, uid: another, labels: {'@/role': anchor}}");
    let overdue = anchor_of("gone", "deletionTimestamp: '2026-11-21T09:50:00Z'");
    let ending = anchor_of("gone", "deletionTimestamp: '2026-11-21T10:00:20Z'");
    for (anchor_now, owner, words) in [
        (Some(&anchor), None, Some("(albums-0) is gone")),
        (Some(&anchor), Some(&same_name), Some("Nothing runs in it")),
        (Some(&overdue), None, Some("its node does not end it")),
        (Some(&anchor), Some(&its_own), None),
        (Some(&ending), None, None),
        (Some(&another), None, None),
        (None, None, None),
    ] {
        let mut audit = Audit::default();
        audit.anchor(&anchor, at(NOW));
        let suspect = audit.suspects().remove(0);
        audit.confirm(suspect, anchor_now, owner, at(NOW));
        let found = audit.into_findings();
        assert_eq!(found.len(), usize::from(words.is_some()), "{words:?}");
        if let (Some(words), Some(finding)) = (words, found.first()) {
            assert_eq!(finding.problem, Problem::Ownerless);
            assert!(finding.note.text.contains(words), "{}", finding.note.text);
        }
    }
}
