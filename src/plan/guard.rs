//! Guard rails: what the namespace lets run on its nodes.

use super::asked::Asked;
use super::container::Container;
use super::handler::Handler;
use super::pod::{Place, Pod};
use super::reason::Reason;
use super::sheet::Sheet;
use super::wrap::{self, Wrapping};
use super::{arrival, mounts, plumbing};
use crate::names::{injected, policy as key};
use crate::policy::Policy;
use crate::windows::path::{PathPattern, WindowsPath};
use crate::windows::pipeline;
use native_host_launcher::Command as Launcher;
use native_host_launcher::word::is_plain_argument;
use std::borrow::Cow;

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
        let field = sheet.annotation(key::LAUNCHER);
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
    wrapping: Option<&Wrapping<'_>>,
    policy: &Policy,
    sheet: &mut Sheet,
) {
    let Some(allowed) = &policy.allowed_executables else {
        return;
    };
    for (place, container) in pod.spec.all_containers() {
        if container.name == injected::LAUNCHER {
            continue; // its command is fixed, or it is refused
        }
        search_path(place, container, allowed, sheet);
        if let Some(asked) = asked.iter().find(|asked| asked.place == place) {
            // Whether its arguments arrive is the wrapping's business.
            let field = sheet.container_field(place, "command[0]");
            check(container, &asked.argv, field, allowed, sheet);
        } else {
            let line: Vec<_> = container.argv().cloned().collect();
            // Without `command`, args go to the image's ENTRYPOINT.
            let command = if container.command.is_empty() {
                &[][..]
            } else {
                &line
            };
            let field = sheet.container_field(place, "command[0]");
            check(container, command, field, allowed, sheet);
            let vars = plumbing::variables(place, container, true, sheet);
            if let Err((at, fault)) = arrival::arrives(&line, container, &vars) {
                let field = arrival::argument_field(container, at);
                let field = sheet.container_field(place, &field);
                forbid_line(field, &line, at, &fault, sheet);
            }
        }
        for (name, line) in exec_commands(container) {
            if wrapping.is_some_and(|wrapping| is_ours(line, wrapping)) {
                continue;
            }
            let field = |at: usize| format!("{name}.exec.command[{at}]");
            let first = sheet.container_field(place, &field(0));
            check(container, line, first, allowed, sheet);
            // The kubelet expands no variables here.
            if let Err(mangled) = pipeline::survives(line) {
                let field = sheet.container_field(place, &field(mangled.index));
                forbid_line(
                    field,
                    line,
                    mangled.index,
                    &mangled.fault.to_string(),
                    sheet,
                );
            }
        }
    }
}

/// Refuses what chooses another `cmd.exe`. hcsshim puts `cmd /c` in front of a line and looks for
/// it in the container's working folder first, then along its `PATH`, and in the system's folders
/// last (`getApplicationName`, internal/jobcontainers/path.go). What an image's own configuration
/// says of both is not known here.
fn search_path(
    place: Place,
    container: &Container<'_>,
    allowed: &[PathPattern],
    sheet: &mut Sheet,
) {
    let why = format!(
        "the node looks for cmd.exe there before it looks in Windows' own folders, and this \
         namespace allows certain programs only (annotation {})",
        key::ALLOWED_EXECUTABLES
    );
    if let Some(dir) = &container.working_dir {
        let cmd = format!(r"{}\cmd.exe", dir.trim_end_matches(['\\', '/']));
        let fine = WindowsPath::parse(&cmd)
            .is_ok_and(|path| allowed.iter().any(|pattern| pattern.matches(&path)))
            && mounts::over(container, &cmd).is_none();
        if !fine {
            let field = sheet.container_field(place, "workingDir");
            let text = format!("{why}; remove it, or use a folder that it allows");
            sheet.forbid(Reason::Executable, field, dir.clone().into_owned(), text);
        }
    }
    if container.env_from_path {
        let field = sheet.container_field(place, "envFrom");
        let text = format!("it may set PATH: {why}; give it a prefix, such as APP_");
        sheet.forbid(Reason::Executable, field, None, text);
    }
    let vars = plumbing::variables(place, container, true, sheet);
    for (i, var) in vars.iter().enumerate() {
        if ["PATH", "PATHEXT"]
            .iter()
            .any(|name| var.name.eq_ignore_ascii_case(name))
        {
            let field = sheet.container_field(place, &format!("env[{i}].name"));
            let text = format!("{why}; remove it");
            sheet.forbid(
                Reason::Executable,
                field,
                var.name.clone().into_owned(),
                text,
            );
        }
    }
}

/// Whether a probe's or a hook's command is our launcher's, of the kind that starts nothing.
fn is_ours(line: &[Cow<'_, str>], wrapping: &Wrapping<'_>) -> bool {
    let tool = wrapping.tool();
    !tool.is_empty()
        && line.first().is_some_and(|exe| *exe == tool)
        && matches!(
            wrap::parse(line),
            Some(Launcher::Stop(_) | Launcher::Probe(_))
        )
}

/// `cmd /c` stands before such a line on the node, so `&` in it starts another program.
fn forbid_line(field: String, line: &[Cow<'_, str>], at: usize, fault: &str, sheet: &mut Sheet) {
    if line.first().is_none_or(|program| program.is_empty()) {
        return; // said already
    }
    let value = line.get(at).map(|arg| arg.clone().into_owned());
    sheet.forbid(
        Reason::Executable,
        field,
        value,
        format!(
            "{fault}, so it is not sure what the node's cmd.exe starts, and this namespace allows \
             certain programs only (annotation {}); put the command into a file that it allows",
            key::ALLOWED_EXECUTABLES
        ),
    );
}

type Exec<'c, 'a> = (&'static str, &'c [Cow<'a, str>]);

fn exec_commands<'c, 'a>(container: &'c Container<'a>) -> impl Iterator<Item = Exec<'c, 'a>> {
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

/// Whether the program of a command line is one that the namespace allows, and is that file.
fn check(
    container: &Container<'_>,
    line: &[Cow<'_, str>],
    field: String,
    allowed: &[PathPattern],
    sheet: &mut Sheet,
) {
    let list = || {
        let patterns: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        format!(
            "this namespace allows only {} (annotation {})",
            patterns.join(", "),
            key::ALLOWED_EXECUTABLES
        )
    };
    let Some(program) = line.first().map(AsRef::as_ref) else {
        let text = format!(
            "not given, and what an image's ENTRYPOINT runs is not known here; {}",
            list()
        );
        sheet.forbid(Reason::Executable, field, None, text);
        return;
    };
    let text = match WindowsPath::parse(program) {
        Err(error) => format!("{error}; {}", list()),
        Ok(path) if !allowed.iter().any(|pattern| pattern.matches(&path)) => list(),
        Ok(path) => match (
            mounts::over(container, program),
            batch_argument(&path, line),
        ) {
            (Some(mount), _) => format!(
                "the volume mounted at {} puts other files in its place, and {}; mount it elsewhere",
                mount.path,
                list()
            ),
            (None, Some(argument)) => format!(
                "cmd.exe runs a batch file, and reads more than letters, digits and \
                 -_./\\:@+,=~# in its arguments ({argument:?}) as commands; {}",
                list()
            ),
            (None, None) => return,
        },
    };
    sheet.forbid(Reason::Executable, field, program.to_owned(), text);
}

/// The first argument in which cmd.exe could find a command, where it is cmd.exe that runs the
/// file: a batch file, or one without an extension, which may turn out to be one.
fn batch_argument<'l>(program: &WindowsPath, line: &'l [Cow<'_, str>]) -> Option<&'l str> {
    let extension = program.extension().unwrap_or("bat");
    ["bat", "cmd"]
        .iter()
        .any(|batch| extension.eq_ignore_ascii_case(batch))
        .then(|| {
            line.iter()
                .skip(1)
                .find(|argument| !is_plain_argument(argument))
        })?
        .map(AsRef::as_ref)
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
