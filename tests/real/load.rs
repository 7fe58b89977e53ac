//! A steady stream of labelled pods, and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{ControlPlane, is_injected, pod};

/// Requests at a time: more than one connection to the webhook, less than the machine's limit.
const CREATORS: usize = 4;

/// A client of the API server, as controllers have it.
pub async fn client(plane: &ControlPlane) -> kube::Client {
    let file = kube::config::Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await;
    kube::Client::try_from(config.unwrap()).unwrap()
}

/// The pod to create, under a name that the API server chooses.
pub fn nameless() -> Pod {
    let mut pod = pod();
    pod["metadata"]["name"] = json!(null);
    pod["metadata"]["generateName"] = json!("albums-");
    serde_json::from_value(pod).unwrap()
}

/// A stream under way.
pub struct Stream {
    stop: Arc<AtomicBool>,
    started: Instant,
    pods: Api<Pod>,
    creators: Vec<JoinHandle<(Vec<Duration>, Vec<String>)>>,
}

impl Stream {
    /// Begins to create pods in the namespace `default`.
    pub async fn start(plane: &ControlPlane) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let pods = Api::<Pod>::namespaced(client(plane).await, "default");
        let create = |pods: Api<Pod>, stop: Arc<AtomicBool>| async move {
            let (mut took, mut errors) = (Vec::new(), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let begin = Instant::now();
                match pods.create(&PostParams::default(), &nameless()).await {
                    Ok(_) => took.push(begin.elapsed()),
                    Err(error) => errors.push(error.to_string()),
                }
            }
            (took, errors)
        };
        let creators = (0..CREATORS)
            .map(|_| tokio::spawn(create(pods.clone(), stop.clone())))
            .collect();
        Self {
            stop,
            started: Instant::now(),
            pods,
            creators,
        }
    }

    /// Ends it: no create failed and every pod is injected. Says how fast it was.
    pub async fn end(self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut took, mut errors) = (Vec::new(), Vec::new());
        for creator in self.creators {
            let (times, failures) = creator.await.unwrap();
            took.extend(times);
            errors.extend(failures);
        }
        let elapsed = self.started.elapsed();
        took.sort();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        println!(
            "{what}: {} pods in {elapsed:.1?}, {:.0} creates/s, p50 {:.1?}, p99 {:.1?}, slowest {:.1?}, {} failed",
            took.len(),
            f64::from(u32::try_from(took.len()).unwrap()) / elapsed.as_secs_f64(),
            at(50),
            at(99),
            at(100),
            errors.len(),
        );
        assert!(
            errors.is_empty(),
            "{} failed: {:?}",
            errors.len(),
            errors.first()
        );
        let stored = self.pods.list(&ListParams::default()).await.unwrap().items;
        let injected = stored.iter().filter(|pod| is_injected(&json!(pod)));
        assert_eq!(
            injected.count(),
            took.len(),
            "every pod went through the webhook"
        );
    }
}
