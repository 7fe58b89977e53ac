//! An external Service at a glance: what `native-host status` and `explain` say of it, out of the Service
//! and its EndpointSlices.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::Serialize;

use super::endpoints::Endpoint;
use super::slices::Published;
use super::spec::{Source, Spec, read};
use super::words;
use super::writer::named;
use crate::names::label;
use crate::plan::sheet::{Problem, Refusal};

/// See the module.
#[derive(Debug)]
pub struct Look {
    /// What it asks for, or what is wrong with it.
    pub spec: Result<Spec, Vec<Problem>>,
    /// What native-host publishes.
    pub endpoints: Vec<Endpoint>,
    /// What is asked for by address, and not published.
    pub missing: Vec<IpAddr>,
    /// What there is to say of other people's slices.
    pub foreign: Option<String>,
}

/// The same as a row of a table and a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// How many addresses are ready.
    pub ready: usize,
    /// Every published address, and whether it is ready.
    pub addresses: Vec<Address>,
    /// What is asked of each; empty if that cannot be read.
    pub probe: String,
    /// What is not as it should be; empty where all is well.
    pub why: String,
}

/// One address of a [`Row`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Whether it is ready.
    pub ready: bool,
    /// Its node, where that is known.
    pub node: Option<String>,
}

/// Looks at a Service. `slices` are all that carry its name.
pub fn look(service: &Service, slices: &[EndpointSlice]) -> Look {
    let ours = |slice: &&EndpointSlice| {
        let labels = slice.metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get(label::SLICE_MANAGED_BY))
            .map(String::as_str)
            == Some(label::SLICE_MANAGED_BY_US)
    };
    let mut endpoints: Vec<_> = slices
        .iter()
        .filter(ours)
        .filter_map(Published::of)
        .flat_map(|slice| slice.endpoints)
        .collect();
    endpoints.sort_by_key(|endpoint| endpoint.address);
    let foreign = slices.iter().filter(|slice| !ours(slice));
    let foreign: Vec<_> = foreign.map(|slice| named(slice.metadata.clone())).collect();
    let spec = read(service);
    let missing = match &spec {
        Ok(Spec {
            source: Source::Addresses(addresses),
            ..
        }) => {
            let there = |address: &IpAddr| {
                endpoints
                    .iter()
                    .any(|endpoint| endpoint.address == *address)
            };
            addresses
                .iter()
                .copied()
                .filter(|address| !there(address))
                .collect()
        }
        _ => Vec::new(),
    };
    Look {
        spec,
        endpoints,
        missing,
        foreign: words::foreign(&foreign),
    }
}

impl Look {
    /// What is not as it should be; empty where all is well.
    pub fn why(&self) -> String {
        let mut all = Vec::new();
        if let Err(problems) = &self.spec {
            let refusal = Refusal {
                problems: problems.clone(),
            };
            all.push(format!(
                "nothing is published: {}",
                refusal.to_string().replace('\n', " ")
            ));
        } else if self.endpoints.is_empty() {
            all.push("nothing is published; its Events say why".to_owned());
        } else if !self.missing.is_empty() {
            all.push(format!("not published: {}", words::some(&self.missing)));
        }
        let down: Vec<_> = self
            .endpoints
            .iter()
            .filter(|one| !one.serving)
            .map(|one| one.address)
            .collect();
        if !down.is_empty() {
            all.push(format!("not ready: {}", words::some(&down)));
        }
        all.extend(self.foreign.clone());
        all.join("; ")
    }
}

impl Row {
    /// Of a Service and all slices that carry its name.
    pub fn of(service: &Service, slices: &[EndpointSlice]) -> Self {
        let look = look(service, slices);
        let address = |one: &Endpoint| Address {
            ip: one.address,
            ready: one.ready,
            node: one.node.clone(),
        };
        Row {
            namespace: service.metadata.namespace.clone().unwrap_or_default(),
            name: service.metadata.name.clone().unwrap_or_default(),
            ready: look.endpoints.iter().filter(|one| one.ready).count(),
            addresses: look.endpoints.iter().map(address).collect(),
            probe: look
                .spec
                .as_ref()
                .map(|spec| spec.probe.to_string())
                .unwrap_or_default(),
            why: look.why(),
        }
    }
}

/// Rows of many Services, in order.
pub fn rows(services: &[Service], slices: Vec<EndpointSlice>) -> Vec<Row> {
    let mut of_service: BTreeMap<(String, String), Vec<EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        let namespace = slice.metadata.namespace.clone().unwrap_or_default();
        if let Some(service) = Published::service(&slice) {
            of_service
                .entry((namespace, service.to_owned()))
                .or_default()
                .push(slice);
        }
    }
    let row = |service: &Service| {
        let metadata = &service.metadata;
        let key = (
            metadata.namespace.clone().unwrap_or_default(),
            metadata.name.clone().unwrap_or_default(),
        );
        Row::of(
            service,
            of_service.get(&key).map(Vec::as_slice).unwrap_or_default(),
        )
    };
    let mut rows: Vec<_> = services.iter().map(row).collect();
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    rows
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
