//! Guard rails: what the namespace lets run on its nodes.

use super::asked::Asked;
use super::container::Container;
use super::handler::Handler;
use super::pod::{Place, Pod};
use super::reason::Reason;
use super::sheet::Sheet;
use super::wrap::Wrapping;
use crate::names::{injected, policy as key};
use crate::policy::Policy;
use crate::windows::path::{PathPattern, WindowsPath};

/// Refuses a launcher that the namespace does not allow.
pub(super) fn launcher(policy: &Policy, sheet: &mut Sheet) {
    if let Some(allowed) = &policy.allowed_launchers
        && !allowed.contains(&policy.launcher)
    {
        let list = allowed
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let field = sheet.field(format_args!("metadata.annotations[{}]", key::LAUNCHER));
        sheet.forbid(
            Reason::Launcher,
            field,
            policy.launcher.to_string(),
            format!(
                "this namespace allows only {list} (annotation {})",
                key::ALLOWED_LAUNCHERS
            ),
        );
    }
}

/// Refuses every command of the pod whose program is not allowed: of wrapped containers, of all
/// others, and of exec probes and hooks, since all of them run on the host.
pub(super) fn executables(
    pod: &Pod<'_>,
    asked: &[Asked<'_>],
    wrapping: &Wrapping<'_>,
    policy: &Policy,
    sheet: &mut Sheet,
) {
    let Some(allowed) = &policy.allowed_executables else {
        return;
    };
    for (place, container) in pod.spec.all_containers() {
        if container.name == injected::LAUNCHER {
            continue; // its command is fixed
        }
        let program = match asked.iter().find(|asked| asked.place == place) {
            Some(asked) => asked.argv.first().map(AsRef::as_ref),
            None => container.command.first().map(AsRef::as_ref),
        };
        let field = sheet.container_field(place, "command[0]");
        check(program, field, allowed, sheet);
        for (name, command) in exec_commands(container) {
            let program = command.first().map(AsRef::as_ref);
            if program != Some(wrapping.tool()) || wrapping.tool().is_empty() {
                let field = sheet.container_field(place, &format!("{name}.exec.command[0]"));
                check(program, field, allowed, sheet);
            }
        }
    }
}

type Command<'c, 'a> = (&'static str, &'c [std::borrow::Cow<'a, str>]);

fn exec_commands<'c, 'a>(container: &'c Container<'a>) -> impl Iterator<Item = Command<'c, 'a>> {
    let probes = [
        ("livenessProbe", &container.liveness),
        ("readinessProbe", &container.readiness),
        ("startupProbe", &container.startup),
    ];
    let probes = probes
        .into_iter()
        .filter_map(|(name, p)| Some((name, &p.as_ref()?.handler)));
    let hooks = container.lifecycle.iter().flat_map(|lifecycle| {
        let hooks = [
            ("lifecycle.postStart", &lifecycle.post_start),
            ("lifecycle.preStop", &lifecycle.pre_stop),
        ];
        hooks
            .into_iter()
            .filter_map(|(name, hook)| Some((name, hook.as_ref()?)))
    });
    probes
        .chain(hooks)
        .filter_map(|(name, handler)| match handler {
            Handler::Exec(command) => Some((name, command.as_slice())),
            _ => None,
        })
}

fn check(program: Option<&str>, field: String, allowed: &[PathPattern], sheet: &mut Sheet) {
    let list = || {
        let patterns: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        format!(
            "{} (annotation {})",
            patterns.join(", "),
            key::ALLOWED_EXECUTABLES
        )
    };
    let Some(program) = program else {
        sheet.forbid(
            Reason::Executable,
            field,
            None,
            format!(
                "not given, and what an image's ENTRYPOINT runs is not known here; this namespace \
                 allows only {}",
                list()
            ),
        );
        return;
    };
    // A variable's value is known only on the node, and so is the image's folder.
    let fixed = !program.contains("$(") && !program.contains('%');
    let path = WindowsPath::parse(program);
    let matches = |path: &WindowsPath| allowed.iter().any(|pattern| pattern.matches(path));
    match path {
        Ok(path) if fixed && matches(&path) => {}
        Ok(_) => sheet.forbid(
            Reason::Executable,
            field,
            program.to_owned(),
            format!("this namespace allows only {}", list()),
        ),
        Err(error) => sheet.forbid(
            Reason::Executable,
            field,
            program.to_owned(),
            format!("{error}; this namespace allows only {}", list()),
        ),
    }
}

/// Says of the containers that stay unwrapped what that means.
pub(super) fn warn_of_unwrapped(place: Place, container: &Container<'_>, sheet: &mut Sheet) {
    if container
        .ports
        .as_ref()
        .is_some_and(|ports| !ports.is_empty())
    {
        let field = sheet.container_field(place, "ports");
        sheet.warn(
            &field,
            format_args!(
                "{} is not wrapped ({}): it listens on the node's own network, where its ports \
                 are host ports",
                container.name,
                key::CONTAINERS
            ),
        );
    }
}
