//! What a review costs, beside a server that does nothing with it.
//!
//! Runs the real program (`serve --no-cluster --self-signed`) and a *floor* in turn, each in a
//! process of its own, so that the kernel says what CPU time either took. The floor is hyper and
//! rustls as their own examples use them: it reads each body, parses nothing, and answers the
//! very bytes that the program answered.
//!
//! `cargo bench --bench review`; `-- --quick` for a short one. Nothing else should run meanwhile.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss
)]

mod bodies;
mod client;
mod floor;
mod process;

use std::time::{Duration, Instant};

use client::Client;
use process::Server;

const SIZES: [(&str, usize); 4] = [
    ("2 KB", 2_000),
    ("10 KB", 10_000),
    ("100 KB", 100_000),
    ("1 MB", 1_000_000),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, mode, folder] = args.as_slice()
        && mode == "--floor"
    {
        floor::run(folder.as_ref());
        return;
    }
    let rounds = if args.iter().any(|a| a == "--quick") {
        3
    } else {
        9
    };

    let folder = tempfile::tempdir().unwrap();
    let program = Server::program(folder.path(), &[]);
    let bodies = SIZES.map(|(_, size)| bodies::review(size));
    for (n, body) in bodies.iter().enumerate() {
        let answer = Client::connect(&program, folder.path()).post("/mutate", body);
        assert_eq!(answer.status, 200);
        std::fs::write(folder.path().join(format!("answer-{n}")), answer.body).unwrap();
    }
    let floor = Server::floor(folder.path());

    println!("CPU per review over TLS keep-alive, median of {rounds} rounds:");
    println!(
        "{:>8} {:>12} {:>12} {:>7}",
        "body", "program", "floor", "ratio"
    );
    for (n, (name, size)) in SIZES.iter().enumerate() {
        let count = (30_000_000 / size).clamp(60, 3000);
        let mut ours = Client::connect(&program, folder.path());
        let mut its = Client::connect(&floor, folder.path());
        let path = format!("/{n}");
        for _ in 0..count / 4 {
            ours.post("/mutate", &bodies[n]);
            its.post(&path, &bodies[n]);
        }
        let mut measured = Vec::new();
        for _ in 0..rounds {
            let a = program.cpu(|| (0..count).for_each(|_| drop(ours.post("/mutate", &bodies[n]))));
            let b = floor.cpu(|| (0..count).for_each(|_| drop(its.post(&path, &bodies[n]))));
            measured.push((micros(a, count), micros(b, count)));
        }
        let ours = median(measured.iter().map(|m| m.0));
        let its = median(measured.iter().map(|m| m.1));
        let ratio = median(measured.iter().map(|m| m.0 / m.1));
        println!("{name:>8} {ours:>9.1} us {its:>9.1} us {ratio:>7.2}");
    }
    drop((program, floor));

    memory(folder.path(), &bodies[3]);
    first_answer(folder.path(), &bodies[0], rounds * 3);
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_native-host"))
        .unwrap()
        .len();
    println!("binary: {:.2} MB", size as f64 / 1e6);
}

fn micros(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Resident memory under 16 concurrent 1 MB reviews: the highest that the kernel saw.
fn memory(folder: &std::path::Path, body: &[u8]) {
    let server = Server::program(folder, &[]);
    let idle = server.resident();
    let end = Instant::now() + Duration::from_secs(3);
    let served: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(&server, folder);
                    let mut served = 0;
                    while Instant::now() < end {
                        assert_eq!(client.post("/mutate", body).status, 200);
                        served += 1;
                    }
                    served
                })
            })
            .collect();
        clients.into_iter().map(|c| c.join().unwrap()).sum()
    });
    println!(
        "resident: {:.1} MiB idle, {:.1} MiB at most under 16 concurrent 1 MB reviews ({served} answered), {:.1} MiB after",
        idle.now,
        server.resident().peak,
        server.resident().now
    );
}

/// From the start of the process to the first byte of an answer over TLS.
fn first_answer(folder: &std::path::Path, body: &[u8], times: usize) {
    let took: Vec<f64> = (0..times)
        .map(|_| {
            let address = process::free_address();
            let start = Instant::now();
            let server = Server::program_at(folder, address, &[]);
            let mut client = Client::connect(&server, folder);
            assert_eq!(client.post("/mutate", body).status, 200);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let least = took.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "start to first TLS answer: {:.1} ms median, {least:.1} ms least of {times}",
        median(took.into_iter())
    );
}
