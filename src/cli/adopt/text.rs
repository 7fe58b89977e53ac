//! Command lines as people write them into manifests: for cmd.exe, and for PowerShell.
//!
//! Not shells: the few forms that K2s's guides and tests use are read (`cmd /c LINE`, `set A=B && LINE`,
//! `powershell -Command '& "$env:X\y.exe" ...'`), and of everything else it is said that it was not understood.

use crate::windows::pipeline;

/// A command, and what a shell does before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Program and arguments.
    pub(super) argv: Vec<String>,
    /// Variables that are set before.
    pub(super) env: Vec<(String, String)>,
    /// The folder that is gone to before.
    pub(super) folder: Option<String>,
    /// Variables that the line took something from.
    pub(super) used: Vec<String>,
}

/// What is not understood, as a clause.
pub(super) type Unclear = String;

/// A variable's value: what the line becomes with it.
pub(super) trait Variables {
    /// Its value; `None` where it is not known here.
    fn value(&self, name: &str) -> Option<String>;
    /// Whether there is one of this name at all.
    fn is_set(&self, name: &str) -> bool;
}

/// `$(NAME)`: what stands for a value that only the cluster knows.
pub(super) fn reference(name: &str) -> String {
    format!("$({name})")
}

fn value_or_reference(name: &str, variables: &dyn Variables, used: &mut Vec<String>) -> String {
    used.push(name.to_owned());
    variables.value(name).unwrap_or_else(|| reference(name))
}

/// A line of cmd.exe.
pub(super) fn cmd(line: &str, variables: &dyn Variables) -> Result<Line, Unclear> {
    let mut read = Line::default();
    let mut commands = split_cmd(line)?;
    let Some(last) = commands.pop() else {
        return Err("the line is empty".to_owned());
    };
    for command in commands {
        let command = command.trim();
        let (word, rest) = command
            .split_once(char::is_whitespace)
            .unwrap_or((command, ""));
        match word.to_ascii_lowercase().as_str() {
            "set" => {
                let pair = unquoted(rest.trim());
                let (name, value) = pair
                    .split_once('=')
                    .ok_or_else(|| format!("the command `{command}` before it"))?;
                let value = percent(value, variables, &mut read.used)?;
                read.env.push((name.to_owned(), value));
            }
            "cd" | "chdir" | "pushd" => {
                let folder = rest
                    .trim()
                    .trim_start_matches("/d")
                    .trim_start_matches("/D");
                read.folder = Some(percent(unquoted(folder.trim()), variables, &mut read.used)?);
            }
            "echo" | "echo." | "@echo" | "title" => {}
            _ => return Err(format!("the command `{command}` before it")),
        }
    }
    // `cmd /c` takes away the outer quotes of a line that has more than these.
    let line = percent(last.trim(), variables, &mut read.used)?;
    let inner = line
        .strip_prefix('"')
        .and_then(|line| line.strip_suffix('"'));
    let outer = line.matches('"').count() > 2;
    let line = inner.filter(|_| outer).unwrap_or(&line);
    read.argv = pipeline::argv(line.trim());
    if read.argv.first().is_none_or(String::is_empty) {
        return Err("the line is empty".to_owned());
    }
    Ok(read)
}

fn unquoted(text: &str) -> &str {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(text)
}

/// The commands of a line, which `&` and `&&` part.
fn split_cmd(line: &str) -> Result<Vec<String>, Unclear> {
    let (mut commands, mut current, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '&' if !quoted => {
                if chars.peek() == Some(&'&') {
                    chars.next();
                }
                commands.push(std::mem::take(&mut current));
                continue;
            }
            '|' | '<' | '>' | '^' if !quoted => {
                return Err(format!("`{c}`, which cmd.exe acts on"));
            }
            _ => {}
        }
        current.push(c);
    }
    commands.push(current);
    Ok(commands)
}

/// `%NAME%` by values.
pub(super) fn percent(
    text: &str,
    variables: &dyn Variables,
    used: &mut Vec<String>,
) -> Result<String, Unclear> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('%') else {
            out.push('%');
            rest = after;
            continue;
        };
        if variables.is_set(name) {
            out.push_str(&value_or_reference(name, variables, used));
        } else if is_name(name) {
            return Err(format!(
                "%{name}%, which neither the container's env nor a ConfigMap among what was read sets"
            ));
        } else {
            out.push('%');
            out.push_str(name);
            out.push('%');
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Statements of PowerShell.
pub(super) fn powershell(text: &str, variables: &dyn Variables) -> Result<Line, Unclear> {
    let mut read = Line::default();
    for statement in statements(text) {
        let statement = statement.trim();
        if statement.is_empty() || statement.starts_with('#') {
            continue;
        }
        if !read.argv.is_empty() {
            let ends = ["exit", "exit $lastexitcode"];
            if ends.contains(&statement.to_ascii_lowercase().as_str()) {
                continue;
            }
            return Err(format!("`{statement}` after the program"));
        }
        if let Some((name, value)) = assignment(statement) {
            if let Some(name) = name.strip_prefix("env:") {
                let mut words = words(value, variables, &mut read.used)?;
                let value = words.pop().filter(|_| words.is_empty());
                let value = value.ok_or_else(|| format!("`{statement}` before it"))?;
                read.env.push((name.to_owned(), value));
            } else if !name.to_ascii_lowercase().ends_with("preference") {
                return Err(format!("`{statement}` before it"));
            }
            continue;
        }
        let mut argv = words(statement, variables, &mut read.used)?;
        match argv
            .first()
            .map(|word| word.to_ascii_lowercase())
            .as_deref()
        {
            Some("set-location" | "cd" | "sl" | "push-location") => {
                read.folder = argv.pop().filter(|_| argv.len() == 1);
            }
            Some("write-host" | "write-output" | "echo") => {}
            _ => read.argv = argv,
        }
    }
    if read.argv.is_empty() {
        return Err("no program is called in it".to_owned());
    }
    Ok(read)
}

/// `$NAME = VALUE`.
fn assignment(statement: &str) -> Option<(&str, &str)> {
    let (name, value) = statement.strip_prefix('$')?.split_once('=')?;
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    name.chars().all(plain).then_some((name, value.trim()))
}

/// What `;` and ends of lines part.
fn statements(text: &str) -> Vec<String> {
    let (mut all, mut current, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None | Some('"'), '`') => {
                // At the end of a line it joins the next one.
                match chars.next() {
                    Some('\n') => current.push(' '),
                    Some('\r') => {
                        chars.next();
                        current.push(' ');
                    }
                    next => {
                        current.push(c);
                        current.extend(next);
                    }
                }
                continue;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ';' | '\n') => {
                all.push(std::mem::take(&mut current));
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    all.push(current);
    all
}

/// The words of one statement, their variables replaced; the call operator is none.
fn words(
    statement: &str,
    variables: &dyn Variables,
    used: &mut Vec<String>,
) -> Result<Vec<String>, Unclear> {
    let mut words = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    let mut chars = statement.trim().chars().peekable();
    if chars.peek() == Some(&'&') {
        chars.next();
    }
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => words.extend(current.take()),
            (None, '"' | '\'') => {
                quote = Some(c);
                current.get_or_insert_default();
            }
            (Some(open), c) if open == c => {
                if chars.peek() == Some(&c) {
                    chars.next();
                    current.get_or_insert_default().push(c);
                } else {
                    quote = None;
                }
            }
            (None | Some('"'), '`') => current.get_or_insert_default().extend(chars.next()),
            // The kubelet's, which comes before PowerShell.
            (_, '$') if chars.peek() == Some(&'(') => {
                let inner: String = chars.by_ref().take_while(|c| *c != ')').collect();
                let name = inner.trim_start_matches('(');
                if !is_name(name) {
                    return Err(format!("`$({name})`, which PowerShell computes"));
                }
                current.get_or_insert_default().push_str(&reference(name));
            }
            (None | Some('"'), '$') => {
                let mut name = String::new();
                let braces = chars.next_if_eq(&'{').is_some();
                let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
                while let Some(next) = chars.next_if(plain) {
                    name.push(next);
                }
                if braces {
                    chars.next_if_eq(&'}');
                }
                let lower = name.to_ascii_lowercase();
                let known = lower.strip_prefix("env:").and_then(|_| name.get(4..));
                let known = known.ok_or_else(|| format!("${name}, which the script computes"))?;
                let text = if variables.is_set(known) {
                    value_or_reference(known, variables, used)
                } else {
                    return Err(format!(
                        "$env:{known}, which neither the container's env nor a ConfigMap among what was read sets"
                    ));
                };
                current.get_or_insert_default().push_str(&text);
            }
            (None, '|' | '<' | '>' | '(' | ')' | '{' | '}' | '@' | '&') => {
                return Err(format!("`{c}`, which PowerShell acts on"));
            }
            (_, c) => current.get_or_insert_default().push(c),
        }
    }
    words.extend(current);
    Ok(words)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    struct Known;

    impl Variables for Known {
        fn value(&self, name: &str) -> Option<String> {
            match name {
                "BASE" => Some(r"C:\k2s\bin\cni".to_owned()),
                "APP" => Some(r"C:\my apps\app.exe".to_owned()),
                _ => None,
            }
        }
        fn is_set(&self, name: &str) -> bool {
            matches!(name, "BASE" | "APP" | "SECRET")
        }
    }

    fn argv(line: &Line) -> Vec<&str> {
        line.argv.iter().map(String::as_str).collect()
    }

    #[test]
    fn lines_of_cmd_are_read_with_what_stands_before_the_program() {
        let line = cmd(
            r#"set "PORT=80" && cd /d C:\apps & "%BASE%\cplauncher.exe" -label a=b -- "%APP%" --x "a b" %SECRET%"#,
            &Known,
        )
        .unwrap();
        assert_eq!(
            argv(&line),
            [
                r"C:\k2s\bin\cni\cplauncher.exe",
                "-label",
                "a=b",
                "--",
                r"C:\my apps\app.exe",
                "--x",
                "a b",
                "$(SECRET)"
            ]
        );
        assert_eq!(line.env, [("PORT".to_owned(), "80".to_owned())]);
        assert_eq!(line.folder.as_deref(), Some(r"C:\apps"));
        assert_eq!(line.used, ["BASE", "APP", "SECRET"]);
        // cmd takes the outer quotes away.
        let line = cmd(r#"""C:\a b\x.exe" "c d"""#, &Known).unwrap();
        assert_eq!(argv(&line), [r"C:\a b\x.exe", "c d"]);
        assert_eq!(
            argv(&cmd("x.exe 100% sure", &Known).unwrap()),
            ["x.exe", "100%", "sure"]
        );
    }

    #[test]
    fn what_cmd_would_do_besides_is_not_understood() {
        for (line, expected) in [
            ("x.exe > log.txt", "`>`, which cmd.exe acts on"),
            (
                "net start x && y.exe",
                "the command `net start x` before it",
            ),
            ("%NOWHERE%\\x.exe", "%NOWHERE%, which neither"),
            ("", "the line is empty"),
        ] {
            let error = cmd(line, &Known).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn statements_of_powershell_are_read() {
        let line = powershell(
            "$ErrorActionPreference = 'Stop'; $env:PORT = '80'\nSet-Location C:\\apps\n\
             & \"$env:BASE\\cplauncher.exe\" -label a=b `\n  -- \"${env:APP}\" 'it''s' x`;y; exit $LASTEXITCODE",
            &Known,
        )
        .unwrap();
        assert_eq!(
            argv(&line),
            [
                r"C:\k2s\bin\cni\cplauncher.exe",
                "-label",
                "a=b",
                "--",
                r"C:\my apps\app.exe",
                "it's",
                "x;y"
            ]
        );
        assert_eq!(line.env, [("PORT".to_owned(), "80".to_owned())]);
        assert_eq!(line.folder.as_deref(), Some(r"C:\apps"));
        let line = powershell("& x.exe \"$(NS)/a\" $(NS)", &Known).unwrap();
        assert_eq!(argv(&line), ["x.exe", "$(NS)/a", "$(NS)"]);
        for (text, expected) in [
            (
                "& x.exe $(Get-Date -f y)",
                "`$(Get-Date -f y)`, which PowerShell computes",
            ),
            ("& \"$cid\"", "$cid, which the script computes"),
            ("x.exe | Tee-Object log", "`|`, which PowerShell acts on"),
            ("& a.exe; & b.exe", "`& b.exe` after the program"),
            ("$x = 1; & a.exe", "`$x = 1` before it"),
            ("", "no program is called in it"),
        ] {
            let error = powershell(text, &Known).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
