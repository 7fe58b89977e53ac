//! The init container that brings our launcher to the node.

use super::container::Container;
use super::mounts;
use super::pod::{Place, Pod};
use super::reason::Reason;
use super::sheet::Sheet;
use crate::json::quote;
use crate::names::injected;
use native_host_launcher::Install;
use serde_json::json;
use std::sync::LazyLock;

/// It runs on the host as SYSTEM, whatever the workload runs as: the folder that it writes is
/// the kubelet's.
const USER: &str = super::security::SYSTEM;

static COMMAND: LazyLock<Vec<String>> = LazyLock::new(|| {
    let install = Install {
        dir: injected::LAUNCHER_DIR.to_owned(),
    };
    let exe = injected::LAUNCHER_IN_IMAGE.to_owned();
    std::iter::once(exe).chain(install.to_args()).collect()
});

/// The container's members but for name and image, without the opening brace.
static MEMBERS: LazyLock<String> = LazyLock::new(|| {
    // Requests equal to limits keep a Guaranteed pod Guaranteed, and satisfy a quota.
    let resources = json!({ "cpu": "100m", "memory": "64Mi" });
    let members = json!({
        "command": *COMMAND,
        "resources": { "requests": resources, "limits": resources },
        "securityContext": { "windowsOptions": { "hostProcess": true, "runAsUserName": USER } },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{ "name": injected::LAUNCHER, "mountPath": injected::LAUNCHER_DIR }],
    });
    members.to_string().split_off(1)
});

fn container(image: &str) -> String {
    let mut text = format!(r#"{{"name":"{}","image":"#, injected::LAUNCHER);
    quote(image, &mut text);
    text.push(',');
    text.push_str(&MEMBERS);
    text
}

/// Puts it before all other init containers; or checks that what is there is it.
pub(super) fn write(pod: &Pod<'_>, image: Option<&str>, marked: bool, sheet: &mut Sheet) {
    let present = pod.spec.init_containers.as_deref().unwrap_or_default();
    let all = pod.spec.all_containers();
    let same_name: Vec<_> = all
        .filter(|(_, container)| container.name == injected::LAUNCHER)
        .collect();
    match (same_name.as_slice(), image) {
        ([], None) => {}
        ([], Some(image)) => {
            let wanted = container(image);
            if pod.spec.init_containers.is_some() {
                sheet.add("/spec/initContainers/0", &wanted);
            } else {
                sheet.add("/spec/initContainers", &format!("[{wanted}]"));
            }
        }
        ([(Place::Init(at), found)], Some(image)) if marked => {
            if let Some((field, value)) = difference(found, image) {
                let field = sheet.container_field(Place::Init(*at), field);
                sheet.refuse(
                    Reason::Invariant,
                    field,
                    value,
                    format!(
                        "the container that brings the launcher runs as SYSTEM and must be as \
                         native-host wrote it: image {image}, command {}",
                        COMMAND.join(" ")
                    ),
                );
            }
            // What runs before it would find no launcher.
            let early = |container: &&Container<'_>| {
                container
                    .argv()
                    .next()
                    .is_some_and(|exe| exe.starts_with(injected::LAUNCHER_DIR))
            };
            if let Some(early) = present[..*at].iter().find(early) {
                let field = sheet.container_field(Place::Init(*at), "name");
                sheet.refuse(
                    Reason::Invariant,
                    field,
                    injected::LAUNCHER.to_owned(),
                    format!(
                        "must stand before the wrapped init container {}",
                        early.name
                    ),
                );
            }
        }
        ([(place, _), ..], _) => {
            let field = sheet.container_field(*place, "name");
            sheet.refuse(
                Reason::Plumbing,
                field,
                injected::LAUNCHER.to_owned(),
                "native-host adds a container of this name itself; name yours otherwise",
            );
        }
    }
}

/// The first field in which a container is not the installer. The API server adds mounts of
/// tokens, and LimitRanger resources: these are not looked at.
fn difference(found: &Container<'_>, image: &str) -> Option<(&'static str, Option<String>)> {
    let security = &found.security;
    let mounted = found.mounts.iter().flatten().any(|mount| {
        mount.name == injected::LAUNCHER && mount.path == injected::LAUNCHER_DIR && !mount.sub_path
    });
    let line = || {
        found
            .argv()
            .map(AsRef::as_ref)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let user = || {
        security
            .run_as
            .as_ref()
            .map(|user| user.clone().into_owned())
    };
    if found.image.as_deref() != Some(image) {
        Some((
            "image",
            found.image.as_ref().map(|image| image.clone().into_owned()),
        ))
    } else if !found
        .argv()
        .map(AsRef::as_ref)
        .eq(COMMAND.iter().map(String::as_str))
    {
        Some(("command", Some(line())))
    } else if security.run_as.as_deref() != Some(USER) {
        Some(("securityContext.windowsOptions.runAsUserName", user()))
    } else if found.restart_policy.is_some() {
        Some((
            "restartPolicy",
            found
                .restart_policy
                .as_ref()
                .map(|p| p.clone().into_owned()),
        ))
    } else if found.lifecycle.is_some() {
        Some(("lifecycle", None))
    } else if !mounted {
        Some(("volumeMounts", None))
    } else {
        // One over its own image would change what it runs.
        let foreign = mounts::foreign(found)?;
        Some(("volumeMounts", Some(foreign.path.clone().into_owned())))
    }
}
