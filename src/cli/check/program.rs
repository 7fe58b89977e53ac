//! The program itself: its Deployment, its Service, and who of it leads.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;

use super::ask::{Asker, Read, cannot_tell};
use super::report::{Check, Line};
use crate::cli::connection::list;
use crate::names::{LEASE, install, label};

/// The Deployment.
pub(super) async fn deployment(asker: &Asker<'_>) -> Line {
    match asker.installed::<Deployment>(install::NAME).await {
        Ok(deployment) => judge_deployment(asker.home, deployment.as_ref()),
        Err(error) => cannot_tell(Check::Deployment, &error),
    }
}

fn judge_deployment(home: &str, deployment: Option<&Deployment>) -> Line {
    let Some(deployment) = deployment else {
        return Line::failed(
            Check::Deployment,
            vec![format!(
                "there is no Deployment {} in namespace {home}",
                install::NAME
            )],
            "kubectl apply -k deploy/; or say by --install-namespace where it is",
        );
    };
    let status = deployment.status.clone().unwrap_or_default();
    let spec = deployment.spec.as_ref();
    let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = status.ready_replicas.unwrap_or(0);
    let counted = format!("{ready} of {wanted} replicas are ready");
    let mut conditions = status.conditions.iter().flatten();
    let available = conditions.find(|one| one.type_ == "Available");
    let hint = format!(
        "kubectl describe pods -n {home}; kubectl logs -n {home} deployment/{}",
        install::NAME
    );
    if available.is_none_or(|one| one.status != "True") {
        let mut found = vec![counted];
        found.extend(available.and_then(|one| one.message.clone()));
        return Line::failed(Check::Deployment, found, hint);
    }
    let behind = status.observed_generation < deployment.metadata.generation
        || status.updated_replicas.unwrap_or(0) < wanted;
    let mut odd = Vec::new();
    if ready < wanted {
        odd.push(counted.clone());
    }
    if behind {
        odd.push("it is being rolled out".to_owned());
    }
    Line::but_for(Check::Deployment, odd, &hint, counted)
}

/// The Service's endpoints. Where the API server goes by a URL there is nothing to look at.
pub(super) async fn endpoints(asker: &Asker<'_>) -> Line {
    let api: Api<EndpointSlice> = Api::namespaced(asker.client.clone(), asker.home);
    let selector = format!("{}={}", label::SERVICE_NAME, install::NAME);
    let slices = list(&api, &ListParams::default().labels(&selector), Some).await;
    judge_endpoints(asker.home, &slices)
}

fn judge_endpoints(home: &str, slices: &Read<Vec<EndpointSlice>>) -> Line {
    let slices = match slices {
        Ok(slices) => slices,
        Err(error) => return cannot_tell(Check::Endpoints, error),
    };
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter());
    // Unset means ready (k8s.io/api/discovery/v1 EndpointConditions).
    let ready = endpoints
        .filter(|one| {
            let conditions = one.conditions.as_ref();
            conditions.and_then(|all| all.ready) != Some(false)
        })
        .count();
    let wrong = (ready == 0).then(|| {
        if slices.is_empty() {
            format!(
                "there is no Service {}, or it selects nothing, in namespace {home}",
                install::NAME
            )
        } else {
            "none is ready, so labelled pods are refused".to_owned()
        }
    });
    let hint = format!("kubectl get pods,endpointslices -n {home}: are the pods ready?");
    Line::unless(
        Check::Endpoints,
        wrong.into_iter().collect(),
        &hint,
        ready.to_string(),
    )
}

/// The Lease.
pub(super) async fn leader(asker: &Asker<'_>) -> Line {
    match asker.installed::<Lease>(LEASE).await {
        Ok(lease) => judge_lease(asker.home, lease.as_ref(), Timestamp::now()),
        Err(error) => cannot_tell(Check::Leader, &error),
    }
}

fn judge_lease(home: &str, lease: Option<&Lease>, now: Timestamp) -> Line {
    let hint = format!(
        "Pairs are not kept whole while nobody leads: kubectl logs -n {home} deployment/{}",
        install::NAME
    );
    let failed = |found: String| Line::failed(Check::Leader, vec![found], &hint);
    let Some(spec) = lease.and_then(|lease| lease.spec.as_ref()) else {
        return failed(format!("there is no Lease {LEASE} in namespace {home}"));
    };
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    if holder.is_empty() {
        return failed("nobody holds it".to_owned());
    }
    let Some(renewed) = spec.renew_time.as_ref() else {
        return failed(format!("{holder} holds it, and never renewed it"));
    };
    let age = now.duration_since(renewed.0).as_secs();
    let term = i64::from(spec.lease_duration_seconds.unwrap_or_default());
    // As long as another instance would wait at most before it takes over.
    if age > term * 2 {
        return failed(format!(
            "{holder} holds it, and has not renewed it for {age} s"
        ));
    }
    Line::ok(Check::Leader, holder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::check::report::Mark;
    use serde::de::DeserializeOwned;

    fn object<T: DeserializeOwned>(text: &str) -> T {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn a_deployment_is_available_and_whole() {
        for (text, mark, words) in [
            (
                "{spec: {replicas: 2, SPEC}, status: {readyReplicas: 2, updatedReplicas: 2, conditions: [{type: Available, \
                 status: 'True'}]}}",
                Mark::Ok,
                "2 of 2",
            ),
            (
                "{spec: {replicas: 2, SPEC}, status: {readyReplicas: 1, updatedReplicas: 2, conditions: [{type: Available, \
                 status: 'True'}]}}",
                Mark::Warning,
                "1 of 2",
            ),
            (
                "{metadata: {generation: 3}, spec: {replicas: 1, SPEC}, status: {observedGeneration: 2, readyReplicas: 1, \
                 updatedReplicas: 1, conditions: [{type: Available, status: 'True'}]}}",
                Mark::Warning,
                "rolled out",
            ),
            (
                "{spec: {replicas: 2, SPEC}, status: {conditions: [{type: Available, status: 'False', message: no quota}]}}",
                Mark::Failed,
                "no quota",
            ),
            ("{spec: {replicas: 2, SPEC}}", Mark::Failed, "0 of 2"),
        ] {
            let text = text.replace("SPEC", "selector: {}, template: {}");
            let text = if text.contains("metadata") {
                text
            } else {
                text.replacen('{', "{metadata: {}, ", 1)
            };
            let line = judge_deployment("home", Some(&object(&text)));
            assert_eq!(line.mark, mark, "{line:?}");
            assert!(line.found.concat().contains(words), "{line:?}");
        }
        assert_eq!(judge_deployment("home", None).mark, Mark::Failed);
    }

    #[test]
    fn one_ready_endpoint_is_enough() {
        let slice = |endpoints: &str| -> EndpointSlice {
            object(&format!(
                "{{metadata: {{}}, addressType: IPv4, ports: [], endpoints: {endpoints}}}"
            ))
        };
        let ready = slice(
            "[{addresses: [a], conditions: {ready: false}}, {addresses: [b], conditions: {ready: true}}]",
        );
        let line = judge_endpoints("home", &Ok(vec![ready]));
        assert_eq!((line.mark, &*line.found[0]), (Mark::Ok, "1"));
        let unready = slice("[{addresses: [a], conditions: {ready: false}}]");
        for (slices, words) in [(vec![unready], "none is ready"), (vec![], "no Service")] {
            let line = judge_endpoints("home", &Ok(slices));
            assert_eq!(line.mark, Mark::Failed);
            assert!(line.found[0].contains(words), "{line:?}");
        }
    }

    #[test]
    fn a_lease_is_held_and_renewed() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        for (spec, mark, words) in [
            (
                "{holderIdentity: a, leaseDurationSeconds: 9, renewTime: '2026-11-21T11:59:50.000000Z'}",
                Mark::Ok,
                "a",
            ),
            (
                "{holderIdentity: a, leaseDurationSeconds: 9, renewTime: '2026-11-21T11:59:00.000000Z'}",
                Mark::Failed,
                "not renewed it for 60 s",
            ),
            ("{holderIdentity: ''}", Mark::Failed, "nobody holds it"),
            ("{holderIdentity: a}", Mark::Failed, "never renewed"),
        ] {
            let lease = object(&format!("{{metadata: {{}}, spec: {spec}}}"));
            let line = judge_lease("home", Some(&lease), now);
            assert_eq!(line.mark, mark, "{line:?}");
            assert!(line.found[0].contains(words), "{line:?}");
        }
        assert_eq!(judge_lease("home", None, now).mark, Mark::Failed);
    }
}
