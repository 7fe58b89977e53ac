//! What a review costs, beside a server that does nothing with it.
//!
//! Runs the real program (`serve --no-cluster --self-signed`) and a *floor* in turn, each in a
//! process of its own, so that the kernel says what CPU time either took. The floor is hyper and
//! rustls as their own examples use them: it reads each body, parses nothing, and answers the
//! very bytes that the program answered. The *server alone* is our own server with no review in
//! it, which tells the two parts of the program's cost apart.
//!
//! `cargo bench --bench review`; `-- --quick` for a short one. Nothing else should run meanwhile.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss
)]

mod alone;
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
    match args.as_slice() {
        [_, mode, folder] if mode == "--floor" => return floor::run(folder.as_ref()),
        [_, mode, folder] if mode == "--alone" => return alone::run(folder.as_ref()),
        _ => {}
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
    let floor = Server::own("--floor", folder.path());
    let alone = Server::own("--alone", folder.path());

    println!(
        "CPU per review over TLS keep-alive, median of {rounds} rounds; ratios are to the floor:"
    );
    println!(
        "{:>8} {:>12} {:>12} {:>7} {:>14} {:>7}",
        "body", "floor", "program", "ratio", "server alone", "ratio"
    );
    for (n, (name, size)) in SIZES.iter().enumerate() {
        let count = (30_000_000 / size).clamp(60, 3000);
        let door = format!("/{n}");
        let servers = [
            (&floor, door.as_str()),
            (&program, "/mutate"),
            (&alone, "/mutate"),
        ];
        let mut clients = servers.map(|(server, _)| Client::connect(server, folder.path()));
        let mut measured = Vec::new();
        for round in 0..=rounds {
            let mut took = [0.0; 3];
            for (i, (server, path)) in servers.iter().enumerate() {
                let client = &mut clients[i];
                let time = server.cpu(|| {
                    for _ in 0..count {
                        assert_eq!(client.post(path, &bodies[n]).status, 200);
                    }
                });
                took[i] = micros(time, count);
            }
            // The first round warms up.
            if round > 0 {
                measured.push(took);
            }
        }
        let time = |i: usize| median(measured.iter().map(|m| m[i]));
        let ratio = |i: usize| median(measured.iter().map(|m| m[i] / m[0]));
        println!(
            "{name:>8} {:>9.1} us {:>9.1} us {:>7.2} {:>11.1} us {:>7.2}",
            time(0),
            time(1),
            ratio(1),
            time(2),
            ratio(2)
        );
    }
    drop((program, floor, alone));

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
    Client::connect(&server, folder).post("/mutate", body);
    let one = server.resident();
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
        "resident: {:.1} MiB after one, {:.1} MiB at most under 16 concurrent 1 MB reviews ({served} answered), {:.1} MiB after",
        one.now,
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
