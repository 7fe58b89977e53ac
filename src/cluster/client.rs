//! The way to the API server.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::Chain;

/// How long a connection may be silent while an answer is awaited: longer than a watch lasts
/// ([`super::follow`]) and than the API server's own limit on a request (a minute). A connection that
/// died without a word is noticed so, where the kernel would send again for a quarter of an hour.
const SILENCE: Duration = Duration::from_secs(75);

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
    let mut config = found(kubeconfig, context).await?;
    config.read_timeout = Some(SILENCE);
    // Counted from the request, not from when the connection was last used.
    config.reset_reader_on_write = true;
    Ok(config)
}

async fn found(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, ClientError> {
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
