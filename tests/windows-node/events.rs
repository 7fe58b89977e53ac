//! The Events that a kubelet writes of its pods.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::runtime::Handle;

use crate::network::guid;

/// Where they are said.
pub struct Events {
    client: Client,
    node: String,
    handle: Handle,
    said: Mutex<BTreeMap<Key, Said>>,
}

/// What makes two Events one: the pod's UID, the container, the reason and the message.
type Key = (String, Option<String>, String, String);

/// One that was said: its name, and how often. Its count is written by one at a time, in order.
type Said = (String, Arc<tokio::sync::Mutex<i32>>);

impl Events {
    /// Of a node's kubelet.
    pub fn new(client: Client, node: &str) -> Self {
        Self {
            client,
            node: node.to_owned(),
            handle: Handle::current(),
            said: Mutex::default(),
        }
    }

    /// Says one; the same one again counts it up, as `client-go`'s recorder does. Nobody waits for that, and
    /// what cannot be said is lost.
    pub fn say(
        &self,
        pod: &Pod,
        container: Option<&str>,
        kind: &str,
        reason: &str,
        message: String,
    ) {
        let metadata = &pod.metadata;
        let (Some(namespace), Ok(guid)) = (metadata.namespace.clone(), guid()) else {
            return;
        };
        let (name, count) = {
            let uid = metadata.uid.clone().unwrap_or_default();
            let container = container.map(ToOwned::to_owned);
            let key = (uid, container, reason.to_owned(), message.clone());
            let of_pod = metadata.name.as_deref().unwrap_or_default();
            let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || {
                (
                    format!("{of_pod}.{}", &guid[..16].replace('-', "")),
                    Arc::default(),
                )
            };
            all.entry(key).or_insert_with(new).clone()
        };
        let now = Some(Time(Timestamp::now()));
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            count: Some(1),
            first_timestamp: now.clone(),
            last_timestamp: now,
            involved_object: ObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: metadata.name.clone(),
                namespace: metadata.namespace.clone(),
                uid: metadata.uid.clone(),
                field_path: container.map(|name| format!("spec.containers{{{name}}}")),
                ..ObjectReference::default()
            },
            message: Some(message),
            reason: Some(reason.to_owned()),
            source: Some(EventSource {
                component: Some("kubelet".into()),
                host: Some(self.node.clone()),
            }),
            reporting_component: Some("kubelet".into()),
            reporting_instance: Some(self.node.clone()),
            type_: Some(kind.to_owned()),
            ..Event::default()
        };
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        self.handle.spawn(async move {
            let mut count = count.lock().await;
            *count += 1;
            if *count == 1 {
                return api.create(&PostParams::default(), &event).await.is_ok();
            }
            let patch = json!({"count": *count, "lastTimestamp": event.last_timestamp});
            let params = PatchParams::default();
            api.patch(&name, &params, &Patch::Merge(patch))
                .await
                .is_ok()
        });
    }

    /// A pod is gone, and nothing more is said of it.
    pub fn forget(&self, uid: &str) {
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(of, ..), _| of != uid);
    }
}
