//! From `command` and `args` to a process's argument vector, on a Windows node.
//!
//! Windows has no argument vector. containerd's CRI hands hcsshim the arguments, hcsshim escapes
//! and joins them (`internal/cmd/cmd.go`, `escapeArgs`, by golang.org/x/sys `windows.EscapeArg`),
//! replaces `%CONTAINER_SANDBOX_MOUNT_POINT%` and its `$env:` form in the line, puts `cmd /c ` before it
//! on hosts with the bind filter (`internal/jobcontainers/jobcontainer.go`), and the program's own
//! run time splits it again.
//!
//! The argument vectors here are those that the kubelet hands on, its `$(VAR)` expanded.

use native_host_launcher::expand::MOUNT_POINT;
use native_host_launcher::word::is_plain_argument;

use super::cmd::{self, LINE_LIMIT, Outcome, outer_quotes, through_cmd};

/// How long a command line may be without `cmd`, in UTF-16 units: `CreateProcess` takes 32767 with
/// the closing NUL (`processthreadsapi.h`, `lpCommandLine`).
pub const CREATE_PROCESS_LIMIT: usize = 32766;

/// Why an argument does not arrive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No program, or an empty one.
    #[error("there is no program to run")]
    NoProgram,
    /// A NUL ends a Windows string.
    #[error("a NUL character ends the command line")]
    Nul,
    /// cmd's line is full.
    #[error("the command line has {length} characters, and cmd.exe takes {LINE_LIMIT}")]
    TooLong {
        /// With `cmd /c `.
        length: usize,
    },
    /// hcsshim puts a folder in place of it.
    #[error("the node puts the container's folder in place of `{MOUNT_POINT}`")]
    MountPoint,
    /// Two `%` in the line.
    #[error(
        "two `%` in one command line: cmd.exe may put a variable's value in place of what they enclose"
    )]
    Percent,
    /// An operator of cmd outside of what cmd takes for quotes.
    #[error("cmd.exe acts on `{0}` here, which lies outside of what it takes for quotes")]
    Operator(char),
    /// `!`
    #[error("cmd.exe takes `!` for a variable where the node enables delayed expansion")]
    Exclamation,
    /// A line break or another control character.
    #[error("cmd.exe does not pass on the control character U+{:04X}", u32::from(*.0))]
    Control(char),
    /// A character in the program's path.
    #[error(
        "cmd.exe does not take `{0}` as part of a program's path: write a plain one, with backslashes"
    )]
    ProgramCharacter(char),
    /// A command of cmd's own.
    #[error("cmd.exe runs its own command {0} instead: write the program's whole path")]
    Internal(&'static str),
    /// No `.exe` or `.com`.
    #[error("the program's path must end in .exe or .com, or cmd.exe may find a batch file")]
    NoExecutable,
    /// The line's outer quotes.
    #[error(
        "cmd.exe takes the first and the last quote off a line that begins with one: use a program's path without spaces"
    )]
    OuterQuotes,
    /// The program's run time splits the line elsewhere.
    #[error("it arrives as `{0}`")]
    Changed(String),
}

/// An argument that does not come out as it went in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mangled {
    /// Which argument, from 0, which is the program.
    pub index: usize,
    /// The argument.
    pub argument: String,
    /// Why.
    pub fault: Fault,
}

impl std::fmt::Display for Mangled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 60;
        if matches!(self.fault, Fault::TooLong { .. } | Fault::NoProgram) {
            return self.fault.fmt(f);
        }
        let cut = self.argument.char_indices().nth(SHOWN).map(|(at, _)| at);
        let shown = &self.argument[..cut.unwrap_or(self.argument.len())];
        let more = if cut.is_some() { "..." } else { "" };
        match self.index {
            0 => write!(f, "the program `{shown}{more}`: {}", self.fault),
            index => write!(f, "argument {index} `{shown}{more}`: {}", self.fault),
        }
    }
}

impl std::error::Error for Mangled {}

/// An argument as `windows.EscapeArg` writes it: quotes around it where it holds a space or a tab or
/// is empty, a backslash before each quote, and before each backslash that precedes one.
pub fn escape_arg(argument: &str) -> String {
    if argument.is_empty() {
        return "\"\"".to_owned();
    }
    let quoted = argument.contains([' ', '\t']);
    let mut escaped = String::with_capacity(argument.len() + 2);
    let mut backslashes = 0;
    if quoted {
        escaped.push('"');
    }
    for c in argument.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => {
                escaped.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        escaped.push(c);
    }
    if quoted {
        escaped.extend(std::iter::repeat_n('\\', backslashes));
        escaped.push('"');
    }
    escaped
}

/// The command line of an argument vector.
pub fn command_line<S: AsRef<str>>(argv: &[S]) -> String {
    join(argv).0
}

/// The line, and where in it each argument begins.
fn join<S: AsRef<str>>(argv: &[S]) -> (String, Vec<usize>) {
    let mut line = String::new();
    let mut starts = Vec::with_capacity(argv.len());
    for argument in argv {
        if !starts.is_empty() {
            line.push(' ');
        }
        starts.push(line.len());
        line.push_str(&escape_arg(argument.as_ref()));
    }
    (line, starts)
}

/// How long the line is that cmd is given, in UTF-16 units and with `cmd /c ` before it.
pub fn line_length<S: AsRef<str>>(argv: &[S]) -> usize {
    units(cmd::PREFIX) + units(&command_line(argv))
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// A line split as Microsoft's run time has split it since 2008 and Rust's library does
/// ("Parsing C command-line arguments"; `library/std/src/sys/args/windows.rs`).
pub fn argv(line: &str) -> Vec<String> {
    let mut rest = line.chars().peekable();
    let mut argv = vec![program(&mut rest)];
    let blank = |c: &char| matches!(c, ' ' | '\t');
    let mut argument = String::new();
    let mut quoted = false;
    while rest.next_if(blank).is_some() {}
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' if !quoted => {
                argv.push(std::mem::take(&mut argument));
                while rest.next_if(blank).is_some() {}
            }
            '\\' => {
                let mut backslashes = 1;
                while rest.next_if_eq(&'\\').is_some() {
                    backslashes += 1;
                }
                let before_quote = rest.peek() == Some(&'"');
                let written = if before_quote {
                    backslashes / 2
                } else {
                    backslashes
                };
                argument.extend(std::iter::repeat_n('\\', written));
                if before_quote && backslashes % 2 == 1 {
                    rest.next();
                    argument.push('"');
                }
            }
            // In quotes, two of them are one in the text.
            '"' if quoted => match rest.peek() {
                Some('"') => {
                    rest.next();
                    argument.push('"');
                }
                Some(_) => quoted = false,
                // The end; `quoted` stays, for an empty last argument is one.
                None => break,
            },
            '"' => quoted = true,
            c => argument.push(c),
        }
    }
    if quoted || !argument.is_empty() {
        argv.push(argument);
    }
    argv
}

/// The first word, of which backslashes are no part of any escape.
fn program(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut program = String::new();
    let mut quoted = false;
    while let Some(&c) = rest.peek() {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => break,
            c => program.push(c),
        }
        rest.next();
    }
    program
}

/// The argument vector that a program gets, with or without `cmd /c` on the way; or the first
/// argument of which it is not sure that it arrives.
pub fn deliver<S: AsRef<str>>(argv: &[S], with_cmd: bool) -> Result<Vec<String>, Mangled> {
    let (line, starts) = join(argv);
    let mangled = |index: usize, fault: Fault| {
        let argument = argv
            .get(index)
            .map(|a| a.as_ref().to_owned())
            .unwrap_or_default();
        Err(Mangled {
            index,
            argument,
            fault,
        })
    };
    // The argument that holds this byte of the line.
    let at = |byte: usize| {
        starts
            .partition_point(|&start| start <= byte)
            .saturating_sub(1)
    };

    match argv.first() {
        None => return mangled(0, Fault::NoProgram),
        Some(program) if program.as_ref().is_empty() => return mangled(0, Fault::NoProgram),
        Some(_) => {}
    }
    if let Some(byte) = line.find('\0') {
        return mangled(at(byte), Fault::Nul);
    }
    for form in [format!("%{MOUNT_POINT}%"), format!("$env:{MOUNT_POINT}")] {
        if let Some(byte) = line.find(&form) {
            return mangled(at(byte), Fault::MountPoint);
        }
    }
    // CommandLineToArgvW ends an unquoted program's name at any of them.
    if let Some(c) = argv[0].as_ref().chars().find(|c| c.is_control()) {
        return mangled(0, Fault::ProgramCharacter(c));
    }
    let arrived = if with_cmd {
        let length = line_length(argv);
        if length > LINE_LIMIT {
            return mangled(0, Fault::TooLong { length });
        }
        if outer_quotes(&line).is_some() {
            return mangled(0, Fault::OuterQuotes);
        }
        match through_cmd(&line) {
            Outcome::Unsure { at: byte, fault } => return mangled(at(byte), fault),
            Outcome::Runs(left) => left,
        }
    } else {
        let length = units(&line);
        if length > CREATE_PROCESS_LIMIT {
            return mangled(0, Fault::TooLong { length });
        }
        line
    };
    let delivered = self::argv(&arrived);
    for (index, argument) in argv.iter().enumerate() {
        match delivered.get(index) {
            Some(delivered) if delivered == argument.as_ref() => {}
            other => return mangled(index, Fault::Changed(other.cloned().unwrap_or_default())),
        }
    }
    if delivered.len() == argv.len() {
        Ok(delivered)
    } else {
        mangled(
            argv.len() - 1,
            Fault::Changed(delivered[argv.len() - 1..].join(" ")),
        )
    }
}

/// Whether an argument vector comes out unchanged, on hosts with the bind filter and without.
pub fn survives<S: AsRef<str>>(argv: &[S]) -> Result<(), Mangled> {
    if is_untouched(argv) {
        return Ok(());
    }
    deliver(argv, true)?;
    deliver(argv, false)?;
    Ok(())
}

/// Whether nothing on the way has anything to do: words of plain characters, as the launcher's
/// contract writes them, after a program that cmd takes for one. That is nearly every review,
/// and it needs no line to be built.
fn is_untouched<S: AsRef<str>>(argv: &[S]) -> bool {
    let Some((program, rest)) = argv.split_first() else {
        return false;
    };
    let program = program.as_ref();
    let words = || rest.iter().map(AsRef::as_ref);
    // Plain characters are ASCII: one byte, one unit.
    let length: usize = words().map(|word| word.len() + 1).sum();
    cmd::PREFIX.len() + program.len() + length <= LINE_LIMIT
        && words().all(is_plain_argument)
        && is_plain_argument(program)
        && cmd::program(program).is_none()
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
