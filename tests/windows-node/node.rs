//! A simulated Windows node: what kubelet, containerd and hcsshim make of the pods bound to it, with their
//! programs really run, under wine. `docs/simulated-node.md` says row by row what is real.
//!
//! ```text
//! hack/with-pod-network windows-node --kubeconfig FILE --name win-1 --folder DIR
//! ```
//!
//! It registers the node, prints `ready`, and runs until its stdin ends or it is told to; whatever it runs
//! ends with it. It belongs into a network in which pods' addresses are local (`hack/with-pod-network`),
//! together with whoever is to reach them. One process is one node.
//!
//! - [`support::kubelet`]: the rules; [`pods`], [`pod`]: what carries them out.
//! - [`start`], [`container`]: one run of a container; [`silo`], [`host`]: its Windows; [`shim`]: the arm in it.
//! - [`volumes`], [`env`], [`probes`]: what a container gets, and how it is asked.
//! - [`network`]: addresses and compartments. [`known_pods`]: what cplauncher would ask for. [`log`], [`events`], [`timings`]: what is left of it.
//! - [`register`]: the Node. [`answers`]: what the API server asks. [`control`]: what a test makes happen.
//! [`orphans`]: what wine leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// The parts are built to be whole; the node uses what it needs.
#![allow(dead_code, unused_imports)]

mod answers;
mod container;
mod control;
mod env;
mod events;
mod host;
mod known_pods;
mod log;
mod network;
mod objects;
mod orphans;
mod pod;
mod pods;
mod probes;
mod register;
mod shim;
mod silo;
mod start;
#[path = "../support/mod.rs"]
mod support;
mod timings;
mod volumes;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::events::Events;
use crate::host::{Host, Parts};
use crate::network::Network;
use crate::pods::{Node, Pods, Running};
use crate::probes::Prober;
use crate::register::Registration;
use crate::support::Kubelet;
use crate::support::kubelet::Settings;
use crate::timings::Timings;
use crate::volumes::Volumes;

/// A simulated Windows node.
#[derive(Parser)]
struct Args {
    /// As whom to speak to the API server; an administrator.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The node's name.
    #[arg(long)]
    name: String,
    /// For drives, silos, volumes and logs; made if it is not there.
    #[arg(long)]
    folder: PathBuf,
    /// The node's number: its pods are in 10.244.N.0/24, and its own address is 10.245.0.N.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..255))]
    network: u8,
    /// An image and the folder with its files. Every other image is there, and empty.
    #[arg(long = "image", value_name = "REFERENCE=FOLDER", value_parser = pair)]
    images: Vec<(String, PathBuf)>,
    /// A file of the host, which every container sees.
    #[arg(long = "host-file", value_name = r"C:\PATH=FILE", value_parser = pair)]
    host_files: Vec<(String, PathBuf)>,
    /// A file to be in C:\windows\system32, e.g. a stand-in for a DLL.
    #[arg(long = "system-file", value_name = "FILE")]
    system_files: Vec<PathBuf>,
    /// Where a test makes things happen; 0 for any free port of 127.0.0.1, which is printed.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// Gives the node the taint that keeps Linux pods off.
    #[arg(long)]
    tainted: bool,
    /// How long a crashed container waits before its second restart, and each time twice as long, to 30
    /// times that. A kubelet's is 10 s.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10_000)]
    crash_backoff: u64,
    /// How long a sandbox takes to come up, once its volumes are there.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 100)]
    sandbox: u64,
    /// Has a second, shorter grace period cut a preStop that runs, as no kubelet does yet
    /// (kubernetes#113606).
    #[arg(long)]
    shorter_grace_cuts: bool,
}

fn pair(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("`=` is missing")?;
    Ok((name.into(), path.into()))
}

#[tokio::main]
async fn main() {
    let code = match run(Args::parse()).await {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("windows-node: {error}");
            1
        }
    };
    // A read of stdin that is under way would keep the runtime from ending (tokio::io::stdin).
    std::process::exit(code)
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    tokio::spawn(orphans::wait_for_all());
    std::fs::create_dir_all(&args.folder)?;
    let folder = args.folder.canonicalize()?;
    let kubeconfig = Kubeconfig::read_from(&args.kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    let network = Network::new(args.network, &folder.join("stand-in"))?;
    let ip = network.node_ip();
    let registration = Registration {
        name: args.name.clone(),
        ip: ip.clone(),
        cidr: network.cidr(),
        port: answers::serve(&folder, &ip).await?,
        tainted: args.tainted,
    };
    let allocatable = registration.allocatable();
    let parts = Parts {
        files: args.host_files,
        system: args.system_files,
    };
    let host_folder = folder.join("host");
    let host = tokio::task::spawn_blocking(move || Host::new(&host_folder, &parts)).await??;
    let host = Arc::new(host);
    let running = Arc::<Running>::default();
    let (updates, probed) = mpsc::unbounded_channel();
    let volumes = Volumes::new(
        client.clone(),
        folder.join("pods"),
        host.drive.clone(),
        allocatable.clone(),
    );
    let node = Arc::new(Node {
        host,
        network,
        volumes,
        client: client.clone(),
        allocatable,
        images: args.images.into_iter().collect::<BTreeMap<_, _>>(),
        folder,
        running: Arc::clone(&running),
        events: Events::new(client.clone(), &args.name),
        timings: Timings::default(),
        sandbox: Duration::from_millis(args.sandbox),
        prober: Prober::new(Arc::clone(&running), updates),
    });
    let crash_backoff = Duration::from_millis(args.crash_backoff);
    let settings = Settings {
        real: true,
        launcher_follows: false,
        crash_backoff,
        crash_backoff_limit: crash_backoff * 30,
        shorter_grace_cuts: args.shorter_grace_cuts,
        ..Settings::default()
    };
    registration.register(&client).await?;
    let pods = Arc::new(Pods::new(Arc::clone(&node), probed));
    let kubelet = Kubelet::really(client.clone(), (&args.name, &ip), settings, pods);
    let heart = tokio::spawn(registration.clone().beat(client.clone()));
    tokio::spawn(known_pods::keep(
        client.clone(),
        node.folder.join("stand-in"),
    ));
    let kubelet = Arc::new(kubelet);
    let control = control::Control {
        node: Arc::clone(&node),
        kubelet: Arc::clone(&kubelet),
        registration,
    };
    let port = control.serve(args.control_port).await?;
    println!("control 127.0.0.1:{port}");
    println!("ready");
    end().await?;
    heart.abort();
    running.end_all();
    node.all_gone().await;
    Ok(())
}

/// Waits for the end of stdin, which is the end of whoever started us, or a signal.
async fn end() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0; 64];
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
        () = async { while stdin.read(&mut buffer).await.is_ok_and(|read| read > 0) {} } => {}
    }
    Ok(())
}
