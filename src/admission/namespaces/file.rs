//! Policies from a file of Namespace manifests: for a server without cluster access.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::{Index, Known};
use crate::policy::Namespace;

/// Why a file of policies cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("--policies {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("--policies {}: {why}. Expected Namespace manifests, as kubectl applies them, separated by ---", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// A Namespace manifest, as far as policy goes. A string is a string: `on` is not made `true`,
/// nor `5` a number, that is the API server's to refuse.
#[derive(Debug, Deserialize)]
struct Manifest {
    kind: String,
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    labels: Option<std::collections::BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct File {
    index: Arc<Index>,
    unnamed: Arc<Namespace>,
    /// With the text that is in force.
    source: Option<(PathBuf, String)>,
}

impl File {
    /// Reads `path`, if any; a namespace that it does not name has the flags' policy.
    ///
    /// # Errors
    /// If the file cannot be read or holds anything but Namespaces. An invalid policy in it is no
    /// error here: it refuses that namespace's pods, as in a cluster.
    pub fn open(path: Option<&Path>, index: Arc<Index>) -> Result<Self, FileError> {
        let none = std::iter::empty;
        let file = File {
            unnamed: Arc::new(Namespace::read(&index.flags, none(), none())),
            index,
            source: match path {
                Some(path) => Some((path.to_owned(), read(path)?)),
                None => None,
            },
        };
        let all = match &file.source {
            Some((path, text)) => file.parse(path, text)?,
            None => Known::new(),
        };
        file.index.replace(all);
        Ok(file)
    }

    /// The policy of a namespace.
    pub(super) fn get(&self, name: &str) -> Arc<Namespace> {
        self.index
            .get(name)
            .unwrap_or_else(|| Arc::clone(&self.unnamed))
    }

    fn parse(&self, path: &Path, text: &str) -> Result<Known, FileError> {
        let content = |why: String| FileError::Content {
            path: path.to_owned(),
            why,
        };
        let manifests: Vec<Manifest> =
            serde_saphyr::from_multiple(text).map_err(|e| content(e.to_string()))?;
        let mut all = Known::new();
        for manifest in manifests {
            let Metadata {
                name,
                labels,
                annotations,
            } = manifest.metadata;
            if manifest.kind != "Namespace" {
                return Err(content(format!("{name} is a {}", manifest.kind)));
            }
            let labels = labels.unwrap_or_default();
            let annotations = annotations.unwrap_or_default();
            let pairs = |(k, v): (&'_ String, &'_ String)| (k.clone(), v.clone());
            let labels: Vec<_> = labels.iter().map(pairs).collect();
            let annotations: Vec<_> = annotations.iter().map(pairs).collect();
            let namespace = self.index.parse(
                &name,
                labels.iter().map(|(k, v)| (k.as_str(), v.as_str())),
                annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())),
            );
            if all.insert(name.clone(), namespace).is_some() {
                return Err(content(format!("the namespace {name} is in it twice")));
            }
        }
        Ok(all)
    }

    /// Reads the file again whenever its text changes, for as long as it is polled. What cannot
    /// be used is said once, and the policies before it stay in force.
    pub async fn follow(self, every: Duration) {
        let Some((path, mut seen)) = self.source.clone() else {
            return std::future::pending().await;
        };
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Ok(text) = tokio::fs::read_to_string(&path).await else {
                continue;
            };
            if seen == text {
                continue;
            }
            match self.parse(&path, &text) {
                Ok(all) => {
                    tracing::info!(namespaces = all.len(), "policies read again");
                    self.index.replace(all);
                }
                Err(error) => tracing::error!(%error, "the policies before it stay in force"),
            }
            seen = text;
        }
    }
}

fn read(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::admission::metrics::Metrics;
    use crate::policy::{Mode, Policy};

    fn open(text: &str) -> Result<File, FileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policies.yaml");
        std::fs::write(&path, text).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let index = Arc::new(Index::new(Policy::builtin(), metrics));
        File::open(Some(&path), index)
    }

    fn manifest(name: &str, mode: &str) -> String {
        let key = crate::names::policy::MODE;
        format!("kind: Namespace\nmetadata: {{name: {name}, annotations: {{{key}: \"{mode}\"}}}}\n")
    }

    #[test]
    fn reads_every_namespace_and_gives_the_others_the_flags_policy() {
        let file = open(&format!(
            "{}---\n{}",
            manifest("a", "off"),
            manifest("b", "sometimes")
        ));
        let file = file.unwrap();
        assert_eq!(file.get("a").policy.as_ref().unwrap().mode, Mode::Off);
        assert!(file.get("b").policy.is_err());
        assert_eq!(file.get("c").policy.as_ref().unwrap().mode, Mode::Enforce);
    }

    #[test]
    fn says_what_does_not_belong_there() {
        let error = open("kind: Pod\nmetadata: {name: albums}\n").unwrap_err();
        assert!(error.to_string().contains("albums is a Pod"), "{error}");
        let twice = "kind: Namespace\nmetadata: {name: a}\n";
        let error = open(&format!("{twice}---\n{twice}")).unwrap_err();
        assert!(error.to_string().contains("a is in it twice"), "{error}");
    }

    #[tokio::test]
    async fn follows_an_edit_and_keeps_the_old_text_where_the_new_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policies.yaml");
        let text = |mode| manifest("a", mode);
        std::fs::write(&path, text("off")).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let index = Arc::new(Index::new(Policy::builtin(), metrics));
        let file = File::open(Some(&path), index).unwrap();
        let following = tokio::spawn(file.clone().follow(Duration::from_millis(5)));
        let until = async |mode: Mode| {
            while file.get("a").policy.as_ref().unwrap().mode != mode {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        std::fs::write(&path, text("warn")).unwrap();
        tokio::time::timeout(Duration::from_secs(10), until(Mode::Warn))
            .await
            .unwrap();
        std::fs::write(&path, "{").unwrap();
        std::fs::write(&path, text("enforce")).unwrap();
        tokio::time::timeout(Duration::from_secs(10), until(Mode::Enforce))
            .await
            .unwrap();
        following.abort();
    }
}
