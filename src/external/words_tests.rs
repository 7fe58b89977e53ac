#![allow(clippy::unwrap_used)]

use super::*;
use crate::external::endpoints::Candidate;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([172, 19, 1, last])
}

fn endpoint(last: u8, serving: bool) -> Endpoint {
    Endpoint {
        address: ip(last),
        node: None,
        zone: None,
        ready: serving,
        serving,
    }
}

fn say(
    before: &[(u8, bool)],
    after: &[Endpoint],
    why: &[(u8, &str)],
    found: &Candidates,
) -> Vec<(Reason, String)> {
    let before = before
        .iter()
        .map(|(last, serving)| (ip(*last), *serving))
        .collect();
    let why = why
        .iter()
        .map(|(last, why)| (ip(*last), Arc::from(*why)))
        .collect();
    let now = "2026-11-21T10:00:07Z".parse().unwrap();
    let notes = change(&before, after, &why, found, now);
    notes
        .into_iter()
        .map(|note| (note.reason, note.text))
        .collect()
}

#[test]
fn a_change_says_who_and_why_and_how_many_are_left() {
    let said = say(
        &[(1, true), (2, true)],
        &[endpoint(1, false), endpoint(2, true)],
        &[(1, "port 8080: connection refused")],
        &Candidates::default(),
    );
    let text = "Not ready: 172.19.1.1 (port 8080: connection refused). 1 of 2 ready, 10:00:07Z";
    assert_eq!(said, [(Reason::ExternalDown, text.to_owned())]);
    let said = say(
        &[(1, false)],
        &[endpoint(1, true)],
        &[],
        &Candidates::default(),
    );
    assert_eq!(
        said,
        [(
            Reason::ExternalReady,
            "Ready: 172.19.1.1. 1 of 1 ready, 10:00:07Z".to_owned()
        )]
    );
}

#[test]
fn a_node_that_is_not_ready_is_the_reason_before_its_probe() {
    let mut found = Candidates::default();
    let candidate = Candidate {
        node: Some("win-1".into()),
        zone: None,
        node_down: true,
    };
    found.all.insert(ip(1), candidate);
    let said = say(&[(1, true)], &[endpoint(1, false)], &[(1, "x")], &found);
    assert!(
        said[0]
            .1
            .starts_with("Not ready: 172.19.1.1 (node win-1 is not ready)."),
        "{said:?}"
    );
}

#[test]
fn what_comes_and_goes_is_one_sentence_and_a_long_list_is_cut() {
    let after: Vec<_> = (10..20).map(|last| endpoint(last, false)).collect();
    let said = say(&[(1, true)], &after, &[], &Candidates::default());
    let text = "Published: 172.19.1.10, 172.19.1.11, 172.19.1.12, 172.19.1.13, 172.19.1.14, 5 more. Not published any more: \
                172.19.1.1. 0 of 10 ready, 10:00:07Z";
    assert_eq!(said, [(Reason::ExternalChanged, text.to_owned())]);
}

#[test]
fn nothing_is_said_of_what_stays() {
    assert!(
        say(
            &[(1, true)],
            &[endpoint(1, true)],
            &[],
            &Candidates::default()
        )
        .is_empty()
    );
}

#[test]
fn turns_are_counted_of_those_that_come_up_at_once_too() {
    let before = [(ip(1), true), (ip(2), false), (ip(3), true)].into();
    let after = [
        endpoint(1, false),
        endpoint(2, true),
        endpoint(3, true),
        endpoint(4, true),
        endpoint(5, false),
    ];
    assert_eq!(turned(&before, &after), 3);
}

#[test]
fn other_peoples_slices_are_named_with_the_way_out() {
    assert_eq!(foreign(&[]), None);
    let text = foreign(&[("albums-x".into(), Some("me".into())), ("y".into(), None)]).unwrap();
    assert!(
        text.contains("albums-x (managed by me) and others")
            && text.contains("kubectl delete endpointslice albums-x")
    );
}

#[test]
fn each_reason_is_said_once_with_those_it_is_about() {
    assert_eq!(refused_addresses(&[], &[]), None);
    let cluster = "10.244.0.0/16".parse().unwrap();
    let refused = [
        (ip(1), None, Fault::NotAllowed),
        (ip(2), Some("win-2".into()), Fault::OfCluster(cluster)),
        (ip(3), None, Fault::NotAllowed),
    ];
    let allowed = ["172.19.2.0/24".parse().unwrap()];
    let text = refused_addresses(&refused, &allowed).unwrap();
    let parts: Vec<_> = text.split(". ").collect();
    assert!(
        parts[0].starts_with("Not published: 172.19.1.1, 172.19.1.3: lies in none of the networks"),
        "{text}"
    );
    assert!(
        parts[1].starts_with("Not published: 172.19.1.2 (node win-2): lies in 10.244.0.0/16"),
        "{text}"
    );
}
