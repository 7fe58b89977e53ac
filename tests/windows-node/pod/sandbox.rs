//! What comes before a pod's containers: its volumes, for as long as they take, and then the network.

use std::sync::Arc;
use std::time::Duration;

use super::{Message, Task};
use crate::start;

/// How long it waits when volumes cannot be made, at first and at most
/// (`volumemanager`'s `exponentialbackoff`).
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(122));

impl Task {
    /// Sets about it. What comes of it is a message.
    pub(super) fn make_sandbox(&mut self) {
        let (node, pod, me) = (
            Arc::clone(&self.node),
            Arc::clone(&self.pod),
            self.me.clone(),
        );
        let (uid, volumes) = (self.uid.clone(), Arc::clone(&self.volumes));
        let host_network = start::is_on_host_network(&pod);
        self.sandbox = Some(tokio::spawn(async move {
            let mut wait = RETRY.0;
            loop {
                let one = volumes.lock().await;
                let synced = node.volumes.sync(&pod).await;
                for failure in synced.failures {
                    node.events
                        .say(&pod, None, "Warning", "FailedMount", failure);
                }
                if synced.unmounted.is_empty() {
                    break;
                }
                drop(one);
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
            }
            let mut ip = None;
            while !host_network && ip.is_none() {
                match node.network.attach(&uid) {
                    Ok(given) => ip = Some(given),
                    Err(error) => {
                        let text = format!("Failed to create pod sandbox: {error}");
                        node.events
                            .say(&pod, None, "Warning", "FailedCreatePodSandBox", text);
                        tokio::time::sleep(RETRY.1).await;
                    }
                }
            }
            tokio::time::sleep(node.sandbox).await;
            if ip.is_some()
                && let Err(error) = node.network.bring_up(&uid)
            {
                eprintln!("windows-node: {uid}: {error}");
            }
            let _ = me.send(Message::Sandbox(ip));
        }));
    }
}
