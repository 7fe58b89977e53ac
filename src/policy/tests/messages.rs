//! What the person who typed a bad key reads, to the letter.

use super::*;

/// Key, value, and the message after the key's name.
const MESSAGES: &[(&str, &str, &str)] = &[
    (
        key::MODE,
        "enforced",
        r#""enforced" is not valid, did you mean "enforce"? Expected enforce, warn or off, for example "warn""#,
    ),
    (
        key::MODE,
        "x",
        r#""x" is not valid. Expected enforce, warn or off, for example "warn""#,
    ),
    (
        key::NETWORK,
        "pod",
        r#""pod" is not valid. Expected anchor or host, for example "host""#,
    ),
    (
        key::LAUNCHER,
        "cplaunch",
        r#""cplaunch" is not valid, did you mean "cplauncher"? Expected native-host, cplauncher or native-host-cplauncher, for example "cplauncher""#,
    ),
    (
        key::CPLAUNCHER_PATH,
        r"C:\Program Files\x.exe",
        r#""C:\Program Files\x.exe" holds a space, where `cmd /c` would end the path. Expected the absolute path of an .exe, of letters, digits, dots, dashes and underscores, for example "C:\k2s\bin\cni\cplauncher.exe""#,
    ),
    (
        key::CPLAUNCHER_PATH,
        r"C:\a&b\x.exe",
        r#""C:\a&b\x.exe": "&" may mean something to `cmd /c`. Expected the absolute path of an .exe, of letters, digits, dots, dashes and underscores, for example "C:\k2s\bin\cni\cplauncher.exe""#,
    ),
    (
        key::CPLAUNCHER_PATH,
        r"x.exe",
        r#""x.exe" is relative: expected an absolute path such as `C:\apps\albums.exe`. Expected the absolute path of an .exe, of letters, digits, dots, dashes and underscores, for example "C:\k2s\bin\cni\cplauncher.exe""#,
    ),
    (
        key::CPLAUNCHER_PATH,
        r"C:\k2s",
        r#""C:\k2s" is not valid. Expected the absolute path of an .exe, of letters, digits, dots, dashes and underscores, for example "C:\k2s\bin\cni\cplauncher.exe""#,
    ),
    (
        key::CPLAUNCHER_DLL,
        "cphook.dll",
        r#""cphook.dll" is relative: expected an absolute path such as `C:\apps\albums.exe`. Expected the absolute path of a .dll, or none, for example "C:\k2s\bin\cni\cphook.dll""#,
    ),
    (
        key::ANCHOR_IMAGE,
        "example.com/X/x",
        r#""example.com/X/x" names its repository in upper case. Expected an image reference, for example "registry.example.com/pause:3.10.1""#,
    ),
    (
        key::LAUNCHER_IMAGE,
        "a/x:",
        r#""a/x:" has an empty tag. Expected an image reference, or none, for example "registry.example.com/native-host/launcher:v0.1.0""#,
    ),
    (
        key::LAUNCHER_PATH,
        r"C:\a\..\b.exe",
        r#""C:\a\..\b.exe" has a segment `..`: write the path that it leads to. Expected the absolute path of an .exe, of letters, digits, dots, dashes and underscores, for example "C:\native-host\native-host-launcher.exe""#,
    ),
    (
        key::LAUNCHER_TIMEOUT,
        "180",
        r#""180" is not valid, did you mean "180s"? Expected a duration from 1s to 1h in whole hours, minutes and seconds, for example "3m""#,
    ),
    (
        key::LAUNCHER_TIMEOUT,
        "2h",
        r#""2h" is out of range. Expected a duration from 1s to 1h in whole hours, minutes and seconds, for example "3m""#,
    ),
    (
        key::LAUNCHER_TIMEOUT,
        "soon",
        r#""soon" is not valid. Expected a duration from 1s to 1h in whole hours, minutes and seconds, for example "3m""#,
    ),
    (
        key::IP_ENV,
        "A B",
        r#""A B" is not the name of an environment variable. Expected a list of environment variables' names, for example "BIND_ADDRESS""#,
    ),
    (
        key::IP_ENV,
        "",
        r#""" is an empty list. Expected a list of environment variables' names, for example "BIND_ADDRESS""#,
    ),
    (
        key::IP_ENV,
        "compartment_id_attach",
        r#""compartment_id_attach" is set by native-host itself. Expected a list of environment variables' names, for example "BIND_ADDRESS""#,
    ),
    (
        key::ANCHOR_IMAGE,
        "https://x/y",
        r#""https://x/y": "https:" is not a registry. Expected an image reference, for example "registry.example.com/pause:3.10.1""#,
    ),
    (
        key::ANCHOR_LABELS,
        "native-host.io/anchor",
        r#""native-host.io/anchor" is set by native-host itself. Expected a list of labels' keys, for example "app.kubernetes.io/part-of,team""#,
    ),
    (
        key::ANCHOR_LABELS,
        "a b",
        r#""a b" is not a label's key. Expected a list of labels' keys, for example "app.kubernetes.io/part-of,team""#,
    ),
    (
        key::RUN_AS,
        r"a\b\c",
        r#""a\b\c" holds more than one backslash: expected `DOMAIN\USER` or `USER`. Expected a Windows account or local group as runAsUserName takes it, for example "NT AUTHORITY\LocalService""#,
    ),
    (
        key::CONTAINERS,
        "Albums",
        r#""Albums" is not the name of a container. Expected a list of the names of containers, for example "albums,licence-daemon""#,
    ),
    (
        key::NODE_SELECTOR,
        "pool",
        r#""pool" has no "=". Expected a list of key=value pairs, for example "node-pool=windows,disk=ssd""#,
    ),
    (
        key::NODE_SELECTOR,
        "a=1,a=2",
        r#""a=1,a=2": "a" is given two values, and no node has both. Expected a list of key=value pairs, for example "node-pool=windows,disk=ssd""#,
    ),
    (
        key::TOLERATIONS,
        "os=windows",
        r#""os=windows" is not a JSON list (expected value at line 1 column 1). Expected a JSON list of Tolerations, for example "[{"key":"os","operator":"Equal","value":"windows","effect":"NoSchedule"}]""#,
    ),
    (
        key::TOLERATIONS,
        r#"[{"key":"os","effects":"x"}]"#,
        r#""[{"key":"os","effects":"x"}]": [0]: "effects" is none of key, operator, value, effect, tolerationSeconds. Expected a JSON list of Tolerations, for example "[{"key":"os","operator":"Equal","value":"windows","effect":"NoSchedule"}]""#,
    ),
    (
        key::PROBES,
        "off",
        r#""off" is not valid. Expected auto or none, for example "none""#,
    ),
    (
        key::HEALTH_PORT,
        "0",
        r#""0" is not a port: they go from 1 to 65535. Expected a port's number, or its name of at most 15 lower-case letters, digits and dashes, for example "8081""#,
    ),
    (
        key::HEALTH_PORT,
        "Health",
        r#""Health" is not valid. Expected a port's number, or its name of at most 15 lower-case letters, digits and dashes, for example "8081""#,
    ),
    (
        key::HEALTH_PATH,
        "health",
        r#""health" does not begin with a slash. Expected a path that begins with a slash, for example "/healthz""#,
    ),
    (
        key::HEALTH_PATH,
        "/a b",
        r#""/a b": " " has no place in a base path. Expected a path that begins with a slash, for example "/healthz""#,
    ),
    (
        key::DRAIN_SECONDS,
        "5s",
        r#""5s" is not valid. Expected a whole number of seconds from 0 to 300, for example "15""#,
    ),
    (
        key::DRAIN_SECONDS,
        "301",
        r#""301" is out of range. Expected a whole number of seconds from 0 to 300, for example "15""#,
    ),
    (
        key::MESH,
        "istio",
        r#""istio" is not valid. Expected none or linkerd, for example "linkerd""#,
    ),
    (
        key::ALLOWED_USERS,
        r"a\b\c",
        r#""a\b\c" holds more than one backslash: expected `DOMAIN\USER` or `USER`. Expected a list of Windows accounts or local groups, for example "NT AUTHORITY\LocalService,NT AUTHORITY\NetworkService""#,
    ),
    (
        key::ALLOWED_EXECUTABLES,
        r"apps\*",
        r#""apps\*" is relative: expected an absolute path such as `C:\apps\albums.exe`. Expected a list of absolute paths, or of folders and all below them as C:\apps\*, for example "C:\apps\*,C:\tools\licenced.exe""#,
    ),
    (
        key::ALLOWED_LAUNCHERS,
        "any",
        r#""any" is not valid. Expected a list of native-host, cplauncher and native-host-cplauncher, for example "native-host""#,
    ),
    (
        key::AUTHORIZE,
        "serviceacount",
        r#""serviceacount" is not valid, did you mean "serviceaccount"? Expected none or serviceaccount, for example "serviceaccount""#,
    ),
    (
        key::EXTERNAL_CIDRS,
        "172.19.1.1/24",
        r#""172.19.1.1/24" has host bits: the network is 172.19.1.0/24. Expected a list of networks in CIDR notation, for example "172.19.1.0/24,fd00:172:19::/64""#,
    ),
    (
        key::EXTERNAL_CIDRS,
        "172.19.1.1",
        r#""172.19.1.1" is not a network in CIDR notation. Expected a list of networks in CIDR notation, for example "172.19.1.0/24,fd00:172:19::/64""#,
    ),
    (
        "native-host.io/modes",
        "x",
        "unknown key, did you mean native-host.io/mode?",
    ),
    (
        "native-host.io/foo",
        "x",
        "unknown key; policy keys here are mode, network, launcher, cplauncher-path, cplauncher-dll, launcher-image, launcher-path, launcher-timeout, ip-env, anchor-image, anchor-labels, run-as, containers, node-selector, tolerations, probes, health-port, health-path, drain-seconds, mesh, allowed-users, allowed-executables, allowed-launchers, authorize, external-cidrs",
    ),
    (
        label::WORKLOAD,
        "x",
        "this is a label; move it to metadata.labels",
    ),
    (
        label::ANCHOR,
        "x",
        "this is a label that native-host itself puts on anchors; remove it",
    ),
    (
        annotation::INJECTED,
        "x",
        "native-host itself writes this, on pods; remove it",
    ),
    (
        "native-host.io/external-probe",
        "x",
        "this belongs on a Service",
    ),
];

#[test]
fn a_bad_value_is_told_with_what_was_expected() {
    for (key, value, message) in MESSAGES {
        let expected = format!("annotation {key}: {message}");
        assert_eq!(refusal(namespace(&[(key, value)])), expected);
    }
    for key in &KEYS {
        assert!(
            MESSAGES.iter().any(|(name, ..)| *name == key.name),
            "{} has no case",
            key.name
        );
    }
}

#[test]
fn every_bad_key_is_told_in_one_line_each() {
    let annotations = [
        ("native-host.io/drain-second", "5"),
        (key::PROBES, "none"),
        (key::MODE, "off"),
        ("native-host.io/allowed-user", "x"),
        (key::DRAIN_SECONDS, "\u{202e}5\n6"),
    ];
    let expected = [
        "annotation native-host.io/drain-second: unknown key, did you mean native-host.io/drain-seconds?",
        "annotation native-host.io/mode: \"off\": only a Namespace may set it; remove it from the pod, or annotate the pod's Namespace",
        "annotation native-host.io/allowed-user: unknown key, did you mean native-host.io/allowed-users?",
        "annotation native-host.io/drain-seconds: \"\\u{202e}5\\n6\" is not valid. Expected a whole number of seconds from 0 to 300, for example \"15\"",
    ];
    assert_eq!(refusal(pod(&annotations)), expected.join("\n"));
}

#[test]
fn a_pod_is_told_of_the_keys_that_a_pod_may_set() {
    assert_eq!(
        refusal(pod(&[("native-host.io/foo", "x")])),
        "annotation native-host.io/foo: unknown key; policy keys here are network, launcher, launcher-timeout, \
         ip-env, anchor-labels, run-as, containers, probes, health-port, health-path, drain-seconds, mesh"
    );
}

#[test]
fn a_flag_is_named_as_a_flag() {
    assert_eq!(
        refusal(Policy::builtin().with_flags([(key::MODE, "x")])),
        "--mode: \"x\" is not valid. Expected enforce, warn or off, for example \"warn\""
    );
}

#[test]
fn a_policy_among_the_labels_is_told() {
    let labels = [
        (key::ALLOWED_USERS, "x"),
        ("app", "albums"),
        ("native-host.io/team", "x"),
    ];
    let namespace = Namespace::read(&Policy::builtin(), labels.into_iter(), NONE.into_iter());
    assert_eq!(
        refusal(namespace.policy),
        "label native-host.io/allowed-users: policy is read from annotations; move it to metadata.annotations"
    );
}

#[test]
fn long_values_and_many_errors_are_cut() {
    let long = refusal(namespace(&[(key::MODE, &"x".repeat(100_000))]));
    assert!(long.len() < 400, "{}", long.len());
    let keys: Vec<String> = (0..5000).map(|n| format!("{PREFIX}no-such-{n}")).collect();
    let text = refusal(pod(&keys
        .iter()
        .map(|key| (key.as_str(), ""))
        .collect::<Vec<_>>()));
    assert_eq!(text.lines().count(), 21);
    assert_eq!(text.lines().last(), Some("and 4980 more"));
}
