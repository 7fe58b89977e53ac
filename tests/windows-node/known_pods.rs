//! The pods of the cluster in a file, for `cplauncher`: K2s's asks the API server, with a kubeconfig that K2s
//! puts on its nodes; the stand-in for it (`tests/wine/stand-ins/cplauncher`) cannot, and reads this.
//!
//! One line a pod: `NAMESPACE NAME PHASE IP LABELS`, by single spaces; `-` for what there is not; labels as
//! `KEY=VALUE,KEY=VALUE`. All pods of the cluster, since cplauncher can ask for all; those that are terminating
//! or finished too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client};

/// The file, in the folder that containers have.
const FILE: &str = "pods";

/// Keeps the file for as long as it is polled. Before the first list there is none, as there is no kubeconfig on a
/// node that K2s has not set up.
pub async fn keep(client: Client, folder: PathBuf) {
    let stream = watch(Api::<Pod>::all(client), watcher::Config::default());
    let mut stream = pin!(stream.default_backoff());
    let mut lines = BTreeMap::new();
    let mut listed = BTreeMap::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => _ = listed.insert(key(&pod), line(&pod)),
            Ok(Event::InitDone) => {
                lines = std::mem::take(&mut listed);
                write(&folder, &lines);
            }
            Ok(Event::Apply(pod)) => {
                let new = line(&pod);
                if lines.insert(key(&pod), new.clone()) != Some(new) {
                    write(&folder, &lines);
                }
            }
            Ok(Event::Delete(pod)) => {
                lines.remove(&key(&pod));
                write(&folder, &lines);
            }
            // The watcher begins anew by itself, after a while.
            Err(_) => {}
        }
    }
}

fn key(pod: &Pod) -> (String, String) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&pod.metadata.namespace), text(&pod.metadata.name))
}

fn line(pod: &Pod) -> String {
    let (namespace, name) = key(pod);
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    let ip = status.and_then(|status| status.pod_ip.as_deref());
    let labels = pod.metadata.labels.iter().flatten();
    let labels: Vec<_> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let labels = if labels.is_empty() {
        "-".into()
    } else {
        labels.join(",")
    };
    let (phase, ip) = (phase.unwrap_or("-"), ip.unwrap_or("-"));
    format!("{namespace} {name} {phase} {ip} {labels}\n")
}

/// Whoever reads it has the old file or the new one.
fn write(folder: &Path, lines: &BTreeMap<(String, String), String>) {
    let text: String = lines.values().map(String::as_str).collect();
    let part = folder.join(format!("{FILE}.part"));
    let written = std::fs::write(&part, text);
    if let Err(error) = written.and_then(|()| std::fs::rename(part, folder.join(FILE))) {
        eprintln!("windows-node: {}: {error}", folder.join(FILE).display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_says_what_is_there() {
        let line = |pod| line(&serde_json::from_value(pod).unwrap());
        let meta = |labels| json!({"namespace": "music", "name": "a-1", "labels": labels});
        assert_eq!(
            line(json!({"metadata": meta(json!({}))})),
            "music a-1 - - -\n"
        );
        assert_eq!(
            line(json!({"metadata": meta(json!({"b": "", "a": "1"})),
                "status": {"phase": "Running", "podIP": "10.244.1.5"}})),
            "music a-1 Running 10.244.1.5 a=1,b=\n"
        );
    }
}
