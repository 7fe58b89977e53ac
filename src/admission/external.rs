//! External Services under review: what cannot be, or must not be, is refused where it is written.
//!
//! The rules are those of [`crate::external`], which the controller goes by again: a Service may be
//! written while the webhook is away, and what a namespace allows may change later.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};
use serde_json::Value;

use super::answer::Verdict;
use super::offline::UNKNOWN_UID;
use super::review::{Door, Object, Review};
use crate::cluster::is_plain;
use crate::external::endpoints::{Allowed, candidates, endpoints};
use crate::external::ranges::Ranges;
use crate::external::reach::{self, Fault};
use crate::external::slices::{Owner, Write, writes};
use crate::external::spec::{Asked, Family, Source, Spec, asked, forbidden, read};
use crate::external::words;
use crate::external::writer::{foreign_params, named};
use crate::names::{external as key, label};
use crate::plan::reason::{Outcome, Reason};
use crate::plan::sheet::{Problem, Refusal};
use crate::policy::{Cidr, Namespace};

/// For the look at the cluster, which only warns: well within the webhook's timeout of 5 s.
const TIMEOUT: Duration = Duration::from_secs(1);

/// `/validate` for a Service, as far as the object and its namespace say.
pub(super) fn review(raw: &str, namespace: &Namespace) -> Verdict {
    let service: Service = match serde_json::from_str(raw) {
        Ok(service) => service,
        Err(error) => {
            return Verdict::reject(&Refusal::one(
                Reason::Malformed,
                "request.object",
                format!("{error}; the object is not of the shape that Kubernetes gives it"),
            ));
        }
    };
    match spec_of(&service, namespace) {
        Ok(Some(spec)) => {
            Verdict::allow(Outcome::Allowed, Reason::None).with_warnings(spec.warnings)
        }
        Ok(None) => Verdict::allow(Outcome::Skipped, Reason::NotLabelled),
        Err(verdict) => *verdict,
    }
}

/// What an external Service asks for, if nothing stands against it; `None`: it is none.
fn spec_of(service: &Service, namespace: &Namespace) -> Result<Option<Spec>, Box<Verdict>> {
    // One that is going must be let go: its finalizers are taken away by updates.
    if asked(service) == Asked::No || service.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let policy = match &namespace.policy {
        Ok(policy) => policy,
        Err(errors) => return Err(Box::new(Verdict::bad_namespace(errors))),
    };
    let refuse = |problems| Box::new(Verdict::reject(&Refusal { problems }));
    let spec = read(service).map_err(refuse)?;
    let problems = not_allowed(&spec, &policy.external_cidrs);
    if problems.is_empty() {
        Ok(Some(spec))
    } else {
        Err(refuse(problems))
    }
}

/// The addresses that the namespace does not allow.
fn not_allowed(spec: &Spec, allowed: &[Cidr]) -> Vec<Problem> {
    match &spec.source {
        Source::Addresses(addresses) => addresses
            .iter()
            .filter_map(|address| {
                let fault = reach::check(*address, allowed, &[]).err()?;
                Some(forbidden(
                    *address,
                    &fault.tell(allowed),
                    fault.is_guard_rail(),
                ))
            })
            .collect(),
        // Whose addresses they are the controller sees, and checks.
        Source::Nodes(_) if allowed.is_empty() => vec![Problem {
            reason: Reason::ExternalAddress,
            field: format!("metadata.annotations[{}]", key::NODES),
            value: None,
            text: format!("no node's address {}", Fault::NotAllowed.tell(allowed)),
            guard_rail: true,
        }],
        Source::Nodes(_) => Vec::new(),
    }
}

/// The same without a cluster: the verdict on an external Service, and its EndpointSlices before any
/// probe. Of nodes only a cluster knows. `None`: the Service is not external.
pub(super) fn offline(object: &Value, namespace: &Namespace) -> Option<(Verdict, Vec<Value>)> {
    let service: Service = match serde_json::from_value(object.clone()) {
        Ok(service) => service,
        Err(_) => return Some((review(&object.to_string(), namespace), Vec::new())),
    };
    if asked(&service) == Asked::No {
        return None;
    }
    let spec = match spec_of(&service, namespace) {
        Ok(spec) => spec?,
        Err(verdict) => return Some((*verdict, Vec::new())),
    };
    let text = |text: Option<&String>| text.map_or("", String::as_str).into();
    let owner = Owner {
        namespace: text(service.metadata.namespace.as_ref()),
        name: text(service.metadata.name.as_ref()),
        uid: service
            .metadata
            .uid
            .as_deref()
            .unwrap_or(UNKNOWN_UID)
            .into(),
    };
    let everything = Family::ALL.map(Family::everything);
    let found = candidates(&spec, std::iter::empty(), Allowed::Cidrs(&everything), &[]);
    let wanted = endpoints(&spec, &found.all, |_| false, &BTreeSet::new());
    let slices = writes(&owner, &spec.ports, &wanted, &[]);
    let slices = slices.into_iter().filter_map(|write| match write {
        Write::Create(mut slice) => {
            slice
                .metadata
                .namespace
                .clone_from(&service.metadata.namespace);
            serde_json::to_value(slice).ok()
        }
        _ => None,
    });
    let verdict = Verdict::allow(Outcome::Allowed, Reason::None);
    Some((verdict.with_warnings(spec.warnings), slices.collect()))
}

/// What has to be known of the cluster besides.
pub(super) struct Surroundings {
    ranges: Arc<Ranges>,
    client: Option<Client>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

impl Surroundings {
    pub(super) fn new(ranges: Arc<Ranges>, client: Option<Client>) -> Self {
        Surroundings { ranges, client }
    }

    /// Whether a review is one of those that are looked at here.
    pub(super) fn concern(review: &Review<'_>) -> bool {
        review.door == Door::Validate && review.group.is_empty() && review.kind == "Service"
    }

    /// Looks at an external Service that was allowed by what it says itself.
    pub(super) async fn review(
        &self,
        verdict: Verdict,
        review: &Review<'_>,
        namespace: &str,
    ) -> Verdict {
        let Object::Raw(raw) = review.object else {
            return verdict;
        };
        let Ok(service) = serde_json::from_str::<Service>(raw) else {
            return verdict;
        };
        let problems = self.of_cluster(&service);
        if !problems.is_empty() {
            return Verdict::reject(&Refusal { problems });
        }
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let Some(warning) = self.foreign(namespace, name).await else {
            return verdict;
        };
        let mut warnings = verdict.warnings.clone();
        warnings.push(format!("metadata.labels[{}]: {warning}", label::EXTERNAL));
        verdict.with_warnings(warnings)
    }

    /// The addresses that are the cluster's own.
    fn of_cluster(&self, service: &Service) -> Vec<Problem> {
        let cluster = self.ranges.all();
        let Ok(Spec {
            source: Source::Addresses(addresses),
            ..
        }) = read(service)
        else {
            return Vec::new();
        };
        let faults = addresses.into_iter().filter_map(|address| {
            let fault = reach::check(address, &[Cidr::from(address)], &cluster).err()?;
            Some(forbidden(address, &fault.tell(&[]), fault.is_guard_rail()))
        });
        faults.collect()
    }

    /// A warning of other people's slices; none if they could not be looked for.
    async fn foreign(&self, namespace: &str, name: &str) -> Option<String> {
        let client = self.client.clone()?;
        if !is_plain(name) {
            return None;
        }
        let slices: Api<EndpointSlice> = Api::namespaced(client, namespace);
        let params = foreign_params(name);
        let listed = tokio::time::timeout(TIMEOUT, slices.list_metadata(&params))
            .await
            .ok()?
            .ok()?;
        let all: Vec<_> = listed
            .items
            .into_iter()
            .map(|slice| named(slice.metadata))
            .collect();
        words::foreign(&all)
    }
}
