//! Whatever happens.

use super::super::*;
use super::stage::*;
use crate::probing::Which;
use proptest::collection::vec;
use proptest::prelude::*;

/// Any signal, those that cannot come at some time included.
fn any_signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        any::<u32>().prop_map(Signal::Exited),
        prop_oneof![Just(Step::Drain), Just(Step::Ask), Just(Step::Kill)].prop_map(Signal::Stop),
        Just(Signal::Closing),
        Just(Signal::Interrupted),
        (any::<bool>(), prop::option::of(0..60_u32)).prop_map(|(liveness, grace)| {
            let which = if liveness {
                Which::Liveness
            } else {
                Which::Startup
            };
            failed(which, "why", grace)
        }),
        Just(Signal::ProbeAstray("astray".to_owned())),
    ]
}

/// What the status file may hold, another anchor included.
fn any_status() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        Just(Some(String::new())),
        Just(Some(STATUS.to_owned())),
        Just(Some(STATUS.replace("a-b", "c-d"))),
        (0..STATUS.len()).prop_map(|length| Some(STATUS[..length].to_owned())),
        Just(Some("null".to_owned())),
    ]
}

fn any_faults() -> impl Strategy<Value = Faults> {
    let one = prop_oneof![
        Just(Faults {
            job: true,
            ..Faults::default()
        }),
        Just(Faults {
            enter: true,
            ..Faults::default()
        }),
        Just(Faults {
            check: true,
            ..Faults::default()
        }),
        Just(Faults {
            start: true,
            ..Faults::default()
        }),
        Just(Faults {
            program: true,
            ..Faults::default()
        }),
        any::<u32>().prop_map(|code| Faults {
            verdict: Some(Verdict::from_code(code)),
            ..Faults::default()
        }),
    ];
    prop_oneof![3 => Just(Faults::default()), 1 => one]
}

proptest! {
    /// Whatever happens, in whatever order: no target without a check that went well, and at the end no process and
    /// no compartment.
    #[test]
    fn whatever_happens_it_fails_closed_and_leaves_nothing(
        signals in vec((0..400_u64, any_signal()), 0..8),
        statuses in vec((0..400_u64, any_status()), 0..6),
        faults in any_faults(),
        last in any::<u32>(),
        compartment_at in 0..300_u64,
    ) {
        let mut signals = signals;
        signals.sort_by_key(|(at, _)| *at);
        // Every target ends some time.
        signals.push((1000, Signal::Exited(last)));
        let mut stage = stage(signals);
        stage.status.extend(statuses.into_iter().map(|(at, status)| (seconds(at), status)));
        stage.status.sort_by_key(|(at, _)| *at);
        stage.compartment_at = seconds(compartment_at);
        stage.faults = faults;
        let end = supervise(&run(), &mut stage);

        let log = stage.log.borrow();
        let at = |what: &str| log.iter().position(|entry| entry.starts_with(what));
        let good = faults.verdict.is_none_or(|verdict| verdict == Verdict::Inside) && !faults.check;
        if let Some(start) = at("start") {
            prop_assert!(good && at("enter") < at("check") && at("check") < Some(start), "{:?}", log);
            prop_assert_eq!(log.iter().filter(|entry| entry.starts_with("start")).count(), 1);
        }
        if at("enter").is_some() {
            let [.., before, after] = &log[..] else { unreachable!() };
            prop_assert_eq!((before.as_str(), after.as_str()), ("end", "leave"));
            prop_assert_eq!(log.iter().filter(|entry| *entry == "leave").count(), 1);
        } else {
            prop_assert!(at("leave").is_none() && at("start").is_none());
        }
        // A target's code comes from a target that was started.
        prop_assert!(!matches!(end, End::Target(_)) || at("start").is_some());
    }
}
