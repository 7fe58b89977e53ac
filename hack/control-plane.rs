//! The tests' control plane for people and scripts: `hack/run` starts it with this.
//!
//! ```text
//! control-plane up --folder DIR [--node NAME]... [--kubelets] [--stay]
//! control-plane webhooks --url URL --ca FILE
//! control-plane ports COUNT
//! ```
//!
//! `up` prints `ready` once it is, and runs until its stdin ends; with `--stay` until it is killed. The
//! program's own identity and Roles are installed; its kubeconfig is `native-host.kubeconfig`.
//! `webhooks` prints the webhook configurations of `deploy/`, pointed at URL. `ports` prints loopback
//! ports that are free.
//!
//! A development tool: an example target of Cargo, so that it is no part of the program and may
//! use what tests use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use support::{ControlPlane, Kubelet, Options};

/// The control plane of native-host's tests, for people and scripts.
#[derive(Parser)]
enum Command {
    /// Starts etcd, the API server, the controller manager and the scheduler.
    Up {
        /// For data, logs and the kubeconfig; made if it is not there.
        #[arg(long)]
        folder: PathBuf,
        /// A Windows node to register; may be repeated.
        #[arg(long = "node")]
        nodes: Vec<String>,
        /// Plays the kubelets of those nodes: pods start, get IPs, are probed and end, without a program.
        #[arg(long)]
        kubelets: bool,
        /// Runs until killed, and not only until stdin ends.
        #[arg(long)]
        stay: bool,
    },
    /// Prints the webhook configurations of deploy/, for a program on this machine.
    Webhooks {
        /// Where the program listens, e.g. `https://127.0.0.1:8443`.
        #[arg(long)]
        url: String,
        /// The certificate authority that signed its certificate, in PEM.
        #[arg(long)]
        ca: PathBuf,
    },
    /// Prints loopback ports that nobody listens on.
    Ports {
        /// How many.
        count: usize,
    },
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Up {
            folder,
            nodes,
            kubelets,
            stay,
        } => up(folder, &nodes, kubelets, stay),
        Command::Ports { count } => {
            for _ in 0..count {
                println!("{}", support::free_port());
            }
            ExitCode::SUCCESS
        }
        Command::Webhooks { url, ca } => match std::fs::read_to_string(&ca) {
            Ok(ca) => {
                println!("{:#}", support::webhooks::at_url(&url, &ca));
                ExitCode::SUCCESS
            }
            Err(error) => fail(&format!("{}: {error}", ca.display())),
        },
    }
}

fn up(folder: PathBuf, nodes: &[String], kubelets: bool, stay: bool) -> ExitCode {
    if let Err(error) = std::fs::create_dir_all(&folder) {
        return fail(&format!("{}: {error}", folder.display()));
    }
    let options = Options {
        folder: Some(folder),
        ..Options::default()
    };
    let plane = match ControlPlane::try_start(&options) {
        Ok(plane) => plane,
        Err(error) => return fail(&error.to_string()),
    };
    for node in nodes {
        plane.windows_node(node);
    }
    plane.install_roles();
    plane.program_kubeconfig("native-host", None);
    let _kubelets = kubelets.then(|| Kubelet::start(&plane, &[]));
    println!("ready");
    if stay {
        loop {
            std::thread::park();
        }
    }
    // The end of stdin is the end of whoever started us, whatever ended that.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("control-plane: {reason}");
    ExitCode::FAILURE
}
