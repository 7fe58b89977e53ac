//! What holds for every input.

use proptest::prelude::*;

use super::*;

/// A key of the table, one nearly of it, a neighbour's, or anything.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (0..KEYS.len()).prop_map(|index| KEYS[index].name.to_owned()),
        1 => Just(annotation::LINKERD_INJECT.to_owned()),
        1 => Just(annotation::ANCHOR_SPEC.to_owned()),
        1 => ".{0,12}".prop_map(|rest| format!("{PREFIX}{rest}")),
        1 => any::<String>(),
    ]
}

/// A value out of what the values are made of.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..KEYS.len()).prop_map(|index| KEYS[index].example.to_owned()),
        (
            0..KEYS.len(),
            "[a-z0-9,:/@\\\\=. \\n-]{0,3}",
            any::<prop::sample::Index>()
        )
            .prop_map(|(index, insert, at)| {
                let mut text = KEYS[index].example.to_owned();
                text.insert_str(at.index(text.len()), &insert);
                text
            }),
        r#"[a-zA-Z0-9,:/@\\=. \n*"{}\[\]-]{0,40}"#,
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn reading_never_panics(pairs in prop::collection::vec((key(), value()), 0..8)) {
        let pairs = || pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let builtin = Policy::builtin();
        let _ = builtin.with_flags(pairs());
        let _ = builtin.with_pod(pairs());
        let _ = Namespace::read(&builtin, pairs(), pairs());
    }

    #[test]
    fn what_is_accepted_is_shown_so_that_it_reads_the_same(index in 0..KEYS.len(), value in value()) {
        let key = &KEYS[index];
        if let Ok(policy) = namespace(&[(key.name, &value)])
            && let Some(shown) = key.show(&policy)
        {
            prop_assert_eq!(namespace(&[(key.name, &shown)]), Ok(policy));
        }
    }

    #[test]
    fn every_error_is_one_line_that_names_the_key(index in 0..KEYS.len(), value in any::<String>()) {
        let key = &KEYS[index];
        if let Err(errors) = namespace(&[(key.name, &value)]) {
            let text = errors.to_string();
            prop_assert!(!text.contains(|c: char| c.is_control()), "{text}");
            let start = format!("annotation {}: \"", key.name);
            prop_assert!(text.starts_with(&start), "{text}");
            prop_assert!(text.contains(key.expected) && text.contains(key.example), "{text}");
            prop_assert!(text.len() < 2000);
        }
    }

    #[test]
    fn a_pod_never_changes_what_is_the_namespaces(value in value(), index in 0..KEYS.len()) {
        let key = &KEYS[index];
        let (before, after) = (Policy::builtin(), pod(&[(key.name, &value)]));
        if let Ok(after) = after {
            for other in KEYS.iter().filter(|key| !key.on_pod) {
                prop_assert_eq!(other.show(&before), other.show(&after));
            }
        }
    }
}
