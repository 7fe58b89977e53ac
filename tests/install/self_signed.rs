//! The try-out without cert-manager: `kubectl apply -k deploy/overlays/self-signed`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use native_host::admission::self_signed::Authority;
use serde_json::{Value, json};

use crate::certificates::{a_labelled_pod_is_just_a_pod, injected, make_namespace};
use crate::deploy::{
    apply, assert_no_diff, build, bundles, cluster_objects, configurations, path, point_at,
    uninstall,
};
use crate::instance::{Instance, Recipe};
use crate::stream::{Stream, is_trusted};
use crate::support::install::HOME;
use crate::support::{ControlPlane, Options};
use crate::{PATIENCE, manifests, wait_until};

#[test]
fn without_cert_manager_replicas_share_a_ca_and_publish_it() {
    // One of its own: two installations of the same names.
    let Some(plane) = ControlPlane::start_or_skip(&Options::default()) else {
        return;
    };
    let plane = &plane;
    let (overlay, before) = (path("deploy/overlays/self-signed"), cluster_objects(plane));
    let recipe = Recipe::of(&build(plane, &overlay));
    assert_eq!(recipe.mount, None);

    apply(plane, &overlay);
    // Both at once: one makes the CA, the other takes it.
    let instances = std::thread::scope(|scope| {
        let start = |name| Instance::start(plane, name, &recipe, plane.folder(), MORE);
        let instances =
            ["self-signed-a", "self-signed-b"].map(|name| scope.spawn(move || start(name)));
        instances.map(|instance| instance.join().unwrap())
    });
    let ports = [instances[0].https, instances[1].https];
    let shared = ca(plane).unwrap();
    published(plane, &shared);
    for port in ports {
        assert!(is_trusted(port, &shared));
    }
    assert_no_diff(plane, &overlay);
    apply(plane, &overlay);
    published(plane, &shared);

    point_at(plane, ports);
    let shop = "self-signed";
    make_namespace(plane, shop);
    wait_until("the webhooks are asked", PATIENCE, || injected(plane, shop));
    let stream = Stream::start(plane, shop, &ports);
    // Whoever finds the Secret gone puts back what serves.
    plane.kubectl_ok(&["delete", "secret", "native-host-ca", "-n", HOME]);
    let again = wait_until("the Secret is back", PATIENCE, || ca(plane));
    assert_eq!(again, shared);
    stream.end("a deleted CA");

    // Configurations that are made anew know nothing of it.
    plane.remove_webhooks();
    apply(plane, &overlay);
    published(plane, &shared);

    // Somebody else's CA is everybody's, too.
    let other = Authority::new().unwrap();
    let data = [("tls.crt", other.pem()), ("tls.key", other.key_pem())];
    let data: Value = data
        .map(|(file, text)| (file, STANDARD.encode(text)))
        .into_iter()
        .collect();
    let patch = json!({"data": data}).to_string();
    plane.kubectl_ok(&[
        "patch",
        "secret",
        "native-host-ca",
        "-n",
        HOME,
        "-p",
        &patch,
    ]);
    let other = STANDARD.encode(other.pem());
    published(plane, &other);
    wait_until("both serve by the other CA", PATIENCE, || {
        ports
            .iter()
            .all(|&port| is_trusted(port, &other))
            .then_some(())
    });

    drop(instances);
    uninstall(plane, &overlay);
    manifests::nothing_is_left(plane, &before);
    a_labelled_pod_is_just_a_pod(plane, shop);
}

/// Without a Service the address that is called is this one.
const MORE: &[&str] = &["--self-signed-name=127.0.0.1"];

/// The CA's certificate as the Secret has it.
fn ca(plane: &ControlPlane) -> Option<String> {
    let output = plane.kubectl(&["get", "secret", "native-host-ca", "-n", HOME, "-o=json"]);
    let secret: Value = serde_json::from_slice(&output.stdout).ok()?;
    secret["data"]["tls.crt"].as_str().map(str::to_owned)
}

/// Waits until it is in every webhook's `caBundle`.
fn published(plane: &ControlPlane, ca: &str) {
    wait_until("the CA is in every caBundle", PATIENCE, || {
        let all = configurations(plane);
        let has = |of: &Value| bundles(of).iter().all(|bundle| *bundle == ca);
        all.iter().all(has).then_some(())
    });
}
