//! Which endpoints new connections go to, as kube-proxy decides it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointSlice};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use native_host::names::label;
use tokio::time::Instant;

use super::Shared;
use super::record::Change;

/// Where new connections go: one of these, at random.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Sorted.
    pub usable: Vec<SocketAddr>,
    /// Whether none is ready, and these are terminating ones that still serve.
    pub last_resort: bool,
    /// The pods behind the addresses.
    pub pods: BTreeMap<SocketAddr, String>,
}

impl Routes {
    /// The endpoints that are used, of all slices of a Service: the ready ones, and where there are
    /// none, those that are terminating and still serve (`CategorizeEndpoints` in `pkg/proxy/topology.go`
    /// of Kubernetes; KEP-1669). Topology, session affinity and traffic policies are not played.
    pub fn of<'a>(slices: impl Iterator<Item = &'a EndpointSlice>) -> Self {
        let (mut ready, mut last, mut pods) = (Vec::new(), Vec::new(), BTreeMap::new());
        for slice in slices {
            let port = slice.ports.as_ref().and_then(|ports| ports.first()?.port);
            let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else {
                continue;
            };
            for endpoint in &slice.endpoints {
                // Of several addresses only the first one counts (`Endpoint` in the API's description).
                let Some(ip) = endpoint.addresses.first().and_then(|ip| ip.parse().ok()) else {
                    continue;
                };
                let address = SocketAddr::new(ip, port);
                let conditions = endpoint.conditions.clone().unwrap_or_default();
                match use_of(&conditions) {
                    Use::Ready => ready.push(address),
                    Use::LastResort => last.push(address),
                    Use::None => continue,
                }
                let pod = endpoint
                    .target_ref
                    .as_ref()
                    .and_then(|pod| pod.name.clone());
                pods.insert(address, pod.unwrap_or_default());
            }
        }
        let last_resort = ready.is_empty() && !last.is_empty();
        let mut usable = if last_resort { last } else { ready };
        usable.sort_unstable();
        usable.dedup();
        Self {
            usable,
            last_resort,
            pods,
        }
    }
}

enum Use {
    Ready,
    LastResort,
    None,
}

/// An unset `ready` or `serving` is true, an unset `terminating` false (`pkg/proxy/endpointslicecache.go`).
fn use_of(conditions: &EndpointConditions) -> Use {
    if conditions.ready.unwrap_or(true) {
        Use::Ready
    } else if conditions.serving.unwrap_or(true) && conditions.terminating.unwrap_or(false) {
        Use::LastResort
    } else {
        Use::None
    }
}

/// Follows the Service's slices for ever, and changes the routes as kube-proxy changes its rules: at
/// once, but not more often than once in its `minSyncPeriod` (`BoundedFrequencyRunner`).
pub async fn follow(client: Client, shared: &Shared) {
    let (plan, service) = (&shared.plan, &shared.plan.service);
    let slices = Api::<EndpointSlice>::namespaced(client, &plan.namespace);
    let of_service = format!("{}={service}", label::SERVICE_NAME);
    let config = watcher::Config::default().labels(&of_service);
    let mut events = watcher::watcher(slices, config).default_backoff().boxed();
    let mut known = BTreeMap::new();
    let mut listed = BTreeMap::new();
    let mut next_sync = Instant::now();
    let mut dirty = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => dirty |= take(event, &mut known, &mut listed),
                // The API server is away: what was known holds, as in kube-proxy.
                Some(Err(_)) => {}
                None => return,
            },
            () = tokio::time::sleep_until(next_sync), if dirty => {
                dirty = false;
                next_sync = Instant::now() + plan.sync_period;
                sync(shared, Routes::of(known.values()));
            }
        }
    }
}

/// Whether something may be different.
fn take(
    event: Event<EndpointSlice>,
    known: &mut BTreeMap<String, EndpointSlice>,
    listed: &mut BTreeMap<String, EndpointSlice>,
) -> bool {
    let name = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap_or_default();
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(slice) => {
            listed.insert(name(&slice), slice);
        }
        Event::InitDone => {
            *known = std::mem::take(listed);
            return true;
        }
        Event::Apply(slice) => {
            known.insert(name(&slice), slice);
            return true;
        }
        Event::Delete(slice) => {
            known.remove(&name(&slice));
            return true;
        }
    }
    false
}

fn sync(shared: &Shared, routes: Routes) {
    if **shared.routes.borrow() == routes {
        return;
    }
    let change = Change {
        at: shared.now(),
        usable: routes.usable.clone(),
        last_resort: routes.last_resort,
        pods: routes.pods.clone(),
    };
    shared.log().changes.push(change);
    shared.routes.send_replace(Arc::new(routes));
}

/// How long clients wait for the first endpoint before they count on none.
pub const FIRST_ENDPOINT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn routes(endpoints: &[(&str, Value)]) -> (Vec<String>, bool) {
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|(ip, conditions)| json!({"addresses": [ip], "conditions": conditions}))
            .collect();
        // In two slices, as the controller may part them.
        let (first, second) = endpoints.split_at(endpoints.len() / 2);
        let slice = |endpoints: &[Value]| -> EndpointSlice {
            let slice = json!({
                "metadata": {}, "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8080}],
            });
            serde_json::from_value(slice).unwrap()
        };
        let routes = Routes::of([slice(first), slice(second)].iter());
        let ips = routes.usable.iter().map(|one| one.ip().to_string());
        (ips.collect(), routes.last_resort)
    }

    fn ready() -> Value {
        json!({"ready": true, "serving": true, "terminating": false})
    }

    fn draining() -> Value {
        json!({"ready": false, "serving": true, "terminating": true})
    }

    #[test]
    fn new_connections_go_to_ready_endpoints_only() {
        let unready = json!({"ready": false, "serving": false, "terminating": false});
        let endpoints = [
            ("10.0.0.2", draining()),
            ("10.0.0.3", unready),
            ("10.0.0.1", ready()),
        ];
        assert_eq!(routes(&endpoints), (vec!["10.0.0.1".into()], false));
    }

    #[test]
    fn without_a_ready_one_they_go_to_terminating_ones_that_serve() {
        let gone = json!({"ready": false, "serving": false, "terminating": true});
        let endpoints = [("10.0.0.2", draining()), ("10.0.0.3", gone)];
        assert_eq!(routes(&endpoints), (vec!["10.0.0.2".into()], true));
    }

    #[test]
    fn what_is_unset_counts_as_ready() {
        let endpoints = [
            ("10.0.0.2", json!({})),
            ("10.0.0.1", json!({"ready": null})),
        ];
        let expected = vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()];
        assert_eq!(routes(&endpoints), (expected, false));
        assert_eq!(routes(&[]), (vec![], false));
    }
}
