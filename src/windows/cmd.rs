//! `cmd /c LINE`: what hcsshim puts in front of a HostProcess container's command line on hosts
//! with the bind filter (`internal/jobcontainers/jobcontainer.go`, `CreateProcess`), for exec
//! probes too.
//!
//! Sources: `cmd /?` for the rule of outer quotes, "cmd" of the Windows Commands documentation for
//! the special characters, and the experiments that "How does the Windows Command Interpreter
//! (CMD.EXE) parse scripts?" (Stack Overflow 4094699) collects for the phases, in their
//! command-line mode: `%` first, then quotes and operators, delayed expansion (`!`) last.

use super::pipeline::Fault;

/// The words in front of the line.
pub const PREFIX: &str = "cmd /c ";

/// How long a line may be, with [`PREFIX`], in UTF-16 units: "Command prompt (Cmd.exe) command-line
/// string limitation" of the Windows documentation (KB 830473).
pub const LINE_LIMIT: usize = 8191;

/// What a line starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A program, with this command line: the given one, or what is left of it without its outer
    /// quotes.
    Runs(String),
    /// Something else or something unforeseen, from this byte of the line on.
    Unsure {
        /// Where in the line.
        at: usize,
        /// Why.
        fault: Fault,
    },
}

/// What `cmd /c` makes of a line.
pub fn through_cmd(line: &str) -> Outcome {
    let outer = outer_quotes(line);
    let text: Vec<(usize, char)> = line
        .char_indices()
        .filter(|(at, _)| outer.is_none_or(|(first, last)| *at != first && *at != last))
        .collect();
    if let Some((at, fault)) = special(&text) {
        return Outcome::Unsure { at, fault };
    }
    let left: String = text.iter().map(|&(_, c)| c).collect();
    if let Some(fault) = program(&left) {
        return Outcome::Unsure { at: 0, fault };
    }
    Outcome::Runs(left)
}

/// The two quotes that cmd takes off, if any. `cmd /?`: where the line begins with a quote, the
/// first and the last one go, unless there are exactly two, no special character (`&<>()@^|`)
/// but white space lies between them, and what lies between is an executable file. Of the last
/// condition nothing is known here: the program is taken to exist, as else nothing runs.
pub(super) fn outer_quotes(line: &str) -> Option<(usize, usize)> {
    let rest = line.strip_prefix('"')?;
    let last = line.rfind('"').filter(|&last| last > 0)?;
    let between = &line[1..last];
    let kept = rest.find('"').is_some_and(|next| next + 1 == last)
        && !between.contains(['&', '<', '>', '(', ')', '@', '^', '|'])
        && between.contains([' ', '\t']);
    if kept { None } else { Some((0, last)) }
}

/// The first character that is more than text to cmd.
fn special(text: &[(usize, char)]) -> Option<(usize, Fault)> {
    // A single `%` stays in command-line mode, two may enclose a name; quotes do not matter.
    let percents = || text.iter().filter(|(_, c)| *c == '%');
    if percents().count() >= 2 {
        return percents().next().map(|(at, _)| (*at, Fault::Percent));
    }
    // cmd knows no `\"`: every quote opens or closes.
    let mut quoted = false;
    for &(at, c) in text {
        let fault = match c {
            '"' => {
                quoted = !quoted;
                continue;
            }
            '&' | '|' | '<' | '>' | '^' if !quoted => Fault::Operator(c),
            // In quotes too, where the machine enables delayed expansion (its registry can).
            '!' => Fault::Exclamation,
            // Line feed ends the line, carriage return goes, Ctrl-Z is an end of input.
            c if c.is_control() && c != '\t' => Fault::Control(c),
            _ => continue,
        };
        return Some((at, fault));
    }
    None
}

/// What cmd does itself, if the first word begins with it: `echo.`, `cd\` and `start/b` are such
/// words too. From `help` and the Windows Commands documentation.
const INTERNAL: [&str; 45] = [
    "ASSOC", "BREAK", "CALL", "CD", "CHDIR", "CLS", "COLOR", "COPY", "DATE", "DEL", "DIR", "DPATH",
    "ECHO", "ENDLOCAL", "ERASE", "EXIT", "FOR", "FTYPE", "GOTO", "IF", "KEYS", "MD", "MKDIR",
    "MKLINK", "MOVE", "PATH", "PAUSE", "POPD", "PROMPT", "PUSHD", "RD", "REM", "REN", "RENAME",
    "RMDIR", "SET", "SETLOCAL", "SHIFT", "START", "TIME", "TITLE", "TYPE", "VER", "VERIFY", "VOL",
];

/// Whether cmd runs the line's first word as the program that it names, and gives it the rest.
pub(super) fn program(line: &str) -> Option<Fault> {
    let (program, quoted) = match line.strip_prefix('"') {
        Some(rest) => {
            let (program, rest) = rest.split_once('"').unwrap_or((rest, ""));
            if !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
                return Some(Fault::ProgramCharacter('"'));
            }
            (program, true)
        }
        None => (line.split([' ', '\t']).next().unwrap_or_default(), false),
    };
    if program.is_empty() {
        return Some(Fault::NoProgram);
    }
    // Outside of quotes `,`, `;` and `=` separate words, `/` begins an option, `@` and `(` mean
    // something at the start, `*` and `?` are looked up.
    let plain = |c: char| {
        c.is_alphanumeric() || r"\:._-~$#".contains(c) || quoted && " ,;='()+&@{}[]".contains(c)
    };
    if let Some(c) = program.chars().find(|&c| !plain(c)) {
        return Some(Fault::ProgramCharacter(c));
    }
    // A line that begins with a colon is a label.
    if program.starts_with(':') {
        return Some(Fault::ProgramCharacter(':'));
    }
    let word = program
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    let word = word.to_ascii_uppercase();
    if let Some(name) = INTERNAL.into_iter().find(|name| *name == word) {
        return Some(Fault::Internal(name));
    }
    // Without an extension, cmd tries all of PATHEXT; a batch file has its arguments parsed anew.
    let ends = |with: &str| {
        let start = program.len().checked_sub(with.len());
        start
            .and_then(|start| program.get(start..))
            .is_some_and(|e| e.eq_ignore_ascii_case(with))
    };
    if ends(".exe") || ends(".com") {
        None
    } else {
        Some(Fault::NoExecutable)
    }
}

#[cfg(test)]
#[path = "cmd_tests.rs"]
mod tests;
