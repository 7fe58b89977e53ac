//! The webhook configurations that are deployed, pointed at a program on this machine: what tests
//! register is `deploy/base/webhooks.yaml`, but for where the webhook is.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ControlPlane;

/// The configurations as a List, with `base_url` (e.g. `https://127.0.0.1:8443`) in place of the
/// Service, and `ca_pem` as what signs its certificate.
///
/// # Panics
/// When the file is not what it should be.
pub fn at_url(base_url: &str, ca_pem: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/webhooks.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut items: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let ca_bundle = STANDARD.encode(ca_pem);
    for webhook in items
        .iter_mut()
        .flat_map(|item| item["webhooks"].as_array_mut().unwrap())
    {
        let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
        webhook["clientConfig"] =
            json!({"url": format!("{base_url}{path}"), "caBundle": ca_bundle});
    }
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

impl ControlPlane {
    /// Registers the webhooks at `base_url`. The API server acts on them a moment later: who needs
    /// the first pod to pass through waits for that ([`super::wait_until`]).
    pub fn register_webhooks(&self, base_url: &str, ca_pem: &str) {
        self.apply(&at_url(base_url, ca_pem).to_string());
    }

    /// Takes them away again.
    pub fn remove_webhooks(&self) {
        self.kubectl_ok(&[
            "delete",
            "--ignore-not-found",
            "mutatingwebhookconfigurations/a.native-host.io",
            "validatingwebhookconfigurations/native-host.io",
        ]);
    }
}
