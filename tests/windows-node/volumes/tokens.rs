//! Tokens of ServiceAccounts, bound to their pods (`pkg/kubelet/token/token_manager.go`).

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{Volumes, uid};
use crate::objects::Objects;

impl<O: Objects> Volumes<O> {
    /// The token that the pod has, or a new one when that is old.
    pub(super) async fn token(
        &self,
        pod: &Pod,
        source: &ServiceAccountTokenProjection,
    ) -> Result<String, String> {
        let audience = source.audience.clone();
        let audience = audience.filter(|audience| !audience.is_empty());
        let seconds = source.expiration_seconds.unwrap_or(3600);
        let key = format!("{audience:?} {seconds}");
        let had = {
            let known = self.known.lock().unwrap();
            known
                .get(uid(pod))
                .and_then(|known| known.tokens.get(&key))
                .cloned()
        };
        let text =
            |token: TokenRequest| token.status.map(|status| status.token).unwrap_or_default();
        if let Some(token) = had
            && !is_old(&token, Timestamp::now())
        {
            return Ok(text(token));
        }
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audience.into_iter().collect(),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
                expiration_seconds: Some(seconds),
            },
            ..TokenRequest::default()
        };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let spec = pod.spec.as_ref();
        let account = spec.and_then(|spec| spec.service_account_name.as_deref());
        let account = account.unwrap_or("default");
        let token = self.objects.token(namespace, account, request).await?;
        let mut known = self.known.lock().unwrap();
        let known = known.entry(uid(pod).to_owned()).or_default();
        known.tokens.insert(key, token.clone());
        Ok(text(token))
    }
}

/// Whether a token is to be renewed (`requiresRefresh`): after four fifths of its life, or a day.
fn is_old(token: &TokenRequest, now: Timestamp) -> bool {
    let (Some(status), Some(seconds)) = (&token.status, token.spec.expiration_seconds) else {
        return true;
    };
    let left = status.expiration_timestamp.0.duration_since(now);
    let age = SignedDuration::from_secs(seconds) - left;
    left < SignedDuration::from_secs(seconds / 5) || age > SignedDuration::from_hours(24)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_are_renewed_before_they_end() {
        let now = Timestamp::now();
        let token = |seconds: i64, left: i64| {
            let expires = now + SignedDuration::from_secs(left);
            let token = json!({"metadata": {},
            "spec": {"audiences": [], "expirationSeconds": seconds},
            "status": {"token": "t", "expirationTimestamp": expires.to_string()}});
            serde_json::from_value::<TokenRequest>(token).unwrap()
        };
        assert!(!is_old(&token(3600, 3600), now));
        assert!(!is_old(&token(3600, 721), now));
        assert!(is_old(&token(3600, 719), now));
        assert!(is_old(&token(400_000, 300_000), now), "after a day");
    }
}
