//! A cluster with guard rails, and who is in it.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use native_host::admission::self_signed::Authority;
use native_host::names::{admission_policy as rail, annotation, label, policy as key};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::caller::{Answer, Caller, dry, pods};
use crate::support::process::Scratch;
use crate::support::{ControlPlane, Options, wait_until};
use crate::world::{World, bare};

/// The namespace with guard rails, and the one without. In each there is a pair, of the pod `albums`, and
/// an ordinary pod, `plain`.
pub const GUARDED: &str = "vault";
pub const FREE: &str = "meadow";

/// What GUARDED says.
pub const RAILS: &[(&str, &str)] = &[
    (key::ALLOWED_USERS, r"NT AUTHORITY\SYSTEM"),
    (key::ALLOWED_EXECUTABLES, r"C:\apps\*"),
];

/// What the API server calls itself towards webhooks.
const API_SERVER: &str = "kube-apiserver-webhook";

type Attempt<'s> = Box<dyn Fn() -> Answer + 's>;

/// See the module.
pub struct Stage {
    pub world: World,
    pub plane: &'static ControlPlane,
    /// The administrator.
    pub admin: Caller,
    /// Has `edit` in every namespace, and the right to `kubectl debug`, which `edit` does not include.
    pub jane: Caller,
}

impl Stage {
    /// The one that all tests share.
    pub fn shared() -> Option<&'static Self> {
        static PLANE: OnceLock<Option<ControlPlane>> = OnceLock::new();
        static FILES: OnceLock<WebhookAccess> = OnceLock::new();
        static STAGE: OnceLock<Stage> = OnceLock::new();
        // One that did not come up will not the next time, and each try takes its time.
        static TRIED: AtomicBool = AtomicBool::new(false);
        let files = FILES.get_or_init(WebhookAccess::new);
        let plane = PLANE.get_or_init(|| ControlPlane::start_or_skip(&files.options()));
        let plane = plane.as_ref()?;
        Some(STAGE.get_or_init(|| {
            assert!(
                !TRIED.swap(true, Ordering::Relaxed),
                "the stage did not come up"
            );
            Self::on(plane, files)
        }))
    }

    fn on(plane: &'static ControlPlane, files: &WebhookAccess) -> Self {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            plane.keep_logs();
            report(panic);
        }));
        let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base/policies.yaml");
        plane.kubectl_ok(&["apply", "--validate=strict", "-f", policies]);
        let debuggers = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "debuggers"},
            "rules": [{
                "apiGroups": [""], "resources": ["pods/ephemeralcontainers"],
                "verbs": ["patch", "update"],
            }],
        });
        plane.apply(&debuggers.to_string());
        for who in ["jane", "kim"] {
            for role in ["edit", "debuggers"] {
                plane.apply(&binding(who, role).to_string());
            }
        }
        let ca = format!("--client-ca={}", files.file("ca.crt").display());
        let named = format!("--client-name={API_SERVER}");
        let stage = Stage {
            world: World::on(plane, &[&ca, &named]),
            plane,
            admin: Caller::of(plane.kubeconfig()),
            jane: Caller::named(plane, "jane", &[]),
        };
        for (namespace, rails) in [(GUARDED, RAILS), (FREE, &[])] {
            stage.namespace(namespace, rails);
            stage.world.apply(namespace, &bare("albums"));
        }
        for namespace in [GUARDED, FREE] {
            stage.world.pairs(namespace, 1);
            let made = stage.jane.post(&pods(namespace, ""), &plain("plain"));
            made.unwrap();
        }
        stage.until_in_force();
        stage
    }

    /// Makes a namespace whose policy is this.
    pub fn namespace(&self, name: &str, policy: &[(&str, &str)]) {
        self.world.namespace(name);
        let policy: Value = policy
            .iter()
            .map(|(k, v)| ((*k).to_owned(), json!(v)))
            .collect();
        let patch = json!({"metadata": {"annotations": policy}});
        let path = format!("/api/v1/namespaces/{name}");
        self.admin.merge(&path, &patch).unwrap();
    }

    /// A pod as it is now.
    pub fn pod(&self, namespace: &str, name: &str) -> Value {
        self.admin.get(&pods(namespace, name)).unwrap()
    }

    /// The anchor of the pod `albums`.
    pub fn anchor(&self, namespace: &str) -> Value {
        self.world.pods(namespace).1.remove(0)
    }

    /// Who holds the controller's token.
    pub fn thief(&self) -> Caller {
        Caller::of(&self.plane.program_kubeconfig("thief", None))
    }

    /// Policies hold a moment after they are applied: each has to refuse once what it is there for.
    fn until_in_force(&self) {
        let forged = json!({"metadata": {"annotations": {annotation::ANCHOR_STATUS: "forged"}}});
        let mut anchor = plain("x");
        anchor["metadata"]["labels"] = json!({label::ROLE: label::ROLE_ANCHOR});
        let (jane, thief) = (&self.jane, self.thief());
        let debug = debugger(r"NT AUTHORITY\SYSTEM");
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "x"},
            "addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}],
        });
        let slices =
            format!("/apis/discovery.k8s.io/v1/namespaces/{FREE}/endpointslices?dryRun=All");
        let tries: [(&str, Attempt<'_>); 8] = [
            (
                rail::WORKLOADS,
                Box::new(|| jane.merge(&dry(FREE, "albums"), &forged)),
            ),
            (
                rail::ANCHORS,
                Box::new(|| jane.post(&dry(FREE, ""), &anchor)),
            ),
            (
                rail::BINDINGS,
                Box::new(|| {
                    let binding = node_binding("plain", &forged["metadata"]["annotations"]);
                    self.admin.post(&dry(FREE, "plain/binding"), &binding)
                }),
            ),
            (
                rail::CONTROLLER,
                Box::new(|| thief.post(&dry(FREE, ""), &plain("x"))),
            ),
            (rail::EXTERNAL, Box::new(|| thief.post(&slices, &slice))),
            (
                rail::HOST_PROCESS,
                Box::new(|| jane.post(&dry(GUARDED, ""), &by_hand("x"))),
            ),
            (
                rail::DEBUGGING,
                Box::new(|| {
                    let path = dry(GUARDED, "albums/ephemeralcontainers");
                    jane.strategic(&path, &debug)
                }),
            ),
            (
                rail::SESSIONS,
                Box::new(|| jane.post(&pods(GUARDED, "albums/exec?command=cmd"), &Value::Null)),
            ),
        ];
        assert_eq!(tries.len(), rail::ALL.len());
        for (policy, attempt) in tries {
            let shut = format!("ValidatingAdmissionPolicy '{policy}'");
            wait_until(&format!("{policy} is in force"), PATIENCE, || {
                let refused = attempt().err()?;
                refused.message.contains(&shut).then_some(())
            });
        }
    }
}

/// A ClusterRole for a user, everywhere.
pub fn binding(user: &str, role: &str) -> Value {
    let group = "rbac.authorization.k8s.io";
    json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("{user}-{role}")},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    })
}

/// An ordinary Windows pod, that no scheduler binds.
pub fn plain(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "schedulerName": "nobody", "os": {"name": "windows"},
            "containers": [{"name": "main", "image": "registry.example/plain"}],
        },
    })
}

/// A HostProcess pod that somebody wrote without native-host.
pub fn by_hand(name: &str) -> Value {
    let mut pod = plain(name);
    pod["spec"]["hostNetwork"] = json!(true);
    pod["spec"]["securityContext"] = json!({"windowsOptions": {
        "hostProcess": true, "runAsUserName": r"NT AUTHORITY\SYSTEM",
    }});
    pod
}

/// A container that `kubectl debug` would add to a HostProcess pod.
pub fn debugger(user: &str) -> Value {
    json!({"spec": {"ephemeralContainers": [{
        "name": "debugger", "image": "registry.example/tools", "command": ["cmd.exe"],
        "securityContext": {"windowsOptions": {"hostProcess": true, "runAsUserName": user}},
    }]}})
}

/// A Binding of a pod to a node, with annotations.
pub fn node_binding(pod: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": pod, "annotations": annotations},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "win-1"},
    })
}

/// What the API server shows to webhooks, and the flags that make it: AdmissionConfiguration names a
/// kubeconfig for each webhook plugin
/// (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>).
struct WebhookAccess {
    scratch: Scratch,
}

impl WebhookAccess {
    fn new() -> Self {
        let files = WebhookAccess {
            scratch: Scratch::new().unwrap(),
        };
        let write = |name: &str, text: &str| std::fs::write(files.file(name), text).unwrap();
        let authority = Authority::new().unwrap();
        let (certificate, private) = authority.issue_client_pem(API_SERVER).unwrap();
        write("ca.crt", &authority.pem());
        write("client.crt", &certificate);
        write("client.key", &private);
        let access = json!({
            "apiVersion": "v1", "kind": "Config",
            "users": [{"name": "*", "user": {
                "client-certificate": files.file("client.crt"), "client-key": files.file("client.key"),
            }}],
        });
        write("webhooks.kubeconfig", &access.to_string());
        let plugin = |name: &str| {
            json!({"name": name, "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration",
                "kubeConfigFile": files.file("webhooks.kubeconfig"),
            }})
        };
        let admission = json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
            "plugins": [plugin("MutatingAdmissionWebhook"), plugin("ValidatingAdmissionWebhook")],
        });
        write("admission.yaml", &admission.to_string());
        files
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// As kubeadm has it: nodes are judged by what runs on them.
    fn options(&self) -> Options {
        let admission = self.file("admission.yaml");
        Options {
            apiserver_flags: vec![
                "--authorization-mode=Node".into(),
                "--enable-admission-plugins=NodeRestriction".into(),
                format!("--admission-control-config-file={}", admission.display()),
            ],
            ..Options::default()
        }
    }
}
