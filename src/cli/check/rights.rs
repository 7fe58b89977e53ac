//! Rights: those of the program's ServiceAccount, and before an installation those of the caller.

use std::fmt;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::api::PostParams;

use super::ask::{Asker, Read, cannot_tell};
use super::manifests;
use super::report::{Check, Line};
use crate::cli::connection::AskError;
use crate::names::install;

/// How many are asked for at a time.
const AT_A_TIME: usize = 8;

/// One thing to be allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Right {
    verb: String,
    group: String,
    /// With its subresource, as in `pods/status`.
    resource: String,
    name: Option<String>,
    /// None: in all.
    namespace: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => Ok(()),
        }
    }
}

impl Right {
    fn attributes(&self) -> ResourceAttributes {
        let (resource, subresource) = match self.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource)),
            None => (&*self.resource, None),
        };
        ResourceAttributes {
            verb: Some(self.verb.clone()),
            group: Some(self.group.clone()),
            resource: Some(resource.to_owned()),
            subresource: subresource.map(str::to_owned),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            ..ResourceAttributes::default()
        }
    }

    /// Every one of a rule.
    fn of_rule(namespace: Option<&str>, rule: &PolicyRule) -> Vec<Right> {
        let names: Vec<_> = match rule.resource_names.as_deref() {
            None | Some([]) => vec![None],
            Some(names) => names.iter().cloned().map(Some).collect(),
        };
        let mut all = Vec::new();
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    all.extend(names.iter().map(|name| Right {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        name: name.clone(),
                        namespace: namespace.map(str::to_owned),
                    }));
                }
            }
        }
        all
    }
}

/// What the program needs, by its manifest.
fn needed(home: &str) -> Vec<Right> {
    let rules = manifests::rules(install::NAME).into_iter();
    rules
        // Who installs into another namespace has the Role there.
        .flat_map(|(namespace, rule)| Right::of_rule(namespace.map(|_| home), &rule))
        .collect()
}

/// What the administrator creates who installs it.
fn to_install(home: &str) -> Vec<Right> {
    const KINDS: [(&str, &str, bool); 17] = [
        ("", "namespaces", false),
        ("", "serviceaccounts", true),
        ("", "services", true),
        ("apps", "deployments", true),
        ("policy", "poddisruptionbudgets", true),
        ("scheduling.k8s.io", "priorityclasses", false),
        ("networking.k8s.io", "networkpolicies", true),
        ("rbac.authorization.k8s.io", "clusterroles", false),
        ("rbac.authorization.k8s.io", "clusterrolebindings", false),
        ("rbac.authorization.k8s.io", "roles", true),
        ("rbac.authorization.k8s.io", "rolebindings", true),
        (
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations",
            false,
        ),
        (
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations",
            false,
        ),
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies",
            false,
        ),
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicybindings",
            false,
        ),
        ("cert-manager.io", "certificates", true),
        ("cert-manager.io", "issuers", true),
    ];
    let right = |(group, resource, namespaced): (&str, &str, bool)| Right {
        verb: "create".to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: None,
        namespace: namespaced.then(|| home.to_owned()),
    };
    KINDS.into_iter().map(right).collect()
}

/// Whom a question is about.
#[derive(Clone, Copy)]
enum Whose<'a> {
    Caller,
    Account(&'a str),
}

async fn is_allowed(asker: &Asker<'_>, whose: Whose<'_>, right: &Right) -> Read<bool> {
    let attributes = Some(right.attributes());
    let create = PostParams::default();
    let status: Option<SubjectAccessReviewStatus> = match whose {
        Whose::Caller => {
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: attributes,
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let api: Api<SelfSubjectAccessReview> = Api::all(asker.client.clone());
            api.create(&create, &review).await?.status
        }
        Whose::Account(name) => {
            let home = asker.home;
            let groups = [
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{home}"),
                "system:authenticated".to_owned(),
            ];
            let review = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    resource_attributes: attributes,
                    user: Some(format!("system:serviceaccount:{home}:{name}")),
                    groups: Some(groups.into()),
                    ..SubjectAccessReviewSpec::default()
                },
                ..SubjectAccessReview::default()
            };
            let api: Api<SubjectAccessReview> = Api::all(asker.client.clone());
            api.create(&create, &review).await?.status
        }
    };
    Ok(status.is_some_and(|status| status.allowed))
}

/// Those that are lacking.
async fn lacking(asker: &Asker<'_>, whose: Whose<'_>, rights: &[Right]) -> Read<Vec<String>> {
    let answers = futures::stream::iter(rights.iter().map(|right| async move {
        let allowed = is_allowed(asker, whose, right).await?;
        Ok::<_, AskError>((!allowed).then(|| right.to_string()))
    }));
    let answers: Vec<_> = answers.buffered(AT_A_TIME).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

/// Before the installation: the caller's.
pub(super) async fn before(asker: &Asker<'_>, lines: &mut Vec<Line>) {
    let create = to_install(asker.home);
    lines.push(match lacking(asker, Whose::Caller, &create).await {
        Ok(wrong) => Line::unless(
            Check::MayInstall,
            wrong,
            "Have a cluster's administrator install it: rights on all of the cluster are needed",
            format!("{} kinds", create.len()),
        ),
        Err(error) => cannot_tell(Check::MayInstall, &error),
    });
    // Nobody may grant what he has not, unless he may escalate
    // (pkg/registry/rbac/clusterrole/policybased/storage.go).
    let escalate = Right {
        verb: "escalate".to_owned(),
        group: "rbac.authorization.k8s.io".to_owned(),
        resource: "clusterroles".to_owned(),
        ..Right::default()
    };
    let wrong = match is_allowed(asker, Whose::Caller, &escalate).await {
        Ok(true) => Ok(Vec::new()),
        Ok(false) => lacking(asker, Whose::Caller, &needed(asker.home)).await,
        Err(error) => Err(error),
    };
    lines.push(match wrong {
        Ok(wrong) => Line::unless(
            Check::MayGrant,
            wrong,
            "Have these rights yourself, or the verb escalate on clusterroles",
            "",
        ),
        Err(error) => cannot_tell(Check::MayGrant, &error),
    });
}

/// After it: the program's.
pub(super) async fn look(asker: &Asker<'_>, lines: &mut Vec<Line>) {
    let rights = needed(asker.home);
    lines.push(
        match lacking(asker, Whose::Account(install::NAME), &rights).await {
            Ok(wrong) => {
                let account = format!("{}/{} may not ", asker.home, install::NAME);
                let wrong = wrong.iter().map(|right| format!("{account}{right}"));
                Line::unless(
                    Check::Rights,
                    wrong.collect(),
                    "kubectl apply -f deploy/base/rbac.yaml of this version",
                    format!("{} of them", rights.len()),
                )
            }
            Err(error) => cannot_tell(Check::Rights, &error),
        },
    );
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_as_many_rights_as_it_has_words() {
        let rule: PolicyRule = serde_saphyr::from_str(
            "{apiGroups: ['', x.io], resources: [pods/status, pods], verbs: [get, patch], resourceNames: [a]}",
        )
        .unwrap();
        let rights = Right::of_rule(Some("shop"), &rule);
        assert_eq!(rights.len(), 8);
        assert_eq!(
            rights[0].to_string(),
            "get pods/status \"a\" in namespace shop"
        );
        let asked = rights[0].attributes();
        assert_eq!(asked.resource.as_deref(), Some("pods"));
        assert_eq!(asked.subresource.as_deref(), Some("status"));
        assert_eq!(
            rights[7].to_string(),
            "patch pods.x.io \"a\" in namespace shop"
        );
    }

    #[test]
    fn what_is_needed_is_what_the_manifest_says() {
        let all = needed("elsewhere");
        let texts: Vec<_> = all.iter().map(Right::to_string).collect();
        for right in [
            "watch namespaces",
            "patch pods/status",
            "create events.events.k8s.io",
            "patch leases.coordination.k8s.io \"native-host\" in namespace elsewhere",
        ] {
            assert!(texts.iter().any(|text| text == right), "{right}: {texts:?}");
        }
    }

    /// A kind that is added to the manifests has to be added to what is asked.
    #[test]
    fn every_kind_that_is_installed_is_asked_about() {
        let asked: Vec<_> = to_install("x")
            .into_iter()
            .map(|right| right.resource)
            .collect();
        for folder in ["deploy/base", "certs"] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            // Before certs/ is there, there is nothing in it.
            for file in std::fs::read_dir(folder).into_iter().flatten() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                let kinds = text.lines().filter_map(|line| line.strip_prefix("kind: "));
                for kind in
                    kinds.filter(|kind| !matches!(*kind, "Kustomization" | "Component" | "any"))
                {
                    let kind = kind.to_lowercase();
                    let plural = match kind.strip_suffix('y') {
                        Some(stem) => format!("{stem}ies"),
                        None if kind.ends_with('s') => format!("{kind}es"),
                        None => format!("{kind}s"),
                    };
                    assert!(asked.contains(&plural), "{plural}");
                }
            }
        }
    }
}
