//! Taking the steps that the rules ask for leads to a pair that needs none.

use super::*;

/// Whatever the two pods look like, the steps lead somewhere: taking them changes the answer.
#[test]
fn no_step_is_asked_for_again_once_it_is_taken() {
    let hps = {
        let (serving, _) = serving();
        let mut all = vec![
            hp(),
            bare(),
            told(hp()),
            told(bare()),
            serving.clone(),
            Hp {
                controller: None,
                ..serving.clone()
            },
        ];
        for one in all.clone() {
            all.push(Hp {
                containers_ready: Some(Condition::new(false, "x", "y")),
                ..one.clone()
            });
            all.push(Hp {
                terminating: Some(30),
                ..one.clone()
            });
            all.push(Hp {
                phase: Phase::Failed,
                ..one
            });
        }
        all
    };
    let anchors = {
        let (_, serving) = serving();
        let mut all = vec![anchor(), running(), serving];
        for one in all.clone() {
            all.push(Anchor {
                terminating: Some(75),
                ..one.clone()
            });
            all.push(Anchor {
                phase: Phase::Failed,
                trouble: Some("x".into()),
                ..one.clone()
            });
            all.push(Anchor {
                ip: Some(IpAddr::from([1, 2, 3, 4])),
                ..one.clone()
            });
            all.push(Anchor {
                id: Identity {
                    uid: "a2".into(),
                    ..one.id.clone()
                },
                ..one
            });
        }
        all.into_iter().map(Some).chain([None]).collect::<Vec<_>>()
    };
    for hp in &hps {
        for anchor in &anchors {
            let (mut hp, mut anchor) = (hp.clone(), anchor.clone());
            let mut turns = 0;
            loop {
                let assessment = assess(&hp, anchor.as_ref());
                let steps = steps(&assessment);
                if steps.is_empty() {
                    break;
                }
                turns += 1;
                assert!(turns < 6, "{hp:?}\n{anchor:?}\n{steps:?}");
                for step in steps {
                    take(step, &mut hp, &mut anchor);
                }
            }
        }
    }
}

/// What the world looks like after a step.
fn take(step: Step, hp: &mut Hp, anchor: &mut Option<Anchor>) {
    match step {
        Step::Create => {
            *anchor = Some(Anchor {
                id: Identity {
                    uid: "a9".into(),
                    ..super::anchor().id
                },
                ..super::anchor()
            });
        }
        Step::Delete(0 | 1) => *anchor = None,
        Step::Delete(grace) => {
            if let Some(anchor) = anchor {
                anchor.terminating = Some(grace);
            }
        }
        Step::Publish(status) => hp.published = Published::Status(status),
        Step::HpGate(gate) => hp.gate = Some(gate),
        Step::AnchorGate(gate) => {
            if let Some(anchor) = anchor {
                anchor.gate = Some(gate);
            }
        }
        Step::Replace(_) => hp.terminating = Some(30),
        Step::Say(_) => {}
    }
}
