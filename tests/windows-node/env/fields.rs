//! `fieldRef`: fields of the pod as text (`pkg/fieldpath/fieldpath.go`, and for variables
//! `podFieldSelectorRuntimeValue` of `kubelet_pods.go`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Pod;

use super::Facts;

/// A field as a variable has it: more than a volume's.
pub fn of_variable(path: &str, pod: &Pod, facts: &Facts) -> Result<String, String> {
    let spec = pod.spec.as_ref();
    let text = |text: Option<&String>| Ok(text.cloned().unwrap_or_default());
    match path {
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" => text(facts.host_ips.first()),
        "status.hostIPs" => Ok(facts.host_ips.join(",")),
        "status.podIP" => text(facts.pod_ips.first()),
        "status.podIPs" => Ok(facts.pod_ips.join(",")),
        _ => of_volume(path, pod),
    }
}

/// A field as a downwardAPI volume has it. What an annotation or label lacks is empty.
pub fn of_volume(path: &str, pod: &Pod) -> Result<String, String> {
    let meta = &pod.metadata;
    if let Some((of, key)) = subscript(path) {
        let map = match of {
            "metadata.annotations" => &meta.annotations,
            "metadata.labels" => &meta.labels,
            _ => return Err(format!("fieldPath {path:?} does not support subscript")),
        };
        let value = map.as_ref().and_then(|map| map.get(key));
        return Ok(value.cloned().unwrap_or_default());
    }
    let text = |text: &Option<String>| Ok(text.clone().unwrap_or_default());
    match path {
        "metadata.annotations" => Ok(format_map(meta.annotations.as_ref())),
        "metadata.labels" => Ok(format_map(meta.labels.as_ref())),
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

/// Parts `metadata.annotations['key']` (`SplitMaybeSubscriptedPath`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (of, key) = path.strip_suffix("']")?.split_once("['")?;
    (!of.is_empty()).then_some((of, key))
}

/// One `key="value"` a line, sorted (`FormatMap`).
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten();
    let lines: Vec<_> = lines
        .map(|(key, value)| format!("{key}={}", quote(value)))
        .collect();
    lines.join("\n")
}

/// A string as Go quotes it (`strconv.AppendQuote`), for what stands in annotations and labels:
/// everything that prints stays.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\0'..' ' | '\u{7f}' => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(character));
            }
            '\u{80}'..'\u{a1}' | '\u{ad}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        let pod = json!({
            "metadata": {
                "name": "albums-0", "namespace": "music", "uid": "u-1",
                "labels": {"b": "2", "a": "1"},
                "annotations": {"status": "{\"ip\":\"10.244.1.5\"}", "lines": "x\ny\t\u{1}"},
            },
            "spec": {"nodeName": "win-1", "serviceAccountName": "albums", "containers": []},
        });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn reads_a_volumes_fields() {
        for (path, expected) in [
            ("metadata.name", "albums-0"),
            ("metadata.namespace", "music"),
            ("metadata.uid", "u-1"),
            ("metadata.labels['a']", "1"),
            ("metadata.labels['missing']", ""),
            ("metadata.annotations['status']", "{\"ip\":\"10.244.1.5\"}"),
            ("metadata.labels", "a=\"1\"\nb=\"2\""),
            (
                "metadata.annotations",
                "lines=\"x\\ny\\t\\x01\"\nstatus=\"{\\\"ip\\\":\\\"10.244.1.5\\\"}\"",
            ),
        ] {
            assert_eq!(of_volume(path, &pod()).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn a_volume_cannot_have_the_fields_of_a_status() {
        let error = of_volume("status.podIP", &pod()).unwrap_err();
        assert_eq!(error, "unsupported fieldPath: status.podIP");
        let error = of_volume("spec.nodeName['x']", &pod()).unwrap_err();
        assert_eq!(
            error,
            "fieldPath \"spec.nodeName['x']\" does not support subscript"
        );
    }

    #[test]
    fn reads_a_variables_fields() {
        let facts = Facts {
            host_ips: vec!["10.245.0.1".into(), "fd00::1".into()],
            pod_ips: vec!["10.244.1.5".into()],
            ..Facts::default()
        };
        for (path, expected) in [
            ("spec.nodeName", "win-1"),
            ("spec.serviceAccountName", "albums"),
            ("status.hostIP", "10.245.0.1"),
            ("status.hostIPs", "10.245.0.1,fd00::1"),
            ("status.podIP", "10.244.1.5"),
            ("status.podIPs", "10.244.1.5"),
            ("metadata.uid", "u-1"),
        ] {
            let value = of_variable(path, &pod(), &facts);
            assert_eq!(value.as_deref(), Ok(expected), "{path}");
        }
    }
}
