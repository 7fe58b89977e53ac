//! The load of the tests as a program: `hack/run` puts a Service under load with it.
//!
//! ```text
//! load --kubeconfig FILE --service albums --page FILE [--json FILE] <marks
//! ```
//!
//! It runs until its stdin ends. A line of it is noted as done at that moment and shows in the plots; the
//! line `pairs FILE` names a file with what simulated nodes noted of the pairs' starts instead. At the end it writes the page, says
//! one line, and exits with 1 where a request failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "mod.rs"]
mod load;

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use load::record::{PairStart, millis};
use load::report::{grouped, pairs};
use load::{Load, Plan};

/// Puts a Service under load, with kube-proxy played, and shows what became of every request.
#[derive(Parser)]
struct Args {
    /// Of whoever may watch EndpointSlices.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The Service's namespace.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// The Service.
    #[arg(long)]
    service: String,
    /// What is asked for.
    #[arg(long, default_value = "/albums")]
    path: String,
    /// Quick requests a second.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// How many requests at most.
    #[arg(long, default_value_t = 1_000_000)]
    count: usize,
    /// Where the page goes.
    #[arg(long)]
    page: PathBuf,
    /// Where every request goes, for machines.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let load = Load::start(&Plan {
        path: args.path.clone(),
        rate: args.rate,
        count: args.count,
        ..Plan::new(&args.kubeconfig, &args.namespace, &args.service)
    });
    let mut pairs_seen = Vec::new();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.strip_prefix("pairs ") {
            Some(file) => match read_pairs(Path::new(file)) {
                Ok(read) => pairs_seen = read,
                Err(error) => eprintln!("load: {file}: {error}"),
            },
            None => load.mark(line),
        }
    }
    let mut report = load.stop();
    report.pairs = pairs_seen;
    let mut written = std::fs::write(&args.page, report.page());
    if let (Ok(()), Some(json)) = (&written, &args.json) {
        written = std::fs::write(json, report.json().to_string());
    }
    if let Err(error) = written {
        eprintln!("load: {error}");
        return ExitCode::FAILURE;
    }
    let sums = report.summary();
    println!(
        "{} requests, {} failed; {} pods answered; latency {} ms median, {} ms 99th percentile, {} ms worst",
        grouped(sums.requests),
        grouped(sums.failed),
        sums.endpoints,
        millis(sums.median),
        millis(sums.p99),
        millis(sums.worst)
    );
    for one in report.failures().into_iter().take(5) {
        println!("  failed: {one:?}");
    }
    ExitCode::from(u8::from(sums.failed > 0))
}

/// What a simulated node answers to `GET /timings`; of several nodes, one answer a line.
fn read_pairs(file: &Path) -> Result<Vec<PairStart>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let mut pairs = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let timings = serde_json::from_str(line).map_err(|error| error.to_string())?;
        pairs.extend(pairs::of_timings(&timings));
    }
    Ok(pairs)
}
