//! preStop, as `pkg/kubelet/lifecycle/handlers.go` carries it out; sleeps are the kubelet's own and not ordered.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use super::Task;
use crate::pods::Node;
use crate::probes::{Target, hook};
use crate::support::kubelet::orders::Report;

impl Task {
    /// Runs the preStop of a container, and reports when it is over.
    pub(super) fn hook(&self, index: usize, id: String) {
        let slot = &self.slots[index];
        let handler = slot
            .spec
            .lifecycle
            .as_ref()
            .and_then(|l| l.pre_stop.clone());
        let (node, pod, container) = (
            Arc::clone(&self.node),
            Arc::clone(&self.pod),
            slot.spec.clone(),
        );
        let target = Target {
            pod: self.uid.clone(),
            container: container.name.clone(),
            id: id.clone(),
        };
        let ip = self.ip.clone().unwrap_or_else(|| node.network.node_ip());
        let reports = self.reports.clone();
        tokio::spawn(async move {
            if let Some(Err(error)) = run_hook(&node, handler, &container, &target, &ip).await {
                let text = format!("PreStopHook failed: {error}");
                node.events.say(
                    &pod,
                    Some(&container.name),
                    "Warning",
                    "FailedPreStopHook",
                    text,
                );
            }
            let _ = reports.send(Report::Hooked {
                container: index,
                id,
            });
        });
    }
}

/// None where there is nothing to run.
async fn run_hook(
    node: &Node,
    handler: Option<LifecycleHandler>,
    container: &Container,
    target: &Target,
    ip: &str,
) -> Option<Result<(), String>> {
    let handler = handler?;
    if let Some(exec) = handler.exec {
        let command = exec.command.unwrap_or_default();
        return Some(match node.running.run(target, &command, None).await {
            Ok(ran) if ran.code == 0 => Ok(()),
            Ok(ran) => Err(format!("command terminated with exit code {}", ran.code)),
            Err(error) => Err(format!("{error:?}")),
        });
    }
    let get = handler.http_get?;
    Some(hook::http_get(&get, container, ip).await)
}
