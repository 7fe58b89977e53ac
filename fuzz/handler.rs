//! What is fuzzed: one body, at every door, under policies that between them reach every rule.
//! The fuzz target and `tests/fuzz_corpus.rs` run the same.

use native_host::admission::{Door, Review, Unavailable};
use native_host::names::policy;
use native_host::policy::{Namespace, Policy};
use serde_json::Value;
use std::sync::LazyLock;

/// Namespaces' annotations: what is built in, and what makes the other rules speak.
const POLICIES: [&[(&str, &str)]; 4] = [
    &[],
    &[
        (policy::LAUNCHER, "cplauncher"),
        (policy::ALLOWED_EXECUTABLES, r"C:\apps\*,\\files\apps\*"),
        (policy::ALLOWED_USERS, r"NT AUTHORITY\SYSTEM"),
        (
            policy::TOLERATIONS,
            r#"[{"key":"os","value":"windows","effect":"NoSchedule"}]"#,
        ),
    ],
    &[
        (policy::MODE, "warn"),
        (policy::LAUNCHER, "native-host-cplauncher"),
        (policy::ALLOWED_LAUNCHERS, "native-host"),
        (policy::NODE_SELECTOR, "pool=windows"),
        (policy::MESH, "linkerd"),
    ],
    &[
        (policy::LAUNCHER_PATH, r"C:\k\native-host-launcher.exe"),
        (policy::HEALTH_PORT, "8081"),
        (policy::IP_ENV, "BIND_ADDRESS"),
        (policy::DRAIN_SECONDS, "0"),
        (policy::EXTERNAL_CIDRS, "172.19.1.0/24,fd00::/8"),
        (policy::ANCHOR_LABELS, "app,team"),
    ],
];

static NAMESPACES: LazyLock<Vec<Namespace>> = LazyLock::new(|| {
    let flags = Policy::builtin();
    POLICIES
        .iter()
        .map(|annotations| {
            let labels = std::iter::once(("pod-security.kubernetes.io/enforce", "baseline"));
            Namespace::read(&flags, labels, annotations.iter().copied())
        })
        .collect()
});

/// Answers a body at every door. Every answer to a review is JSON, says whether the object is
/// allowed, and has a patch only if it is.
pub fn every_door(body: &[u8]) {
    let defaults = Policy::builtin();
    for door in Door::ALL {
        let unavailable = || Err(Unavailable::NotFound("shop".to_owned()));
        let namespaces = NAMESPACES.iter().map(Ok).chain([unavailable()]);
        for namespace in namespaces {
            let answer = match Review::parse(door, body) {
                Ok(review) => review.answer(namespace, &defaults),
                Err(answer) => {
                    assert_eq!(answer.status, 400);
                    continue;
                }
            };
            assert_eq!(answer.status, 200);
            let body: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
            let response = &body["response"];
            let allowed = response["allowed"].as_bool().expect("it says allowed");
            assert!(allowed || response["patch"].is_null());
            assert_eq!(allowed, response["status"]["message"].is_null());
        }
    }
}
