//! What `explain` reads. Only the object itself has to be readable; what else is not is said.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Event, Namespace as NamespaceObject, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use super::admission::{Read, policy_of};
use super::workload::Kind;
use super::{pair, service, workload};
use crate::anchor::rules::Rules;
use crate::cli::connection::{AskError, api, list};
use crate::cli::status::read::{Wanted, pods};
use crate::cli::status::row::Row;
use crate::external::spec::{Asked, asked};
use crate::names::label;
use crate::policy::{Namespace, Policy};

/// Where, and over which flags.
pub(super) struct Reader<'a> {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) flags: &'a Policy,
    pub(super) rules: Rules,
}

fn read<T>(result: Result<T, AskError>) -> Read<T> {
    result.map_err(|error| error.to_string())
}

impl Reader<'_> {
    /// A pod of this name; of an anchor its HP pod, or else the anchor itself.
    pub(super) async fn pod(&self, name: &str) -> Result<Option<pair::Facts>, AskError> {
        let pods = api::<Pod>(&self.client, Some(&self.namespace));
        let Some(mut pod) = pods.get_opt(name).await? else {
            return Ok(None);
        };
        if let Some(anchor) = crate::anchor::view::Anchor::of(&pod)
            && let Some(owner) = pods.get_opt(&anchor.owner).await?
            && owner.metadata.uid.as_deref() == Some(&*anchor.owner_uid)
        {
            pod = owner;
        }
        let (name, uid) = (pod.metadata.name.as_deref(), pod.metadata.uid.as_deref());
        let uid = uid.unwrap_or_default();
        let anchor = crate::anchor::name(name.unwrap_or_default(), uid);
        let anchor = pods.get_opt(&anchor).await?;
        let anchor_uid = anchor
            .as_ref()
            .and_then(|anchor| anchor.metadata.uid.as_deref());
        let anchor_events = match anchor_uid {
            Some(uid) => self.events(uid).await,
            None => Ok(Vec::new()),
        };
        Ok(Some(pair::Facts {
            namespace: self.policy().await,
            events: self.events(uid).await,
            anchor_events,
            rules: self.rules,
            anchor,
            pod,
        }))
    }

    /// An object of one of these kinds, the first that is there.
    pub(super) async fn workload(
        &self,
        kinds: &[Kind],
        name: &str,
    ) -> Result<Option<workload::Facts>, AskError> {
        let mut denied = None;
        for &kind in kinds {
            let object = match self.kind(kind).get_opt(name).await {
                Ok(Some(object)) => serde_json::to_value(object).unwrap_or_default(),
                Ok(None) => continue,
                Err(error) => {
                    denied = Some(error);
                    continue;
                }
            };
            let uids = self.makers(kind, &object).await;
            return Ok(Some(workload::Facts {
                namespace: self.policy().await,
                events: self.events_of(&uids).await,
                pairs: self.pairs(&object, &uids).await,
                kind,
                object: with_kind(object, kind),
            }));
        }
        // One kind that may not be read does not hide the others; but where it is all there was to ask,
        // it is the answer.
        match denied {
            Some(error) if kinds.len() == 1 => Err(error.into()),
            _ => Ok(None),
        }
    }

    /// A Service of this name; `external`: only if it is one.
    pub(super) async fn service(
        &self,
        name: &str,
        external: bool,
    ) -> Result<Option<service::Facts>, AskError> {
        let services = api::<Service>(&self.client, Some(&self.namespace));
        let Some(service) = services.get_opt(name).await? else {
            return Ok(None);
        };
        if external && asked(&service) == Asked::No {
            return Ok(None);
        }
        let slices = api::<EndpointSlice>(&self.client, Some(&self.namespace));
        let named = ListParams::default().labels(&format!("{}={name}", label::SERVICE_NAME));
        let uid = service.metadata.uid.clone().unwrap_or_default();
        Ok(Some(service::Facts {
            namespace: self.policy().await,
            slices: read(list(&slices, &named, Some).await),
            events: self.events(&uid).await,
            service,
        }))
    }

    /// Names of pods that are of a workload of this name.
    pub(super) async fn of_workload(&self, name: &str) -> Vec<String> {
        if !crate::plan::is_workload_name(name) {
            return Vec::new();
        }
        let selector = ListParams::default().labels(&format!("{}={name}", label::WORKLOAD));
        let pods = api::<Pod>(&self.client, Some(&self.namespace));
        let names = list(&pods, &selector, |pod: Pod| pod.metadata.name).await;
        names.unwrap_or_default()
    }

    fn kind(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    async fn policy(&self) -> Read<Namespace> {
        let namespaces = Api::<NamespaceObject>::all(self.client.clone());
        let object = namespaces.get(&self.namespace).await;
        read(object.map_err(Into::into)).map(|object| policy_of(&object, self.flags))
    }

    async fn events(&self, uid: &str) -> Read<Vec<Event>> {
        let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
        let events = api::<Event>(&self.client, Some(&self.namespace));
        read(list(&events, &about, Some).await)
    }

    async fn events_of(&self, uids: &[String]) -> Read<Vec<Event>> {
        let mut all = Vec::new();
        for uid in uids {
            all.extend(self.events(uid).await?);
        }
        Ok(all)
    }

    /// The UIDs of the object and of what it makes to make pods: a Deployment's ReplicaSets, a
    /// CronJob's Jobs. What cannot be listed is left out.
    async fn makers(&self, kind: Kind, object: &Value) -> Vec<String> {
        let uid = object["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let below = match kind {
            Kind::Deployment => Kind::ReplicaSet,
            Kind::CronJob => Kind::Job,
            _ => return vec![uid],
        };
        let owned = |one: DynamicObject| {
            let owner = crate::anchor::view::controller(&one.metadata)?;
            (owner.uid == uid).then_some(one.metadata.uid).flatten()
        };
        let params = selector(object).map_or_else(ListParams::default, |labels| {
            ListParams::default().labels(&labels)
        });
        let mut uids = list(&self.kind(below), &params, owned)
            .await
            .unwrap_or_default();
        uids.push(uid);
        uids
    }

    async fn pairs(&self, object: &Value, uids: &[String]) -> Read<Vec<Row>> {
        let wanted = Wanted {
            namespace: Some(self.namespace.clone()),
            name: None,
            selector: selector(object),
            rules: self.rules,
        };
        let pods = read(pods(&self.client, &wanted).await)?;
        let controlled = pods.rows_of(&wanted, k8s_openapi::jiff::Timestamp::now(), |hp| {
            let controller = hp.view.controller.as_deref();
            controller.is_some_and(|controller| uids.iter().any(|uid| uid == controller))
        });
        Ok(controlled)
    }
}

/// Its `spec.selector.matchLabels`. Expressions only narrow it, and owners are compared anyway.
fn selector(object: &Value) -> Option<String> {
    let labels = object["spec"]["selector"]["matchLabels"].as_object()?;
    let pairs = labels
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    let pairs: Vec<_> = pairs.collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

fn resource(kind: Kind) -> ApiResource {
    match kind {
        Kind::Deployment => ApiResource::erase::<Deployment>(&()),
        Kind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
        Kind::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
        Kind::CronJob => ApiResource::erase::<CronJob>(&()),
        Kind::Job => ApiResource::erase::<Job>(&()),
        Kind::ReplicaSet => ApiResource::erase::<ReplicaSet>(&()),
    }
}

/// The decisions go by `apiVersion` and `kind`.
fn with_kind(mut object: Value, kind: Kind) -> Value {
    let resource = resource(kind);
    object["apiVersion"] = resource.api_version.into();
    object["kind"] = resource.kind.into();
    object
}
