//! Pods read from the API server, as far as the rules look at them.

use k8s_openapi::api::core::v1::Pod;
use kube::api::GetParams;
use kube::core::Request;
use kube::{Client, Resource as _};

use super::{PairLookup, PodView, Unread};
use crate::cluster::{Chain, is_plain};

/// See the module. Needs `get` on pods.
#[derive(Clone)]
pub struct Pods {
    client: Client,
}

impl std::fmt::Debug for Pods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pods").finish_non_exhaustive()
    }
}

impl Pods {
    /// Reads by `client`.
    pub fn new(client: Client) -> Self {
        Pods { client }
    }
}

impl PairLookup for Pods {
    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<PodView>, Unread> {
        if !is_plain(namespace) || !is_plain(name) {
            return Ok(None);
        }
        let failed = |error: &dyn std::error::Error| Unread::Failed {
            pod: name.to_owned(),
            cause: Chain(error).to_string(),
        };
        // Without a resourceVersion, so not from the API server's cache.
        let request = Request::new(Pod::url_path(&(), Some(namespace)))
            .get(name, &GetParams::default())
            .map_err(|error| failed(&error))?;
        // Not `Client::request`, which logs the whole pod where it cannot be read.
        match self.client.request_text(request).await {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| failed(&error)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http_body_util::Full;
    use kube::client::Body;

    use super::*;

    /// What was asked for, and a client whose API server always answers the same.
    fn server(code: u16, body: &str) -> (Arc<Mutex<Vec<String>>>, Pods) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (body, note) = (body.to_owned(), Arc::clone(&asked));
        let service = tower::service_fn(move |request: axum::http::Request<Body>| {
            note.lock().unwrap().push(request.uri().to_string());
            let response = axum::http::Response::builder().status(code);
            let response = response.body(Full::from(body.clone())).unwrap();
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        (asked, Pods::new(Client::new(service, "default")))
    }

    fn status(code: u16, reason: &str) -> String {
        format!(
            r#"{{"kind":"Status","status":"Failure","message":"no","reason":"{reason}","code":{code}}}"#
        )
    }

    #[tokio::test]
    async fn asks_for_the_pod_as_it_is_now() {
        let (asked, pods) = server(200, r#"{"kind":"Pod","metadata":{"name":"a"},"spec":{}}"#);
        assert!(pods.pod("shop", "albums-0.x").await.unwrap().is_some());
        assert_eq!(
            *asked.lock().unwrap(),
            ["/api/v1/namespaces/shop/pods/albums-0.x"]
        );
    }

    #[tokio::test]
    async fn what_is_not_there_is_no_error_and_everything_else_is() {
        let (_, pods) = server(404, &status(404, "NotFound"));
        assert!(pods.pod("shop", "albums").await.unwrap().is_none());
        for (code, body) in [
            (403, status(403, "Forbidden")),
            (500, "<html>".to_owned()),
            (200, r#"{"metadata": []"#.to_owned()),
        ] {
            let (_, pods) = server(code, &body);
            let error = pods.pod("shop", "albums").await.unwrap_err().to_string();
            assert!(error.starts_with("reading pod albums failed: "), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_that_would_lead_elsewhere_is_nobodys() {
        let (asked, pods) = server(200, "{}");
        for (namespace, name) in [
            ("shop", "../secrets/x-anchor-0123abcd"),
            ("shop", ".."),
            ("shop", "a?watch=true"),
            ("shop", "a%2fb"),
            ("shop", "a\nb"),
            ("shop", ""),
            ("../..", "albums"),
            ("", "albums"),
        ] {
            assert!(pods.pod(namespace, name).await.unwrap().is_none(), "{name}");
        }
        assert!(asked.lock().unwrap().is_empty());
    }
}
