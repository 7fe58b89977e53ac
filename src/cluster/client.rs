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
    let config = config(kubeconfig, context).await?;
    Client::try_from(config).map_err(|e| error(&e))
}

/// The same, but one that repeats nothing by itself: for who has a work queue to come back by.
///
/// # Errors
/// As [`client`].
pub async fn client_without_retries(kubeconfig: Option<&Path>) -> Result<Client, ClientError> {
    let mut config = config(kubeconfig, None).await?;
    config.default_retry = false;
    Client::try_from(config).map_err(|e| error(&e))
}

async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, ClientError> {
    if let (None, None) = (kubeconfig, context) {
        return Config::infer().await.map_err(|e| error(&e));
    }
    let file = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let file = file.map_err(|e| error(&e))?;
    Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|e| error(&e))
}

fn error(error: &dyn std::error::Error) -> ClientError {
    ClientError(Chain(error).to_string())
}
