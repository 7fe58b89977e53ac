//! From an argument vector to what `CreateProcessW` is given.
//!
//! Windows hands a program one line, and the program's run time splits it. The line here is written so that
//! Microsoft's C run time and `CommandLineToArgvW` give every argument back as it was ("Parsing C command-line
//! arguments" of the Windows documentation): what `windows.EscapeArg` of golang.org/x/sys writes, by which
//! hcsshim would have started the program, with quotes in a few more places where they change nothing.
//!
//! A batch file is no program: `CreateProcess` has `cmd.exe` run it, and `cmd` reads the line by rules of its own,
//! so that an argument in such quotes can start another program (CVE-2024-24576, "BatBadBut"). Here `cmd.exe` is
//! called by its own path with its options spelled out, an argument stands in quotes unless every character of
//! it is one that `cmd` leaves alone, and what `cmd` would act on even in quotes is refused.

use std::fmt;

/// How long a line may be, in UTF-16 units: 32767 with the closing NUL (`lpCommandLine` of `CreateProcessW`).
pub const LIMIT: usize = 32766;

/// How long a line that `cmd.exe` reads may be ("Command prompt (Cmd.exe) command-line string limitation").
pub const CMD_LIMIT: usize = 8191;

/// What to start: both of `CreateProcessW`'s first two parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program's path, `lpApplicationName`. With it there is no search for a program, and no space in a
    /// path can make another one of it.
    pub application: String,
    /// The line, `lpCommandLine`.
    pub line: String,
}

/// Why there is no line for an argument vector. The number is the argument's place, 0 being the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no program, or it has an empty name.
    NoProgram,
    /// A NUL ends a Windows string.
    Nul(usize),
    /// The program's name holds a quote, which no file's does.
    QuoteInProgram,
    /// The line is too long.
    TooLong {
        /// How long it is, in UTF-16 units.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The program is a batch file, and `cmd.exe` would act on this character of an argument.
    Batch(usize, char),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProgram => f.write_str("there is no program to start"),
            Self::Nul(at) => write!(
                f,
                "argument {at} holds a NUL character, which ends a command line"
            ),
            Self::QuoteInProgram => {
                f.write_str("the program's path holds a quote, which no file's does")
            }
            Self::TooLong { length, limit } => write!(
                f,
                "the command line has {length} characters and may have {limit}; move long values into the \
                 environment or into a file"
            ),
            Self::Batch(at, character) => {
                match at {
                    0 => f.write_str("the batch file's path")?,
                    at => write!(f, "argument {at} of a batch file")?,
                }
                if character.is_control() {
                    write!(f, " holds the character U+{:04X}", u32::from(*character))?;
                } else {
                    write!(f, " holds `{character}`")?;
                }
                f.write_str(
                    ", on which cmd.exe would act; start the program that the batch file starts, or put the \
                     value into an environment variable",
                )
            }
        }
    }
}

impl std::error::Error for Refused {}

impl CommandLine {
    /// The line that starts `application`, an absolute path, with `argv`, whose first is the program's name as it
    /// is to see it. `system` is Windows' own folder (`GetSystemDirectoryW`), where `cmd.exe` lies.
    pub fn new(application: &str, argv: &[String], system: &str) -> Result<Self, Refused> {
        match argv.first() {
            None => return Err(Refused::NoProgram),
            Some(program) if program.is_empty() || application.is_empty() => {
                return Err(Refused::NoProgram);
            }
            Some(program) if program.contains('"') => return Err(Refused::QuoteInProgram),
            Some(_) => {}
        }
        if application.contains('\0') {
            return Err(Refused::Nul(0));
        }
        if let Some(at) = argv.iter().position(|argument| argument.contains('\0')) {
            return Err(Refused::Nul(at));
        }
        let (made, limit) = if is_batch(application) {
            (batch(application, &argv[1..], system)?, CMD_LIMIT)
        } else {
            let line = Self {
                application: application.to_owned(),
                line: join(argv),
            };
            (line, LIMIT)
        };
        let length = made.line.encode_utf16().count();
        if length > limit {
            return Err(Refused::TooLong { length, limit });
        }
        Ok(made)
    }
}

/// Whether `CreateProcess` would have `cmd.exe` run this file. It drops dots and spaces at the end of a name
/// before it looks at the extension (CVE-2024-43402).
pub fn is_batch(application: &str) -> bool {
    let name = application.trim_end_matches(['.', ' ']);
    let extension = name
        .rsplit(['\\', '/'])
        .next()
        .and_then(|name| name.rsplit_once('.'));
    extension.is_some_and(|(_, extension)| {
        ["bat", "cmd"]
            .iter()
            .any(|batch| extension.eq_ignore_ascii_case(batch))
    })
}

fn join(argv: &[String]) -> String {
    let mut line = String::new();
    for (at, argument) in argv.iter().enumerate() {
        if at == 0 {
            write_program(argument, &mut line);
        } else {
            line.push(' ');
            write_argument(argument, &mut line);
        }
    }
    line
}

/// White space for somebody: the C run time splits at spaces and tabs, `CommandLineToArgvW` ends a program's
/// name at every character up to the space, and other run times at line ends too.
fn is_blank(c: char) -> bool {
    c <= ' '
}

/// The first word, in which a backslash is never an escape.
fn write_program(program: &str, line: &mut String) {
    if program.contains(is_blank) {
        line.push('"');
        line.push_str(program);
        line.push('"');
    } else {
        line.push_str(program);
    }
}

fn write_argument(argument: &str, line: &mut String) {
    let quoted = argument.is_empty() || argument.contains(is_blank);
    if quoted {
        line.push('"');
    }
    let mut backslashes = 0;
    for c in argument.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => {
                // Those before it are doubled, and one makes it a quote of the text.
                line.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        line.push(c);
    }
    if quoted {
        line.extend(std::iter::repeat_n('\\', backslashes));
        line.push('"');
    }
}

/// Whether `cmd` takes a word as one, with nothing to act on. It splits at `,`, `;` and `=` too.
fn is_plain(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || r"#$*+-./:?@\_".contains(c))
}

/// `cmd.exe /d /e:on /v:off /s /c ""BATCH" ARG "ARG" ..."`
///
/// `/d` runs no AutoRun command of the registry, `/v:off` leaves `!` alone, and with `/s` exactly the outer quotes are
/// taken off ("cmd" of the Windows documentation). Within quotes nothing is left that `cmd` acts on but a quote, a
/// `%` and the end of the line. The batch file sees an argument as `%1` in the quotes that it needed, and by `%~1`
/// without; what needs none gets none, since batch files compare `"%1"=="install"`.
fn batch(application: &str, arguments: &[String], system: &str) -> Result<CommandLine, Refused> {
    let system = system.trim_end_matches('\\');
    let cmd = format!(r"{system}\cmd.exe");
    let mut line = String::new();
    write_program(&cmd, &mut line);
    line.push_str(" /d /e:on /v:off /s /c \"");
    let words = std::iter::once(application).chain(arguments.iter().map(String::as_str));
    for (at, word) in words.enumerate() {
        if let Some(c) = word
            .chars()
            .find(|&c| matches!(c, '"' | '%') || c.is_control() && c != '\t')
        {
            return Err(Refused::Batch(at, c));
        }
        if at > 0 {
            line.push(' ');
            if is_plain(word) {
                line.push_str(word);
                continue;
            }
        }
        line.push('"');
        line.push_str(word);
        // For what the batch file passes it on to: a backslash before a quote would make that one of the text.
        let backslashes = word.len() - word.trim_end_matches('\\').len();
        line.extend(std::iter::repeat_n('\\', backslashes));
        line.push('"');
    }
    line.push('"');
    Ok(CommandLine {
        application: cmd,
        line,
    })
}

#[cfg(test)]
#[path = "command_line_tests.rs"]
mod tests;
