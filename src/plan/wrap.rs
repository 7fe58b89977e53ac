//! The launcher around the program: what a wrapped container's command line is, and what a
//! wrapped command line wraps.

use super::arrival::{absolute, length, misfit, plain_cplauncher};
use super::asked::Asked;
use super::container::{Container, EnvVar};
use super::handler::Handler;
use super::pod::Place;
use super::reason::Reason;
use super::sheet::Sheet;
use crate::json::quote_all;
use crate::names::{env, injected, label, policy as key};
use crate::policy::{CplauncherDll, LauncherKind, Policy};
use native_host_launcher::{Command, Cplauncher, Hook, Probe, Run, Stop, Unwritable};
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
    pub(super) kept: Kept,
}

/// What a wrapped command line says of the pod as it was when it was wrapped. Variables that
/// other webhooks put in since, and a longer grace period, do not make it wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Names of variables that get the anchor's IP.
    ip_env: Vec<String>,
    /// Names of variables that its arguments refer to.
    declared: Vec<String>,
    /// How long the program has to stop, in seconds; from the preStop hook, if that is ours.
    pub(super) grace: Option<u32>,
}

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
        let needed = self.probes_itself() || probed.is_some();
        if !needed || self.exe.is_some() {
            return needed;
        }
        let launcher = self.policy.launcher;
        let (field, why) = match probed.filter(|_| !self.probes_itself()) {
            None => {
                let field = sheet.annotation(key::LAUNCHER);
                (field, format!("the launcher {launcher}"))
            }
            Some(probed) => {
                let name = if probed.liveness.is_some() {
                    "livenessProbe"
                } else {
                    "startupProbe"
                };
                let why = format!("a {name} under the launcher {launcher}");
                (sheet.container_field(probed.place, name), why)
            }
        };
        sheet.refuse(
            Reason::Launcher,
            field,
            None,
            format!(
                "{why} needs native-host-launcher.exe on the node, and the policy does not say \
                 where it comes from; set {} or {} on the Namespace",
                key::LAUNCHER_IMAGE,
                key::LAUNCHER_PATH
            ),
        );
        true
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

    /// How long the container's preStop hook, if it is ours, gives the program to stop.
    pub(super) fn stop_grace(&self, container: &Container<'_>) -> Option<u32> {
        let hook = container.pre_stop().filter(|hook| self.is_our_stop(hook))?;
        let Handler::Exec(command) = hook else {
            return None;
        };
        match parse(command) {
            Some(Command::Stop(stop)) => Some(stop.grace_seconds),
            _ => None,
        }
    }

    /// Paths of the programs that start the wrapped one.
    pub(super) fn programs(&self) -> impl Iterator<Item = &str> {
        let cplauncher = (self.policy.launcher != LauncherKind::NativeHost)
            .then(|| self.policy.cplauncher_path.as_str());
        self.exe.as_deref().into_iter().chain(cplauncher)
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
    ) -> Result<Vec<String>, Unwritable> {
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
        let kept = asked.kept.as_ref();
        for var in env.iter().filter(|var| var.is_pod_ip()) {
            let later = kept.is_some_and(|kept| !kept.ip_env.iter().any(|one| *one == var.name));
            if !later && !run.ip_env.iter().any(|known| *known == var.name) {
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
            let names = env.iter().map(|var| var.name.as_ref());
            run.declare(names.filter(|name| {
                kept.is_none_or(|kept| kept.declared.iter().any(|declared| declared == name))
            }));
        }
        let args = run.to_args()?;
        Ok(std::iter::once(self.tool().to_owned())
            .chain(args)
            .collect())
    }
}

/// A command line of our launcher, its path first.
pub(super) fn parse(line: &[Cow<'_, str>]) -> Option<Command> {
    let args: Vec<_> = line
        .iter()
        .skip(1)
        .map(|arg| arg.clone().into_owned())
        .collect();
    Command::parse(&args).ok()
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
            kept: Kept::default(),
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
            kept: Kept {
                ip_env: run.ip_env,
                declared: run.declared,
                grace: run.grace_seconds,
            },
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
            let fault = match error {
                Unwritable::Nul { index } => {
                    let text =
                        "holds a NUL character, which ends a Windows command line; remove it";
                    (Some(index), text.to_owned())
                }
                Unwritable::EmptyTarget => {
                    let text = "the program's name is empty; write the program's path";
                    (Some(0), text.to_owned())
                }
                other => (None, other.to_string()),
            };
            misfit(container, asked, fault, sheet);
            return;
        }
    };
    let fits = match wrapping.policy.launcher {
        LauncherKind::NativeHost => length(&line),
        LauncherKind::NativeHostCplauncher => absolute(&asked.argv[0]).and_then(|()| length(&line)),
        LauncherKind::Cplauncher => plain_cplauncher(container, asked, &line, env),
    };
    if let Err(fault) = fits {
        misfit(container, asked, fault, sheet);
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
