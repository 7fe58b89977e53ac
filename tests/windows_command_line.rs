//! The model of a node's command-line pipeline (`native_host::windows`), checked against programs that
//! really run: a Windows .exe that prints its command line (`tests/wine/argv-echo`), started by
//! `CreateProcessW` plainly and through `cmd /c`, under wine.
//!
//! Not compared, since wine is known to do otherwise than Windows there, or says nothing:
//! - a line with a single `%`: in Windows' command-line mode it stays ("How does the Windows Command
//!   Interpreter (CMD.EXE) parse scripts?", Stack Overflow 4094699); the model refuses two;
//! - a line beyond 8191 characters: wine runs nothing and answers 0; the model refuses it
//!   ("Command prompt (Cmd.exe) command-line string limitation", KB 830473);
//! - `!`: delayed expansion is off unless the registry turns it on; the model refuses it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use native_host::windows::cmd::{LINE_LIMIT, Outcome, through_cmd};
use native_host::windows::pipeline::{argv, command_line, line_length, survives};
use native_host_launcher::Run;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// How a line is run, or split.
#[derive(Clone, Copy, Debug)]
enum Way {
    Plain,
    Cmd,
    /// Only split, by `CommandLineToArgvW`.
    Shell,
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Cmd => "cmd",
            Self::Shell => "shell",
        }
    }
}

/// What became of a line: the arguments that a program got, if one ran.
type Arrived = Option<Vec<String>>;

struct Wine {
    exe: PathBuf,
}

impl Wine {
    /// Builds the program and finds wine. On a developer's machine that has not what is needed this
    /// says so and leaves the test out; in CI that is a failure.
    fn find() -> Option<Self> {
        let built = script("build-windows")
            .arg("tests/wine/argv-echo")
            .output()
            .unwrap();
        let there = script("wine")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        if built.status.success() && there.success() {
            let exe = String::from_utf8(built.stdout).unwrap();
            return Some(Self {
                exe: exe.trim_end().into(),
            });
        }
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "no wine, or no .exe: {said}"
        );
        eprintln!("NOT TESTED AGAINST WINE: {said}");
        None
    }

    /// The program as Windows names it. Its path has nothing to be quoted.
    fn program(&self) -> String {
        windows_path(&self.exe)
    }

    /// What becomes of each line, in its way. Two halves at once.
    fn run(&self, lines: &[(Way, String)]) -> Vec<Arrived> {
        let (left, right) = lines.split_at(lines.len() / 2);
        std::thread::scope(|scope| {
            let left = scope.spawn(|| self.run_half(left));
            let right = self.run_half(right);
            let mut all = left.join().unwrap();
            all.extend(right);
            all
        })
    }

    fn run_half(&self, lines: &[(Way, String)]) -> Vec<Arrived> {
        let folder = tempfile::tempdir().unwrap();
        let mut list = String::new();
        for (way, line) in lines {
            writeln!(list, "{} {}", way.word(), hex(line)).unwrap();
        }
        std::fs::write(folder.path().join("list"), list).unwrap();
        // Whatever a line redirects, it redirects here.
        let output = script("wine")
            .arg(&self.exe)
            .env("ARGV_ECHO_LIST", "list")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{:?}", output.status);
        read(&String::from_utf8_lossy(&output.stdout), lines.len())
    }
}

fn script(name: &str) -> Command {
    Command::new(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("hack")
            .join(name),
    )
}

fn windows_path(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap();
    format!("Z:{}", path.to_str().unwrap().replace('/', r"\"))
}

fn hex(text: &str) -> String {
    text.bytes()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The inverse of what the program prints: UTF-16 in hexadecimal, `-` for nothing.
fn unhex(word: &str) -> String {
    let digits = word.trim_start_matches('-').as_bytes();
    let unit = |four: &[u8]| u16::from_str_radix(std::str::from_utf8(four).unwrap(), 16).unwrap();
    String::from_utf16(&digits.chunks(4).map(unit).collect::<Vec<_>>()).unwrap()
}

/// Reads the program's report on `count` lines.
fn read(report: &str, count: usize) -> Vec<Arrived> {
    let arguments = |words: &str| words.split(',').map(unhex).collect::<Vec<_>>();
    let mut all = vec![None; count];
    let mut current = 0;
    let mut seen = 0;
    for line in report.lines().map(str::trim_end) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["run", number] => current = number.parse().unwrap(),
            ["echo", _, split] => all[current] = Some(arguments(split)),
            ["exit", _, _] => seen += 1,
            ["shell", number, split] => {
                all[number.parse::<usize>().unwrap()] = Some(arguments(split));
                seen += 1;
            }
            _ => {}
        }
    }
    assert_eq!(seen, count, "a line was not run");
    all
}

/// The same inputs in every run, others with `NATIVE_HOST_WINE_SEED`.
fn generate<T: std::fmt::Debug>(count: usize, strategy: impl Strategy<Value = T>) -> Vec<T> {
    let mut seed = [7; 32];
    if let Ok(text) = std::env::var("NATIVE_HOST_WINE_SEED") {
        seed[..8].copy_from_slice(&text.parse::<u64>().unwrap().to_le_bytes());
    }
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}

/// Arguments of all that matters to anyone on the way. The letters make no command's name.
fn argument() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => r"[-qxQX0-9_./\\:@+,=~#]{0,8}",
        4 => r#"[ \t"\\&|<>^()$;,=*?'`q]{0,8}"#,
        1 => r#"[\\" ]{0,12}"#,
        1 => "[q äßλж東\u{a0}\u{2028}😀]{0,5}",
    ]
}

fn arguments() -> impl Strategy<Value = Vec<String>> {
    vec(argument(), 0..6)
}

fn with_program(program: &str, arguments: &[String]) -> Vec<String> {
    let mut argv = vec![program.to_owned()];
    argv.extend_from_slice(arguments);
    argv
}

/// Lines that the model of cmd says to run come out of cmd as it says, and what it says survives
/// arrives unchanged.
#[test]
fn cmd_does_what_its_model_says() {
    let Some(wine) = Wine::find() else { return };
    let program = wine.program();
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    let mut survivors = 0;
    for arguments in generate(12_000, arguments()) {
        if lines.len() == 1800 {
            break;
        }
        let original = with_program(&program, &arguments);
        let line = command_line(&original);
        let Outcome::Runs(left) = through_cmd(&line) else {
            continue;
        };
        if survives(&original).is_ok() {
            survivors += 1;
            assert_eq!(argv(&left), original);
        }
        lines.push((Way::Cmd, line));
        expected.push(Some(argv(&left)));
    }
    // And lines that no one escaped.
    for tail in generate(3000, r#"[ \t"\\&|<>^()$;=qä]{0,16}"#) {
        if lines.len() == 2400 {
            break;
        }
        let line = format!("{program} {tail}");
        let Outcome::Runs(left) = through_cmd(&line) else {
            continue;
        };
        lines.push((Way::Cmd, line));
        expected.push(Some(argv(&left)));
    }
    assert!(
        survivors > 1500 && lines.len() == 2400,
        "{survivors} of {}",
        lines.len()
    );
    compare(&lines, &wine.run(&lines), &expected);
}

/// Lines are split as the model says, by Rust's library in a process of its own, and by
/// `CommandLineToArgvW` where the model is to agree with both: on lines that were escaped.
#[test]
fn programs_split_lines_as_the_model_says() {
    let Some(wine) = Wine::find() else { return };
    let program = wine.program();
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    for arguments in generate(8000, arguments()) {
        let original = with_program(&program, &arguments);
        lines.push((Way::Shell, command_line(&original)));
        expected.push(Some(original));
    }
    for arguments in generate(300, arguments()) {
        let original = with_program(&program, &arguments);
        lines.push((Way::Plain, command_line(&original)));
        expected.push(Some(original));
    }
    for line in generate(300, r#"[a-c]{0,3}[ \t"\\ab]{0,16}"#) {
        // An empty line is the path of the program itself.
        let line = format!("a{line}");
        expected.push(Some(argv(&line)));
        lines.push((Way::Plain, line));
    }
    compare(&lines, &wine.run(&lines), &expected);
}

/// Whatever a pod asks the launcher to run arrives there, through `cmd /c`.
#[test]
fn the_launcher_gets_what_the_pod_asks_for() {
    let Some(wine) = Wine::find() else { return };
    let program = wine.program();
    let target = prop_oneof![r"C:\\[a-z ]{1,8}\.exe", "[^\0]{1,8}"];
    let anything = prop_oneof![argument(), r"[%!\r\n\x01-\x1f]{0,6}", "[^\0]{0,8}"];
    let mut runs = Vec::new();
    let mut lines = Vec::new();
    for (target, rest) in generate(150, (target, vec(anything, 0..5))) {
        let run = Run::new("albums", with_program(&target, &rest));
        lines.push((
            Way::Cmd,
            command_line(&with_program(&program, &run.to_args().unwrap())),
        ));
        runs.push(run);
    }
    for (arrived, run) in wine.run(&lines).into_iter().zip(runs) {
        assert_eq!(Run::parse(&arrived.unwrap()[1..]).as_ref(), Ok(&run));
    }
}

/// The model does not refuse for nothing: of each kind that wine can show, one that is mangled.
#[test]
fn what_is_refused_is_mangled_for_real() {
    let Some(wine) = Wine::find() else { return };
    let program = wine.program();
    let folder = tempfile::tempdir().unwrap();
    let spaced = folder.path().join("with space.exe");
    std::fs::copy(&wine.exe, &spaced).unwrap();
    let spaced = windows_path(&spaced);

    let mut lines = Vec::new();
    let mut refused = Vec::new();
    for argv in [
        vec![program.as_str(), "q&q"],
        vec![&program, "q|q"],
        vec![&program, ">q"],
        vec![&program, "<q"],
        vec![&program, "q^q"],
        vec![&program, "q\"q & q"],
        vec![&program, "%PATH%"],
        vec![&program, "q %PATH%"],
        vec![&spaced, "q q"],
        vec![&spaced, ""],
        vec!["echo", "q"],
        vec![&program, "q\nq"],
    ] {
        assert!(survives(&argv).is_err(), "{argv:?}");
        lines.push((Way::Cmd, command_line(&argv)));
        refused.push(argv.iter().map(|&a| a.to_owned()).collect::<Vec<_>>());
    }
    for (arrived, original) in wine.run(&lines).iter().zip(&refused) {
        assert_ne!(arrived.as_ref(), Some(original), "arrived after all");
    }

    // A program with a space and no other quotes keeps them, and so arrives.
    let kept = vec![spaced, "q".to_owned(), "--x=1".to_owned()];
    assert_eq!(survives(&kept), Ok(()));
    assert_eq!(wine.run(&[(Way::Cmd, command_line(&kept))]), [Some(kept)]);
}

/// A line of just the limit arrives.
#[test]
fn the_longest_line_arrives() {
    let Some(wine) = Wine::find() else { return };
    let mut argv = vec![wine.program(), "q".to_owned()];
    argv[1] = "q".repeat(LINE_LIMIT - line_length(&argv) + 1);
    assert_eq!((line_length(&argv), survives(&argv)), (LINE_LIMIT, Ok(())));
    assert_eq!(wine.run(&[(Way::Cmd, command_line(&argv))]), [Some(argv)]);
}

fn compare(lines: &[(Way, String)], arrived: &[Arrived], expected: &[Arrived]) {
    let differing: Vec<_> = lines
        .iter()
        .zip(arrived.iter().zip(expected))
        .filter(|(_, (arrived, expected))| arrived != expected)
        .collect();
    let shown =
        differing
            .iter()
            .take(10)
            .fold(String::new(), |text, (line, (arrived, expected))| {
                text + &format!("{line:?}\n  arrived  {arrived:?}\n  expected {expected:?}\n")
            });
    assert!(
        differing.is_empty(),
        "{} of {} differ:\n{shown}",
        differing.len(),
        lines.len()
    );
}
