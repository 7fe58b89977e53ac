//! The Events that a kubelet writes of its pods.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::runtime::Handle;

use crate::network::guid;

/// Where they are said.
pub struct Events {
    client: Client,
    node: String,
    handle: Handle,
}

impl Events {
    /// Of a node's kubelet.
    pub fn new(client: Client, node: &str) -> Self {
        Self {
            client,
            node: node.to_owned(),
            handle: Handle::current(),
        }
    }

    /// Says one; nobody waits for that, and what cannot be said is lost.
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
        let now = Some(Time(Timestamp::now()));
        let name = metadata.name.as_deref().unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{}", &guid[..8])),
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
        self.handle
            .spawn(async move { api.create(&PostParams::default(), &event).await.is_ok() });
    }
}
