//! The way of `kubectl apply -k deploy/`: certificates by cert-manager, from the first to the last.

use native_host::names::{annotation, webhook};
use serde_json::{Value, json};

use crate::deploy::{
    apply, assert_no_diff, build, bundles, cluster_objects, configurations, path, point_at,
    uninstall,
};
use crate::instance::{Instance, Mirror, Recipe};
use crate::stream::{Stream, is_trusted, pod};
use crate::support::ControlPlane;
use crate::support::install::HOME;
use crate::{PATIENCE, manifests, monitoring, tools, wait_until};

/// How long certificates are good for here, and when they are renewed: every 5 s.
const SHORT: &str = r#"{"duration": "1m", "renewBefore": "55s", "ipAddresses": ["127.0.0.1"]}"#;

#[test]
fn installed_with_cert_manager_no_create_fails_while_certificates_change() {
    let Some(plane) = ControlPlane::shared() else {
        return;
    };
    let Some(_cert_manager) = tools::start_cert_manager(plane) else {
        return;
    };
    let (deploy, before) = (path("deploy"), cluster_objects(plane));
    let recipe = Recipe::of(&build(plane, &deploy));

    apply(plane, &deploy);
    wait_until("both configurations know the CA", PATIENCE, || {
        let known = |of: &Value| bundles(of).iter().all(|bundle| !bundle.is_empty());
        configurations(plane).iter().all(known).then_some(())
    });
    the_pods_are_let_in(plane);
    manifests::everything_passes_a_strict_dry_run(plane);
    apply(plane, &deploy);
    assert_no_diff(plane, &deploy);

    let short = format!(r#"{{"spec": {SHORT}}}"#);
    let certificate = ["certificate", "native-host-tls", "-n", HOME];
    plane.kubectl_ok(
        &[
            &["patch"],
            &certificate[..],
            &["--type=merge", "-p", &short],
        ]
        .concat(),
    );
    wait_until("the certificate is that of 127.0.0.1 too", PATIENCE, || {
        let status = plane.get(&certificate)["status"].clone();
        (status["revision"].as_u64() >= Some(2)).then_some(())
    });
    let (secret, _) = recipe.mount.clone().unwrap();
    let mirror = Mirror::start(plane, &secret);
    let instances = ["native-host-a", "native-host-b"]
        .map(|name| Instance::start(plane, name, &recipe, mirror.folder(), &[]));
    point_at(plane, [instances[0].https, instances[1].https]);
    let shop = "with-cert-manager";
    make_namespace(plane, shop);
    wait_until("the webhooks are asked", PATIENCE, || injected(plane, shop));

    let ports = [instances[0].https, instances[1].https];
    let stream = Stream::start(plane, shop, &ports);
    let renewed = |times: usize, why: &str| {
        let until = stream.certificates() + times;
        wait_until(why, PATIENCE, || {
            (stream.certificates() >= until).then_some(())
        });
    };
    renewed(3, "three renewals");
    plane.kubectl_ok(&["delete", "secret", &secret, "-n", HOME]);
    renewed(1, "the Secret is made anew and served");
    another_ca(plane, ports);
    stream.end("renewals, a deleted Secret and another CA");

    monitoring::every_metric_is_exposed(
        &instances.iter().map(Instance::metrics).collect::<String>(),
    );
    one_of_them_leads(&instances);
    let stream = Stream::of_creates(plane, shop);
    uninstall(plane, &deploy);
    // The API server hears of the end of each configuration by itself: for a moment it may know only that the mutating one
    // is gone.
    for failure in stream.failures("uninstalled") {
        assert!(
            failure.contains("the mutating webhook did not see it"),
            "{failure}"
        );
    }
    drop((instances, mirror));
    manifests::nothing_is_left(plane, &before);
    a_labelled_pod_is_just_a_pod(plane, shop);
}

/// The API server has let the Deployment's pods in, under Pod Security `restricted`; there is no node for them.
fn the_pods_are_let_in(plane: &ControlPlane) {
    wait_until("the Deployment's pods are created", PATIENCE, || {
        let selector = "-l=app.kubernetes.io/name=native-host";
        let pods = plane.get(&["pods", "-n", HOME, selector]);
        (pods["items"].as_array()?.len() == 2).then_some(())
    });
}

/// Takes the CA away, so that cert-manager makes another, and waits until both instances serve by it.
fn another_ca(plane: &ControlPlane, ports: [u16; 2]) {
    let ca = || {
        let output = plane.kubectl(&["get", "secret", "native-host-ca", "-n", HOME, "-o=json"]);
        let secret: Value = serde_json::from_slice(&output.stdout).ok()?;
        secret["data"]["tls.crt"].as_str().map(str::to_owned)
    };
    let old = ca().unwrap();
    plane.kubectl_ok(&["delete", "secret", "native-host-ca", "-n", HOME]);
    let new = wait_until("there is another CA", PATIENCE, || {
        ca().filter(|ca| *ca != old)
    });
    wait_until("both serve by the new CA", PATIENCE, || {
        ports
            .iter()
            .all(|&port| is_trusted(port, &new))
            .then_some(())
    });
    // Both are trusted: not every replica takes the new pair at the same moment.
    let mutating = &configurations(plane)[0];
    for bundle in bundles(mutating) {
        assert!(certificates_in(bundle).len() >= 2, "{bundle}");
    }
}

/// The certificates in a `caBundle`.
fn certificates_in(bundle: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use base64::Engine as _;
    use rustls::pki_types::pem::PemObject as _;
    let pem = base64::engine::general_purpose::STANDARD
        .decode(bundle)
        .unwrap();
    rustls::pki_types::CertificateDer::pem_slice_iter(&pem)
        .map(Result::unwrap)
        .collect()
}

/// Makes a namespace, ready for pods.
pub fn make_namespace(plane: &ControlPlane, name: &str) {
    let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    plane.apply(&manifest.to_string());
    plane.wait_for(
        &["serviceaccount", "default", "-n", name],
        "{.metadata.name}",
    );
}

/// Whether a labelled pod comes out injected.
pub fn injected(plane: &ControlPlane, namespace: &str) -> Option<()> {
    let args = [
        "create",
        "--dry-run=server",
        "-o=json",
        "-n",
        namespace,
        "-f",
        "-",
    ];
    let output = plane.kubectl_stdin(&args, &json!(pod()).to_string());
    let pod: Value = serde_json::from_slice(&output.stdout).ok()?;
    let annotations = &pod["metadata"]["annotations"];
    annotations[annotation::INJECTED].as_str().map(drop)
}

/// The controller has the rights that it needs to lead.
fn one_of_them_leads(instances: &[Instance; 2]) {
    wait_until("one of them leads", PATIENCE, || {
        let leads = |one: &&Instance| one.metrics().contains("\nnative_host_leader 1");
        (instances.iter().filter(leads).count() == 1).then_some(())
    });
}

/// No webhook is asked any more, and none is missed.
pub fn a_labelled_pod_is_just_a_pod(plane: &ControlPlane, namespace: &str) {
    for name in [webhook::MUTATING, webhook::VALIDATING] {
        let kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
        let found = plane.kubectl_ok(&["get", kinds, "-o=name"]);
        assert!(!found.contains(name), "{found}");
    }
    let args = ["create", "-o=json", "-n", namespace, "-f", "-"];
    let created = wait_until("a labelled pod is created", PATIENCE, || {
        // The API server learns of the webhooks' end a moment later.
        let output = plane.kubectl_stdin(&args, &json!(pod()).to_string());
        serde_json::from_slice::<Value>(&output.stdout).ok()
    });
    assert_eq!(
        created["metadata"]["annotations"].get(annotation::INJECTED),
        None
    );
}
