//! The node's `pods`: one line for each pod that the API server has, `NAMESPACE NAME PHASE IP LABELS`, by single
//! spaces; `-` for what there is not; labels as `KEY=VALUE,KEY=VALUE`. Replaced at once, by a rename.

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub ip: Option<String>,
    labels: Vec<(String, String)>,
}

/// All of them. A line that is none is a mistake of the node's, so it ends the process.
pub fn read(text: &str) -> Vec<Pod> {
    text.lines()
        .map(|line| pod(line).unwrap_or_else(|| panic!("pods: {line}")))
        .collect()
}

fn pod(line: &str) -> Option<Pod> {
    let words: Vec<_> = line.split(' ').collect();
    let [namespace, name, _phase, ip, labels] = words[..] else {
        return None;
    };
    let labels = labels.split(',').filter(|label| *label != "-");
    let labels = labels.map(|label| {
        let (key, value) = label.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    Some(Pod {
        namespace: namespace.into(),
        name: name.into(),
        ip: (ip != "-").then(|| ip.into()),
        labels: labels.collect::<Option<_>>()?,
    })
}

impl Pod {
    /// Whether a selector picks it: `key=value`, `key==value`, `key!=value`, `key`, `!key`, by commas.
    pub fn matches(&self, selector: &str) -> bool {
        let value = |key: &str| {
            let found = self.labels.iter().find(|(known, _)| known == key.trim());
            found.map(|(_, value)| value.as_str())
        };
        selector.split(',').map(str::trim).all(|requirement| {
            if let Some((key, wanted)) = requirement.split_once("!=") {
                value(key) != Some(wanted.trim())
            } else if let Some((key, wanted)) = requirement.split_once('=') {
                let wanted = wanted.strip_prefix('=').unwrap_or(wanted);
                value(key) == Some(wanted.trim())
            } else if let Some(key) = requirement.strip_prefix('!') {
                value(key).is_none()
            } else {
                value(requirement).is_some()
            }
        })
    }
}
