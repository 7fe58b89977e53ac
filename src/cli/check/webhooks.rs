//! The webhook configurations: are they there, and do they ask for what this version answers.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use serde_json::{Value, json};

use super::ask::{Asker, Read, cannot_tell};
use super::manifests;
use super::report::{Check, Line};
use crate::names::{annotation, install, webhook};

/// What is registered, as far as anybody asks.
#[derive(Debug, Default)]
pub(super) struct Registered {
    /// Name and webhooks of each configuration that is there.
    configurations: Vec<(&'static str, Vec<Value>)>,
    /// Where they are, and whom to trust there.
    pub(super) clients: Vec<WebhookClientConfig>,
    /// Whether cert-manager is to fill in whom to trust.
    pub(super) by_cert_manager: bool,
}

/// Reads both configurations.
pub(super) async fn read(asker: &Asker<'_>) -> Read<Registered> {
    let mut registered = Registered::default();
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(asker.client.clone());
    if let Some(found) = mutating.get_opt(webhook::MUTATING).await? {
        let webhooks = found.webhooks.unwrap_or_default();
        registered.takes(&found.metadata);
        let clients = webhooks.iter().map(|one| one.client_config.clone());
        registered.clients.extend(clients);
        registered
            .configurations
            .push((webhook::MUTATING, values(&webhooks)));
    }
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(asker.client.clone());
    if let Some(found) = validating.get_opt(webhook::VALIDATING).await? {
        let webhooks = found.webhooks.unwrap_or_default();
        registered.takes(&found.metadata);
        let clients = webhooks.iter().map(|one| one.client_config.clone());
        registered.clients.extend(clients);
        registered
            .configurations
            .push((webhook::VALIDATING, values(&webhooks)));
    }
    Ok(registered)
}

fn values<T: serde::Serialize>(webhooks: &[T]) -> Vec<Value> {
    let values = webhooks.iter().map(serde_json::to_value);
    values.filter_map(Result::ok).collect()
}

impl Registered {
    fn takes(&mut self, metadata: &ObjectMeta) {
        let annotations = metadata.annotations.as_ref();
        self.by_cert_manager |=
            annotations.is_some_and(|all| all.contains_key(annotation::INJECT_CA_FROM));
    }

    /// By which name the API server calls the program, if by one.
    pub(super) fn host(&self) -> Option<String> {
        self.clients.iter().find_map(|client| {
            if let Some(service) = &client.service {
                return Some(format!("{}.{}.svc", service.name, service.namespace));
            }
            let uri: axum::http::Uri = client.url.as_deref()?.parse().ok()?;
            let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
            Some(host.to_owned())
        })
    }

    /// The first URL, where the API server does not go by the Service.
    pub(super) fn url(&self) -> Option<&str> {
        self.clients.iter().find_map(|client| client.url.as_deref())
    }
}

/// Says how they differ from those that this version comes with.
pub(super) fn look(asker: &Asker<'_>, read: &Read<Registered>) -> Line {
    let registered = match read {
        Ok(registered) => registered,
        Err(error) => return cannot_tell(Check::Configurations, error),
    };
    let (mut wrong, mut odd) = (Vec::new(), Vec::new());
    for name in [webhook::MUTATING, webhook::VALIDATING] {
        let found = registered
            .configurations
            .iter()
            .find(|(found, _)| *found == name);
        match found {
            Some((_, found)) => {
                let expected = manifests::webhooks(name);
                compare(name, asker.home, &expected, found, &mut wrong, &mut odd);
            }
            None => wrong.push(format!("the configuration {name} is not there")),
        }
    }
    let hint = format!(
        "kubectl apply -k deploy/ of version {}",
        env!("CARGO_PKG_VERSION")
    );
    if wrong.is_empty() {
        let fine = registered
            .url()
            .map_or(String::new(), |url| format!("by the URL {url}"));
        Line::but_for(Check::Configurations, odd, &hint, fine)
    } else {
        wrong.extend(odd);
        Line::failed(Check::Configurations, wrong, hint)
    }
}

/// What decides which objects are asked about, and what becomes of them while nobody answers.
const SUBSTANCE: [&str; 7] = [
    "rules",
    "objectSelector",
    "matchConditions",
    "failurePolicy",
    "sideEffects",
    "admissionReviewVersions",
    "matchPolicy",
];
/// What somebody may have had a reason to change.
const MANNER: [&str; 3] = ["namespaceSelector", "timeoutSeconds", "reinvocationPolicy"];

fn compare(
    configuration: &str,
    home: &str,
    expected: &[Value],
    found: &[Value],
    wrong: &mut Vec<String>,
    odd: &mut Vec<String>,
) {
    let name = |webhook: &Value| webhook["name"].as_str().unwrap_or_default().to_owned();
    for expected in expected {
        let name = name(expected);
        let Some(found) = found.iter().find(|found| found["name"] == name) else {
            wrong.push(format!("{configuration} lacks the webhook {name}"));
            continue;
        };
        for field in SUBSTANCE {
            wrong.extend(differs(&name, field, expected, found));
        }
        for field in MANNER {
            odd.extend(differs(&name, field, expected, found));
        }
        wrong.extend(elsewhere(&name, home, expected, found));
    }
    for found in found {
        let name = name(found);
        if !expected.iter().any(|expected| expected["name"] == name) {
            odd.push(format!(
                "{configuration} has the webhook {name}, which this version does not know"
            ));
        }
    }
}

fn differs(name: &str, field: &str, expected: &Value, found: &Value) -> Option<String> {
    let (expected, found) = (defaulted(field, expected), defaulted(field, found));
    (expected != found)
        .then(|| format!("webhook {name}: {field} is {found}, and is to be {expected}"))
}

/// A field as the API server stores it (pkg/apis/admissionregistration/v1/defaults.go).
fn defaulted(field: &str, webhook: &Value) -> Value {
    let mut value = webhook[field].clone();
    match field {
        "rules" => return rules(&value),
        "objectSelector" | "namespaceSelector" if value.is_null() => value = json!({}),
        "failurePolicy" if value.is_null() => value = json!("Fail"),
        "matchPolicy" if value.is_null() => value = json!("Equivalent"),
        "timeoutSeconds" if value.is_null() => value = json!(10),
        // Validating webhooks have none.
        "reinvocationPolicy" if value.is_null() => value = json!("Never"),
        "matchConditions" if value.as_array().is_some_and(Vec::is_empty) => value = Value::Null,
        _ => {}
    }
    value
}

/// Rules, with their words in one order: they are sets.
pub(super) fn rules(rules: &Value) -> Value {
    let sorted = |list: &Value| {
        let mut all: Vec<_> = list
            .as_array()
            .into_iter()
            .flatten()
            .map(Value::to_string)
            .collect();
        all.sort();
        all.join(",")
    };
    let mut all: Vec<_> = rules
        .as_array()
        .into_iter()
        .flatten()
        .map(|rule| {
            let words = |field: &str| sorted(&rule[field]);
            let scope = rule["scope"].as_str().unwrap_or("*");
            format!(
                "{} of groups {} versions {} resources {} scope {scope}",
                words("operations"),
                words("apiGroups"),
                words("apiVersions"),
                words("resources")
            )
        })
        .collect();
    all.sort();
    json!(all)
}

/// Whether a webhook's review goes somewhere else than to where this version answers it.
fn elsewhere(name: &str, home: &str, expected: &Value, found: &Value) -> Option<String> {
    let path = expected["clientConfig"]["service"]["path"].as_str()?;
    let client = &found["clientConfig"];
    if let Some(url) = client["url"].as_str() {
        let right = url
            .parse()
            .is_ok_and(|uri: axum::http::Uri| uri.path() == path);
        return (!right)
            .then(|| format!("webhook {name}: it goes to {url}, and is to end in {path}"));
    }
    let service = &client["service"];
    let port = service["port"].as_u64().unwrap_or(443);
    let right = service["namespace"] == home
        && service["name"] == install::NAME
        && service["path"] == path
        && port == 443;
    (!right).then(|| {
        format!(
            "webhook {name}: it goes to {service}, and is to go to the Service {home}/{}, port 443, at {path}",
            install::NAME
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn judge(change: impl FnOnce(&mut Vec<Value>)) -> (Vec<String>, Vec<String>) {
        let expected = manifests::webhooks(webhook::MUTATING);
        let mut found = expected.clone();
        change(&mut found);
        let (mut wrong, mut odd) = (Vec::new(), Vec::new());
        compare("a", install::NAME, &expected, &found, &mut wrong, &mut odd);
        (wrong, odd)
    }

    #[test]
    fn what_the_api_server_fills_in_is_no_difference() {
        let (wrong, odd) = judge(|found| {
            for webhook in found.iter_mut() {
                webhook["matchPolicy"] = json!("Equivalent");
                webhook["namespaceSelector"] = json!({});
                webhook["clientConfig"]["caBundle"] = json!("AAAA");
            }
            found[1]["rules"][0]["operations"] = json!(["UPDATE", "CREATE"]);
            found.reverse();
        });
        assert_eq!((wrong, odd), (vec![], vec![]));
    }

    #[test]
    fn every_other_difference_is_told() {
        for (pointer, value, words) in [
            (
                "/0/failurePolicy",
                json!("Ignore"),
                "failurePolicy is \"Ignore\"",
            ),
            ("/0/objectSelector", json!({}), "objectSelector is {}"),
            ("/0/rules/0/resources", json!(["pods", "nodes"]), "rules is"),
            (
                "/0/name",
                json!("other"),
                "lacks the webhook pods.native-host.io",
            ),
            (
                "/0/clientConfig/service/path",
                json!("/validate"),
                "at /mutate",
            ),
            (
                "/0/clientConfig/service/namespace",
                json!("x"),
                "it goes to",
            ),
            (
                "/0/clientConfig",
                json!({"url": "https://a:1/x"}),
                "to end in /mutate",
            ),
        ] {
            let (wrong, _) = judge(|found| {
                let mut whole = Value::from(std::mem::take(found));
                *whole.pointer_mut(pointer).unwrap() = value;
                found.extend(whole.as_array().unwrap().clone());
            });
            assert_eq!(wrong.len(), 1, "{pointer}: {wrong:?}");
            assert!(wrong[0].contains(words), "{wrong:?}");
        }
        let (wrong, odd) = judge(|found| {
            found[0]["timeoutSeconds"] = json!(30);
            found[1]["namespaceSelector"] = json!({"matchLabels": {"a": "b"}});
        });
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(odd.len(), 2, "{odd:?}");
    }

    #[test]
    fn the_host_is_what_the_api_server_calls() {
        let client = |value| -> Registered {
            Registered {
                clients: vec![serde_json::from_value(value).unwrap()],
                ..Registered::default()
            }
        };
        let service = client(json!({"service": {"name": "a", "namespace": "b"}}));
        assert_eq!(service.host().unwrap(), "a.b.svc");
        assert_eq!(service.url(), None);
        let url = client(json!({"url": "https://127.0.0.1:8443/mutate"}));
        assert_eq!(url.host().unwrap(), "127.0.0.1");
        let v6 = client(json!({"url": "https://[::1]:8443/mutate"}));
        assert_eq!(v6.host().unwrap(), "::1");
        assert_eq!(Registered::default().host(), None);
    }
}
