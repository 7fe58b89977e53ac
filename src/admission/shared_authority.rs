//! One self-signed CA for all replicas, for a try-out in a cluster that has no cert-manager: kept in a
//! Secret, and put into the `caBundle` of the webhook configurations, as cainjector would.
//!
//! ```text
//!  Secret ──► authority ──► a pair of one's own, in each replica
//!                 └───────► caBundle of both configurations
//! ```
//!
//! Whoever comes first makes the CA; the others take it. Everything is looked at again every few seconds, so a Secret or a
//! configuration that is deleted and made again is made whole. For this alone the program needs rights to a Secret and to
//! the configurations; with cert-manager it has none of them (`deploy/components/self-signed`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::certificates::{CERTIFICATE_FILE, Certificates, KEY_FILE, Pair};
use super::self_signed::{Authority, LIFETIME, SelfSignedError};
use crate::cluster::Chain;
use crate::names::{FIELD_MANAGER, webhook};

/// Time between two looks at the Secret and the configurations.
const LOOK: Duration = Duration::from_secs(5);
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often two replicas may meet at the Secret before one gives up: more than two never happens, unless
/// somebody deletes it again and again.
const TRIES: usize = 5;

/// Why there is no CA that all replicas share.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// The Secret cannot be read or made.
    #[error(
        "cannot {verb} the Secret {namespace}/{name} (--self-signed-secret): {why}. The rights that it \
         takes are in deploy/components/self-signed"
    )]
    Secret {
        /// What was tried.
        verb: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What the API server said, or why it was not reached.
        why: String,
    },
    /// Something else is in it.
    #[error(
        "the Secret {namespace}/{name} (--self-signed-secret) holds no CA that can be used: {source}. Delete \
         it, and native-host makes another"
    )]
    Content {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: SelfSignedError,
    },
    /// Nothing can be made.
    #[error(transparent)]
    SelfSigned(#[from] SelfSignedError),
}

/// The Secret that the CA is kept in, and the way to it.
#[derive(Clone)]
pub struct Keeper {
    client: Client,
    namespace: String,
    name: String,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keeper({}/{})", self.namespace, self.name)
    }
}

impl Keeper {
    /// Of a Secret in the client's own namespace.
    pub fn new(client: Client, name: String) -> Self {
        Keeper {
            namespace: client.default_namespace().to_owned(),
            client,
            name,
        }
    }

    /// The CA that is kept; where there is none, a new one, which is kept from now on.
    ///
    /// # Errors
    /// If the API server cannot be asked or refuses, or the Secret holds something else.
    pub async fn authority(&self) -> Result<Authority, SharedError> {
        self.kept_or(Authority::new).await
    }

    /// The CA that is kept; where there is none, `make`'s, which is kept from now on.
    async fn kept_or(
        &self,
        make: impl Fn() -> Result<Authority, SelfSignedError>,
    ) -> Result<Authority, SharedError> {
        let mut last = None;
        for _ in 0..TRIES {
            if let Some(kept) = self.kept().await? {
                return Ok(kept);
            }
            let made = make()?;
            match self.keep(&made).await {
                Ok(()) => return Ok(made),
                // Another replica was first, and its CA is everybody's.
                Err(kube::Error::Api(status)) if status.code == 409 => last = Some(status.message),
                Err(error) => return Err(self.failed("create", Chain(&error))),
            }
        }
        Err(self.failed("create", last.unwrap_or_default()))
    }

    async fn kept(&self) -> Result<Option<Authority>, SharedError> {
        let asked = tokio::time::timeout(PATIENCE, self.secrets().get_opt(&self.name)).await;
        let secret = match asked {
            Ok(Ok(Some(secret))) => secret,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(error)) => return Err(self.failed("read", Chain(&error))),
            Err(_) => return Err(self.failed("read", "no answer")),
        };
        let text = |file| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(file));
            String::from_utf8_lossy(bytes.map_or(&[], |bytes| &bytes.0)).into_owned()
        };
        Authority::from_pem(&text(CERTIFICATE_FILE), &text(KEY_FILE))
            .map(Some)
            .map_err(|source| SharedError::Content {
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                source,
            })
    }

    async fn keep(&self, authority: &Authority) -> Result<(), kube::Error> {
        let files = [
            (CERTIFICATE_FILE, authority.pem()),
            (KEY_FILE, authority.key_pem()),
        ];
        let data = files.map(|(file, text)| (file.to_owned(), ByteString(text.into_bytes())));
        let mut secret = Secret {
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(BTreeMap::from(data)),
            ..Secret::default()
        };
        secret.metadata.name = Some(self.name.clone());
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        self.secrets().create(&params, &secret).await.map(drop)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn failed(&self, verb: &'static str, why: impl std::fmt::Display) -> SharedError {
        SharedError::Secret {
            verb,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            why: why.to_string(),
        }
    }

    /// Keeps the Secret, the configurations and this instance's own pair together, for as long as it is polled.
    pub async fn follow(
        self,
        mut authority: Authority,
        names: Vec<String>,
        folder: Option<PathBuf>,
        certificates: Arc<Certificates>,
    ) {
        let issue = |authority: &Authority| match authority.issue(&names, folder.as_deref()) {
            Ok(pair) => certificates.exchange(pair),
            Err(error) => tracing::error!(%error, "cannot renew the self-signed certificate"),
        };
        let mut renew = Instant::now() + LIFETIME * 2 / 3;
        loop {
            let pem = authority.pem();
            let again = || Authority::from_pem(&pem, &authority.key_pem());
            match self.kept_or(again).await {
                Ok(kept) if kept.pem() != pem => {
                    tracing::warn!("the self-signed CA was exchanged; serving under the new one");
                    authority = kept;
                    issue(&authority);
                    renew = Instant::now() + LIFETIME * 2 / 3;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot look at the self-signed CA"),
            }
            self.publish(&authority.pem()).await;
            if Instant::now() >= renew {
                issue(&authority);
                renew = Instant::now() + LIFETIME * 2 / 3;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Puts the CA into both configurations, where it is not there yet.
    async fn publish(&self, ca: &str) {
        let bundle = STANDARD.encode(ca);
        for (kind, name) in [
            ("MutatingWebhookConfiguration", webhook::MUTATING),
            ("ValidatingWebhookConfiguration", webhook::VALIDATING),
        ] {
            let put = tokio::time::timeout(PATIENCE, self.put(kind, name, &bundle)).await;
            match put {
                Ok(Ok(true)) => tracing::info!(kind, name, "put the self-signed CA into caBundle"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(kind, name, error = %Chain(&error), "cannot put the self-signed CA into caBundle; trying again");
                }
                Err(_) => tracing::warn!(kind, name, "no answer of the API server; trying again"),
            }
        }
    }

    /// Whether anything had to be written.
    async fn put(&self, kind: &str, name: &str, bundle: &str) -> Result<bool, kube::Error> {
        let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
        let api =
            Api::<DynamicObject>::all_with(self.client.clone(), &ApiResource::from_gvk(&kind));
        // Not registered yet, or already uninstalled.
        let Some(found) = api.get_opt(name).await? else {
            return Ok(false);
        };
        let Some(patch) = patch(&found, bundle) else {
            return Ok(false);
        };
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        api.patch(name, &params, &Patch::Strategic(patch)).await?;
        Ok(true)
    }
}

/// A strategic merge patch that puts `bundle` into every webhook that has another; `None` if none has. Webhooks are
/// merged by name (`k8s.io/api/admissionregistration/v1/types.go`); the version makes it a conflict if one is gone meanwhile.
fn patch(configuration: &DynamicObject, bundle: &str) -> Option<Value> {
    let webhooks = configuration.data["webhooks"].as_array()?;
    let stale = |webhook: &&Value| webhook["clientConfig"]["caBundle"] != bundle;
    let stale: Vec<Value> = webhooks
        .iter()
        .filter(stale)
        .map(|webhook| json!({"name": webhook["name"], "clientConfig": {"caBundle": bundle}}))
        .collect();
    let version = &configuration.metadata.resource_version;
    (!stale.is_empty())
        .then(|| json!({"metadata": {"resourceVersion": version}, "webhooks": stale}))
}

/// The first pair of this instance, under a CA that all share.
///
/// # Errors
/// As [`Keeper::authority`], or if a name cannot stand in a certificate.
pub async fn first_pair(
    keeper: &Keeper,
    names: &[String],
    folder: Option<&std::path::Path>,
) -> Result<(Authority, Pair), SharedError> {
    let authority = keeper.authority().await?;
    let pair = authority.issue(names, folder)?;
    Ok((authority, pair))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn configuration(webhooks: &Value) -> DynamicObject {
        let whole = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "a", "resourceVersion": "7"}, "webhooks": webhooks,
        });
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn only_webhooks_with_another_bundle_are_written() {
        let webhooks = json!([
            {"name": "new", "clientConfig": {"service": {"name": "s"}}},
            {"name": "done", "clientConfig": {"caBundle": "b"}},
            {"name": "old", "clientConfig": {"caBundle": "a"}},
        ]);
        let bundle = |name: &str| json!({"name": name, "clientConfig": {"caBundle": "b"}});
        assert_eq!(
            patch(&configuration(&webhooks), "b"),
            Some(json!({
                "metadata": {"resourceVersion": "7"}, "webhooks": [bundle("new"), bundle("old")],
            }))
        );
    }

    #[test]
    fn nothing_is_written_where_all_is_well() {
        let done = json!([{"name": "done", "clientConfig": {"caBundle": "b"}}]);
        assert_eq!(patch(&configuration(&done), "b"), None);
        assert_eq!(patch(&configuration(&json!([])), "b"), None);
        assert_eq!(patch(&configuration(&Value::Null), "b"), None);
    }
}
