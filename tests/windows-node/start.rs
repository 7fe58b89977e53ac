//! How a container is started: from the pod's words to the command line of its process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use native_host::windows::pipeline;
use native_host_launcher::expand::MOUNT_POINT;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::container::{self, Ask, Event, Run};
use crate::env::{Environment, Facts, environment};
use crate::log::Log;
use crate::network::guid;
use crate::pods::Node;
use crate::silo::Binding;

/// Where the image's files are in the container (`defaultSiloRootfsLocation`, hcsshim
/// `internal/jobcontainers/jobcontainer.go`), without the last backslash.
const IMAGE: &str = r"C:\hpc";

/// Where a process starts whose image and container say nothing (`populateDefaultWindowsSpec`, containerd
/// `pkg/oci/spec.go`).
const FOLDER: &str = r"C:\";

/// The folder that the stand-in DLLs know.
const STAND_IN: &str = r"C:\native-host-stand-in";

/// A start.
pub struct Start {
    /// The node.
    pub node: Arc<Node>,
    /// The pod.
    pub pod: Arc<Pod>,
    /// The container.
    pub container: Container,
    /// What variables may tell.
    pub facts: Facts,
    /// How often it was started before.
    pub restarts: i32,
    /// What is asked of it.
    pub asks: UnboundedReceiver<Ask>,
}

impl Start {
    /// Starts it and lives it to its end.
    pub async fn start(mut self, tell: impl Fn(Event)) {
        if !is_host_process(&self.pod, &self.container) {
            return imitate(&mut self.asks, &tell).await;
        }
        match self.prepare().await {
            Ok(run) => container::live(Arc::clone(&self.node.host), run, self.asks, tell).await,
            Err((reason, why)) => tell(Event::Refused(reason, why)),
        }
    }

    async fn prepare(&self) -> Result<Run, (&'static str, String)> {
        let config = |error: String| ("CreateContainerConfigError", error);
        let (node, container) = (&self.node, &self.container);
        let made = environment(&node.client, &self.pod, container, &self.facts).await;
        let environment = made.map_err(config)?;
        let mounts = node.volumes.mounts(&self.pod, container, &environment);
        let mut bindings = Vec::new();
        for mount in mounts.map_err(config)? {
            bindings.push(Binding {
                path: mount.container,
                target: mount.host,
            });
        }
        self.run(&environment, bindings)
            .map_err(|error| ("CreateContainerError", error.to_string()))
    }

    fn run(&self, environment: &Environment, mut bindings: Vec<Binding>) -> std::io::Result<Run> {
        let (node, container) = (&self.node, &self.container);
        let (mut argv, args) = environment.command(container);
        argv.extend(args);
        if argv.is_empty() {
            let text = "no command specified, and the images here have none";
            return Err(std::io::Error::other(text));
        }
        let silo = node.folder.join("silos").join(guid()?);
        let calls = silo.join("stand-in");
        std::fs::create_dir_all(&calls)?;
        for shared in ["endpoints", "pods"] {
            std::os::unix::fs::symlink(
                node.folder.join("stand-in").join(shared),
                calls.join(shared),
            )?;
        }
        // wine delivers no CTRL_BREAK; the stand-in DLL in the launcher does.
        std::fs::write(calls.join("ctrl-break"), "")?;
        bindings.push(Binding {
            path: STAND_IN.into(),
            target: calls,
        });
        let image = container
            .image
            .as_ref()
            .and_then(|image| node.images.get(image));
        let folder = container
            .working_dir
            .as_deref()
            .filter(|folder| !folder.is_empty());
        let pairs = environment.of_process();
        Ok(Run {
            prefix: silo,
            line: line(&argv),
            folder: with_image(folder.unwrap_or(FOLDER)),
            environment: pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            image: image.cloned(),
            bindings,
            log: Log::create(&log_path(
                &node.folder,
                &self.pod,
                &container.name,
                self.restarts,
            ))?,
        })
    }
}

/// Where the kubelet has a container's log (`BuildContainerLogsDirectory`, `kuberuntime/helpers.go`).
pub fn log_path(folder: &Path, pod: &Pod, container: &str, restarts: i32) -> PathBuf {
    let metadata = &pod.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (namespace, name) = (text(&metadata.namespace), text(&metadata.name));
    let pod = format!("{namespace}_{name}_{}", text(&metadata.uid));
    folder
        .join("logs")
        .join(pod)
        .join(container)
        .join(format!("{restarts}.log"))
}

/// The command line of a process in a HostProcess container: joined as hcsshim does
/// (`internal/cmd/cmd.go`), with the image's folder in it and `cmd /c ` before it
/// (`internal/jobcontainers/jobcontainer.go`).
pub fn line(argv: &[String]) -> String {
    format!("cmd /c {}", with_image(&pipeline::command_line(argv)))
}

/// `replaceWithMountPoint`, of the same file.
fn with_image(text: &str) -> String {
    text.replace(&format!("%{MOUNT_POINT}%"), IMAGE)
        .replace(&format!("$env:{MOUNT_POINT}"), IMAGE)
}

/// Whether a container runs on the host. The container's word goes before the pod's
/// (`securitycontext.DetermineEffectiveSecurityContext`).
pub fn is_host_process(pod: &Pod, container: &Container) -> bool {
    let own = container.security_context.as_ref();
    let own = own.and_then(|context| context.windows_options.as_ref()?.host_process);
    let context = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.security_context.as_ref());
    let of_pod = context.and_then(|context| context.windows_options.as_ref()?.host_process);
    own.or(of_pod).unwrap_or_default()
}

/// Whether a pod has the node's address.
pub fn is_on_host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true)
}

/// An ordinary Windows container: nothing runs, and its end is that of a pause that is told to end. Only
/// anchors are such pods here, and nobody looks into them.
async fn imitate(asks: &mut UnboundedReceiver<Ask>, tell: &impl Fn(Event)) {
    tell(Event::Started);
    while let Some(ask) = asks.recv().await {
        match ask {
            Ask::Stop(_) => {
                return tell(Event::Ended {
                    code: 0,
                    words: None,
                });
            }
            Ask::End => return,
            Ask::KillImage(_, reply) => {
                let _ = reply.send(0);
            }
            Ask::Exec { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_hcsshims() {
        let argv = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let launcher = argv(&[
            r"%CONTAINER_SANDBOX_MOUNT_POINT%\launcher.exe",
            "install",
            r"C:\a b\",
        ]);
        assert_eq!(
            line(&launcher),
            r#"cmd /c C:\hpc\launcher.exe install "C:\a b\\""#
        );
    }

    #[test]
    fn a_containers_word_goes_before_the_pods() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"spec": {
            "securityContext": {"windowsOptions": {"hostProcess": true}},
            "containers": [
                {"name": "a"},
                {"name": "b", "securityContext": {"windowsOptions": {"hostProcess": false}}},
            ],
        }}))
        .unwrap();
        let containers = &pod.spec.as_ref().unwrap().containers;
        assert!(is_host_process(&pod, &containers[0]));
        assert!(!is_host_process(&pod, &containers[1]));
    }
}
