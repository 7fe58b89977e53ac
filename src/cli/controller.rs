//! The flags of the anchor controller, and the thread that it runs in.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Args;
use tokio::sync::{oneshot, watch};

use super::serve::ServeError;
use super::serve_args::duration;
use crate::admission::metrics::Metrics;
use crate::anchor::controller::{Controller, Settings};
use crate::anchor::leadership::{Election, SHORTEST_LEASE_SECONDS, identity};
use crate::anchor::metrics;
use crate::anchor::rules::Rules;
use crate::cluster;
use crate::external::controller::External;
use crate::external::metrics as external;
use crate::external::ranges::Ranges;
use crate::names::LEASE;
use crate::policy::Policy;

const CONTROLLER: &str = "Controller";

/// How the controller works.
#[derive(Args, Clone, Debug)]
pub struct ControllerArgs {
    /// Namespace of the Lease that says which instance leads; by default the kubeconfig's, or the pod's own.
    #[arg(long, value_name = "NAME", help_heading = CONTROLLER)]
    pub lease_namespace: Option<String>,
    /// Name of that Lease.
    #[arg(long, value_name = "NAME", default_value = LEASE, help_heading = CONTROLLER)]
    pub lease_name: String,
    /// How long a leader that is gone keeps others from leading; it renews in a third of that.
    #[arg(long, value_name = "DURATION", default_value = "9s", value_parser = lease, help_heading = CONTROLLER)]
    pub lease_duration: Duration,
    /// How long an anchor may take to run before its pod gets a Warning.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration, help_heading = CONTROLLER)]
    pub anchor_deadline: Duration,
    /// How long before a pod whose anchor does not run is deleted, for its controller to make another.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration, help_heading = CONTROLLER)]
    pub replace_after: Duration,
    /// Time between two pods deleted because they lost their anchors, after the first ten.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration, help_heading = CONTROLLER)]
    pub replace_interval: Duration,
    /// Time between two looks for Services, policies and monitors that miss the anchors.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, help_heading = CONTROLLER)]
    pub misses_interval: Duration,
    /// Time between two audits: pods that were never injected, anchors without owners, invalid policies.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, help_heading = CONTROLLER)]
    pub audit_interval: Duration,
}

fn lease(text: &str) -> Result<Duration, String> {
    let parsed = duration(text)?;
    if parsed.as_secs() < SHORTEST_LEASE_SECONDS || parsed.subsec_nanos() != 0 {
        return Err(format!(
            "expected whole seconds, at least {SHORTEST_LEASE_SECONDS}s, got {text:?}"
        ));
    }
    Ok(parsed)
}

/// A controller that runs.
#[derive(Debug)]
pub struct Running {
    synced: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Becomes true once all pods and anchors are known.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.clone()
    }

    /// Gives leadership back and ends.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.ended.await;
        let _ = self.thread.join();
    }
}

impl ControllerArgs {
    /// Starts it, in a thread of its own: a burst of pods to decode must not make reviews wait.
    pub(super) async fn start(
        &self,
        kubeconfig: Option<&Path>,
        flags: Arc<Policy>,
        server: &Metrics,
        (ranges, probes): (Arc<Ranges>, u16),
    ) -> Result<Running, ServeError> {
        let counters =
            metrics::Metrics::new(server).map_err(|e| ServeError::Metrics(e.to_string()))?;
        let external =
            external::Metrics::new(server).map_err(|e| ServeError::Metrics(e.to_string()))?;
        let external = External::new(ranges, Arc::clone(&flags), probes, Arc::new(external));
        let (kubeconfig, args) = (kubeconfig.map(Path::to_owned), self.clone());
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let (started, start) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(2)
            .enable_all()
            .build()?;
        let body = async move {
            // A client belongs to the runtime that it is made in.
            let client = match cluster::client_without_retries(kubeconfig.as_deref()).await {
                Ok(client) => client,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let namespace = args.lease_namespace.clone();
            let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
            let controller = Controller::new(
                args.settings(namespace, flags),
                Arc::new(counters),
                Arc::new(external),
            );
            let _ = started.send(Ok(controller.synced()));
            controller.run(client, stopped).await;
        };
        let thread = std::thread::Builder::new()
            .name("controller".into())
            .spawn(move || {
                runtime.block_on(body);
                let _ = end.send(());
            })?;
        let gone = || std::io::Error::other("the controller's thread ended");
        let synced = start.await.map_err(|_| gone())??;
        Ok(Running {
            synced,
            stop,
            ended,
            thread,
        })
    }

    fn settings(&self, namespace: String, flags: Arc<Policy>) -> Settings {
        // In a pod this is the pod's name.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        Settings {
            election: Election {
                namespace,
                name: self.lease_name.clone(),
                identity: identity(host.as_deref().map(str::trim)),
                seconds: self.lease_duration.as_secs(),
            },
            rules: Rules {
                start_deadline: self.anchor_deadline,
                replace_deadline: self.replace_after.max(self.anchor_deadline),
            },
            replace_interval: self.replace_interval,
            misses_interval: self.misses_interval,
            audit_interval: self.audit_interval,
            flags,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_whole_seconds_and_not_too_short() {
        assert_eq!(lease("9s").unwrap(), Duration::from_secs(9));
        for bad in ["2s", "3500ms", "0s", "9"] {
            assert!(lease(bad).is_err(), "{bad}");
        }
    }
}
