//! The launcher around the program: what a wrapped container's command line is, and what a
//! wrapped command line wraps.

use super::asked::Asked;
use super::container::{Container, EnvVar};
use super::handler::Handler;
use super::pod::Place;
use super::reason::Reason;
use super::sheet::Sheet;
use crate::json::quote_all;
use crate::names::{env, injected, label, policy as key};
use crate::policy::{CplauncherDll, LauncherKind, Policy};
use crate::windows::{cmd, pipeline};
use native_host_launcher::{Command, Cplauncher, Hook, Probe, Run, Stop, expand};
use std::borrow::Cow;

/// Which launcher wraps, and where it lies on the node.
#[derive(Debug)]
pub(super) struct Wrapping<'p> {
    policy: &'p Policy,
    /// Our own launcher's path on the node, if it can be had.
    exe: Option<Cow<'p, str>>,
}

/// A preStop hook of ours.
#[derive(Debug)]
pub(super) enum StopHook {
    /// Runs a command.
    Exec(Vec<String>),
    /// Waits so many seconds.
    Sleep(u16),
}

impl StopHook {
    /// As JSON text.
    pub(super) fn to_json(&self) -> String {
        match self {
            Self::Exec(command) => {
                let command = quote_all(command.iter().map(String::as_str));
                format!(r#"{{"exec":{{"command":{command}}}}}"#)
            }
            Self::Sleep(seconds) => format!(r#"{{"sleep":{{"seconds":{seconds}}}}}"#),
        }
    }

    /// Whether a hook is this one.
    pub(super) fn is(&self, present: &Handler<'_>) -> bool {
        match (self, present) {
            (Self::Exec(wanted), Handler::Exec(command)) => command.iter().eq(wanted),
            (Self::Sleep(wanted), Handler::Sleep(seconds)) => i64::from(*wanted) == *seconds,
            _ => false,
        }
    }
}

/// What a wrapped command line wraps.
#[derive(Debug)]
pub(super) struct Inner<'a> {
    pub(super) argv: Vec<Cow<'a, str>>,
    pub(super) liveness: Option<Probe>,
    pub(super) startup: Option<Probe>,
}

/// Characters that a line may grow by on the node beyond what is known here: the process's
/// current folder that hcsshim may put before a relative name, and line ends.
const HEADROOM: usize = 128;

impl<'p> Wrapping<'p> {
    /// As the policy has it.
    pub(super) fn new(policy: &'p Policy) -> Self {
        let exe = match (&policy.launcher_path, &policy.launcher_image) {
            (Some(path), _) => Some(Cow::Borrowed(path.as_str())),
            (None, Some(_)) => Some(Cow::Owned(format!(
                r"{}\{}",
                injected::LAUNCHER_DIR,
                injected::LAUNCHER_EXE
            ))),
            (None, None) => None,
        };
        Self { policy, exe }
    }

    /// The image that brings our launcher; `None` if it is installed on the nodes, or is nowhere.
    pub(super) fn image(&self) -> Option<&'p str> {
        match &self.policy.launcher_path {
            Some(_) => None,
            None => self.policy.launcher_image.as_deref(),
        }
    }

    /// Our launcher's path on the node; empty where [`Self::needs_tool`] has refused the pod.
    pub(super) fn tool(&self) -> &str {
        self.exe.as_deref().unwrap_or_default()
    }

    /// Whether the launcher makes liveness and startup probes by itself.
    pub(super) fn probes_itself(&self) -> bool {
        self.policy.launcher != LauncherKind::Cplauncher
    }

    /// Whether our launcher is needed on the node; refuses if it is and cannot be had.
    pub(super) fn needs_tool(&self, asked: &[Asked<'_>], sheet: &mut Sheet) -> bool {
        let probed = asked
            .iter()
            .find(|asked| asked.liveness.is_some() || asked.startup.is_some());
        let (needed, field, why) = match (self.probes_itself(), probed) {
            (true, _) => {
                let field = sheet.field(format_args!("metadata.annotations[{}]", key::LAUNCHER));
                (
                    true,
                    field,
                    format!("the launcher {}", self.policy.launcher),
                )
            }
            (false, Some(probed)) => {
                let name = if probed.liveness.is_some() {
                    "livenessProbe"
                } else {
                    "startupProbe"
                };
                let field = sheet.container_field(probed.place, name);
                (
                    true,
                    field,
                    format!("a {name} under the launcher {}", self.policy.launcher),
                )
            }
            (false, None) => return false,
        };
        if self.exe.is_none() {
            sheet.refuse(
                Reason::Launcher,
                field,
                None,
                format!(
                    "{why} needs native-host-launcher.exe on the node, and the policy says from \
                     nowhere; set {} or {} on the Namespace",
                    key::LAUNCHER_IMAGE,
                    key::LAUNCHER_PATH
                ),
            );
        }
        needed
    }

    /// Whether a hook is the one that native-host writes.
    pub(super) fn is_our_stop(&self, hook: &Handler<'_>) -> bool {
        match hook {
            Handler::Sleep(seconds) => {
                !self.probes_itself() && *seconds == i64::from(self.policy.drain_seconds)
            }
            Handler::Exec(command) => {
                self.probes_itself()
                    && command.first().is_some_and(|exe| *exe == self.tool())
                    && command.get(1).is_some_and(|verb| verb == "stop")
            }
            _ => false,
        }
    }

    /// Whether there is a hook of ours to stop a program.
    pub(super) fn has_stop_hook(&self) -> bool {
        self.probes_itself() || self.policy.drain_seconds > 0
    }

    /// The hook that lets a program drain and stops it properly: the launcher's `stop`, or
    /// under plain cplauncher, which can only be killed, a sleep. `None` if there is nothing to do.
    pub(super) fn stop_hook(&self, container: &str, grace: u32) -> Option<StopHook> {
        let drain = self.policy.drain_seconds;
        if self.probes_itself() {
            let stop = Stop {
                container: container.to_owned(),
                drain_seconds: u32::from(drain),
                grace_seconds: grace,
            };
            let command = std::iter::once(self.tool().to_owned()).chain(stop.to_args());
            Some(StopHook::Exec(command.collect()))
        } else {
            (drain > 0).then_some(StopHook::Sleep(drain))
        }
    }

    /// The wrapped command line.
    fn line(
        &self,
        asked: &Asked<'_>,
        name: &str,
        env: &[EnvVar<'_>],
        grace: u32,
    ) -> Result<Vec<String>, String> {
        let argv = || {
            asked
                .argv
                .iter()
                .map(|arg| arg.clone().into_owned())
                .collect::<Vec<_>>()
        };
        let policy = self.policy;
        if policy.launcher == LauncherKind::Cplauncher {
            return Ok(cplauncher_head(policy).into_iter().chain(argv()).collect());
        }
        let mut run = Run::new(name, argv());
        run.timeout_seconds = policy.launcher_timeout_seconds;
        run.ip_env.clone_from(&policy.ip_env);
        for var in env.iter().filter(|var| is_pod_ip(var)) {
            if !run.ip_env.iter().any(|known| *known == var.name) {
                run.ip_env.push(var.name.clone().into_owned());
            }
        }
        run.liveness.clone_from(&asked.liveness);
        run.startup.clone_from(&asked.startup);
        run.grace_seconds = (run.liveness.is_some() || run.startup.is_some()).then_some(grace);
        if policy.launcher == LauncherKind::NativeHostCplauncher {
            run.cplauncher = Some(Cplauncher {
                path: policy.cplauncher_path.as_str().to_owned(),
                hook: match &policy.cplauncher_dll {
                    CplauncherDll::Default => Hook::Own,
                    CplauncherDll::Path(path) => Hook::Dll(path.as_str().to_owned()),
                    CplauncherDll::None => Hook::None,
                },
            });
        }
        if asked.argv.iter().any(|arg| arg.contains('$')) {
            run.declare(env.iter().map(|var| var.name.as_ref()));
        }
        let args = run.to_args().map_err(|error| error.to_string())?;
        Ok(std::iter::once(self.tool().to_owned())
            .chain(args)
            .collect())
    }
}

/// Everything before the program in a command line of plain cplauncher.
fn cplauncher_head(policy: &Policy) -> Vec<String> {
    let mut line: Vec<String> = vec![
        policy.cplauncher_path.as_str().to_owned(),
        "-label".to_owned(),
        format!("{}=$({})", label::ANCHOR_FOR, env::POD_UID),
        "-namespace".to_owned(),
        format!("$({})", env::POD_NAMESPACE),
        "-label-timeout".to_owned(),
        format!("{}s", policy.launcher_timeout_seconds),
        "-wait-tree".to_owned(),
    ];
    match &policy.cplauncher_dll {
        CplauncherDll::Default => {}
        CplauncherDll::Path(path) => line.extend(["-dll".to_owned(), path.as_str().to_owned()]),
        CplauncherDll::None => line.push("-no-inject".to_owned()),
    }
    line.push("--".to_owned());
    line
}

/// Whether a variable is to hold the pod's IP, which in a HostProcess pod is the node's.
pub(super) fn is_pod_ip(var: &EnvVar<'_>) -> bool {
    matches!(
        var.field_path.as_deref(),
        Some("status.podIP" | "status.podIPs")
    )
}

/// What a wrapped command line wraps; else what was expected.
pub(super) fn unwrap<'a>(
    container: &Container<'a>,
    wrapping: &Wrapping<'_>,
) -> Result<Inner<'a>, String> {
    let argv: Vec<_> = container.argv().cloned().collect();
    if wrapping.policy.launcher == LauncherKind::Cplauncher {
        let head = cplauncher_head(wrapping.policy);
        if argv.len() <= head.len()
            || argv
                .iter()
                .zip(&head)
                .any(|(found, wanted)| found != wanted)
        {
            return Err(format!("{} …", head.join(" ")));
        }
        let argv = argv[head.len()..].to_vec();
        return Ok(Inner {
            argv,
            liveness: None,
            startup: None,
        });
    }
    let expected = || format!("{} run …", wrapping.tool());
    let (exe, args) = argv.split_first().ok_or_else(expected)?;
    if *exe != wrapping.tool() {
        return Err(expected());
    }
    let args: Vec<_> = args.iter().map(|arg| arg.clone().into_owned()).collect();
    match Command::parse(&args) {
        Ok(Command::Run(run)) => Ok(Inner {
            argv: run.argv.into_iter().map(Cow::Owned).collect(),
            liveness: run.liveness,
            startup: run.startup,
        }),
        Ok(_) => Err(expected()),
        Err(error) => Err(format!("{}: {error}", expected())),
    }
}

/// Writes the wrapped command line, or refuses what cannot be wrapped.
pub(super) fn write(
    container: &Container<'_>,
    asked: &Asked<'_>,
    env: &[EnvVar<'_>],
    grace: u32,
    wrapping: &Wrapping<'_>,
    sheet: &mut Sheet,
) {
    if asked.argv.is_empty() {
        return; // refused already
    }
    let place = asked.place;
    let line = match wrapping.line(asked, &container.name, env, grace) {
        Ok(line) => line,
        Err(error) => {
            let field = sheet.container_field(place, "command");
            sheet.refuse(Reason::Command, field, None, error);
            return;
        }
    };
    let fits = if wrapping.probes_itself() {
        length(&line)
    } else {
        plain_cplauncher(container, asked, &line, env)
    };
    if let Err((at, text)) = fits {
        let field = match at.map(|at| at.checked_sub(container.command.len())) {
            None | Some(None) => sheet.container_field(
                place,
                &at.map_or("command".to_owned(), |at| format!("command[{at}]")),
            ),
            Some(Some(arg)) => sheet.container_field(place, &format!("args[{arg}]")),
        };
        let value = at
            .and_then(|at| asked.argv.get(at))
            .map(|arg| arg.clone().into_owned());
        sheet.refuse(Reason::Argument, field, value, text);
        return;
    }
    let (exe, args) = line.split_at(1);
    set_strings(place, "/command", &container.command, exe, sheet);
    set_strings(place, "/args", &container.args, args, sheet);
}

fn set_strings(
    place: Place,
    member: &str,
    present: &[Cow<'_, str>],
    wanted: &[String],
    sheet: &mut Sheet,
) {
    if !present
        .iter()
        .map(Cow::as_ref)
        .eq(wanted.iter().map(String::as_str))
    {
        sheet.add_in(place, member, &quote_all(wanted.iter().map(String::as_str)));
    }
}

/// What is wrong with a line, and with which of the author's arguments.
type Misfit = (Option<usize>, String);

fn length(line: &[String]) -> Result<(), Misfit> {
    let length = pipeline::line_length(line);
    let most = cmd::LINE_LIMIT - HEADROOM;
    if length > most {
        return Err((
            None,
            format!(
                "wrapped, the command line has {length} characters, and cmd.exe on the node takes \
                 {most}; move long values into the environment or into a file of a ConfigMap"
            ),
        ));
    }
    Ok(())
}

/// Plain cplauncher passes arguments on as they are, through everything that lies between the
/// pod and the program: what would not come out unchanged is refused.
fn plain_cplauncher(
    container: &Container<'_>,
    asked: &Asked<'_>,
    line: &[String],
    vars: &[EnvVar<'_>],
) -> Result<(), Misfit> {
    const WAY_OUT: &str = "use the launcher native-host, with which every argument arrives";
    let program = &asked.argv[0];
    if crate::windows::path::WindowsPath::parse(program).is_err() {
        return Err((
            Some(0),
            format!(
                "cplauncher needs the program's absolute path, e.g. C:\\apps\\albums.exe; or {WAY_OUT}"
            ),
        ));
    }
    let head = line.len() - asked.argv.len();
    let mut expanded = Vec::with_capacity(line.len());
    for (i, arg) in line.iter().enumerate() {
        let unknown = std::cell::RefCell::new(None);
        let text = expand(arg, |name| match known_value(name, container, vars) {
            Known::Value(value) => Some(value),
            Known::Undefined => None,
            Known::Not => {
                unknown.replace(Some(name.to_owned()));
                None
            }
        });
        if let Some(name) = unknown.into_inner() {
            return Err((
                i.checked_sub(head),
                format!(
                    "the value of $({name}) is not known before the pod runs, so it is not known \
                     whether it survives the node's command line; {WAY_OUT}"
                ),
            ));
        }
        expanded.push(text);
    }
    pipeline::survives(&expanded).map_err(|mangled| {
        (
            mangled.index.checked_sub(head),
            format!("{}; {WAY_OUT}", mangled.fault),
        )
    })?;
    length(&expanded)
}

/// What is known here of a variable's value.
enum Known {
    /// It, or one as long and of as safe characters as it can be.
    Value(String),
    /// There is no such variable: the kubelet leaves the reference as it stands.
    Undefined,
    /// There is one, but nothing is known of its value.
    Not,
}

fn known_value(name: &str, container: &Container<'_>, vars: &[EnvVar<'_>]) -> Known {
    /// The longest of names that Kubernetes gives (DNS subdomain).
    const LONGEST_NAME: usize = 253;
    match name {
        env::POD_UID => return Known::Value("a".repeat(36)),
        env::POD_NAMESPACE => return Known::Value("a".repeat(63)),
        _ => {}
    }
    let Some(var) = vars.iter().rfind(|var| var.name == name) else {
        return if container.env_from {
            Known::Not
        } else {
            Known::Undefined
        };
    };
    if var.resource {
        return Known::Value("9".repeat(20));
    }
    match (&var.field_path, &var.value) {
        (Some(path), _) if path.starts_with("metadata.annotations") => Known::Not,
        (Some(_), _) => Known::Value("a".repeat(LONGEST_NAME)),
        (None, _) if var.unknown => Known::Not,
        (None, Some(value)) if value.contains("$(") => Known::Not,
        (None, value) => Known::Value(value.as_deref().unwrap_or_default().replace("$$", "$")),
    }
}
