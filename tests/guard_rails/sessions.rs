//! `kubectl exec`, `attach`, `port-forward`, the proxy and `kubectl debug`: ways onto the node that no
//! guard rail has judged.

use native_host::names::{admission_policy as rail, right};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::caller::{Answer, Caller, Doors, dry, passes, pods};
use crate::stage::{FREE, GUARDED, Stage, debugger};
use crate::support::wait_until;
use crate::world::name;

/// The sessions, and how each is begun.
const SESSIONS: [(&str, &str); 4] = [
    ("exec", "exec?command=cmd&container=albums"),
    ("attach", "attach?container=albums"),
    ("portforward", "portforward?ports=80"),
    ("proxy", "proxy/"),
];

fn begin(caller: &Caller, namespace: &str, pod: &str, how: &str) -> Answer {
    let path = pods(namespace, &format!("{pod}/{how}"));
    if how.starts_with("proxy") {
        caller.get(&path)
    } else {
        caller.post(&path, &Value::Null)
    }
}

#[test]
fn no_session_reaches_the_host_past_guard_rails() {
    let Some(stage) = Stage::shared() else { return };
    let mut doors = Doors::default();
    let anchor = stage.anchor(GUARDED);
    for (kind, how) in SESSIONS {
        let says =
            format!("pods/{kind}: this namespace has guard rails for what runs on its nodes");
        let answer = begin(&stage.jane, GUARDED, "albums", how);
        doors.shut_by(kind, rail::SESSIONS, &says, answer);
        passes(kind, &begin(&stage.jane, FREE, "albums", how));
        // What is not on the host is not guarded.
        passes(kind, &begin(&stage.jane, GUARDED, name(&anchor), how));
        passes(kind, &begin(&stage.jane, GUARDED, "plain", how));
        passes(kind, &begin(&stage.admin, GUARDED, "albums", how));
    }
}

#[test]
fn no_container_is_added_past_guard_rails() {
    let Some(stage) = Stage::shared() else { return };
    let mut doors = Doors::default();
    let debug = debugger(r"NT AUTHORITY\SYSTEM");
    let path = |namespace| dry(namespace, "albums/ephemeralcontainers");
    let answer = stage.jane.strategic(&path(GUARDED), &debug);
    let says = "spec.ephemeralContainers: this namespace has guard rails";
    doors.shut_by("an ephemeral container", rail::DEBUGGING, says, answer);
    for (who, answer) in [
        (
            "without guard rails",
            stage.jane.strategic(&path(FREE), &debug),
        ),
        (
            "the administrator",
            stage.admin.strategic(&path(GUARDED), &debug),
        ),
    ] {
        assert!(answer.is_ok(), "{who}: {answer:?}");
    }
}

#[test]
fn who_was_given_the_right_may_begin_just_that_session() {
    let Some(stage) = Stage::shared() else { return };
    let kim = Caller::named(stage.plane, "kim", &[]);
    let group = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "Role",
        "metadata": {"name": "on-call", "namespace": GUARDED},
        "rules": [{
            "apiGroups": [right::GROUP], "resources": [right::WORKLOADS],
            "resourceNames": ["albums"], "verbs": ["exec", "debug"],
        }],
    });
    let given = json!({
        "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
        "metadata": {"name": "on-call", "namespace": GUARDED},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "on-call"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "kim"}],
    });
    for object in [&role, &given] {
        stage.plane.apply(&object.to_string());
    }
    let shut = format!("ValidatingAdmissionPolicy '{}'", rail::SESSIONS);
    wait_until("kim has the right", PATIENCE, || {
        let answer = begin(&kim, GUARDED, "albums", SESSIONS[0].1);
        let refused = answer.is_err_and(|refused| {
            refused.message.contains(&shut) || refused.message.contains(" cannot ")
        });
        (!refused).then_some(())
    });
    let debug = debugger(r"NT AUTHORITY\SYSTEM");
    let added = kim.strategic(&dry(GUARDED, "albums/ephemeralcontainers"), &debug);
    assert!(added.is_ok(), "{added:?}");
    let mut doors = Doors::default();
    let attached = begin(&kim, GUARDED, "albums", SESSIONS[1].1);
    doors.shut_by("attach", rail::SESSIONS, "verb attach", attached);
}
