//! What holds for every pod and policy, however odd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../fuzz/handler.rs"]
mod handler;

mod fixtures;
mod pods;

use fixtures::{answer, patched, review};
use native_host::admission::Door;
use native_host_launcher::Command;
use pods::{Case, UNKNOWN, case, defaulted};
use proptest::prelude::*;
use serde_json::{Value, json};

const TOOLS: [&str; 2] = [
    r"C:\native-host\bin\native-host-launcher.exe",
    r"C:\k\native-host-launcher.exe",
];

/// The pod after `/mutate`, if it was let in.
fn injected(case: &Case) -> Option<Value> {
    let response = answer(Door::Mutate, &case.pod, &case.namespace());
    (response["allowed"] == true).then(|| patched(&case.pod, &response))
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|array| pod["spec"][array].as_array().into_iter().flatten())
}

fn named<'v>(pod: &'v Value, name: &Value) -> Option<&'v Value> {
    containers(pod).find(|container| container["name"] == *name)
}

fn line(container: &Value) -> Vec<String> {
    ["command", "args"]
        .into_iter()
        .flat_map(|array| container[array].as_array().into_iter().flatten())
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

/// What a command line starts in the end.
fn started(line: &[String]) -> Vec<String> {
    if TOOLS.contains(&line[0].as_str())
        && let Ok(Command::Run(run)) = Command::parse(&line[1..])
    {
        return run.argv;
    }
    if line[0] == r"C:\k\bin\cni\cplauncher.exe" {
        let program = line.iter().position(|word| word == "--").unwrap() + 1;
        return line[program..].to_vec();
    }
    line.to_vec()
}

/// Paths and values of all that is unknown to Kubernetes.
fn unknowns(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = format!("{path}/{key}");
                if key == UNKNOWN {
                    found.push((path, value.clone()));
                } else {
                    unknowns(value, &path, found);
                }
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                // By name, since injection moves init containers.
                let name = item["name"].as_str().map_or(i.to_string(), str::to_owned);
                unknowns(item, &format!("{path}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// What no rule of admission may touch, given the pod's own spec and containers.
const UNTOUCHED: [&str; 10] = [
    "restartPolicy",
    "serviceAccountName",
    "schedulerName",
    "priorityClassName",
    "hostname",
    "subdomain",
    "dnsPolicy",
    "imagePullSecrets",
    "topologySpreadConstraints",
    "runtimeClassName",
];
const UNTOUCHED_OF_CONTAINERS: [&str; 8] = [
    "name",
    "image",
    "imagePullPolicy",
    "workingDir",
    "resources",
    "envFrom",
    "restartPolicy",
    "terminationMessagePath",
];

proptest! {
    #[test]
    fn what_is_injected_is_a_fixed_point_and_passes_the_check(case in case()) {
        let Some(pod) = injected(&case) else { return Ok(()) };
        let namespace = case.namespace();
        for stored in [pod.clone(), defaulted(&pod)] {
            let again = answer(Door::Mutate, &stored, &namespace);
            prop_assert_eq!(&again["allowed"], true, "{}", again);
            prop_assert!(again["patch"].is_null(), "{}", patched(&stored, &again));
            let check = answer(Door::Validate, &stored, &namespace);
            prop_assert_eq!(&check["allowed"], true, "{}", check);
        }
    }

    #[test]
    fn what_was_not_injected_never_passes_the_check(case in case()) {
        if case.mode() != Some("off") {
            let check = answer(Door::Validate, &case.pod, &case.namespace());
            prop_assert_eq!(&check["allowed"], false);
        }
    }

    #[test]
    fn unknown_fields_and_those_that_no_rule_names_survive(case in case()) {
        let Some(pod) = injected(&case) else { return Ok(()) };
        let (mut before, mut after) = (Vec::new(), Vec::new());
        unknowns(&case.pod, "", &mut before);
        unknowns(&pod, "", &mut after);
        // A probe, a port and a hook move as a whole, and what is unknown in them goes with them.
        let stays = |path: &str| {
            !["Probe/", "/ports/", "/preStop/"].iter().any(|moved| path.contains(moved))
        };
        for (path, value) in before.iter().filter(|(path, _)| stays(path)) {
            prop_assert!(after.contains(&(path.clone(), value.clone())), "{} is lost", path);
        }
        for field in UNTOUCHED {
            prop_assert_eq!(&pod["spec"][field], &case.pod["spec"][field], "{}", field);
        }
        for container in containers(&case.pod) {
            let same = named(&pod, &container["name"]).unwrap();
            for field in UNTOUCHED_OF_CONTAINERS {
                prop_assert_eq!(&same[field], &container[field], "{}", field);
            }
            // Of the lists nothing is lost, and the order stays.
            for list in ["env", "volumeMounts"] {
                let all = same[list].as_array().into_iter().flatten();
                let mut all = all.clone();
                for wanted in container[list].as_array().into_iter().flatten() {
                    prop_assert!(all.any(|found| found == wanted), "{} of {}", wanted, list);
                }
            }
        }
    }

    #[test]
    fn every_wrapped_line_starts_what_was_asked(case in case()) {
        let Some(pod) = injected(&case) else { return Ok(()) };
        for container in containers(&case.pod) {
            let wrapped = line(named(&pod, &container["name"]).unwrap());
            let asked = line(container);
            if wrapped == asked {
                // The author chose to leave it, or it is an init container.
                prop_assert!(case.mode() == Some("off") || container["name"] != "albums");
            } else {
                prop_assert_eq!(started(&wrapped), asked);
            }
        }
    }

    #[test]
    fn every_container_is_of_the_host_and_has_a_user(case in case()) {
        if case.mode() == Some("off") {
            return Ok(());
        }
        let Some(pod) = injected(&case) else { return Ok(()) };
        prop_assert_eq!(&pod["spec"]["hostNetwork"], true);
        prop_assert_eq!(&pod["spec"]["os"]["name"], "windows");
        prop_assert_eq!(&pod["spec"]["nodeSelector"]["kubernetes.io/os"], "windows");
        let of_pod = &pod["spec"]["securityContext"]["windowsOptions"];
        prop_assert!(of_pod["hostProcess"].is_null());
        for container in containers(&pod) {
            let options = &container["securityContext"]["windowsOptions"];
            prop_assert_eq!(&options["hostProcess"], true, "{}", container);
            let user = options["runAsUserName"].as_str().or(of_pod["runAsUserName"].as_str());
            prop_assert!(user.is_some_and(|user| !user.is_empty()), "{}", container);
        }
    }

    /// The generator knows one allowed folder, `C:\apps`, and writes paths outside of it too.
    #[test]
    fn a_guard_rail_lets_nothing_else_run(case in case()) {
        let rail = case.policy("allowed-executables");
        if rail.is_none() || matches!(case.mode(), Some("off" | "warn")) {
            return Ok(());
        }
        let Some(pod) = injected(&case) else { return Ok(()) };
        for container in containers(&pod) {
            if container["name"] == "native-host-launcher" {
                continue;
            }
            let mut lines = vec![started(&line(container))];
            for exec in ["livenessProbe", "readinessProbe", "startupProbe"]
                .map(|probe| &container[probe]["exec"])
                .into_iter()
                .chain(["preStop", "postStart"].map(|hook| &container["lifecycle"][hook]["exec"]))
            {
                let command = json!({ "command": exec["command"] });
                lines.extend(Some(line(&command)).filter(|line| !line.is_empty()));
            }
            for line in lines {
                if TOOLS.contains(&line[0].as_str()) {
                    let command = Command::parse(&line[1..]).unwrap();
                    prop_assert!(matches!(command, Command::Stop(_) | Command::Probe(_)));
                    continue;
                }
                let program = line[0].replace('/', r"\").to_lowercase();
                prop_assert!(program.starts_with(r"c:\apps\"), "{} runs", program);
                prop_assert!(!program.contains("..") && !program.contains('~'));
                let mounts = container["volumeMounts"].as_array().into_iter().flatten();
                for mount in mounts.map(|mount| mount["mountPath"].as_str().unwrap()) {
                    let mount = mount.replace('/', r"\").to_lowercase();
                    let path = program.strip_prefix("c:").unwrap();
                    let below = path.strip_prefix(mount.trim_start_matches("c:"));
                    let over = below.is_some_and(|rest| rest.starts_with('\\'));
                    prop_assert!(!over, "{} lies over {}", mount, program);
                }
            }
        }
    }

    #[test]
    fn changed_and_cut_reviews_are_answered(
        case in case(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = serde_json::to_vec(&review(&case.pod, "CREATE")).unwrap();
        handler::every_door(&body[..cut.index(body.len())]);
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        handler::every_door(&body);
    }

    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..300)) {
        handler::every_door(&body);
    }
}

/// The generator is of use only if many of its pods are let in, and many are not.
#[test]
fn the_generator_reaches_both_sides() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let cases = 400;
    let accepted = (0..cases)
        .filter(|_| injected(&case().new_tree(&mut runner).unwrap().current()).is_some())
        .count();
    assert!(
        (cases / 5..cases * 4 / 5).contains(&accepted),
        "{accepted} of {cases}"
    );
}
