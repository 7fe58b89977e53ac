//! What `deploy/` and `examples/` say, and that it holds together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use native_host::names::{FIELD_MANAGER, LEASE, webhook};
use native_host::policy::{KEYS, Namespace, Policy, parse_cidr};
use serde_json::Value;

use crate::deploy::{apply_with, build, cluster_objects, object, overlay, path};
use crate::stream::SERVICE;
use crate::support::ControlPlane;
use crate::support::install::HOME;
use crate::{PATIENCE, wait_until};

/// Components that need nothing but CRDs, and those.
const COMPONENTS: &[&str] = &["monitoring", "grafana", "anchor-metrics", "external"];

/// Every manifest, component and example as the API server takes it: nothing unknown in it, no warning. Needs the
/// namespace, and all CRDs.
pub fn everything_passes_a_strict_dry_run(plane: &ControlPlane) {
    let dry_run = ["--dry-run=server"];
    for overlay in [
        "deploy",
        "deploy/overlays/self-signed",
        "deploy/overlays/k2s",
    ] {
        apply_with(plane, &path(overlay), &dry_run);
    }
    for component in COMPONENTS {
        apply_with(plane, &with(plane, component), &dry_run);
    }
    let mut examples = Vec::new();
    yaml_files(&path("examples"), &mut examples);
    assert!(examples.len() > 2, "{examples:?}");
    prepare(plane, &examples);
    for example in examples {
        let args = [
            "apply",
            "--validate=strict",
            "--dry-run=server",
            "-f",
            example.to_str().unwrap(),
        ];
        let output = plane.kubectl(&args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && stderr.is_empty(),
            "{}: {stderr}",
            example.display()
        );
    }
}

/// What a dry run leaves no trace of, and others need: namespaces; and the kinds of neighbours.
fn prepare(plane: &ControlPlane, examples: &[PathBuf]) {
    let crds = path("tests/fixtures/crds/linkerd-policy.yaml");
    plane.kubectl_ok(&["apply", "-f", crds.to_str().unwrap()]);
    let known = ["get", "servers,httproutes.policy.linkerd.io", "-A"];
    wait_until("the API server knows them", PATIENCE, || {
        plane.kubectl(&known).status.success().then_some(())
    });
    let mut namespaces = BTreeSet::new();
    for example in examples {
        let text = std::fs::read_to_string(example).unwrap();
        for object in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            let namespace = object["metadata"]["namespace"].as_str();
            namespaces.extend(namespace.map(str::to_owned));
        }
    }
    for name in namespaces {
        let metadata = serde_json::json!({ "name": name });
        let namespace =
            serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        plane.apply(&namespace.to_string());
    }
}

/// Every manifest in a folder, at any depth.
fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Nobody answers the webhook here that has to admit these; tests/external applies them.
        if path.ends_with("examples/external") {
            continue;
        }
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            found.push(path);
        }
    }
}

/// The installation with one of the components.
pub fn with(plane: &ControlPlane, component: &str) -> PathBuf {
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [@/deploy]
components: [@/deploy/components/{component}]
"
    );
    overlay(plane, component, &text)
}

/// Nothing of an installation is there any more, but what was before it.
pub fn nothing_is_left(plane: &ControlPlane, before: &BTreeSet<String>) {
    wait_until("nothing is left of it", PATIENCE, || {
        let now = cluster_objects(plane);
        let ours = |one: &&String| one.contains("native-host");
        let left: Vec<_> = now.difference(before).filter(ours).collect();
        left.is_empty().then_some(())
    });
}

#[test]
fn what_refers_to_what_is_there() {
    let Some(plane) = ControlPlane::shared() else {
        return;
    };
    let all = build(plane, &path("deploy"));
    let service = object(&all, "Service", "native-host");
    let ports = service["spec"]["ports"].as_array().unwrap();
    for name in [webhook::MUTATING, webhook::VALIDATING] {
        let kind = if name == webhook::MUTATING {
            "Mutating"
        } else {
            "Validating"
        };
        let configuration = object(&all, &format!("{kind}WebhookConfiguration"), name);
        let annotations = &configuration["metadata"]["annotations"];
        assert_eq!(
            annotations["cert-manager.io/inject-ca-from"],
            format!("{HOME}/native-host-tls")
        );
        for webhook in configuration["webhooks"].as_array().unwrap() {
            let to = &webhook["clientConfig"]["service"];
            assert_eq!(to["namespace"], service["metadata"]["namespace"]);
            assert_eq!(to["name"], service["metadata"]["name"]);
            assert!(ports.iter().any(|port| port["port"] == to["port"]), "{to}");
        }
    }
    let certificate = object(&all, "Certificate", "native-host-tls");
    assert_eq!(
        certificate["spec"]["dnsNames"],
        serde_json::json!([SERVICE])
    );
    let pod = &object(&all, "Deployment", "native-host")["spec"]["template"];
    assert_eq!(
        pod["spec"]["volumes"][0]["secret"]["secretName"],
        certificate["spec"]["secretName"]
    );
    assert_eq!(service["spec"]["selector"], pod["metadata"]["labels"]);
    let container = &pod["spec"]["containers"][0];
    for port in ports {
        let known = container["ports"].as_array().unwrap();
        assert!(
            known.iter().any(|one| one["name"] == port["targetPort"]),
            "{port}"
        );
    }
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        container["image"],
        format!("registry.native-host.io/native-host:v{version}")
    );
    let leases = object(&all, "Role", "native-host")["rules"]
        .as_array()
        .unwrap();
    assert!(leases.iter().any(|rule| rule["resourceNames"][0] == LEASE));
    assert_eq!(FIELD_MANAGER, HOME, "one name for all");
}

#[test]
fn the_containers_ports_are_what_the_program_listens_on() {
    let Some(plane) = ControlPlane::shared() else {
        return;
    };
    let all = build(plane, &path("deploy"));
    let command = native_host::cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let listens = |flag: &str| {
        let mut all = serve.get_arguments();
        let flag = all.find(|arg| arg.get_long() == Some(flag)).unwrap();
        let default = flag.get_default_values()[0].to_str().unwrap();
        default.rsplit(':').next().unwrap().parse::<u16>().unwrap()
    };
    let pod = &object(&all, "Deployment", "native-host")["spec"]["template"]["spec"];
    let ports = pod["containers"][0]["ports"].as_array().unwrap();
    let said: Vec<_> = ports
        .iter()
        .map(|port| port["containerPort"].as_u64())
        .collect();
    assert_eq!(
        said,
        [listens("listen"), listens("http-listen")].map(|port| Some(port.into()))
    );
    // SIGKILL must not come before the program is done.
    let seconds = |flag: &str| {
        let mut all = serve.get_arguments();
        let flag = all.find(|arg| arg.get_long() == Some(flag)).unwrap();
        let default = flag.get_default_values()[0].to_str().unwrap();
        default.strip_suffix('s').unwrap().parse::<u64>().unwrap()
    };
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > seconds("shutdown-delay") + seconds("shutdown-grace"));
}

#[test]
fn webhooks_come_first_so_that_they_go_first() {
    let Some(plane) = ControlPlane::shared() else {
        return;
    };
    for overlay in [
        "deploy",
        "deploy/overlays/self-signed",
        "deploy/overlays/k2s",
    ] {
        let all = build(plane, &path(overlay));
        let place = |kind: &str| {
            all.iter()
                .position(|object| object["kind"] == kind)
                .unwrap()
        };
        assert!(
            place("MutatingWebhookConfiguration") < place("Namespace"),
            "{overlay}"
        );
        assert!(
            place("ValidatingWebhookConfiguration") < place("Namespace"),
            "{overlay}"
        );
        assert_eq!(place("Deployment"), all.len() - 1, "{overlay}");
    }
}

/// The values in K2s's overlay are flags, and good ones.
#[test]
fn k2s_overlay_is_a_policy() {
    let Some(plane) = ControlPlane::shared() else {
        return;
    };
    let all = build(plane, &path("deploy/overlays/k2s"));
    let pod = &object(&all, "Deployment", "native-host")["spec"]["template"]["spec"];
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let (networks, variables): (Vec<_>, Vec<_>) = variables
        .iter()
        .partition(|variable| variable["name"] == "NATIVE_HOST_CLUSTER_CIDRS");
    let networks = networks[0]["value"].as_str().unwrap().split(',');
    let networks: Vec<_> = networks.map(|one| parse_cidr(one).unwrap()).collect();
    assert_eq!(networks.len(), 2);
    let pairs: Vec<_> = variables
        .iter()
        .map(|variable| {
            let name = variable["name"].as_str().unwrap();
            let key = KEYS.iter().find(|key| {
                let flag = key.flag().replace('-', "_").to_uppercase();
                name == format!("NATIVE_HOST_{flag}")
            });
            (key.expect(name).name, variable["value"].as_str().unwrap())
        })
        .collect();
    assert!(pairs.len() >= 4);
    Policy::builtin().with_flags(pairs).unwrap();
}

#[test]
fn the_example_of_a_namespace_has_every_policy_key_and_is_valid() {
    let text = std::fs::read_to_string(path("examples/namespace.yaml")).unwrap();
    let example: Value = serde_saphyr::from_str(&text).unwrap();
    let map = |of: &Value| -> Vec<(String, String)> {
        let pairs = of.as_object().unwrap().iter();
        pairs
            .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
            .collect()
    };
    let annotations = map(&example["metadata"]["annotations"]);
    let labels = map(&example["metadata"]["labels"]);
    for key in &KEYS {
        assert!(
            annotations.iter().any(|(name, _)| name == key.name),
            "{}",
            key.name
        );
    }
    assert_eq!(annotations.len(), KEYS.len());
    let read = Namespace::read(
        &Policy::builtin(),
        labels.iter().map(|(k, v)| (k.as_str(), v.as_str())),
        annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())),
    );
    read.policy.as_ref().unwrap();
}

#[test]
fn every_file_below_deploy_and_certs_is_in_use() {
    let mut unused = Vec::new();
    for folder in ["deploy", "certs"] {
        walk(&path(folder), &mut unused);
    }
    assert_eq!(unused, Vec::<String>::new());
}

/// Files that their folder's kustomization does not name.
fn walk(folder: &Path, unused: &mut Vec<String>) {
    let kustomization =
        std::fs::read_to_string(folder.join("kustomization.yaml")).unwrap_or_default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            walk(&path, unused);
        } else if name != "kustomization.yaml" && !kustomization.contains(name) {
            unused.push(path.display().to_string());
        }
    }
}
