//! The namespaces and what runs in them: their policies, their Pod Security level, pods that admission
//! never saw, anchors without owners. The rules are those of the controller's audit.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;

use super::ask::{Asker, Read, cannot_tell};
use super::report::{Check, Line};
use crate::anchor::audit::{self, Audit, Finding, Problem, SETTLE, UNFINISHED};
use crate::cli::connection::{api, list};
use crate::cluster::is_plain;
use crate::names::{PREFIX, label};
use crate::policy::{Mode, PodSecurityLevel, Policy};

/// What was read: metadata only.
pub(super) struct Seen {
    pub(super) namespaces: Read<Vec<ObjectMeta>>,
    /// Of pods that have the workload label and have not finished.
    pub(super) pods: Read<Vec<ObjectMeta>>,
    anchors: Read<Vec<ObjectMeta>>,
}

pub(super) async fn read(asker: &Asker<'_>) -> Seen {
    let pods = api::<Pod>(&asker.client, asker.scope.as_deref());
    let metadata = |pod: Pod| Some(slim(pod.metadata));
    let workloads = ListParams::default()
        .labels(label::WORKLOAD)
        .fields(UNFINISHED);
    let anchors = ListParams::default().labels(&audit::anchors());
    Seen {
        namespaces: namespaces(asker).await,
        pods: list(&pods, &workloads, metadata).await,
        anchors: list(&pods, &anchors, metadata).await,
    }
}

async fn namespaces(asker: &Asker<'_>) -> Read<Vec<ObjectMeta>> {
    let namespaces: Api<Namespace> = Api::all(asker.client.clone());
    if let Some(name) = &asker.scope {
        return Ok(vec![namespaces.get(name).await?.metadata]);
    }
    let metadata = |one: Namespace| Some(slim(one.metadata));
    list(&namespaces, &ListParams::default(), metadata).await
}

/// The largest part of most objects' metadata, and of no use here.
fn slim(mut metadata: ObjectMeta) -> ObjectMeta {
    metadata.managed_fields = None;
    metadata
}

/// Says it all.
pub(super) async fn look(asker: &Asker<'_>, seen: &Seen, lines: &mut Vec<Line>) {
    let mut audit = Audit::default();
    for namespace in seen.namespaces.iter().flatten() {
        audit.namespace(asker.flags, namespace);
    }
    for pod in seen.pods.iter().flatten() {
        audit.pod(pod);
    }
    let now = Timestamp::now();
    for anchor in seen.anchors.iter().flatten() {
        audit.anchor(anchor, now);
    }
    let confirmed = confirm(asker, &mut audit).await;
    let findings = audit.into_findings();
    match (&seen.namespaces, &seen.pods) {
        (Ok(namespaces), pods) => {
            let pods = pods.as_deref().unwrap_or_default();
            lines.push(policies(namespaces, &findings));
            lines.push(pod_security(asker.flags, namespaces, pods));
        }
        (Err(error), _) => {
            lines.push(cannot_tell(Check::PolicyValid, error));
            lines.push(cannot_tell(Check::PodSecurity, error));
        }
    }
    lines.push(match &seen.pods {
        Ok(pods) => injected(pods.len(), &findings),
        Err(error) => cannot_tell(Check::PodsInjected, error),
    });
    let anchors = seen.pods.as_ref().and(seen.anchors.as_ref());
    lines.push(match (anchors, &confirmed) {
        (Ok(anchors), Ok(())) => owned(anchors.len(), &findings),
        (Err(error), _) | (_, Err(error)) => cannot_tell(Check::AnchorsOwned, error),
    });
}

/// Reads the suspects once more, and the pods that they name.
async fn confirm(asker: &Asker<'_>, audit: &mut Audit) -> Read<()> {
    let suspects = audit.suspects();
    if !suspects.is_empty() {
        tokio::time::sleep(SETTLE).await;
    }
    for suspect in suspects {
        let pods = api::<Pod>(&asker.client, Some(&suspect.anchor.namespace));
        let anchor = pods.get_metadata_opt(&suspect.anchor.name).await?;
        let owner = match suspect.owner.as_deref().filter(|name| is_plain(name)) {
            Some(name) => pods.get_metadata_opt(name).await?,
            None => None,
        };
        let (anchor, owner) = (
            anchor.map(|one| one.metadata),
            owner.map(|one| one.metadata),
        );
        audit.confirm(suspect, anchor.as_ref(), owner.as_ref(), Timestamp::now());
    }
    Ok(())
}

fn of(problem: Problem, findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(move |one| one.problem == problem)
}

/// Whether a Namespace says anything to us.
fn has_policy(metadata: &ObjectMeta) -> bool {
    let mut keys = metadata.annotations.iter().flatten().map(|(key, _)| key);
    keys.any(|key| key.starts_with(PREFIX))
}

fn policies(namespaces: &[ObjectMeta], findings: &[Finding]) -> Line {
    let wrong = of(Problem::InvalidPolicy, findings)
        .map(|one| format!("{}: {}", one.subject.name, one.note.text));
    let count = namespaces.iter().filter(|one| has_policy(one)).count();
    Line::unless(
        Check::PolicyValid,
        wrong.collect(),
        "kubectl edit namespace NAME; every annotation is told of in docs/policy.md",
        format!("{count} have one"),
    )
}

/// A level below `privileged` refuses what is injected. Where the cluster's default is lower, no label
/// says so: then only the dry run shows it.
fn pod_security(flags: &Policy, namespaces: &[ObjectMeta], pods: &[ObjectMeta]) -> Line {
    let busy: BTreeSet<_> = pods.iter().map(|pod| pod.namespace.as_deref()).collect();
    let wrong = namespaces
        .iter()
        .filter(|one| has_policy(one) || busy.contains(&one.name.as_deref()));
    let wrong = wrong.filter_map(|one| {
        let read = audit::read(flags, one);
        let off = matches!(&read.policy, Ok(policy) if policy.mode == Mode::Off);
        let level = read
            .pod_security
            .filter(|level| !off && *level > PodSecurityLevel::Privileged)?;
        let name = one.name.as_deref().unwrap_or_default();
        Some(format!(
            "{name}: it enforces the level {level}, which refuses HostProcess pods"
        ))
    });
    let hint = format!(
        "kubectl label --overwrite namespace NAME {}=privileged",
        label::POD_SECURITY_ENFORCE
    );
    Line::unless(Check::PodSecurity, wrong.collect(), &hint, "")
}

fn injected(count: usize, findings: &[Finding]) -> Line {
    let wrong = of(Problem::NotInjected, findings).map(|one| {
        let (namespace, name) = (&one.subject.namespace, &one.subject.name);
        format!("pod {namespace}/{name} has the label and was not injected")
    });
    Line::unless(
        Check::PodsInjected,
        wrong.collect(),
        "Delete them to have them created anew (kubectl delete pod -n NAMESPACE NAME); `native-host explain NAME` says why",
        format!("{count} of them"),
    )
}

fn owned(count: usize, findings: &[Finding]) -> Line {
    let odd = of(Problem::Ownerless, findings).map(|one| {
        let (namespace, name) = (&one.subject.namespace, &one.subject.name);
        format!("pod {namespace}/{name}: {}", one.note.text)
    });
    Line::but_for(
        Check::AnchorsOwned,
        odd.collect(),
        "Delete them, once you know where they come from; a Service may be sending requests to them",
        format!("{count} of them"),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::check::report::Mark;

    fn metadata(text: &str) -> ObjectMeta {
        serde_saphyr::from_str(&text.replace("@/", PREFIX)).unwrap()
    }

    fn security(namespace: &str, pods: &[ObjectMeta]) -> Mark {
        let level = label::POD_SECURITY_ENFORCE;
        let namespace = metadata(&namespace.replace("LEVEL", level));
        pod_security(&Policy::builtin(), &[namespace], pods).mark
    }

    #[test]
    fn pod_security_matters_where_workloads_are_or_are_meant_to_be() {
        let pods = [metadata("{name: a, namespace: shop}")];
        let low = "{name: shop, labels: {LEVEL: baseline}";
        assert_eq!(security(&format!("{low}}}"), &pods), Mark::Failed);
        assert_eq!(security(&format!("{low}}}"), &[]), Mark::Ok, "none of ours");
        let meant = format!("{low}, annotations: {{'@/mode': warn}}}}");
        assert_eq!(security(&meant, &[]), Mark::Failed);
        let off = format!("{low}, annotations: {{'@/mode': 'off'}}}}");
        assert_eq!(security(&off, &pods), Mark::Ok);
        let high = "{name: shop, labels: {LEVEL: privileged}}";
        assert_eq!(security(high, &pods), Mark::Ok);
        assert_eq!(security("{name: shop}", &pods), Mark::Ok);
    }

    #[test]
    fn findings_of_the_audit_are_told_each_by_its_check() {
        let mut audit = Audit::default();
        let bad = metadata("{name: bad, uid: b, annotations: {'@/mode': sometimes}}");
        audit.namespace(&Policy::builtin(), &bad);
        audit.pod(&metadata("{name: a, namespace: shop, uid: p}"));
        let findings = audit.into_findings();
        let line = policies(&[bad], &findings);
        assert_eq!(line.mark, Mark::Failed);
        assert!(
            line.found[0].starts_with("bad: ") && line.found.len() == 1,
            "{line:?}"
        );
        let line = injected(1, &findings);
        assert_eq!(
            line.found,
            ["pod shop/a has the label and was not injected"]
        );
        assert_eq!(owned(0, &findings).mark, Mark::Ok);
        assert_eq!(policies(&[], &[]).mark, Mark::Ok);
        assert_eq!(injected(3, &[]).found, ["3 of them"]);
    }
}
