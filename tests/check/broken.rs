//! One thing after the other is broken, and mended again.

use std::process::{Command, Stdio};
use std::time::Duration;

use native_host::admission::self_signed::Authority;
use native_host::names::{annotation, install};
use serde_json::json;

use crate::PATIENCE;
use crate::support::install::HOME;
use crate::support::wait_until;
use crate::world::{World, manifest, names, node};

#[test]
fn a_certificate_that_expired_is_told() {
    let Some(world) = World::alone() else { return };
    let expired = world
        .authority
        .issue_pem_for(&names(), Duration::ZERO)
        .unwrap();
    world.secret(&expired);
    let hint = world.until_failed("serving-certificate", "it expired at");
    assert!(hint.contains("kubectl describe certificates"), "{hint}");
    // As a person reads it.
    let text = world.check(&[]);
    assert_eq!(text.code, 1);
    assert!(
        text.stdout.contains("\n× the serving certificate is valid"),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout
            .contains("\n    see docs/check.md#serving-certificate\n"),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.ends_with("\nStatus check results are ×\n"),
        "{}",
        text.stdout
    );
    world.secret(&world.pair);
    world.until_well();
}

#[test]
fn a_certificate_for_another_name_is_told_and_none_at_all_too() {
    let Some(world) = World::alone() else { return };
    let other = world
        .authority
        .issue_pem(&["native-host.else.svc".to_owned()])
        .unwrap();
    world.secret(&other);
    world.until_failed("serving-certificate", "not for the name 127.0.0.1");
    world.kubectl(&["delete", "secret", install::SERVING_SECRET, "-n", HOME]);
    let ran = world.report();
    assert_eq!(
        (ran.code, ran.said("serving-certificate").0.as_str()),
        (0, "warning")
    );
    world.secret(&world.pair);
    world.until_well();
}

#[test]
fn a_ca_bundle_of_another_ca_is_told_and_the_api_server_says_it_too() {
    let Some(world) = World::alone() else { return };
    let other = Authority::new().unwrap();
    world.register(&other.pem());
    world.until_failed("serving-certificate", "does not hold who signed it");
    let hint = world.until_failed("webhook-reached", "x509");
    assert!(hint.contains("see ca-bundle"), "{hint}");
    world.register(&world.authority.pem());
    world.until_well();
}

#[test]
fn a_webhook_that_is_away_is_told_and_waited_for() {
    let Some(mut world) = World::alone() else {
        return;
    };
    world.program.kill();
    let hint = world.until_failed("webhook-reached", "connection refused");
    assert!(hint.contains("deployment-available"), "{hint}");
    world.until_failed("controller-leads", "has not renewed it for");
    let mut waits = Command::new(env!("CARGO_BIN_EXE_native-host"))
        .args(["check", "--wait=10m", "-o", "json", "--kubeconfig"])
        .arg(world.plane.kubeconfig())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It does not give up while something fails: a check of its own has failed meanwhile.
    assert_eq!(world.report().code, 1);
    assert!(waits.try_wait().unwrap().is_none(), "it waits");
    world.program.begin();
    let waited = waits.wait_with_output().unwrap();
    let said = String::from_utf8(waited.stdout).unwrap();
    assert!(waited.status.success(), "{said}");
    assert!(said.contains("\"result\": \"ok\""), "{said}");
    world.until_well();
}

#[test]
fn configurations_that_differ_or_are_gone_are_told() {
    let Some(world) = World::alone() else { return };
    let loose = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
    let configuration = "mutatingwebhookconfiguration/a.native-host.io";
    world.kubectl(&[
        "patch",
        configuration,
        "--type=json",
        "-p",
        &loose.to_string(),
    ]);
    let found = "webhook pods.native-host.io: failurePolicy is \"Ignore\"";
    let hint = world.until_failed("webhook-configurations", found);
    assert!(hint.contains("kubectl apply -k deploy/"), "{hint}");
    world.kubectl(&["delete", configuration]);
    world.until_failed("webhook-configurations", "a.native-host.io is not there");
    world.until_failed("webhook-reached", "was not injected");
    world.register(&world.authority.pem());
    world.until_well();
}

#[test]
fn a_deployment_that_is_gone_is_told() {
    let Some(world) = World::alone() else { return };
    let ran = world.check(&["--install-namespace", "elsewhere", "-o", "json"]);
    assert_eq!(ran.code, 1);
    let (mark, found, hint) = ran.said("deployment-available");
    assert_eq!(mark, "failed");
    assert!(
        found.contains("no Deployment native-host in namespace elsewhere"),
        "{found}"
    );
    assert!(hint.contains("--install-namespace"), "{hint}");
    assert_eq!(ran.said("controller-leads").0, "failed");
    assert_eq!(ran.said("rbac-complete").0, "failed", "another account");
}

#[test]
fn a_role_that_is_missing_is_told_right_by_right() {
    let Some(world) = World::alone() else { return };
    world.kubectl(&["delete", "rolebinding", "native-host", "-n", HOME]);
    let found = "native-host/native-host may not create leases.coordination.k8s.io in namespace native-host";
    let hint = world.until_failed("rbac-complete", found);
    assert!(hint.contains("deploy/base/rbac.yaml"), "{hint}");
    let (_, found, _) = world.report().said("rbac-complete");
    assert!(
        !found.contains("pods"),
        "of the ClusterRole nothing is missing: {found}"
    );
    world.kubectl(&["apply", "-f", &manifest("rbac.yaml")]);
    world.until_well();
}

#[test]
fn a_guard_rail_that_is_missing_or_loose_is_told() {
    let Some(world) = World::alone() else { return };
    let binding = "validatingadmissionpolicybinding/anchors-by-role.native-host.io";
    let loose = json!({"spec": {"validationActions": ["Audit"]}}).to_string();
    world.kubectl(&["patch", binding, "--type=merge", "-p", &loose]);
    let found =
        "anchors.native-host.io: its binding anchors-by-role.native-host.io only does [\"Audit\"]";
    world.until_failed("policies-in-force", found);
    world.kubectl(&[
        "delete",
        "validatingadmissionpolicy",
        "anchors.native-host.io",
    ]);
    let hint = world.until_failed("policies-in-force", "anchors.native-host.io is not there");
    assert!(hint.contains("deploy/base/policies.yaml"), "{hint}");
    world.guard_rails();
    world.until_well();
}

#[test]
fn nodes_that_are_too_old_are_told() {
    let Some(world) = World::alone() else { return };
    let old = json!({"status": {"nodeInfo": {"containerRuntimeVersion": "containerd://1.7.18"}}});
    world.plane.apply(&node(&old));
    let hint = world.until_failed("nodes-containerd", "win-2: it runs containerd://1.7.18");
    assert!(hint.contains("cordon"), "{hint}");
    world.kubectl(&["delete", "node", "win-2"]);
    let server_2019 =
        json!({"metadata": {"labels": {native_host::names::label::WINDOWS_BUILD: "10.0.17763"}}});
    world.plane.apply(&node(&server_2019));
    let ran = world.report();
    assert_eq!(
        (ran.code, ran.said("nodes-build").0.as_str()),
        (0, "warning"),
        "one of two"
    );
    world.kubectl(&["delete", "node", "win-1"]);
    world.until_failed("nodes-build", "win-2: its build is 17763");
    world.kubectl(&["delete", "node", "win-2"]);
    world.plane.windows_node("win-1");
    world.until_well();
}

#[test]
fn pod_security_that_refuses_workloads_is_told() {
    let Some(world) = World::alone() else { return };
    let low = "{pod-security.kubernetes.io/enforce: baseline}";
    world.namespace("strict", "{'@/mode': warn}", low);
    let hint = world.until_failed("pod-security", "strict: it enforces the level baseline");
    assert!(hint.contains("enforce=privileged"), "{hint}");
    // What the dry run meets there is no fault of the installation.
    let ran = world.check(&["-n", "strict", "-o", "json"]);
    let (mark, found, _) = ran.said("webhook-reached");
    assert!(
        mark == "warning" && found.contains("PodSecurity"),
        "{found}"
    );
    world.kubectl(&[
        "label",
        "namespace",
        "strict",
        "pod-security.kubernetes.io/enforce-",
    ]);
    world.until_well();
}

/// cert-manager's kind, as far as a status goes.
fn define_certificates(world: &World) {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "certificates.cert-manager.io"},
        "spec": {"group": "cert-manager.io", "scope": "Namespaced",
            "names": {"plural": "certificates", "singular": "certificate", "kind": "Certificate"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "properties": {"spec": open, "status": open}}}}]},
    });
    world.apply(&definition.to_string());
    let crd = "crd/certificates.cert-manager.io";
    world.kubectl(&["wait", "--for=condition=Established", "--timeout=120s", crd]);
}

#[test]
fn what_cert_manager_says_of_its_certificates_is_told() {
    let Some(world) = World::alone() else { return };
    // As the manifests have it: cainjector is to fill in the CA.
    let configuration = "mutatingwebhookconfiguration/a.native-host.io";
    let wants = format!("{}=native-host/native-host-tls", annotation::INJECT_CA_FROM);
    world.kubectl(&["annotate", configuration, &wants]);
    let hint = world.until_failed("cert-manager-served", "cert-manager.io/v1 is not served");
    assert!(hint.contains("Install cert-manager"), "{hint}");
    define_certificates(&world);
    world.until_failed(
        "certificates-ready",
        "no Certificate in namespace native-host",
    );
    let certificate = |ready: &str, ends: &str| {
        let certificate = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": "native-host-tls", "namespace": HOME}, "spec": {},
            "status": {"notAfter": ends, "conditions": [
                {"type": "Ready", "status": ready, "reason": "Issuing", "message": "there is no Issuer"}]},
        });
        world.apply(&certificate.to_string());
    };
    certificate("False", "2999-01-01T00:00:00Z");
    let hint = world.until_failed("certificates-ready", "Issuing: there is no Issuer");
    assert!(hint.contains("kubectl describe certificates"), "{hint}");
    certificate("True", "2001-01-01T00:00:00Z");
    world.until_failed("certificates-ready", "it expired at 2001-01-01T00:00:00Z");
    certificate("True", "2999-01-01T00:00:00Z");
    world.until_well();
    // Its Secret is what it is to make.
    world.kubectl(&["delete", "secret", install::SERVING_SECRET, "-n", HOME]);
    let found = "there is no Secret native-host/native-host-tls";
    world.until_failed("serving-certificate", found);
    world.secret(&world.pair);
    let unasked = format!("{}-", annotation::INJECT_CA_FROM);
    world.kubectl(&["annotate", configuration, &unasked]);
    world.kubectl(&["delete", "crd", "certificates.cert-manager.io"]);
    wait_until("cert-manager is gone", PATIENCE, || {
        let ran = world.check(&["--pre", "-o", "json"]);
        (ran.said("cert-manager-served").0 == "warning").then_some(())
    });
    world.until_well();
}
