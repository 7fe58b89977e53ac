//! What a probe costs: one that is a process of its own, beside a process that does nothing, and one of the
//! launcher that runs. A measurement and no test: it asserts nothing of time.
//!
//! ```text
//! cargo test -p native-host-launcher --test windows -- --ignored --nocapture what_a_probe_costs
//! ```

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use native_host_launcher::{Action, Exit, Probe, ProbeCommand};

use super::container::{Container, IP};
use super::run;

/// Processes of each kind in a round, one after the other, and rounds, by turns.
const EACH: usize = 20;
const ROUNDS: usize = 5;
/// Attempts of the launcher that runs, a second apart.
const ATTEMPTS: usize = 10;

/// A program on the anchor's IP; it notes how long each connection took, from its being there to its end. From
/// the n-th request on it is not well.
fn program(well: usize) -> (u16, Arc<Mutex<Vec<Duration>>>) {
    let listener = TcpListener::bind((IP, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let took = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&took);
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let (began, mut stream) = (Instant::now(), stream.unwrap());
            let (mut text, mut byte) = (Vec::new(), [0]);
            while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1)
            {
                text.push(byte[0]);
            }
            let status = if count < well { 200 } else { 500 };
            let head =
                format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.read(&mut byte);
            taken.lock().unwrap().push(began.elapsed());
        }
    });
    (port, took)
}

fn http(port: u16) -> Action {
    Action::Http {
        port,
        path: "/health/liveness".to_owned(),
        https: false,
        headers: Vec::new(),
    }
}

/// How long one of so many lines takes, all of them in one container that runs already.
fn each(container: &Container, line: &str) -> Duration {
    let lines = vec![line; EACH];
    let began = Instant::now();
    let ended = container.start_lines(&lines).end();
    assert_eq!(ended.code, 0, "{ended:?}");
    began.elapsed() / u32::try_from(EACH).unwrap()
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

#[test]
#[ignore = "a measurement"]
fn what_a_probe_costs() {
    let Some(container) = Container::lease() else {
        return;
    };
    let (port, _) = program(usize::MAX);
    let command = ProbeCommand {
        action: http(port),
        timeout_seconds: 60,
    };
    let launcher = r"C:\native-host\bin\native-host-launcher.exe";
    let probe = format!("{launcher} {}", command.to_args().join(" "));
    let version = format!("{launcher} version");
    // The container's own services start with its first process.
    each(&container, "exit");
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (line, times) in ["exit", &version, &probe].into_iter().zip(&mut times) {
            times.push(each(&container, line));
        }
    }
    let [exit, version, probe] = times.each_mut().map(|times| median(times));
    println!("a process that does nothing (cmd /c exit)      {exit:6.1} ms");
    println!("one more that starts (cmd /c launcher version) {version:6.1} ms");
    println!("a probe (cmd /c launcher probe http)           {probe:6.1} ms");
    println!(
        "so the probe takes, beyond cmd /c exit         {:6.1} ms",
        probe - exit
    );
    println!(
        "and of that, beyond its start                  {:6.1} ms",
        probe - version
    );

    let (port, took) = program(ATTEMPTS);
    let mut run = run(&["cmd.exe", "/c", "ping -n 600 127.0.0.1 > nul"]);
    run.liveness = Some(Probe {
        action: http(port),
        initial_delay: 0,
        period: 1,
        timeout: 60,
        failure_threshold: 1,
        success_threshold: 1,
        grace: Some(1),
    });
    let ended = container.run(&run.to_args().unwrap());
    assert_eq!(ended.code, Exit::LivenessFailed.code(), "{ended:?}");
    let mut took = took.lock().unwrap();
    println!(
        "a probe of the launcher that runs              {:6.1} ms",
        median(&mut took)
    );
}
