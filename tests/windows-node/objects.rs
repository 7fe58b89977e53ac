//! What a kubelet reads from the API server for its pods: ConfigMaps, Secrets, Services, and tokens
//! of ServiceAccounts.
//!
//! A kubelet has them from watches (`kubelet/util/manager/watch_based_manager.go`) and looks at them
//! again whenever it syncs a pod, every minute at least. Here each look is a read.

use std::future::Future;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};

/// Where they come from. An error is the text that stands in an Event or in a container's state.
pub trait Objects: Send + Sync {
    /// A ConfigMap, if there is one of that name.
    fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<ConfigMap>, String>> + Send;

    /// A Secret, if there is one of that name.
    fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<Secret>, String>> + Send;

    /// All Services of a namespace.
    fn services(
        &self,
        namespace: &str,
    ) -> impl Future<Output = Result<Vec<Service>, String>> + Send;

    /// A token of a ServiceAccount.
    fn token(
        &self,
        namespace: &str,
        account: &str,
        request: TokenRequest,
    ) -> impl Future<Output = Result<TokenRequest, String>> + Send;
}

impl Objects for Client {
    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, String> {
        let api = Api::<ConfigMap>::namespaced(self.clone(), namespace);
        api.get_opt(name).await.map_err(|error| error.to_string())
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, String> {
        let api = Api::<Secret>::namespaced(self.clone(), namespace);
        api.get_opt(name).await.map_err(|error| error.to_string())
    }

    async fn services(&self, namespace: &str) -> Result<Vec<Service>, String> {
        let api = Api::<Service>::namespaced(self.clone(), namespace);
        let list = api.list(&ListParams::default()).await;
        Ok(list.map_err(|error| error.to_string())?.items)
    }

    async fn token(
        &self,
        namespace: &str,
        account: &str,
        request: TokenRequest,
    ) -> Result<TokenRequest, String> {
        let api = Api::<ServiceAccount>::namespaced(self.clone(), namespace);
        let params = PostParams::default();
        let made = api.create_token_request(account, &params, &request).await;
        // `failed to fetch token` is what the kubelet puts in front (`token_manager.go`).
        made.map_err(|error| format!("failed to fetch token: {error}"))
    }
}

/// What the kubelet says of a ConfigMap that is not there (`apierrors.NewNotFound` of a watched kind).
pub fn no_config_map(name: &str) -> String {
    format!("configmap {name:?} not found")
}

/// Likewise of a Secret.
pub fn no_secret(name: &str) -> String {
    format!("secret {name:?} not found")
}

#[cfg(test)]
pub mod shelf {
    //! Objects of a test.

    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use k8s_openapi::api::authentication::v1::TokenRequestStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::{SignedDuration, Timestamp};

    use super::*;

    /// They stand here, by namespace and name.
    #[derive(Default)]
    pub struct Shelf {
        pub config_maps: Mutex<BTreeMap<String, ConfigMap>>,
        pub secrets: Mutex<BTreeMap<String, Secret>>,
        pub services: Vec<Service>,
        /// What was asked of the token API.
        pub tokens: Mutex<Vec<(String, TokenRequest)>>,
    }

    impl Shelf {
        /// Puts a ConfigMap there, or another in its place.
        pub fn put_config_map(&self, namespace: &str, manifest: serde_json::Value) {
            let map: ConfigMap = serde_json::from_value(manifest).unwrap();
            let name = map.metadata.name.clone().unwrap();
            let mut all = self.config_maps.lock().unwrap();
            all.insert(format!("{namespace}/{name}"), map);
        }

        /// Puts a Secret there.
        pub fn put_secret(&self, namespace: &str, manifest: serde_json::Value) {
            let secret: Secret = serde_json::from_value(manifest).unwrap();
            let name = secret.metadata.name.clone().unwrap();
            let mut all = self.secrets.lock().unwrap();
            all.insert(format!("{namespace}/{name}"), secret);
        }
    }

    impl Objects for Shelf {
        async fn config_map(&self, ns: &str, name: &str) -> Result<Option<ConfigMap>, String> {
            let all = self.config_maps.lock().unwrap();
            Ok(all.get(&format!("{ns}/{name}")).cloned())
        }

        async fn secret(&self, ns: &str, name: &str) -> Result<Option<Secret>, String> {
            let all = self.secrets.lock().unwrap();
            Ok(all.get(&format!("{ns}/{name}")).cloned())
        }

        async fn services(&self, namespace: &str) -> Result<Vec<Service>, String> {
            let of = |s: &&Service| s.metadata.namespace.as_deref() == Some(namespace);
            Ok(self.services.iter().filter(of).cloned().collect())
        }

        async fn token(
            &self,
            namespace: &str,
            account: &str,
            mut request: TokenRequest,
        ) -> Result<TokenRequest, String> {
            let mut asked = self.tokens.lock().unwrap();
            asked.push((format!("{namespace}/{account}"), request.clone()));
            let seconds = request.spec.expiration_seconds.unwrap();
            request.status = Some(TokenRequestStatus {
                expiration_timestamp: Time(Timestamp::now() + SignedDuration::from_secs(seconds)),
                token: format!("token {}", asked.len()),
            });
            Ok(request)
        }
    }
}
