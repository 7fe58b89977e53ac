//! native-host as an operator installs it: its namespace, its ServiceAccount, its Roles, and the policy that
//! keeps it to pairs; and the kubeconfig of exactly that identity.

use std::path::PathBuf;

use native_host::names::admission_policy;
use serde_json::{Value, json};

use super::ControlPlane;

/// The namespace that the program is installed in.
pub const HOME: &str = "native-host";

impl ControlPlane {
    /// Applies the namespace, the ServiceAccount and the Roles of `deploy/`, and of its admission policies
    /// those that bound this ServiceAccount. The others refuse what tests do to pairs on purpose.
    pub fn install_roles(&self) {
        let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}});
        self.apply(&home.to_string());
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base/rbac.yaml");
        self.kubectl_ok(&["apply", "-f", file]);
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base/policies.yaml");
        let policies = std::fs::read_to_string(file).unwrap();
        let policies: Vec<Value> = serde_saphyr::from_multiple(&policies).unwrap();
        let bounds = |policy: &Value| {
            let name = &policy["metadata"]["name"];
            name == admission_policy::CONTROLLER || name == admission_policy::EXTERNAL
        };
        let items: Vec<Value> = policies.into_iter().filter(bounds).collect();
        assert_eq!(items.len(), 4, "two policies and their bindings");
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
    }

    /// A kubeconfig for the program's own ServiceAccount, by way of `url` where the API server's own
    /// address is not to be used.
    pub fn program_kubeconfig(&self, name: &str, url: Option<&str>) -> PathBuf {
        let create = [
            "create",
            "token",
            "native-host",
            "-n",
            HOME,
            "--duration=24h",
        ];
        let token = self.kubectl_ok(&create);
        let own = self.url();
        let url = url.unwrap_or(&own);
        let ca = url.starts_with("https").then(|| self.ca_file());
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": HOME}}],
            "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": ca}}],
            "users": [{"name": "u", "user": {"token": token.trim()}}],
        });
        let path = self.folder().join(format!("{name}.kubeconfig"));
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }
}
