//! Who may use an account: the pod's ServiceAccount, asked of RBAC.

use native_host::names::{policy as key, right};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::caller::{Caller, Doors, dry};
use crate::stage::{Stage, binding};
use crate::support::wait_until;
use crate::world::{bare, deployment};

const ASKS: (&str, &str) = (key::AUTHORIZE, "serviceaccount");
const GROUP: &str = "rbac.authorization.k8s.io";

fn pod(service_account: &str) -> Value {
    let text = bare("asking").replace("@/", native_host::names::PREFIX);
    let mut pod: Value = serde_saphyr::from_str(&text).unwrap();
    pod["spec"]["serviceAccountName"] = json!(service_account);
    pod
}

/// A Role with the right to use an account, and who has it.
fn right_to(namespace: &str, account: &str, subject: &Value) -> [Value; 2] {
    let role = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "Role",
        "metadata": {"name": "run-as", "namespace": namespace},
        "rules": [{
            "apiGroups": [right::GROUP], "resources": [right::ACCOUNTS],
            "resourceNames": [account], "verbs": [right::USE],
        }],
    });
    let given = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "RoleBinding",
        "metadata": {"name": "run-as", "namespace": namespace},
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "run-as"},
        "subjects": [subject],
    });
    [role, given]
}

/// Waits until a pod of a ServiceAccount is, or is not, let pass.
fn until(stage: &Stage, namespace: &str, service_account: &str, allowed: bool) {
    let what = format!("{service_account} may: {allowed}");
    wait_until(&what, PATIENCE, || {
        let answer = stage.jane.post(&dry(namespace, ""), &pod(service_account));
        (answer.is_ok() == allowed).then_some(())
    });
}

const DENIED: &str = r#"spec.serviceAccountName: "default": this ServiceAccount may not use the account NT AUTHORITY\SYSTEM: a Role in the namespace must grant it the verb use on accounts."#;

#[test]
fn a_pod_runs_as_what_its_service_account_may_use() {
    let Some(stage) = Stage::shared() else { return };
    let ns = "asked";
    stage.namespace(ns, &[ASKS]);
    stage
        .plane
        .kubectl_ok(&["create", "serviceaccount", "runner", "-n", ns]);
    until(stage, ns, "default", false);
    let mut doors = Doors::default();
    let answer = stage.jane.post(&dry(ns, ""), &pod("default"));
    doors.shut(
        "the default one",
        &[DENIED, r"named 'nt authority\system'"],
        answer,
    );

    let subject = json!({"kind": "ServiceAccount", "name": "runner", "namespace": ns});
    for object in right_to(ns, r"nt authority\system", &subject) {
        stage.plane.apply(&object.to_string());
    }
    until(stage, ns, "runner", true);
    let answer = stage.jane.post(&dry(ns, ""), &pod("default"));
    doors.shut("still the default one", &[DENIED], answer);
    let mut other = pod("runner");
    other["spec"]["securityContext"] =
        json!({"windowsOptions": {"runAsUserName": r"NT AUTHORITY\Local Service"}});
    let answer = stage.jane.post(&dry(ns, ""), &other);
    doors.shut(
        "another account",
        &[r"named 'nt authority\localservice'"],
        answer,
    );
    // In earnest too, with its anchor.
    let mut running = pod("runner");
    running["metadata"]["name"] = json!("running");
    stage.world.apply(ns, &running.to_string());
    let (_, anchors) = stage.world.pairs(ns, 1);
    assert_eq!(anchors[0]["spec"]["serviceAccountName"], "runner");

    stage
        .world
        .kubectl(ns, &["delete", "rolebinding", "run-as"]);
    until(stage, ns, "runner", false);
    // To all of a namespace, by their group.
    let group =
        json!({"kind": "Group", "name": format!("system:serviceaccounts:{ns}"), "apiGroup": GROUP});
    stage
        .plane
        .apply(&right_to(ns, r"nt authority\system", &group)[1].to_string());
    until(stage, ns, "default", true);
}

#[test]
fn a_workload_is_warned_of_and_mode_warn_only_warns() {
    let Some(stage) = Stage::shared() else { return };
    let manifest = deployment("albums", 0).replace("@/", native_host::names::PREFIX);
    for (ns, policy, warning) in [
        (
            "asked-templates",
            vec![ASKS],
            r#"Warning: pods will be refused: spec.template.spec.serviceAccountName: "default": this ServiceAccount may not use"#,
        ),
        (
            "asked-mildly",
            vec![ASKS, (key::MODE, "warn")],
            r#"Warning: spec.template.spec.serviceAccountName: "default": this ServiceAccount may not use"#,
        ),
    ] {
        stage.namespace(ns, &policy);
        let args = ["apply", "--dry-run=server", "-n", ns, "-f", "-"];
        wait_until(&format!("a warning in {ns}"), PATIENCE, || {
            let output = stage.plane.kubectl_stdin(&args, &manifest);
            assert!(output.status.success());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            said.contains(warning).then_some(())
        });
    }
    until(stage, "asked-mildly", "default", true);
}

#[test]
fn nobody_grants_what_they_do_not_have() {
    let Some(stage) = Stage::shared() else { return };
    let ns = "asked-upwards";
    stage.namespace(ns, &[ASKS]);
    // Even who administers the namespace, and may write Roles.
    let ann = Caller::named(stage.plane, "ann", &[]);
    stage.plane.apply(&binding("ann", "admin").to_string());
    let subject = json!({"kind": "ServiceAccount", "name": "default", "namespace": ns});
    let [role, _] = right_to(ns, r"nt authority\system", &subject);
    let roles = format!("/apis/{GROUP}/v1/namespaces/{ns}/roles?dryRun=All");
    let mut doors = Doors::default();
    let says = ["is attempting to grant RBAC permissions not currently held"];
    doors.shut(
        "a namespace's administrator",
        &says,
        ann.post(&roles, &role),
    );
    let answer = stage.jane.post(&roles, &role);
    doors.shut("an editor", &[" cannot create resource \"roles\""], answer);
}
