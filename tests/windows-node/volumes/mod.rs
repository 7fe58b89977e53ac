//! A pod's volumes, as the kubelet on Windows makes them: one folder each, kept up to date for as long
//! as the pod lives.
//!
//! ```text
//! Volumes::sync(pod)  ── again whenever the kubelet would sync the pod ──►  folders
//! Volumes::mounts(pod, container, env)  ── at each start of a container ──►  what is seen where
//! Volumes::remove(uid)                  ── when the pod is gone
//! ```
//!
//! The kubelet syncs a pod when it changes, so an annotation in a downwardAPI volume is there at once;
//! and every minute or so, which is when changed ConfigMaps and Secrets get there
//! (`--sync-frequency`; `volumemanager/reconciler`).
//!
//! - [`writer`]: how files get into a folder, and what a reader sees meanwhile.
//! - [`payload`]: which files.
//! - [`mounts`]: which folder or file a container sees under which path.
//!
//! Not covered: PersistentVolumeClaims, CSI, image and network volumes.

mod host_path;
mod mounts;
mod payload;
#[cfg(test)]
mod tests;
mod tokens;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, Pod, ProjectedVolumeSource, Secret, Volume,
};

use crate::env::{Allocatable, Environment};
use crate::objects::{Objects, no_config_map, no_secret};
pub use mounts::Mount;
use payload::Payload;

/// What came of a sync.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// The volumes that have never been mounted: until there are none, no container starts and the pod
    /// waits (`ContainerCreating`).
    pub unmounted: Vec<String>,
    /// What failed, each an Event's message with the reason `FailedMount`. A volume that has been
    /// mounted before keeps what it has.
    pub failures: Vec<String>,
}

impl Synced {
    /// The message of the Event that the kubelet writes besides when it has waited for two minutes
    /// (`WaitForAttachAndMount`, `volume_manager.go`).
    pub fn waited(&self) -> String {
        let unmounted = self.unmounted.join(" ");
        format!(
            "Unable to attach or mount volumes: unmounted volumes=[{unmounted}], unattached \
             volumes=[], failed to process volumes=[]: context deadline exceeded"
        )
    }
}

/// The volumes of a node's pods.
pub struct Volumes<O> {
    objects: O,
    folder: PathBuf,
    drive: PathBuf,
    allocatable: Allocatable,
    gap: Duration,
    known: Mutex<BTreeMap<String, Known>>,
}

/// What is remembered of one pod.
#[derive(Default)]
struct Known {
    mounted: BTreeSet<String>,
    tokens: BTreeMap<String, TokenRequest>,
}

impl<O: Objects> Volumes<O> {
    /// Volumes under `folder`; `hostPath` volumes are below `drive`, the folder that is the node's `C:`.
    pub fn new(objects: O, folder: PathBuf, drive: PathBuf, allocatable: Allocatable) -> Self {
        Self {
            objects,
            folder,
            drive,
            allocatable,
            gap: writer::GAP,
            known: Mutex::default(),
        }
    }

    /// Sets for how long a volume that changes has no files at all; see [`writer`].
    pub fn with_gap(mut self, gap: Duration) -> Self {
        self.gap = gap;
        self
    }

    /// Makes the volumes of a pod, or brings them up to date. One call at a time for a pod.
    pub async fn sync(&self, pod: &Pod) -> Synced {
        let mut synced = Synced::default();
        let used = used(pod);
        let volumes = pod
            .spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten());
        for volume in volumes.filter(|volume| used.contains(volume.name.as_str())) {
            let name = &volume.name;
            let made = self.set_up(pod, volume).await;
            let mut known = self.known.lock().unwrap();
            let known = known.entry(uid(pod).to_owned()).or_default();
            match made {
                Ok(()) => {
                    known.mounted.insert(name.clone());
                }
                Err(error) => {
                    let failure = format!("MountVolume.SetUp failed for volume {name:?} : {error}");
                    synced.failures.push(failure);
                    if !known.mounted.contains(name) {
                        synced.unmounted.push(name.clone());
                    }
                }
            }
        }
        synced.unmounted.sort();
        synced
    }

    /// What a container sees of the pod's volumes. They have to be there. The error is the message of
    /// its state `CreateContainerConfigError`.
    pub fn mounts(
        &self,
        pod: &Pod,
        container: &Container,
        environment: &Environment,
    ) -> Result<Vec<Mount>, String> {
        let volumes = pod
            .spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten());
        let volumes: BTreeMap<_, _> = volumes
            .map(|volume| (volume.name.as_str(), volume))
            .collect();
        let mounts = container.volume_mounts.iter().flatten();
        mounts
            .map(|mount| {
                let volume = volumes.get(mount.name.as_str()).ok_or_else(|| {
                    let (volume, container) = (&mount.name, &container.name);
                    format!("cannot find volume {volume:?} to mount into container {container:?}")
                })?;
                let folder = self.folder_of(pod, volume)?;
                let read_only = is_written_by_the_kubelet(volume);
                mounts::mount(mount, &folder, read_only, environment)
            })
            .collect()
    }

    /// Removes what is left of a pod.
    pub fn remove(&self, uid: &str) -> std::io::Result<()> {
        self.known.lock().unwrap().remove(uid);
        match fs::remove_dir_all(self.folder.join(uid)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Forgets what is mounted, as a kubelet that starts anew has. Folders stay, emptyDirs with what is
    /// in them: they outlive a reboot of their node, unless they lie in memory.
    pub fn forget(&self) {
        self.known.lock().unwrap().clear();
    }

    /// Where a volume's files lie (`GetPodVolumeDir`, `kubelet_getters.go`).
    fn folder_of(&self, pod: &Pod, volume: &Volume) -> Result<PathBuf, String> {
        let plugin = if volume.empty_dir.is_some() {
            "empty-dir"
        } else if volume.config_map.is_some() {
            "configmap"
        } else if volume.secret.is_some() {
            "secret"
        } else if volume.downward_api.is_some() {
            "downward-api"
        } else if volume.projected.is_some() {
            "projected"
        } else if let Some(host_path) = &volume.host_path {
            return host_path::find(&self.drive, &host_path.path);
        } else {
            return Err("a kind of volume that the simulated node does not have".into());
        };
        let pod = self.folder.join(uid(pod)).join("volumes");
        Ok(pod
            .join(format!("kubernetes.io~{plugin}"))
            .join(&volume.name))
    }

    async fn set_up(&self, pod: &Pod, volume: &Volume) -> Result<(), String> {
        let folder = self.folder_of(pod, volume)?;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let payload = if volume.empty_dir.is_some() {
            return create(&folder);
        } else if let Some(source) = &volume.host_path {
            return host_path::check(source, &folder);
        } else if let Some(source) = &volume.config_map {
            let map = self
                .config_map(namespace, &source.name, source.optional)
                .await?;
            payload::config_map(
                source.items.as_deref(),
                &map,
                source.default_mode,
                source.optional,
            )?
        } else if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            let secret = self.secret(namespace, name, source.optional).await?;
            payload::secret(
                source.items.as_deref(),
                &secret,
                source.default_mode,
                source.optional,
            )?
        } else if let Some(source) = &volume.downward_api {
            let items = source.items.iter().flatten();
            payload::downward_api(items, pod, &self.allocatable, source.default_mode)?
        } else if let Some(source) = &volume.projected {
            self.projected(pod, source).await?
        } else {
            Payload::new()
        };
        create(&folder)?;
        writer::write(&folder, &payload, self.gap).await
    }

    /// All sources, also where one has failed already (`collectData`, `projected.go`).
    async fn projected(
        &self,
        pod: &Pod,
        projected: &ProjectedVolumeSource,
    ) -> Result<Payload, String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let mode = projected.default_mode;
        let mut all = Payload::new();
        let mut errors = Vec::new();
        for source in projected.sources.iter().flatten() {
            let payload = if let Some(source) = &source.config_map {
                let map = self
                    .config_map(namespace, &source.name, source.optional)
                    .await;
                map.and_then(|map| {
                    payload::config_map(source.items.as_deref(), &map, mode, source.optional)
                })
            } else if let Some(source) = &source.secret {
                let secret = self.secret(namespace, &source.name, source.optional).await;
                secret.and_then(|secret| {
                    payload::secret(source.items.as_deref(), &secret, mode, source.optional)
                })
            } else if let Some(source) = &source.downward_api {
                let items = source.items.iter().flatten();
                payload::downward_api(items, pod, &self.allocatable, mode)
            } else if let Some(source) = &source.service_account_token {
                let token = self.token(pod, source).await;
                token.map(|token| payload::one(&source.path, token.into_bytes(), mode))
            } else {
                Err("a kind of projection that the simulated node does not have".into())
            };
            match payload {
                Ok(mut payload) => all.append(&mut payload),
                Err(error) => errors.push(error),
            }
        }
        payload::all_or(all, errors)
    }

    async fn config_map(
        &self,
        namespace: &str,
        name: &str,
        optional: Option<bool>,
    ) -> Result<ConfigMap, String> {
        match self.objects.config_map(namespace, name).await? {
            Some(map) => Ok(map),
            None if optional == Some(true) => Ok(ConfigMap::default()),
            None => Err(no_config_map(name)),
        }
    }

    async fn secret(
        &self,
        namespace: &str,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Secret, String> {
        match self.objects.secret(namespace, name).await? {
            Some(secret) => Ok(secret),
            None if optional == Some(true) => Ok(Secret::default()),
            None => Err(no_secret(name)),
        }
    }
}

/// The volumes that a container mounts; others are never made (`desired_state_of_world_populator.go`).
fn used(pod: &Pod) -> BTreeSet<&str> {
    let spec = pod.spec.iter();
    let containers = spec.flat_map(|spec| {
        let init = spec.init_containers.iter().flatten();
        init.chain(&spec.containers)
    });
    let mounts = containers.flat_map(|container| container.volume_mounts.iter().flatten());
    mounts.map(|mount| mount.name.as_str()).collect()
}

/// Those volumes are read-only whatever a mount says (`GetAttributes` of each).
fn is_written_by_the_kubelet(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

fn create(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}
