//! What holds for the policy as a whole; the small grammars have their cases in `cases`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cases;
mod messages;
mod properties;

use super::*;

const NONE: [(&str, &str); 0] = [];

/// A policy by a Namespace's annotations.
fn namespace(annotations: &[(&str, &str)]) -> Result<Policy, PolicyErrors> {
    Namespace::read(
        &Policy::builtin(),
        NONE.into_iter(),
        annotations.iter().copied(),
    )
    .policy
}

/// A policy by a pod's annotations.
fn pod(annotations: &[(&str, &str)]) -> Result<Policy, PolicyErrors> {
    let builtin = Policy::builtin();
    builtin
        .with_pod(annotations.iter().copied())
        .map(Cow::into_owned)
}

/// The text of the errors.
fn refusal<T: std::fmt::Debug>(result: Result<T, PolicyErrors>) -> String {
    result.expect_err("should be refused").to_string()
}

#[test]
fn every_name_of_the_vocabulary_is_in_the_table() {
    let names = include_str!("../names.rs");
    let module = names
        .split("pub mod policy {")
        .nth(1)
        .unwrap()
        .split("\n}")
        .next()
        .unwrap();
    let spelled: Vec<&str> = module
        .lines()
        .filter(|line| line.contains("pub const"))
        .map(|l| l.split('"').nth(1).unwrap())
        .collect();
    assert!(!spelled.is_empty());
    for name in &spelled {
        assert_eq!(
            KEYS.iter().filter(|key| key.name == *name).count(),
            1,
            "{name}"
        );
    }
    assert_eq!(KEYS.len(), spelled.len());
}

#[test]
fn builtin_is_the_contract() {
    let policy = Policy::builtin();
    let shown: Vec<String> = KEYS
        .iter()
        .filter_map(|key| Some(format!("{}={}", key.flag(), key.show(&policy)?)))
        .collect();
    let launcher = format!(
        "launcher-image=registry.native-host.io/launcher:v{}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        shown,
        [
            "mode=enforce",
            "network=anchor",
            "launcher=native-host",
            r"cplauncher-path=C:\k\bin\cni\cplauncher.exe",
            &launcher,
            "launcher-timeout=180s",
            "anchor-image=registry.k8s.io/pause:3.10.1",
            r"run-as=NT AUTHORITY\SYSTEM",
            "probes=auto",
            "health-port=health",
            "health-path=/health",
            "drain-seconds=5",
            "mesh=none",
            "authorize=none",
        ]
    );
    for key in &KEYS {
        assert_eq!(
            key.show(&policy).is_none(),
            !key.unset.is_empty(),
            "{}",
            key.name
        );
    }
}

#[test]
fn only_the_keys_of_the_contract_are_allowed_on_a_pod() {
    let on_pod: Vec<&str> = KEYS
        .iter()
        .filter(|key| key.on_pod)
        .map(Key::flag)
        .collect();
    assert_eq!(
        on_pod,
        [
            "network",
            "launcher",
            "launcher-timeout",
            "ip-env",
            "anchor-labels",
            "run-as",
            "containers",
            "probes",
            "health-port",
            "health-path",
            "drain-seconds",
            "mesh",
        ]
    );
    for key in &KEYS {
        let result = pod(&[(key.name, key.example)]);
        assert_eq!(result.is_ok(), key.on_pod, "{}: {result:?}", key.name);
    }
}

#[test]
fn every_example_is_accepted_and_shown_as_it_is_written() {
    for key in &KEYS {
        let policy = namespace(&[(key.name, key.example)]).unwrap();
        let flags = Policy::builtin()
            .with_flags([(key.name, key.example)])
            .unwrap();
        assert_eq!(policy, flags, "{}", key.name);
        let shown = key.show(&policy).unwrap();
        assert_eq!(
            namespace(&[(key.name, &shown)]).unwrap(),
            policy,
            "{}",
            key.name
        );
    }
}

#[test]
fn nothing_is_copied_for_a_pod_that_says_nothing() {
    let policy = Policy::builtin();
    let annotations = [
        ("prometheus.io/scrape", "true"),
        (annotation::INJECTED, "1"),
        (annotation::ANCHOR_SPEC, "{}"),
        (annotation::ANCHOR_STATUS, "{}"),
        (annotation::LINKERD_INJECT, "disabled"),
    ];
    assert!(matches!(policy.with_pod(annotations), Ok(Cow::Borrowed(_))));
    assert!(matches!(policy.with_pod(NONE), Ok(Cow::Borrowed(_))));
    assert!(matches!(
        policy.with_pod([(key::DRAIN_SECONDS, "7")]),
        Ok(Cow::Owned(_))
    ));
}

#[test]
fn the_pod_goes_before_the_namespace_before_the_flags_before_the_builtin() {
    let builtin = Policy::builtin();
    let flags = builtin
        .with_flags([
            (key::DRAIN_SECONDS, "10"),
            (key::HEALTH_PATH, "/f"),
            (key::IP_ENV, "F"),
        ])
        .unwrap();
    let annotations = [(key::DRAIN_SECONDS, "20"), (key::HEALTH_PATH, "/n")];
    let namespace = Namespace::read(&flags, NONE.into_iter(), annotations.into_iter())
        .policy
        .unwrap();
    let pod = namespace.with_pod([(key::DRAIN_SECONDS, "30")]).unwrap();
    assert_eq!((pod.drain_seconds, pod.health_path.as_str()), (30, "/n"));
    assert_eq!(pod.ip_env, ["F"]);
    assert_eq!(pod.launcher_timeout_seconds, 180);
}

#[test]
fn the_mesh_is_decided_by_the_nearest_word() {
    const INJECT: &str = annotation::LINKERD_INJECT;
    // flags; Namespace; pod; what it comes to
    type Case<'a> = (
        &'a str,
        &'a [(&'a str, &'a str)],
        &'a [(&'a str, &'a str)],
        Mesh,
    );
    let cases: &[Case] = &[
        ("none", &[], &[], Mesh::None),
        ("linkerd", &[], &[], Mesh::Linkerd),
        ("none", &[(INJECT, "enabled")], &[], Mesh::Linkerd),
        ("none", &[(INJECT, "ingress")], &[], Mesh::Linkerd),
        ("linkerd", &[(INJECT, "disabled")], &[], Mesh::None),
        ("linkerd", &[(INJECT, "")], &[], Mesh::Linkerd),
        ("linkerd", &[(INJECT, "Enabled")], &[], Mesh::None),
        (
            "none",
            &[(INJECT, "enabled"), (key::MESH, "none")],
            &[],
            Mesh::None,
        ),
        (
            "none",
            &[(key::MESH, "none"), (INJECT, "enabled")],
            &[],
            Mesh::None,
        ),
        (
            "none",
            &[(key::MESH, "linkerd")],
            &[(INJECT, "disabled")],
            Mesh::None,
        ),
        (
            "none",
            &[(key::MESH, "none")],
            &[(INJECT, "enabled")],
            Mesh::Linkerd,
        ),
        (
            "none",
            &[(key::MESH, "none")],
            &[(INJECT, "ingress")],
            Mesh::Linkerd,
        ),
        (
            "none",
            &[(key::MESH, "linkerd")],
            &[(INJECT, "")],
            Mesh::Linkerd,
        ),
        (
            "none",
            &[],
            &[(INJECT, "enabled"), (key::MESH, "none")],
            Mesh::None,
        ),
        (
            "none",
            &[],
            &[(key::MESH, "none"), (INJECT, "enabled")],
            Mesh::None,
        ),
        (
            "none",
            &[],
            &[(key::MESH, "linkerd"), (INJECT, "disabled")],
            Mesh::Linkerd,
        ),
    ];
    for (flags, annotations, pod, expected) in cases {
        let flags = Policy::builtin().with_flags([(key::MESH, *flags)]).unwrap();
        let namespace = Namespace::read(&flags, NONE.into_iter(), annotations.iter().copied());
        let namespace = namespace.policy.unwrap();
        let policy = namespace.with_pod(pod.iter().copied()).unwrap();
        assert_eq!(
            policy.mesh,
            *expected,
            "{flags:?} {annotations:?} {pod:?}",
            flags = flags.mesh
        );
    }
}

#[test]
fn pod_security_is_read_as_kubernetes_reads_it() {
    let read = |value: Option<&str>| {
        let labels = value.map(|value| (label::POD_SECURITY_ENFORCE, value));
        Namespace::read(&Policy::builtin(), labels.into_iter(), NONE.into_iter()).pod_security
    };
    assert_eq!(read(None), None);
    assert_eq!(read(Some("privileged")), Some(PodSecurityLevel::Privileged));
    assert_eq!(read(Some("baseline")), Some(PodSecurityLevel::Baseline));
    assert_eq!(read(Some("restricted")), Some(PodSecurityLevel::Restricted));
    assert_eq!(read(Some("Privileged")), Some(PodSecurityLevel::Restricted));
}

#[test]
fn every_example_of_the_documentation_is_accepted_as_it_stands_there() {
    let page = include_str!("../../docs/policy.md");
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix("- Example: `")?.strip_suffix('`'));
    let mut names = Vec::new();
    for line in lines {
        let annotations: std::collections::BTreeMap<String, String> =
            serde_saphyr::from_str(line).expect(line);
        let [(name, value)] = Vec::from_iter(&annotations)[..] else {
            panic!("{line}");
        };
        assert!(namespace(&[(name, value)]).is_ok(), "{line}");
        let key = Key::find(name).expect(line);
        assert_eq!(value, key.example, "{line}");
        names.push(key.name);
    }
    assert_eq!(names, KEYS.each_ref().map(|key| key.name));
}

/// What is no policy key has no table: labels, what native-host itself writes, gates, variables.
#[test]
fn every_name_that_a_person_can_meet_is_in_the_documentation() {
    use crate::names::{annotation, env, gate, label};
    let page = include_str!("../../docs/policy.md");
    let (_, other) = page
        .split_once("## Labels, and what native-host writes")
        .unwrap();
    let names = label::RESERVED
        .iter()
        .chain(&annotation::OWN)
        .chain(&env::RESERVED)
        .chain(&[label::WORKLOAD, label::EXTERNAL])
        .chain(&[gate::ANCHOR_READY, gate::WORKLOAD_RUNNING]);
    for name in names {
        assert!(other.contains(&format!("`{name}`")), "{name} is missing");
    }
}

#[test]
fn the_documentation_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.md");
    let page = std::fs::read_to_string(path).unwrap();
    let updated = docs::update(&page).expect("the page should have both marks");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &updated).unwrap();
    } else {
        assert!(
            page == updated,
            "docs/policy.md is out of date, run hack/update-docs"
        );
    }
}
