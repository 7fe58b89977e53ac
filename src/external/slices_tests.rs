#![allow(clippy::panic)]
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn owner() -> Owner {
    Owner {
        namespace: "shop".into(),
        name: "albums".into(),
        uid: "3f1c".into(),
    }
}

fn port(number: u16) -> Vec<Port> {
    vec![Port {
        name: Some("http".into()),
        protocol: "TCP".into(),
        port: number,
        app_protocol: None,
    }]
}

fn endpoint_at(address: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        address,
        node: None,
        zone: None,
        ready,
        serving: ready,
    }
}

fn v4(number: u16, ready: bool) -> Endpoint {
    let [high, low] = number.to_be_bytes();
    endpoint_at(IpAddr::from([172, 19, high, low]), ready)
}

/// What the API server has after the writes.
fn apply(current: &[Published], writes: &[Write]) -> Vec<Published> {
    let mut all = current.to_vec();
    for write in writes {
        match write {
            Write::Create(slice) => {
                let name = slice.metadata.name.clone().unwrap();
                assert!(!all.iter().any(|known| known.name == name), "{name} exists");
                let mut slice = (**slice).clone();
                slice.metadata.uid = Some(format!("uid-of-{name}"));
                slice.metadata.resource_version = Some("1".into());
                all.push(Published::of(&slice).unwrap());
            }
            Write::Update(slice) => {
                let new = Published::of(slice).unwrap();
                let old = all
                    .iter_mut()
                    .find(|known| known.uid == new.uid && known.version == new.version)
                    .unwrap();
                *old = new;
            }
            Write::Delete(name, uid, _) => {
                all.retain(|known| known.name != *name || known.uid != *uid);
            }
        }
    }
    all
}

fn published(slices: &[Published]) -> Vec<Endpoint> {
    let mut all: Vec<_> = slices
        .iter()
        .flat_map(|slice| slice.endpoints.clone())
        .collect();
    all.sort_by_key(|endpoint| endpoint.address);
    all
}

#[test]
fn a_slice_is_what_the_api_asks_for() {
    let writes = writes(&owner(), &port(8080), &[v4(1, true)], &[]);
    let [Write::Create(slice)] = writes.as_slice() else {
        panic!("{writes:?}");
    };
    assert_eq!(slice.address_type, "IPv4");
    let labels = slice.metadata.labels.as_ref().unwrap();
    assert_eq!(labels[label::SERVICE_NAME], "albums");
    assert_eq!(labels[label::SLICE_MANAGED_BY], label::SLICE_MANAGED_BY_US);
    let owners = slice.metadata.owner_references.as_ref().unwrap();
    assert_eq!(
        (owners[0].uid.as_str(), owners[0].controller),
        ("3f1c", Some(true))
    );
    assert_eq!(
        slice.metadata.name.as_deref(),
        Some("albums-external-c405574c-ipv4-0")
    );
    let conditions = slice.endpoints[0].conditions.as_ref().unwrap();
    assert_eq!(
        (conditions.ready, conditions.serving, conditions.terminating),
        (Some(true), Some(true), Some(false))
    );
}

#[test]
fn nothing_is_written_twice() {
    let desired: Vec<_> = (0..250).map(|n| v4(n, n % 3 == 0)).collect();
    let first = writes(&owner(), &port(8080), &desired, &[]);
    assert_eq!(first.len(), 3);
    let there = apply(&[], &first);
    assert!(writes(&owner(), &port(8080), &desired, &there).is_empty());
}

#[test]
fn one_that_turns_is_one_write() {
    let mut desired: Vec<_> = (0..250).map(|n| v4(n, true)).collect();
    let there = apply(&[], &writes(&owner(), &port(8080), &desired, &[]));
    desired[120] = v4(120, false);
    let again = writes(&owner(), &port(8080), &desired, &there);
    assert!(matches!(again.as_slice(), [Write::Update(_)]), "{again:?}");
}

#[test]
fn one_that_comes_fills_the_gap_of_one_that_went() {
    let desired: Vec<_> = (0..200).map(|n| v4(n, true)).collect();
    let there = apply(&[], &writes(&owner(), &port(8080), &desired, &[]));
    let mut desired = desired;
    desired[150] = v4(999, false);
    assert_eq!(writes(&owner(), &port(8080), &desired, &there).len(), 1);
}

#[test]
fn what_somebody_changed_is_put_right() {
    let desired = [v4(1, true)];
    let there = apply(&[], &writes(&owner(), &port(8080), &desired, &[]));
    let mut unsound = there.clone();
    unsound[0].sound = false;
    assert!(matches!(
        writes(&owner(), &port(8080), &desired, &unsound).as_slice(),
        [Write::Update(_)]
    ));
    assert!(matches!(
        writes(&owner(), &port(8081), &desired, &there).as_slice(),
        [Write::Update(_)]
    ));
    // That of a Service of this name that was deleted.
    let mut old = there.clone();
    old[0].owner_uid = "another".into();
    old[0].name = "albums-external-00000000-ipv4-0".into();
    let again = writes(&owner(), &port(8080), &desired, &old);
    assert!(
        matches!(again.as_slice(), [Write::Create(_), Write::Delete(..)]),
        "{again:?}"
    );
}

#[test]
fn each_family_has_slices_of_its_own() {
    let desired = [v4(1, true), endpoint_at("fd00::1".parse().unwrap(), true)];
    let there = apply(&[], &writes(&owner(), &port(80), &desired, &[]));
    let families: Vec<_> = there.iter().map(|slice| slice.family.unwrap()).collect();
    assert_eq!(families, Family::ALL);
    let gone = writes(&owner(), &port(80), &desired[..1], &there);
    assert!(matches!(gone.as_slice(), [Write::Delete(..)]), "{gone:?}");
}

fn endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    prop::collection::btree_map((any::<bool>(), 0u16..400), any::<bool>(), 0..330).prop_map(|all| {
        let address = |(six, n): (bool, u16)| {
            if six {
                IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n])
            } else {
                v4(n, true).address
            }
        };
        all.into_iter()
            .map(|(key, ready)| endpoint_at(address(key), ready))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn after_the_writes_it_is_as_it_should_be(steps in prop::collection::vec(endpoints(), 1..5)) {
        let mut there = Vec::new();
        for mut desired in steps {
            let requests = writes(&owner(), &port(80), &desired, &there);
            let untouched: BTreeMap<_, _> = there.iter().map(|slice: &Published| (slice.name.clone(), slice.clone())).collect();
            there = apply(&there, &requests);
            desired.sort_by_key(|endpoint| endpoint.address);
            prop_assert_eq!(published(&there), desired.clone());
            for slice in &there {
                prop_assert!(!slice.endpoints.is_empty() && slice.endpoints.len() <= MOST_ENDPOINTS && slice.sound);
                prop_assert!(slice.endpoints.iter().all(|one| Some(Family::of(one.address)) == slice.family));
                // What stays published does not move to another slice.
                for endpoint in &slice.endpoints {
                    let before = untouched.values().find(|old| old.endpoints.iter().any(|one| one.address == endpoint.address));
                    prop_assert!(before.is_none_or(|old| old.name == slice.name));
                }
            }
            prop_assert!(writes(&owner(), &port(80), &desired, &there).is_empty());
        }
    }
}
