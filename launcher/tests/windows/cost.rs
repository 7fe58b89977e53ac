//! What probes cost, measured: the figures of docs/launcher.md. Not part of a test run:
//! `cargo test --release -p native-host-launcher --test windows -- --ignored --nocapture cost`

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use native_host_launcher::{Action, Probe, ProbeCommand, names};

use super::container::{Container, hex, windows_path};
use super::probes::Program;
use super::run;

/// How often each line is run at a time, and how many such times.
const LINES: usize = 10;
const ROUNDS: usize = 9;
/// For how long a launcher that probes every second is watched. What starts it gives it a minute.
const WATCHED: Duration = Duration::from_secs(40);

/// The time that one line takes, run after `cmd /c ` again and again.
fn each(container: &Container, line: &str) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    fs::write(&list, format!("cmd {}\n", hex(line)).repeat(LINES)).unwrap();
    let time = |list: &Path| {
        let start = Instant::now();
        let output = container
            .wine(&container.tools.echo)
            .env("ARGV_ECHO_LIST", windows_path(list))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        (start.elapsed(), out)
    };
    let (took, out) = time(&list);
    let done = out.lines().filter(|line| line.trim_end() == "exit 0 0");
    let all = out
        .lines()
        .filter(|line| line.starts_with("exit ") && line.trim_end().ends_with(" 0"));
    assert!(done.count() >= 1 && all.count() == LINES, "{out}");
    // Without the start of the program that runs them.
    let nothing = folder.path().join("nothing");
    fs::write(&nothing, "").unwrap();
    let (start, _) = time(&nothing);
    took.saturating_sub(start) / u32::try_from(LINES).unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "measures; its figures are in docs/launcher.md"]
fn what_probes_cost() {
    let Some(container) = Container::lease() else {
        return;
    };
    let program = Program::new(|_| 200);
    let launcher = format!(r"{}\{}", names::LAUNCHER_DIR, names::LAUNCHER_EXE);
    let line = |action: Action| {
        let command = ProbeCommand {
            action,
            timeout_seconds: 60,
        };
        format!("{launcher} {}", command.to_args().join(" "))
    };
    let lines = [
        ("cmd /c exit", "exit".to_owned()),
        ("cmd /c … version", format!("{launcher} version")),
        (
            "cmd /c … probe tcp",
            line(Action::Tcp { port: program.port }),
        ),
        ("cmd /c … probe http", line(program.http(false))),
    ];
    let mut times = vec![Vec::new(); lines.len()];
    // By turns, so that what else the machine does falls on all.
    for _ in 0..ROUNDS {
        for ((_, line), times) in lines.iter().zip(&mut times) {
            times.push(each(&container, line));
        }
    }
    for ((name, _), times) in lines.iter().zip(times) {
        println!("{name:24} {:6.1} ms", median(times).as_secs_f64() * 1000.0);
    }

    for (name, probed) in [("no probe", false), ("http every second", true)] {
        let mut run = run(&["cmd.exe", "/c", "ping -n 600 127.0.0.1 > nul"]);
        run.liveness = probed.then(|| Probe {
            action: program.http(false),
            initial_delay: 0,
            period: 1,
            timeout: 60,
            failure_threshold: 3,
            success_threshold: 1,
            grace: None,
        });
        let started = container.start(&run.to_args().unwrap());
        std::thread::sleep(Duration::from_secs(5));
        let process = launcher_process();
        let (asked, before) = (program.requests(), ticks(process));
        std::thread::sleep(WATCHED);
        let (probes, used) = (program.requests() - asked, ticks(process) - before);
        // A hundred ticks are a second (`sysconf(_SC_CLK_TCK)` on every Linux).
        println!(
            "{name:24} {probes} probes, {} ms of processor time",
            used * 10
        );
        container
            .start_line("taskkill /F /IM native-host-launcher.exe")
            .end();
        started.end();
    }
}

/// The process that is `run`.
fn launcher_process() -> u32 {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let processes = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_run = |process: &u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.starts_with(names::LAUNCHER_DIR) && line.contains("\0run\0")
    };
    processes.filter(is_run).max().unwrap()
}

fn ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<_> = fields.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
