//! The Windows nodes: can a pair run on them.

use k8s_openapi::api::core::v1::{Node, NodeSystemInfo};
use kube::Api;
use kube::api::ListParams;

use super::ask::{Asker, cannot_tell};
use super::report::{Check, Line};
use crate::cli::connection::list;
use crate::names::label;

/// What the contract asks for (README.md).
const CONTAINERD: [u32; 3] = [1, 7, 19];
/// Windows Server 2022, the first with the bind filter.
const BUILD: u32 = 20348;

pub(super) async fn look(asker: &Asker<'_>, lines: &mut Vec<Line>) {
    let nodes: Api<Node> = Api::all(asker.client.clone());
    let windows = |node: Node| is_windows(&node).then(|| Seen::of(&node));
    match list(&nodes, &ListParams::default(), windows).await {
        Ok(nodes) => judge(&nodes, lines),
        Err(error) => lines.push(cannot_tell(Check::NodesPresent, &error)),
    }
}

/// What is looked at of a node.
#[derive(Debug, Default)]
struct Seen {
    name: String,
    ready: bool,
    runtime: String,
    /// Of the label, else of the kernel's version.
    build: Option<u32>,
    os: Option<String>,
    labelled_build: bool,
}

fn info(node: &Node) -> Option<&NodeSystemInfo> {
    node.status.as_ref()?.node_info.as_ref()
}

fn label_of<'n>(node: &'n Node, key: &str) -> Option<&'n String> {
    node.metadata.labels.as_ref()?.get(key)
}

/// By what the kubelet says it runs on, or by its label: both are to say the same.
fn is_windows(node: &Node) -> bool {
    info(node).is_some_and(|info| info.operating_system == label::OS_WINDOWS)
        || label_of(node, label::OS).is_some_and(|os| os == label::OS_WINDOWS)
}

impl Seen {
    fn of(node: &Node) -> Self {
        let conditions = node
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref());
        let mut conditions = conditions.into_iter().flatten();
        let build = label_of(node, label::WINDOWS_BUILD);
        let kernel = info(node).map(|info| &info.kernel_version);
        Seen {
            name: node.metadata.name.clone().unwrap_or_default(),
            ready: conditions.any(|one| one.type_ == "Ready" && one.status == "True"),
            runtime: info(node)
                .map_or(String::new(), |info| info.container_runtime_version.clone()),
            build: [build, kernel]
                .into_iter()
                .flatten()
                .find_map(|version| third_number(version)),
            os: label_of(node, label::OS).cloned(),
            labelled_build: build.is_some(),
        }
    }
}

/// `20348` of `10.0.20348.2700`.
fn third_number(version: &str) -> Option<u32> {
    version.split('.').nth(2)?.parse().ok()
}

/// The version of a containerd; None of anything else. `1.7.19+azure` and `2.0.0-rc.1` count as what
/// comes first.
fn containerd(runtime: &str) -> Option<[u32; 3]> {
    let version = runtime.strip_prefix("containerd://")?;
    let mut numbers = version.trim_start_matches('v').splitn(3, '.').map(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse().ok()
    });
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

fn judge(nodes: &[Seen], lines: &mut Vec<Line>) {
    if nodes.is_empty() {
        let found = vec!["there is none".to_owned()];
        let hint =
            "Workloads wait until one comes: fine where an autoscaler makes them, else join one";
        lines.push(Line::warning(Check::NodesPresent, found, hint));
        return;
    }
    lines.push(Line::ok(Check::NodesPresent, nodes.len().to_string()));
    let of = |wrong: &dyn Fn(&Seen) -> Option<String>| -> Vec<String> {
        let told = nodes
            .iter()
            .filter_map(|node| Some(format!("{}: {}", node.name, wrong(node)?)));
        told.collect()
    };
    let unready = of(&|node| (!node.ready).then(|| "it is not ready".to_owned()));
    let hint = "kubectl describe node NAME says why";
    lines.push(if unready.len() == nodes.len() {
        Line::failed(Check::NodesReady, unready, hint)
    } else {
        Line::but_for(Check::NodesReady, unready, hint, "")
    });
    let old = of(&|node| match containerd(&node.runtime) {
        Some(version) if version >= CONTAINERD => None,
        Some(_) => Some(format!("it runs {}", node.runtime)),
        None => Some(format!(
            "it runs {:?}, and is to run containerd",
            node.runtime
        )),
    });
    let hint = "Upgrade containerd there; until then keep workloads off it: kubectl cordon NAME";
    lines.push(Line::unless(Check::NodesRuntime, old, hint, ""));
    let old = of(&|node| match node.build {
        Some(build) if build >= BUILD => None,
        Some(build) => Some(format!(
            "its build is {build}, and is to be {BUILD} or newer"
        )),
        None => Some("it does not say its build".to_owned()),
    });
    let hint = "Pods with the launcher's image are kept off Windows Server 2019; they need a node of 2022 or newer";
    lines.push(if old.len() == nodes.len() {
        Line::failed(Check::NodesBuild, old, hint)
    } else {
        Line::but_for(Check::NodesBuild, old, hint, "")
    });
    let odd = of(&|node| match (&node.os, node.labelled_build) {
        (Some(os), true) if os == label::OS_WINDOWS => None,
        (Some(os), _) if os == label::OS_WINDOWS => {
            Some(format!("it lacks {}", label::WINDOWS_BUILD))
        }
        (os, _) => Some(format!(
            "its {} is {:?}, and is to be {:?}",
            label::OS,
            os.as_deref().unwrap_or_default(),
            label::OS_WINDOWS
        )),
    });
    let hint = "Its kubelet sets them; who or what took them away?";
    lines.push(Line::but_for(Check::NodesLabels, odd, hint, ""));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::check::report::Mark;
    use serde_json::{Value, json};

    fn node(change: &Value) -> Node {
        let mut node = json!({
            "metadata": {"name": "win-1", "labels": {label::OS: "windows", label::WINDOWS_BUILD: "10.0.20348"}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"architecture": "", "bootID": "", "machineID": "", "systemUUID": "", "kubeletVersion": "",
                    "kubeProxyVersion": "", "osImage": "", "operatingSystem": "windows",
                    "containerRuntimeVersion": "containerd://1.7.27", "kernelVersion": "10.0.20348.2700"},
            },
        });
        json_patch::merge(&mut node, change);
        serde_json::from_value(node).unwrap()
    }

    fn marks(nodes: &[Node]) -> Vec<(Check, Mark)> {
        let seen: Vec<_> = nodes
            .iter()
            .filter(|node| is_windows(node))
            .map(Seen::of)
            .collect();
        let mut lines = Vec::new();
        judge(&seen, &mut lines);
        let bad = lines.iter().filter(|line| line.mark != Mark::Ok);
        bad.map(|line| (line.check, line.mark)).collect()
    }

    #[test]
    fn each_node_is_judged_by_what_it_says_of_itself() {
        let good = || node(&json!({}));
        let linux = node(&json!({"metadata": {"labels": {label::OS: "linux"}},
            "status": {"nodeInfo": {"operatingSystem": "linux", "containerRuntimeVersion": "cri-o://1"}}}));
        assert_eq!(marks(&[good(), linux.clone()]), []);
        assert_eq!(marks(&[linux]), [(Check::NodesPresent, Mark::Warning)]);
        let runtime = |version: &str| {
            node(&json!({"status": {"nodeInfo": {"containerRuntimeVersion": version}}}))
        };
        for old in [
            "containerd://1.7.18",
            "containerd://1.6.99",
            "docker://24.0.1",
            "",
        ] {
            assert_eq!(
                marks(&[good(), runtime(old)]),
                [(Check::NodesRuntime, Mark::Failed)],
                "{old}"
            );
        }
        for new in [
            "containerd://1.7.19+azure.1",
            "containerd://2.0.0-rc.1",
            "containerd://v1.10.0",
        ] {
            assert_eq!(marks(&[runtime(new)]), [], "{new}");
        }
        let unready =
            node(&json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}));
        assert_eq!(
            marks(&[good(), unready.clone()]),
            [(Check::NodesReady, Mark::Warning)]
        );
        assert_eq!(marks(&[unready]), [(Check::NodesReady, Mark::Failed)]);
    }

    #[test]
    fn builds_are_read_from_the_label_or_the_kernel() {
        let good = || node(&json!({}));
        let build =
            |build: Value| node(&json!({"metadata": {"labels": {label::WINDOWS_BUILD: build}}}));
        let server_2019 = build(json!(label::WINDOWS_BUILD_2019));
        assert_eq!(
            marks(&[good(), server_2019.clone()]),
            [(Check::NodesBuild, Mark::Warning)]
        );
        assert_eq!(marks(&[server_2019]), [(Check::NodesBuild, Mark::Failed)]);
        assert_eq!(marks(&[build(json!("10.0.26100"))]), []);
        assert_eq!(
            marks(&[build(Value::Null)]),
            [(Check::NodesLabels, Mark::Warning)]
        );
        let unlabelled = node(&json!({"metadata": {"labels": {label::OS: null}}}));
        assert_eq!(marks(&[unlabelled]), [(Check::NodesLabels, Mark::Warning)]);
    }
}
