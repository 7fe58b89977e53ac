//! The way to the API server.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::Chain;

/// No way to the API server is configured.
#[derive(Debug, thiserror::Error)]
#[error("no way to the API server: {0}")]
pub struct ClientError(String);

/// A client by a kubeconfig, or by what is found: `$KUBECONFIG`, `~/.kube/config`, then the pod's
/// ServiceAccount. Nothing is asked yet.
///
/// # Errors
/// If a file cannot be read, names no such context, or nothing is found.
pub async fn client(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Client, ClientError> {
    let error = |e: &dyn std::error::Error| ClientError(Chain(e).to_string());
    let config = match (kubeconfig, context) {
        (None, None) => Config::infer().await.map_err(|e| error(&e))?,
        (path, context) => {
            let file = match path {
                Some(path) => Kubeconfig::read_from(path),
                None => Kubeconfig::read(),
            };
            let options = KubeConfigOptions {
                context: context.map(str::to_owned),
                ..KubeConfigOptions::default()
            };
            Config::from_custom_kubeconfig(file.map_err(|e| error(&e))?, &options)
                .await
                .map_err(|e| error(&e))?
        }
    };
    Client::try_from(config).map_err(|e| error(&e))
}
