//! Workloads under review: what their pods will be refused for is said when the workload is
//! applied, as Pod Security does it, since nobody sees the errors that a controller gets.

use super::answer::{Verdict, bad_namespace};
use crate::json::{Cursor, Error};
use crate::names::label;
use crate::plan::pod::Pod;
use crate::plan::reason::{Outcome, Reason};
use crate::plan::sheet::{Refusal, Root};
use crate::plan::{Decision, plan};
use crate::policy::{Mode, Namespace, PodSecurityLevel};

/// Where the pod template of a workload stands; `None` for other kinds.
pub(super) fn root(group: &str, kind: &str) -> Option<Root> {
    match (group, kind) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") => {
            Some(Root::TEMPLATE)
        }
        ("batch", "CronJob") => Some(Root::CRON_TEMPLATE),
        _ => None,
    }
}

/// Moves a cursor to the pod template, if there is one.
fn template(raw: &str, root: Root) -> Result<Option<Cursor<'_>>, Error> {
    let mut at = Some(Cursor::new(raw));
    for segment in root.pointer.split('/').skip(1) {
        let Some(mut cursor) = at.take() else {
            return Ok(None);
        };
        cursor.object(|key, value| {
            if key == segment {
                at = Some(value.fork()?);
                return Ok(());
            }
            value.skip()
        })?;
    }
    Ok(at)
}

/// The pod that a workload's template makes, and where the template stands.
pub(super) fn pod<'r>(
    group: &str,
    kind: &str,
    raw: &'r str,
) -> Result<Option<(Pod<'r>, Root)>, Error> {
    let Some(root) = root(group, kind) else {
        return Ok(None);
    };
    let Some(mut template) = template(raw, root)? else {
        return Ok(None);
    };
    let mut pod = Pod::read(&mut template)?;
    pod.of_daemonset = kind == "DaemonSet";
    Ok(Some((pod, root)))
}

/// `/validate-templates`
pub(super) fn review(
    group: &str,
    kind: &str,
    raw: &str,
    namespace: &Namespace,
) -> Result<Verdict, Error> {
    let not_labelled = || Verdict::allow(Outcome::Skipped, Reason::NotLabelled);
    let Some((pod, root)) = pod(group, kind, raw)? else {
        return Ok(not_labelled());
    };
    if pod.labels.get(label::WORKLOAD).is_none() {
        return Ok(not_labelled());
    }
    let policy = match &namespace.policy {
        Ok(policy) if policy.mode == Mode::Off => {
            return Ok(Verdict::allow(Outcome::Skipped, Reason::ModeOff));
        }
        Ok(policy) => policy,
        Err(errors) => {
            let warnings = vec![bad_namespace(errors)];
            return Ok(
                Verdict::allow(Outcome::Allowed, Reason::NamespacePolicy).with_warnings(warnings)
            );
        }
    };
    let planned = plan(&pod, policy, root);
    let mut warnings = planned.warnings;
    let verdict = match planned.decision {
        Decision::Reject(refusal) => {
            if let Some(endless) = endless(&refusal, &pod) {
                Verdict::reject(&endless)
            } else {
                let problems = refusal.problems.iter();
                warnings.extend(problems.map(|problem| format!("pods will be refused: {problem}")));
                Verdict::allow(Outcome::Allowed, refusal.reason())
            }
        }
        Decision::Skip(reason) => Verdict::allow(Outcome::Skipped, reason),
        Decision::Inject(..) | Decision::Unchanged(_) => {
            Verdict::allow(Outcome::Allowed, Reason::None)
        }
    };
    if let Some(level) = namespace
        .pod_security
        .filter(|level| *level > PodSecurityLevel::Privileged)
    {
        warnings.push(format!(
            "pods will be refused by Pod Security: the namespace enforces the level {level}, which \
             forbids HostProcess; set the Namespace's label {}=privileged",
            label::POD_SECURITY_ENFORCE
        ));
    }
    Ok(verdict.with_warnings(warnings))
}

/// The part of a refusal for which a DaemonSet could never finish: its pods would wait for ever
/// on nodes that they do not fit.
fn endless(refusal: &Refusal, pod: &Pod<'_>) -> Option<Refusal> {
    let placement = |problem: &&crate::plan::sheet::Problem| problem.reason == Reason::Placement;
    let problems: Vec<_> = refusal.problems.iter().filter(placement).cloned().collect();
    (pod.of_daemonset && !problems.is_empty()).then_some(Refusal { problems })
}
