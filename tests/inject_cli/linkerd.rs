//! `native-host policy`, from manifests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use native_host::admission::offline;
use native_host::names::label;
use native_host::policy::{Namespace, Policy};
use serde_json::Value;

use crate::{Ran, run};

/// The rule that the example is about.
const RULE: &str = "GET /albums-win/* from shop/frontend";
/// What K2s's Windows host asks from: the switch, and the host's own addresses in the pods' network.
const KUBELETS: &str = "172.19.1.1,172.20.1.1,172.20.1.2";

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/zero-trust")
        .join(file)
}

fn policy(arguments: &[&str]) -> Ran {
    let workload = example("workload.yaml");
    let file = ["policy", "-f", workload.to_str().unwrap()];
    run(Path::new("."), &[&file[..], arguments].concat(), "", &[])
}

#[test]
fn the_example_is_what_the_command_prints() {
    let ran = policy(&["albums", "--kubelet", KUBELETS, "--allow", RULE]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let path = example("policy.yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    // What stands before it is for who reads the example.
    let begins = "# Linkerd's policy for workload";
    let heading = text.split(begins).next().unwrap();
    let expected = format!("{heading}{}", ran.stdout);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(
        text == expected,
        "examples/zero-trust/policy.yaml: hack/update-golden writes it anew"
    );
}

#[test]
fn every_server_selects_the_anchors_and_not_the_programs_pods() {
    let ran = policy(&["albums", "-o", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    let text = std::fs::read_to_string(example("workload.yaml")).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let namespace = Namespace {
        policy: Ok(Policy::builtin()),
        pod_security: None,
    };
    let deployment = documents.iter().find(|one| one["kind"] == "Deployment");
    let outcome = offline::mutate(deployment.unwrap(), &namespace).unwrap();
    let [anchor] = outcome.anchors.as_slice() else {
        panic!("{outcome:?}")
    };
    let pod = &outcome.object["spec"]["template"];
    let mut ports = BTreeSet::new();
    for server in list["items"].as_array().unwrap() {
        if server["kind"] != "Server" {
            continue;
        }
        let selector = server["spec"]["podSelector"]["matchLabels"]
            .as_object()
            .unwrap();
        assert!(!selector.is_empty());
        let selects = |pod: &Value| {
            let mut wanted = selector.iter();
            wanted.all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value))
        };
        assert!(selects(anchor) && !selects(pod), "{server}");
        ports.insert(server["spec"]["port"].as_u64().unwrap());
    }
    let declared = anchor["spec"]["containers"][0]["ports"].as_array().unwrap();
    let declared: BTreeSet<u64> = declared
        .iter()
        .map(|port| port["containerPort"].as_u64().unwrap())
        .collect();
    assert_eq!(ports, declared, "a port without a Server is open");
    let of = &list["items"][0]["metadata"]["labels"][label::WORKLOAD];
    assert_eq!(of, "albums");
}

#[test]
fn what_cannot_be_is_said_with_the_way_out_and_its_exit_code() {
    for (arguments, code, said) in [
        (
            &["pictures"][..],
            1,
            "error: there is no workload \"pictures\" among the manifests: expected a pod, or a template of pods, \
             with the label native-host.io/workload: pictures. There are: albums (namespace shop)\n",
        ),
        (
            &["albums", "--allow", "GET /x"],
            2,
            "error: --allow \"GET /x\": it says nothing of who may: expected METHOD PATH [on PORT] from WHO, as in \
             'GET /x/y from shop/frontend', or 'tcp on PORT from WHO'\nSee 'native-host policy --help' for usage.\n",
        ),
        (
            &["albums", "--allow", "GET /x on web from a"],
            1,
            "error: --allow \"GET /x on web from a\": there is no TCP port \"web\"; the workload has http (8080), \
             health (8081)\n",
        ),
    ] {
        let ran = policy(arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (code, "", said)
        );
    }
    let ran = policy(&["albums"]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.stderr
            .starts_with("Warning: the paths of probes are open to every network"),
        "{}",
        ran.stderr
    );
}
