//! The pods of the benchmark, and when they are seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use native_host::anchor::{Owner, manifest};
use native_host::names::{annotation, gate, label};
use native_host::plan::anchor_spec::AnchorSpec;
use serde_json::json;
use tokio::sync::Notify;

/// An HP pod as admission leaves it, of the size of a usual one, bound to a node already.
pub fn hp(name: &str, node: &str) -> Pod {
    let spec = json!({
        "version": 1, "image": "registry.example/pause:3.10",
        "containers": [{"name": "albums", "ports": [{"name": "http", "port": 8080}], "readiness": {
            "check": {"httpGet": {"port": 8080, "path": "/health/readiness"}},
            "timing": {"initialDelaySeconds": 0, "periodSeconds": 10, "timeoutSeconds": 1,
                "successThreshold": 1, "failureThreshold": 3},
        }}],
    });
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": "albums", "pod-template-hash": "5d4f8c7b9c", label::WORKLOAD: "albums"},
            "annotations": {annotation::INJECTED: "v1", annotation::ANCHOR_SPEC: spec.to_string()},
        },
        "spec": {
            "nodeName": node, "hostNetwork": true, "automountServiceAccountToken": false,
            "os": {"name": "windows"}, "nodeSelector": {label::OS: label::OS_WINDOWS},
            "readinessGates": [{"conditionType": gate::ANCHOR_READY}],
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "albums", "image": "registry.example/albums:1",
                "command": ["C:\\native-host\\bin\\native-host-launcher.exe"],
                "args": ["run", "--name", "albums", "--", "C:\\apps\\albumswin.exe", "--config", "C:\\apps\\prod.json"],
                "securityContext": {"windowsOptions": {"hostProcess": true, "runAsUserName": "NT AUTHORITY\\SYSTEM"}},
                "env": [{"name": "A", "value": "a".repeat(1500)}],
            }],
        },
    }))
    .unwrap()
}

/// A pod just like an HP pod's anchor, but nobody's.
pub fn bare_like_its_anchor(hp: &Pod) -> Pod {
    let spec = &hp.metadata.annotations.as_ref().unwrap()[annotation::ANCHOR_SPEC];
    let spec = AnchorSpec::parse(spec).unwrap();
    let owner = Owner {
        name: hp.metadata.name.as_deref().unwrap(),
        uid: hp.metadata.uid.as_deref().unwrap(),
        node: hp.spec.as_ref().unwrap().node_name.as_deref().unwrap(),
    };
    let mut twin = manifest(hp, owner, &spec);
    twin.metadata.name = twin.metadata.name.map(|name| format!("{name}-twin"));
    twin.metadata.namespace = None;
    twin.metadata.owner_references = None;
    twin.metadata.labels.as_mut().unwrap().remove(label::ROLE);
    twin.metadata
        .labels
        .as_mut()
        .unwrap()
        .remove(label::ANCHOR_FOR);
    twin
}

/// When pods that look like anchors were first seen in a namespace.
pub struct Arrivals {
    seen: Arc<Mutex<HashMap<String, Instant>>>,
    news: Arc<Notify>,
    wanted: usize,
}

impl Arrivals {
    /// Begins to watch.
    pub fn watch(client: &Client, namespace: &str, wanted: usize) -> Self {
        let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(client.clone(), namespace);
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let news = Arc::new(Notify::new());
        let (map, notify) = (Arc::clone(&seen), Arc::clone(&news));
        tokio::spawn(async move {
            let config = watcher::Config::default().labels(label::ANCHOR);
            let mut events = std::pin::pin!(watcher(api, config));
            while let Ok(event) = events.try_next().await {
                let Some(Event::Apply(pod) | Event::InitApply(pod)) = event else {
                    continue;
                };
                let name = pod.metadata.name.unwrap();
                map.lock().unwrap().entry(name).or_insert_with(Instant::now);
                notify.notify_one();
            }
        });
        Arrivals { seen, news, wanted }
    }

    /// Waits for all, and gives the time from the first to the last.
    pub async fn all(&self) -> Duration {
        loop {
            {
                let seen = self.seen.lock().unwrap();
                if seen.len() >= self.wanted {
                    let (first, last) =
                        (seen.values().min().unwrap(), seen.values().max().unwrap());
                    return *last - *first;
                }
            }
            let news = tokio::time::timeout(Duration::from_secs(60), self.news.notified());
            news.await
                .unwrap_or_else(|_| panic!("only {} came", self.seen.lock().unwrap().len()));
        }
    }

    /// Waits for one, and gives when it was seen.
    pub async fn of(&self, name: &str) -> Instant {
        loop {
            if let Some(at) = self.seen.lock().unwrap().get(name) {
                return *at;
            }
            let news = tokio::time::timeout(Duration::from_secs(60), self.news.notified());
            news.await.unwrap_or_else(|_| panic!("{name} never came"));
        }
    }
}
