//! `httpGet` of `postStart` and `preStop` (`runHTTPHandler`, `pkg/kubelet/lifecycle/handlers.go`). There is
//! no time limit but the grace period's, any answer is well, and a server without TLS is asked again without.
//! `tcpSocket` is in the API and always fails there; `exec` and `sleep` are the runtime's.

use k8s_openapi::api::core::v1::{Container, HTTPGetAction};

use super::http::{self, Get};
use super::tls::NOT_TLS;

/// Carries it out. The error is the end of the Event's message.
pub async fn http_get(
    action: &HTTPGetAction,
    container: &Container,
    ip: &str,
) -> Result<(), String> {
    let get = Get::new(action, container, ip, "lifecycle")?;
    match http::hook(get.clone()).await {
        Err(error) if error.ends_with(NOT_TLS) => match http::hook(get.plain()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(error),
        },
        other => other,
    }
}
