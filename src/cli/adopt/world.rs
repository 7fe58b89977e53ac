//! Everything that was read, and what becomes of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::draft::Draft;

/// What becomes of an object.
#[derive(Clone, Debug, Default)]
pub(super) enum Fate {
    /// It stays, byte for byte.
    #[default]
    Untouched,
    /// It stays, with something said above it.
    Remarked(Vec<String>),
    /// It becomes this.
    Changed(Draft),
    /// It is not needed any more, and why.
    LeftOut(String),
}

/// One object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) value: Value,
    pub(super) namespace: String,
    pub(super) fate: Fate,
}

impl Object {
    pub(super) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    pub(super) fn group(&self) -> &str {
        let version = self.value["apiVersion"].as_str().unwrap_or_default();
        version.split_once('/').map_or("", |(group, _)| group)
    }

    pub(super) fn name(&self) -> &str {
        let metadata = &self.value["metadata"];
        let name = metadata["name"]
            .as_str()
            .or_else(|| metadata["generateName"].as_str());
        name.unwrap_or_default()
    }

    /// As in messages.
    pub(super) fn called(&self) -> String {
        format!("{}/{}/{}", self.kind(), self.namespace, self.name())
    }

    /// Where its pods' template stands, if it makes pods or is one.
    pub(super) fn template(&self) -> Option<&'static str> {
        match (self.group(), self.kind()) {
            ("", "Pod") => Some(""),
            ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job") => Some("/spec/template"),
            ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template"),
            _ => None,
        }
    }

    /// Its pods' template.
    pub(super) fn pod(&self) -> Option<&Value> {
        self.value.pointer(self.template()?)
    }

    /// Changes it.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Draft)) {
        let mut draft = match std::mem::take(&mut self.fate) {
            Fate::Changed(draft) => draft,
            Fate::Remarked(heading) => {
                let mut draft = Draft::new(self.value.clone());
                draft.heading = heading;
                draft
            }
            Fate::Untouched | Fate::LeftOut(_) => Draft::new(self.value.clone()),
        };
        change(&mut draft);
        self.fate = Fate::Changed(draft);
    }

    /// Says something above it.
    pub(super) fn remark(&mut self, text: impl Into<String>) {
        match &mut self.fate {
            Fate::Untouched => self.fate = Fate::Remarked(vec![text.into()]),
            Fate::Remarked(remarks) => remarks.push(text.into()),
            Fate::Changed(draft) => draft.head(text),
            Fate::LeftOut(_) => {}
        }
    }
}

/// What is told besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remark {
    /// Which object it is about.
    pub(super) object: String,
    pub(super) text: String,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) objects: Vec<Object>,
    /// What could not be carried over.
    pub(super) lost: Vec<Remark>,
    /// Whether something was not understood, and stays as it is.
    pub(super) unclear: bool,
    /// What is to be done by hand, before anything is applied.
    pub(super) before: Vec<String>,
    /// And after.
    pub(super) after: Vec<String>,
}

impl World {
    /// A ConfigMap's data.
    pub(super) fn config_map(&self, namespace: &str, name: &str) -> Option<&Value> {
        let mut maps = self.objects.iter().filter(|one| one.kind() == "ConfigMap");
        let found = maps.find(|one| one.namespace == namespace && one.name() == name)?;
        Some(&found.value["data"])
    }

    /// Says that something is not carried over, here and above the object.
    pub(super) fn lose(&mut self, object: usize, text: &str) {
        let Some(one) = self.objects.get_mut(object) else {
            return;
        };
        let remark = Remark {
            object: one.called(),
            text: text.to_owned(),
        };
        if !self.lost.contains(&remark) {
            one.remark(format!("NOT CARRIED OVER: {text}"));
            self.lost.push(remark);
        }
    }

    /// Something to be done by hand once what is printed runs.
    pub(super) fn do_after(&mut self, text: String) {
        if !self.after.contains(&text) {
            self.after.push(text);
        }
    }
}

/// Labels, or a plain selector, as pairs.
pub(super) fn pairs(value: &Value) -> BTreeMap<&str, &str> {
    let fields = value.as_object().into_iter().flatten();
    fields
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect()
}

/// Whether a pod's labels are what a plain selector asks for. An empty one selects nothing.
pub(super) fn selects(selector: &BTreeMap<&str, &str>, pod: &Value) -> bool {
    let labels = &pod["metadata"]["labels"];
    !selector.is_empty() && selector.iter().all(|(key, value)| labels[*key] == *value)
}

pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
