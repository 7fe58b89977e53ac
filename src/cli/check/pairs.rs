//! The pairs: are they ready, and what misses their anchors.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, GroupVersionKind, ListParams};
use kube::core::DynamicObject;
use kube::error::DiscoveryError;

use super::ask::{Asker, Read, cannot_tell, is_missing};
use super::namespaces::Seen;
use super::report::{Check, Line};
use crate::anchor::misses::{Kind, Workloads, find};
use crate::anchor::pair::State;
use crate::cli::connection::{AskError, list};
use crate::cli::status::read::{Wanted, pods};
use crate::cli::status::row::Row;

/// What selects the workloads' labels and so misses their anchors: the finder's rules.
pub(super) async fn misses(asker: &Asker<'_>, seen: &Seen) -> Line {
    let pods = match &seen.pods {
        Ok(pods) => pods,
        Err(error) => return cannot_tell(Check::AnchorsSelected, error),
    };
    let namespaces = seen.namespaces.as_deref().unwrap_or_default();
    let workloads = workloads(pods, namespaces);
    let mut odd = Vec::new();
    for &kind in Kind::ALL {
        // Of nobody nothing can be missed, and nothing needs to be read.
        if workloads.is_empty() {
            break;
        }
        match missing(asker, kind, &workloads).await {
            Ok(found) => odd.extend(found),
            Err(error) => odd.push(format!("{kind}s cannot be listed: {error}")),
        }
    }
    let hint = "Write the selectors that it names; docs/misses.md says why";
    Line::but_for(Check::AnchorsSelected, odd, hint, "")
}

fn workloads(pods: &[ObjectMeta], namespaces: &[ObjectMeta]) -> Workloads {
    let mut workloads = Workloads::default();
    for pod in pods {
        workloads.add(pod);
    }
    for namespace in namespaces {
        let name = namespace.name.as_deref().unwrap_or_default();
        workloads.set_labels(name, namespace.labels.clone().unwrap_or_default());
    }
    workloads
}

async fn missing(asker: &Asker<'_>, kind: Kind, workloads: &Workloads) -> Read<Vec<String>> {
    let Some(resource) = resource(asker, kind).await? else {
        return Ok(Vec::new());
    };
    let client = asker.client.clone();
    let api: Api<DynamicObject> = match &asker.scope {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let judged = |object: DynamicObject| {
        let miss = find(kind, &object, workloads)?;
        let metadata = &object.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let name = metadata.name.as_deref().unwrap_or_default();
        Some(format!("{kind} {namespace}/{name}: {miss}"))
    };
    match list(&api, &ListParams::default(), judged).await {
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        answer => answer,
    }
}

/// How a kind is asked for; None where it is not installed.
async fn resource(asker: &Asker<'_>, kind: Kind) -> Read<Option<ApiResource>> {
    if let Some(version) = kind.version() {
        let kind_ = GroupVersionKind::gvk(kind.group(), version, kind.as_str());
        return Ok(Some(ApiResource::from_gvk_with_plural(
            &kind_,
            kind.plural(),
        )));
    }
    match kube::discovery::group(&asker.client, kind.group()).await {
        Ok(group) => {
            let mut all = group.resources_by_stability().into_iter();
            Ok(all.find_map(|(one, _)| (one.kind == kind.as_str()).then_some(one)))
        }
        Err(kube::Error::Discovery(DiscoveryError::MissingApiGroup(_))) => Ok(None),
        Err(error) => {
            let error = AskError::from(error);
            if is_missing(&error) {
                Ok(None)
            } else {
                Err(error)
            }
        }
    }
}

/// Where the pairs stand, in numbers.
pub(super) async fn ready(asker: &Asker<'_>) -> Line {
    let wanted = Wanted {
        namespace: asker.scope.clone(),
        rules: asker.rules,
        ..Wanted::default()
    };
    match pods(&asker.client, &wanted).await {
        Ok(pods) => judge(&pods.rows(&wanted, Timestamp::now())),
        Err(error) => cannot_tell(Check::PairsReady, &error),
    }
}

fn judge(rows: &[Row]) -> Line {
    // Those on their way down, those that were never injected, and those that are no pairs are no concern
    // of this check.
    let counts = |state: State| {
        !matches!(
            state,
            State::Finished | State::Draining | State::Ending | State::NotInjected | State::OnHost
        )
    };
    let of = |state: State| rows.iter().filter(|row| row.state == state).count();
    let all = rows.iter().filter(|row| counts(row.state)).count();
    let unready = State::ALL.iter().copied().filter(|state| counts(*state));
    let odd: Vec<_> = unready
        .filter(|state| *state != State::Ready && of(*state) > 0)
        .map(|state| format!("{} of {all} pairs are {state}", of(state)))
        .collect();
    let hint = "native-host status -A shows which, native-host explain NAME why";
    Line::but_for(Check::PairsReady, odd, hint, format!("{all} of them"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::check::report::Mark;
    use crate::cli::status::row::PodPart;

    fn rows(states: &[State]) -> Vec<Row> {
        let row = |state: &State| Row {
            namespace: "shop".to_owned(),
            workload: None,
            pod: PodPart::default(),
            anchor: None,
            state: *state,
            since: None,
            why: String::new(),
        };
        states.iter().map(row).collect()
    }

    #[test]
    fn pairs_are_counted_by_state() {
        let line = judge(&rows(&[
            State::Ready,
            State::Stuck,
            State::Stuck,
            State::Lost,
            State::Finished,
            State::NotInjected,
        ]));
        assert_eq!(line.mark, Mark::Warning);
        assert_eq!(
            line.found,
            ["2 of 4 pairs are Stuck", "1 of 4 pairs are Lost"]
        );
        let line = judge(&rows(&[State::Ready, State::Draining]));
        assert_eq!((line.mark, &*line.found[0]), (Mark::Ok, "1 of them"));
    }
}
