//! Whether a command line arrives on the node as it was written.

use super::asked::Asked;
use super::container::{Container, EnvVar};
use super::reason::Reason;
use super::sheet::Sheet;
use crate::names::env;
use crate::windows::path::{PathFault, WindowsPath};
use crate::windows::{cmd, pipeline};
use native_host_launcher::expand;

/// Characters that a line may grow by on the node beyond what is known here: the process's
/// current folder that hcsshim may put before a relative name, and line ends.
const HEADROOM: usize = 128;

/// What is wrong with a line, and with which of the author's arguments.
pub(super) type Misfit = (Option<usize>, String);

pub(super) fn length(line: &[String]) -> Result<(), Misfit> {
    let most = cmd::LINE_LIMIT - HEADROOM;
    // Escaping at most doubles an argument and puts quotes and a space around it: nearly all
    // lines are short without counting.
    let bound: usize = line.iter().map(|arg| 2 * arg.len() + 3).sum();
    if bound < most - cmd::PREFIX.len() {
        return Ok(());
    }
    let length = pipeline::line_length(line);
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

/// Refuses what is wrong with one of the author's arguments, or with all of them.
pub(super) fn misfit(
    container: &Container<'_>,
    asked: &Asked<'_>,
    (at, text): Misfit,
    sheet: &mut Sheet,
) {
    // In a pod that was wrapped before, the argument stands somewhere in the wrapped line.
    let field = match at {
        Some(at) if asked.kept.is_none() => argument_field(container, at),
        _ => "command".to_owned(),
    };
    let field = sheet.container_field(asked.place, &field);
    let value = at.and_then(|at| asked.argv.get(at));
    let value = value.map(|arg| arg.clone().into_owned());
    sheet.refuse(Reason::Argument, field, value, text);
}

/// The field in which the argument of this place in `command` and `args` stands.
pub(super) fn argument_field(container: &Container<'_>, at: usize) -> String {
    match at.checked_sub(container.command.len()) {
        None => format!("command[{at}]"),
        Some(at) => format!("args[{at}]"),
    }
}

const WAY_OUT: &str = "use the launcher native-host, with which every argument arrives";

/// cplauncher does not look a program up (K2s `docs/op-manual/running-apps-as-hostprocess.md`). A
/// variable's value is left to the node.
pub(super) fn absolute(program: &str) -> Result<(), Misfit> {
    use PathFault::{DriveRelative, Relative, RootRelative};
    match WindowsPath::parse(program) {
        Err(fault @ (Relative | DriveRelative | RootRelative)) => Err((
            Some(0),
            format!("{fault}; cplauncher needs the program's absolute path"),
        )),
        _ => Ok(()),
    }
}

/// Plain cplauncher passes arguments on as they are, through everything that lies between the
/// pod and the program: what would not come out unchanged is refused.
pub(super) fn plain_cplauncher(
    container: &Container<'_>,
    asked: &Asked<'_>,
    line: &[String],
    vars: &[EnvVar<'_>],
) -> Result<(), Misfit> {
    if let Err(fault) = WindowsPath::parse(&asked.argv[0]) {
        return Err((
            Some(0),
            format!("{fault}; cplauncher needs the program's absolute path, or {WAY_OUT}"),
        ));
    }
    let head = line.len() - asked.argv.len();
    match arrives(line, container, vars) {
        Ok(expanded) => length(&expanded),
        Err((at, fault)) => Err((at.checked_sub(head), format!("{fault}; {WAY_OUT}"))),
    }
}

/// A command line as the node gets it, its variables expanded; or the first argument of which it
/// is not sure that it arrives as it is written.
pub(super) fn arrives<S: AsRef<str>>(
    line: &[S],
    container: &Container<'_>,
    vars: &[EnvVar<'_>],
) -> Result<Vec<String>, (usize, String)> {
    let mut expanded = Vec::with_capacity(line.len());
    for (i, arg) in line.iter().enumerate() {
        let unknown = std::cell::RefCell::new(None);
        let text = expand(arg.as_ref(), |name| {
            match known_value(name, container, vars) {
                Known::Value(value) => Some(value),
                Known::Undefined => None,
                Known::Not => {
                    unknown.replace(Some(name.to_owned()));
                    None
                }
            }
        });
        if let Some(name) = unknown.into_inner() {
            return Err((
                i,
                format!(
                    "the value of $({name}) is not known before the pod runs, so it is not known \
                     whether it survives the node's command line"
                ),
            ));
        }
        expanded.push(text);
    }
    match pipeline::survives(&expanded) {
        Ok(()) => Ok(expanded),
        Err(mangled) => Err((mangled.index, mangled.fault.to_string())),
    }
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
