use proptest::prelude::*;

use super::*;

fn pace(failures: u32, successes: u32) -> Pace {
    Pace {
        failures,
        successes,
        ..Pace::default()
    }
}

#[test]
fn it_turns_after_so_many_in_a_row_and_not_before() {
    let pace = pace(3, 2);
    let mut health = Health::seeded(true);
    let turns: Vec<bool> = [
        false, false, true, false, false, false, true, false, true, true,
    ]
    .into_iter()
    .map(|passed| health.take(passed, &pace))
    .collect();
    assert_eq!(
        turns,
        [
            false, false, false, false, false, true, false, false, false, true
        ]
    );
    assert!(health.is_up());
}

#[test]
fn what_is_new_is_down_until_it_has_passed() {
    let mut health = Health::seeded(false);
    assert!(!health.is_up() && !health.is_probed());
    assert!(health.take(true, &pace(3, 1)));
    assert!(health.is_up() && health.is_probed());
}

#[test]
fn a_new_leader_needs_as_many_failures_as_the_old_one() {
    let mut health = Health::seeded(true);
    assert!(!health.take(false, &pace(3, 1)) && !health.take(false, &pace(3, 1)));
    assert!(health.is_up());
    health.restart();
    assert!(!health.take(false, &pace(3, 1)) && !health.take(false, &pace(3, 1)));
    assert!(health.take(false, &pace(3, 1)));
}

fn set(all: &[u8]) -> BTreeSet<IpAddr> {
    all.iter()
        .map(|last| IpAddr::from([172, 19, 1, *last]))
        .collect()
}

#[test]
fn fail_open_keeps_the_last_that_were_ready_and_are_still_there() {
    let ready = |up: &[u8], last: &[u8], open| ready(set(up), &set(last), &set(&[1, 2, 3]), open);
    assert_eq!(ready(&[], &[1, 2, 9], true), set(&[1, 2]));
    assert_eq!(ready(&[], &[1, 2], false), set(&[]));
    assert_eq!(
        ready(&[3], &[1, 2], true),
        set(&[3]),
        "one that is up is enough"
    );
}

proptest! {
    #[test]
    fn it_is_what_the_last_streak_says(outcomes in prop::collection::vec(any::<bool>(), 0..60), failures in 1u32..6, successes in 1u32..6, up in any::<bool>()) {
        let pace = pace(failures, successes);
        let mut health = Health::seeded(up);
        let mut turns = 0;
        for (index, passed) in outcomes.iter().enumerate() {
            let before = health.is_up();
            let turned = health.take(*passed, &pace);
            prop_assert_eq!(turned, before != health.is_up());
            turns += usize::from(turned);
            let streak = outcomes[..=index].iter().rev().take_while(|one| *one == passed).count();
            let needed = if *passed { successes } else { failures } as usize;
            if streak >= needed {
                prop_assert_eq!(health.is_up(), *passed);
            } else {
                prop_assert!(!turned);
            }
        }
        prop_assert!(turns <= outcomes.len() / failures.min(successes) as usize + 1);
    }
}
