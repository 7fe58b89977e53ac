//! Which API server to ask, of what namespace; and what to say when it does not answer.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::serve_args::duration;
use crate::anchor::rules::Rules;
use crate::cluster::{self, Chain, ClientError};

/// As kubectl's flags of these names; and what the controller is told by a flag of the same name.
#[derive(Clone, Debug, clap::Args)]
pub struct Connection {
    /// Namespace to look in; by default that of the kubeconfig's context
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,

    /// Kubeconfig to reach the API server by; by default $KUBECONFIG, ~/.kube/config, then the pod's
    /// ServiceAccount
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig to use; by default its current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// How long an anchor may take to run before it counts as stuck: what the controller runs with
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub anchor_deadline: Duration,
}

impl Connection {
    /// The controller's rules.
    pub(super) fn rules(&self) -> Rules {
        Rules {
            start_deadline: self.anchor_deadline,
            ..Rules::default()
        }
    }

    /// A client, and the namespace to look in.
    pub(super) async fn open(&self) -> Result<(Client, String), AskError> {
        let client = cluster::client(self.kubeconfig.as_deref(), self.context.as_deref()).await?;
        let namespace = self.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        Ok((client, namespace))
    }
}

/// A question to the API server that got no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// See [`ClientError`].
    #[error("error: {0}. Give --kubeconfig or --context, or set KUBECONFIG")]
    Client(#[from] ClientError),
    /// The API server said no, in its own words, as kubectl prints them.
    #[error("Error from server ({}): {}", .0.reason, .0.message)]
    Refused(Box<kube::core::Status>),
    /// The API server is not there, or is something else.
    #[error("error: cannot reach the API server: {0}")]
    Unreachable(String),
}

impl From<kube::Error> for AskError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            error => Self::Unreachable(Chain(&error).to_string()),
        }
    }
}

impl AskError {
    /// Whether rights are missing, which no patience will bring.
    pub(super) fn is_about_rights(&self) -> bool {
        matches!(self, Self::Refused(status) if matches!(status.code, 401 | 403))
    }
}

/// An [`Api`] of a namespaced kind: in one namespace, or in all.
pub(super) fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// A page of a list, as kubectl's (`--chunk-size`).
const PAGE: u32 = 500;
/// `continue` has expired: what is left of the list is not known any more.
const EXPIRED: u16 = 410;

/// Lists in pages, and keeps of each object what `keep` makes of it.
pub(super) async fn list<K, T>(
    api: &Api<K>,
    params: &ListParams,
    keep: impl Fn(K) -> Option<T>,
) -> Result<Vec<T>, AskError>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.clone().limit(PAGE);
    let mut kept = Vec::new();
    loop {
        match api.list(&params).await {
            Ok(page) => {
                kept.extend(page.items.into_iter().filter_map(&keep));
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params.continue_token = Some(token),
                    None => return Ok(kept),
                }
            }
            // Once more and in one piece, as client-go's pager does (`tools/pager/pager.go`).
            Err(kube::Error::Api(status))
                if status.code == EXPIRED && params.continue_token.is_some() =>
            {
                kept.clear();
                params.continue_token = None;
                params.limit = None;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
