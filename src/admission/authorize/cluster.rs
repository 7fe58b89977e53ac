//! Rights asked of the API server.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::{Authorizer, Question, Unasked};
use crate::cluster::Chain;
use crate::names::right;

/// See the module. Needs `create` on subjectaccessreviews.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Asks by `client`.
    pub fn new(client: Client) -> Self {
        Cluster { client }
    }
}

/// As a ServiceAccount's own token would have it (`MakeUsername` and `MakeGroupNames`,
/// k8s.io/apiserver/pkg/authentication/serviceaccount/util.go; the last group is the authenticator's).
fn review(question: &Question) -> SubjectAccessReview {
    let Question {
        namespace,
        service_account,
        account,
    } = question;
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!(
                "system:serviceaccount:{namespace}:{service_account}"
            )),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ]),
            resource_attributes: Some(ResourceAttributes {
                group: Some(right::GROUP.to_owned()),
                resource: Some(right::ACCOUNTS.to_owned()),
                verb: Some(right::USE.to_owned()),
                namespace: Some(namespace.clone()),
                name: Some(account.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

impl Authorizer for Cluster {
    async fn is_granted(&self, question: &Question) -> Result<bool, Unasked> {
        let api = Api::<SubjectAccessReview>::all(self.client.clone());
        let asked = api.create(&PostParams::default(), &review(question)).await;
        let failed = |error: &dyn std::error::Error| Unasked::Failed(Chain(error).to_string());
        let status = asked.map_err(|error| failed(&error))?.status;
        match status {
            Some(status) => Ok(status.allowed && status.denied != Some(true)),
            None => Err(Unasked::Failed(
                "the API server's answer has no status".to_owned(),
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http_body_util::{BodyExt as _, Full};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// What was posted, and an API server that always answers the same.
    fn server(code: u16, answer: &Value) -> (Arc<Mutex<Vec<Value>>>, Cluster) {
        let posted = Arc::new(Mutex::new(Vec::new()));
        let (answer, note) = (answer.to_string(), Arc::clone(&posted));
        let service = tower::service_fn(move |request: axum::http::Request<Body>| {
            let (answer, note) = (answer.clone(), Arc::clone(&note));
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap();
                note.lock().unwrap().push(json!([path, body["spec"]]));
                let response = axum::http::Response::builder().status(code);
                Ok::<_, std::convert::Infallible>(response.body(Full::from(answer)).unwrap())
            }
        });
        (posted, Cluster::new(Client::new(service, "default")))
    }

    fn question() -> Question {
        Question {
            namespace: "shop".to_owned(),
            service_account: "albums".to_owned(),
            account: r"nt authority\system".to_owned(),
        }
    }

    fn answered(status: Value) -> Value {
        let mut answer = json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {}});
        answer["status"] = status;
        answer
    }

    #[tokio::test]
    async fn asks_as_the_service_account_would() {
        let (posted, cluster) = server(201, &answered(json!({"allowed": true})));
        assert_eq!(cluster.is_granted(&question()).await, Ok(true));
        let expected = json!(["/apis/authorization.k8s.io/v1/subjectaccessreviews", {
            "user": "system:serviceaccount:shop:albums",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
            "resourceAttributes": {
                "group": right::GROUP, "resource": "accounts", "verb": "use",
                "namespace": "shop", "name": r"nt authority\system",
            },
        }]);
        assert_eq!(*posted.lock().unwrap(), [expected]);
    }

    #[tokio::test]
    async fn only_a_plain_yes_is_one() {
        for (status, granted) in [
            (json!({"allowed": true}), true),
            (json!({"allowed": false}), false),
            (json!({"allowed": true, "denied": true}), false),
            (
                json!({"allowed": false, "evaluationError": "no such role"}),
                false,
            ),
        ] {
            let (_, cluster) = server(201, &answered(status));
            assert_eq!(cluster.is_granted(&question()).await, Ok(granted));
        }
        let forbidden = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 403,
            "reason": "Forbidden", "message": "not you",
        });
        for (code, answer) in [(403, forbidden), (201, answered(Value::Null))] {
            let (_, cluster) = server(code, &answer);
            let asked = cluster.is_granted(&question()).await;
            assert!(matches!(asked, Err(Unasked::Failed(_))), "{asked:?}");
        }
    }
}
