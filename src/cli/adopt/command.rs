//! What a container really runs: the program behind cplauncher, and behind the shells before it.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::Value;

use super::env::Env;
use super::text::{self, Line, Unclear};
use super::world::{World, items};
use crate::names::env::COMPARTMENT_ID_ATTACH;

/// Shells within shells are followed so far.
const DEPTH: u8 = 3;
/// Flags of cplauncher that take a value (K2s `k2s/cmd/cplauncher/README.md`).
const VALUES: [&str; 11] = [
    "compartment",
    "label",
    "namespace",
    "label-timeout",
    "dll",
    "export",
    "env-name",
    "verbosity",
    "v",
    "logs-keep",
    "log-max-age",
];
/// PowerShell's that do.
const POWERSHELL_VALUES: [&str; 10] = [
    "executionpolicy",
    "ep",
    "ex",
    "windowstyle",
    "w",
    "inputformat",
    "outputformat",
    "version",
    "workingdirectory",
    "configurationname",
];

/// A program that somebody starts in an anchor's compartment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Launch {
    /// The program and its arguments.
    pub(super) argv: Vec<String>,
    /// Labels by which the anchor is found: what was asked for, or might have been.
    pub(super) selectors: Vec<Vec<(String, String)>>,
    /// The anchor's namespace, where it is another one.
    pub(super) namespace: Option<String>,
    /// `-label-timeout`
    pub(super) timeout: Option<String>,
    /// Variables that a shell set.
    pub(super) env: Vec<(String, String)>,
    /// The folder that a shell went to.
    pub(super) folder: Option<String>,
    /// Variables that the command line was made of.
    pub(super) used: BTreeSet<String>,
    /// ConfigMap volumes that held a script.
    pub(super) scripts: BTreeSet<String>,
    /// What is not carried over.
    pub(super) lost: Vec<String>,
}

/// What a container is read with.
pub(super) struct Reader<'a> {
    pub(super) container: &'a Value,
    /// The pod's spec.
    pub(super) spec: &'a Value,
    pub(super) namespace: &'a str,
    pub(super) world: &'a World,
    pub(super) env: &'a Env,
}

/// A line, and the script that it stands in.
struct Peeled {
    line: Line,
    script: Option<String>,
    volume: Option<String>,
}

impl Reader<'_> {
    /// The launch; `None` if nothing of this kind is started here.
    pub(super) fn read(&self) -> Result<Option<Launch>, Unclear> {
        let words = |value: &Value| -> Vec<String> {
            items(value).filter_map(super::world::text).collect()
        };
        let argv = [
            words(&self.container["command"]),
            words(&self.container["args"]),
        ]
        .concat();
        let referred: Vec<String> = argv.iter().flat_map(|word| references(word)).collect();
        let attached =
            items(&self.container["env"]).any(|one| one["name"] == COMPARTMENT_ID_ATTACH);
        let seen = self.mentions(&argv);
        let peeled = match self.peel(
            Line {
                argv,
                ..Line::default()
            },
            DEPTH,
        ) {
            Ok(peeled) => peeled,
            // Somebody else's shell is none of our business.
            Err(_) if !seen && !attached => return Ok(None),
            Err(unclear) => return Err(unclear),
        };
        let scripted = peeled.script.as_deref().is_some_and(is_about_compartments);
        let mut launch = Launch {
            env: peeled.line.env,
            folder: peeled.line.folder,
            used: peeled.line.used.into_iter().chain(referred).collect(),
            scripts: peeled.volume.into_iter().collect(),
            ..Launch::default()
        };
        if let Some(script) = peeled.script.as_deref().filter(|_| scripted) {
            launch.selectors = quoted_selectors(script);
            launch.lost.push(
                "the script that found the compartment: what it does besides starting the program is left out; \
                 look through it"
                    .to_owned(),
            );
        }
        let mut argv = peeled.line.argv;
        if argv
            .first()
            .is_some_and(|program| is_cplauncher(&self.env.expanded(program)))
        {
            self.flags(argv.split_off(1), &mut launch)?;
        } else if scripted || attached {
            launch.argv = argv;
        } else {
            return Ok(None);
        }
        Ok(Some(launch))
    }

    /// Whether any of it speaks of what is adopted here.
    fn mentions(&self, argv: &[String]) -> bool {
        argv.iter().any(|word| {
            let script = self.script(word);
            is_about_compartments(&self.env.expanded(word))
                || script.is_some_and(|(text, _)| is_about_compartments(&text))
        })
    }

    /// Takes shells away.
    fn peel(&self, line: Line, depth: u8) -> Result<Peeled, Unclear> {
        let done = |line| {
            Ok(Peeled {
                line,
                script: None,
                volume: None,
            })
        };
        let Some(program) = line
            .argv
            .first()
            .map(|word| file_name(&self.env.expanded(word)))
        else {
            return done(line);
        };
        if depth == 0 {
            return Err("shells that start shells".to_owned());
        }
        let rest = line.argv.get(1..).unwrap_or_default().to_vec();
        let inner = match program.as_str() {
            "cmd" | "cmd.exe" => self.cmd(&rest)?,
            "powershell" | "powershell.exe" | "pwsh" | "pwsh.exe" => {
                return self.powershell(&rest, line, depth);
            }
            name if is(name, ".ps1") => {
                let path = line.argv.first().cloned().unwrap_or_default();
                return self.run_script(&path, line);
            }
            name if is(name, ".bat") || is(name, ".cmd") => {
                return Err(format!("the batch file {name}"));
            }
            _ => return done(line),
        };
        self.peel(merged(line, inner), depth - 1)
    }

    fn cmd(&self, args: &[String]) -> Result<Line, Unclear> {
        let runs =
            |word: &String| word.eq_ignore_ascii_case("/c") || word.eq_ignore_ascii_case("/k");
        let at = args.iter().position(runs).ok_or("cmd.exe without /c")?;
        match args.get(at + 1..).unwrap_or_default() {
            [one] => text::cmd(one, self.env),
            [] => Err("cmd.exe /c without a command".to_owned()),
            several => {
                let mut line = Line::default();
                for word in several {
                    line.argv
                        .push(text::percent(word, self.env, &mut line.used)?);
                }
                Ok(line)
            }
        }
    }

    fn powershell(&self, args: &[String], outer: Line, depth: u8) -> Result<Peeled, Unclear> {
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let flag = word.strip_prefix(['-', '/']).map(str::to_ascii_lowercase);
            let rest = || words.as_slice().join(" ");
            match flag.as_deref() {
                Some("command" | "c") => {
                    let inner = text::powershell(&rest(), self.env)?;
                    return self.peel(merged(outer, inner), depth - 1);
                }
                Some("file" | "f") => {
                    let path = words.next().ok_or("powershell -File without a file")?;
                    return self.run_script(path, outer);
                }
                Some("encodedcommand" | "enc" | "ec" | "e") => {
                    let inner =
                        decoded(&rest()).ok_or("powershell -EncodedCommand that is no text")?;
                    let inner = text::powershell(&inner, self.env)?;
                    return self.peel(merged(outer, inner), depth - 1);
                }
                Some(flag) if POWERSHELL_VALUES.contains(&flag) => {
                    words.next();
                }
                Some(_) => {}
                None => {
                    let text = format!("{word} {}", rest());
                    let inner = text::powershell(&text, self.env)?;
                    return self.peel(merged(outer, inner), depth - 1);
                }
            }
        }
        Err("powershell without a command".to_owned())
    }

    /// A script of a ConfigMap: the last program that it calls.
    fn run_script(&self, path: &str, outer: Line) -> Result<Peeled, Unclear> {
        let found = self.script(path);
        let (script, volume) = found.ok_or_else(|| {
            format!("the script {path}, which is not in a ConfigMap among what was read")
        })?;
        let calls = |line: &&str| line.trim_start().starts_with('&');
        let call = script.lines().rfind(calls);
        let call = call
            .ok_or_else(|| format!("the script {path}, in which no line calls a program by `&`"))?;
        let mut inner = text::powershell(call.trim(), self.env)?;
        for line in script.lines().map(str::trim) {
            let sets = line
                .strip_prefix("$env:")
                .is_some_and(|rest| rest.contains('='));
            if sets && !line.contains(COMPARTMENT_ID_ATTACH) {
                // A line that sets a variable and calls nothing is unclear by that alone.
                let with_call = format!("{line}; & x.exe");
                inner
                    .env
                    .extend(text::powershell(&with_call, self.env)?.env);
            }
        }
        Ok(Peeled {
            line: merged(outer, inner),
            script: Some(script),
            volume: Some(volume),
        })
    }

    /// The text of a script that a word names, and the volume that holds it.
    fn script(&self, word: &str) -> Option<(String, String)> {
        let start = word.to_ascii_lowercase().find(".ps1")?;
        let name = word.get(..start + 4)?;
        let name = name.rsplit(['\\', '/', '"', ' ']).next()?;
        items(&self.spec["volumes"]).find_map(|volume| {
            let map = volume["configMap"]["name"].as_str()?;
            let text = self.world.config_map(self.namespace, map)?[name].as_str()?;
            Some((text.to_owned(), volume["name"].as_str()?.to_owned()))
        })
    }

    /// cplauncher's own flags; Go's `flag` takes one dash or two, and a value with or without `=`.
    fn flags(&self, args: Vec<String>, launch: &mut Launch) -> Result<(), Unclear> {
        let mut self_env = None;
        let mut words = args.into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                launch.argv = words.by_ref().collect();
                break;
            }
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                launch.argv = std::iter::once(word).chain(words.by_ref()).collect();
                break;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None if VALUES.contains(&flag) => (flag, words.next()),
                None => (flag, None),
            };
            let value = self.env.expanded(&value.unwrap_or_default());
            let lost = match name {
                "label" => {
                    let selector = selector(&value);
                    let selector = selector.ok_or_else(|| format!("-label {value:?}, which is not KEY=VALUE"))?;
                    launch.selectors = vec![selector];
                    continue;
                }
                "namespace" => {
                    launch.namespace = Some(value).filter(|value| *value != self.namespace);
                    continue;
                }
                "label-timeout" => {
                    launch.timeout = Some(value);
                    continue;
                }
                "wait-tree" => {
                    "-wait-tree: cplauncher waited for every process that the program started; native-host ends \
                     them when the program itself ends. Run the one that stays"
                        .to_owned()
                }
                "self-env" => {
                    self_env.get_or_insert_with(|| "COMPARTMENT_ID".to_owned());
                    continue;
                }
                "env-name" => {
                    self_env = Some(value);
                    continue;
                }
                "dll" | "export" => {
                    format!("-{name} {value}: nothing is injected into the program any more")
                }
                "compartment" => format!(
                    "-compartment {value}: compartments have other numbers after each boot; the program gets its \
                     own anchor's"
                ),
                "dry-run" | "version" => return Err(format!("-{name}, with which cplauncher starts nothing")),
                "no-inject" | "legacy-inject" | "verbosity" | "v" | "logs-keep" | "log-max-age" => continue,
                _ => format!("-{flag}, which is no flag of cplauncher that is known here"),
            };
            launch.lost.push(lost);
        }
        if let Some(name) = self_env {
            launch.lost.push(format!(
                "-self-env: the variable {name} is not set any more. Everything that the program starts is in the \
                 compartment without it; {COMPARTMENT_ID_ATTACH} is set for programs that attach themselves"
            ));
        }
        if launch.argv.is_empty() {
            return Err("cplauncher, which is given no program".to_owned());
        }
        Ok(())
    }
}

/// The names in `$(NAME)`.
fn references(word: &str) -> impl Iterator<Item = String> {
    let parts = word.split("$(").skip(1);
    parts.filter_map(|part| Some(part.split_once(')')?.0.to_owned()))
}

/// The outer line's variables and folder, with the inner one's program.
fn merged(outer: Line, inner: Line) -> Line {
    Line {
        argv: inner.argv,
        env: [outer.env, inner.env].concat(),
        folder: inner.folder.or(outer.folder),
        used: [outer.used, inner.used].concat(),
    }
}

fn file_name(path: &str) -> String {
    path.rsplit(['\\', '/'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
}

/// Whether a name, which is in small letters, ends so.
fn is(name: &str, extension: &str) -> bool {
    name.ends_with(extension)
}

fn is_cplauncher(program: &str) -> bool {
    matches!(file_name(program).as_str(), "cplauncher" | "cplauncher.exe")
}

fn is_about_compartments(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("cplauncher") || text.contains(&COMPARTMENT_ID_ATTACH.to_ascii_lowercase())
}

/// Base64 of UTF-16, as PowerShell takes it.
fn decoded(text: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text.trim())
        .ok()?;
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| {
            pair.iter()
                .rev()
                .fold(0, |unit, byte| unit << 8 | u16::from(*byte))
        })
        .collect();
    String::from_utf16(&units).ok()
}

/// `a=b,c=d`
fn selector(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |one: &str| {
        let (key, value) = one.split_once('=')?;
        let (key, value) = (key.trim(), value.trim_start_matches('=').trim());
        let plain = |text: &str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        };
        (plain(key) && plain(value)).then(|| (key.to_owned(), value.to_owned()))
    };
    text.split(',').map(pair).collect()
}

/// What in a script's quotes might be a selector of labels.
fn quoted_selectors(script: &str) -> Vec<Vec<(String, String)>> {
    let quoted = |quote: char| script.split(quote).skip(1).step_by(2).filter_map(selector);
    quoted('\'').chain(quoted('"')).collect()
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
