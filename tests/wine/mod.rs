//! Runs `tests/wine/argv-echo` under wine: command lines in, arguments out.

mod addresses;
mod names;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// How a line is run, or split.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Plain,
    Cmd,
    /// Only split, by `CommandLineToArgvW`.
    Shell,
    /// Not a line but a path, resolved.
    Path,
    /// Not a line but a text, in upper case.
    Upcase,
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Cmd => "cmd",
            Self::Shell => "shell",
            Self::Path => "path",
            Self::Upcase => "upcase",
        }
    }
}

/// What became of a line: the arguments that the program got, or the exit code where it did not run.
pub type Arrived = Result<Vec<String>, String>;

/// The Windows program, and wine to run it.
pub struct Wine {
    /// The program that prints its command line.
    pub exe: PathBuf,
}

impl Wine {
    /// Builds the program and finds wine. On a developer's machine that has not what is needed this
    /// says so and leaves the test out; in CI that is a failure.
    pub fn find() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<Wine>> = OnceLock::new();
        FOUND.get_or_init(Self::look).as_ref()
    }

    fn look() -> Option<Self> {
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
    pub fn program(&self) -> String {
        windows_path(&self.exe)
    }

    /// What becomes of each line, in its way. Two halves at once.
    pub fn run(&self, lines: &[(Way, String)]) -> Vec<Arrived> {
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
        // A file and no pipe: wine's own services inherit it and outlive the program.
        let mut errors = tempfile::tempfile().unwrap();
        // Whatever a line redirects, it redirects here.
        let output = script("wine")
            .arg(&self.exe)
            .env("ARGV_ECHO_LIST", "list")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(errors.try_clone().unwrap())
            .output()
            .unwrap();
        let said = text(&mut errors);
        assert!(output.status.success(), "{:?}\n{said}", output.status);
        let report = String::from_utf8_lossy(&output.stdout);
        read(&report, &said, lines.len()).unwrap_or_else(|e| panic!("{e}\n{said}"))
    }
}

/// All of a file that others wrote to.
fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn script(name: &str) -> Command {
    Command::new(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("hack")
            .join(name),
    )
}

/// A path of this machine as wine names it.
pub fn windows_path(path: &Path) -> String {
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

/// Reads the program's report on `count` lines, and what wine said beside it. A line that was never
/// run is neither arrived nor mangled: nothing is known of it, so the report as a whole is an error.
fn read(report: &str, said: &str, count: usize) -> Result<Vec<Arrived>, String> {
    let arguments = |words: &str| words.split(',').map(unhex).collect::<Vec<_>>();
    let mut all = vec![Err(String::new()); count];
    let mut current = 0;
    let mut seen = 0;
    for line in report.lines().map(str::trim_end) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["run", number] => current = number.parse().unwrap(),
            ["echo", _, split] => all[current] = Ok(arguments(split)),
            ["exit", _, code] => {
                seen += 1;
                if let Some(error) = code.strip_prefix('!') {
                    return Err(format!("line {current} was not run to its end: {error}"));
                }
                if all[current].is_err() {
                    all[current] = Err(code.to_owned());
                }
            }
            ["shell" | "path" | "upcase", number, split] => {
                all[number.parse::<usize>().unwrap()] = Ok(arguments(split));
                seen += 1;
            }
            _ => {}
        }
    }
    // What cmd cannot start has cmd's exit code, like a line that it does not understand.
    if said.contains("err:virtual:") {
        return Err("wine could not start a process (see hack/wine)".to_owned());
    }
    if seen == count {
        Ok(all)
    } else {
        Err(format!("{seen} of {count} lines were run"))
    }
}

/// The same inputs in every run, others with `NATIVE_HOST_WINE_SEED`.
pub fn generate<T: std::fmt::Debug>(count: usize, strategy: impl Strategy<Value = T>) -> Vec<T> {
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
