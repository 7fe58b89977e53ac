//! Pairs that end, and pairs that lose their anchor.

use super::*;

#[test]
fn a_terminating_pod_has_its_anchor_deleted_once_with_more_grace_than_its_own() {
    let (hp, anchor) = serving();
    let hp = Hp {
        terminating: Some(45),
        ..hp
    };
    let assessment = assess(&hp, Some(&anchor));
    assert_eq!(steps(&assessment), [Step::Delete(75)]);
    assert_eq!(
        (assessment.state, said(&assessment)),
        (State::Draining, vec![Reason::Draining])
    );
    assert!(!certain(Some(&hp), Some(&anchor)));

    let sleeping = Anchor {
        terminating: Some(75),
        ..anchor
    };
    assert!(assess(&hp, Some(&sleeping)).steps.is_empty());
    assert!(
        assess(&hp, None).steps.is_empty(),
        "none is made for a pod that goes"
    );
}

#[test]
fn a_terminating_pod_whose_program_ended_is_out_of_the_endpoints() {
    let (hp, anchor) = serving();
    let ended = Condition::new(false, "ContainersNotReady", "");
    let hp = Hp {
        terminating: Some(45),
        containers_ready: Some(ended.clone()),
        ..hp
    };
    let sleeping = Anchor {
        terminating: Some(75),
        ..anchor
    };
    assert_eq!(
        steps(&assess(&hp, Some(&sleeping))),
        [Step::AnchorGate(ended)]
    );
}

#[test]
fn who_is_gone_or_finished_needs_no_network() {
    let (hp, anchor) = serving();
    let sleeping = Anchor {
        terminating: Some(75),
        ..anchor.clone()
    };
    let ending = Anchor {
        terminating: Some(1),
        ..anchor.clone()
    };
    for (anchor, expected) in [
        (&anchor, vec![Step::Delete(1)]),
        (&sleeping, vec![Step::Delete(0)]),
        (&ending, vec![]),
    ] {
        assert_eq!(steps(&assess_at(None, Some(anchor), after(10))), expected);
        for phase in [Phase::Succeeded, Phase::Failed] {
            let hp = Hp {
                phase,
                ..hp.clone()
            };
            assert_eq!(steps(&assess(&hp, Some(anchor))), expected);
        }
    }
    assert!(certain(None, Some(&anchor)), "a label may just be gone");
    let done = Hp {
        phase: Phase::Succeeded,
        ..hp
    };
    assert!(assess(&done, None).steps.is_empty());
}

#[test]
fn a_delete_that_was_broken_off_half_way_is_done_again() {
    let mut left = anchor();
    left.terminating = Some(0);
    let mut done = hp();
    done.phase = Phase::Succeeded;
    for hp in [None, Some(&done)] {
        let assessment = assess_at(hp, Some(&left), after(0));
        assert_eq!(steps(&assessment), [Step::Delete(0)]);
        // As a rule it is gone already, which a read tells at no harm.
        assert!(certain(hp, Some(&left)));
    }
    // This one ends by itself.
    left.terminating = Some(1);
    assert!(steps(&assess_at(None, Some(&left), after(0))).is_empty());
}

#[test]
fn a_lost_anchor_costs_a_controllers_pod_its_life() {
    let (hp, anchor) = serving();
    let other_ip = Anchor {
        ip: Some(IpAddr::from([10, 244, 1, 9])),
        ..anchor.clone()
    };
    let other_uid = Anchor {
        id: Identity {
            uid: "a2".into(),
            ..anchor.id.clone()
        },
        ..anchor.clone()
    };
    for lost in [
        None,
        Some(Anchor {
            terminating: Some(75),
            ..anchor.clone()
        }),
        Some(Anchor {
            phase: Phase::Failed,
            trouble: Some("Evicted: low on memory".into()),
            ..anchor.clone()
        }),
        Some(other_ip),
        Some(other_uid),
    ] {
        let assessment = assess(&hp, lost.as_ref());
        assert_eq!(assessment.state, State::Lost, "{lost:?}");
        assert_eq!(said(&assessment), [Reason::Lost]);
        let [Step::Replace(why)] = &steps(&assessment)[..] else {
            unreachable!("{assessment:?}")
        };
        assert!(why.contains(&*anchor.id.name), "{why}");
        assert!(certain(Some(&hp), lost.as_ref()));
    }
}

#[test]
fn a_bare_pod_gets_a_new_anchor_and_the_new_status() {
    let (hp, anchor) = serving();
    let hp = Hp {
        controller: None,
        ..hp
    };
    assert_eq!(steps(&assess(&hp, None))[0], Step::Create);
    assert!(
        certain(Some(&hp), None),
        "only once it is sure that there is none"
    );

    // The name has to be free first.
    let sleeping = Anchor {
        terminating: Some(75),
        ..anchor.clone()
    };
    assert_eq!(steps(&assess(&hp, Some(&sleeping)))[0], Step::Delete(0));
    let failed = Anchor {
        phase: Phase::Failed,
        ..anchor.clone()
    };
    assert_eq!(steps(&assess(&hp, Some(&failed)))[0], Step::Delete(1));

    let next = Anchor {
        id: Identity {
            uid: "a2".into(),
            ..anchor.id.clone()
        },
        started: None,
        ..anchor.clone()
    };
    let waiting = assess(&hp, Some(&next));
    assert!(
        !steps(&waiting)
            .iter()
            .any(|step| matches!(step, Step::Publish(_)))
    );
    let next = Anchor {
        started: Some(after(60)),
        ..next
    };
    assert!(steps(&assess(&hp, Some(&next))).contains(&Step::Publish(next.status().unwrap())));
}

#[test]
fn a_sandbox_that_starts_anew_under_its_ip_is_only_published_again() {
    let (hp, anchor) = serving();
    let restarted = Anchor {
        started: Some(after(90)),
        ..anchor
    };
    let status = restarted.status().unwrap();
    assert_eq!(
        steps(&assess(&hp, Some(&restarted))),
        [Step::Publish(status)]
    );
}

#[test]
fn one_that_failed_before_it_ran_is_made_again() {
    let failed = Anchor {
        phase: Phase::Failed,
        trouble: Some("OutOfpods".into()),
        ..anchor()
    };
    let assessment = assess(&hp(), Some(&failed));
    assert_eq!(steps(&assessment)[0], Step::Delete(1));
    assert!(
        !steps(&assessment)
            .iter()
            .any(|step| matches!(step, Step::Replace(_)))
    );
    assert_eq!(steps(&assess(&hp(), None)), [Step::Create]);
}
