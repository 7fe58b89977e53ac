//! What pairs cost at scale: a real control plane, nodes and kubelets played by kwok, and the real
//! program under its own Role. `hack/scale` runs it.
//!
//! - *burst*: so many bound HP pods that have no anchor, then the controller starts. Beside it, in the
//!   same run and on the same control plane, a bare client creates as many pods that are just like
//!   those anchors, with as many requests at a time as the controller has workers.
//! - *gentle*: HP pods at ten a second; the time from a pod's creation, bound, to the moment a watch
//!   shows its anchor. Beside it, in turn, what a bare create and its watch event take.
//! - *memory* of the program, resident, after the burst and at its highest.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod pods;
mod program;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use native_host::anchor::controller::WORKERS;
use pods::Arrivals;
use program::Program;
use support::process::Server;
use support::{ControlPlane, NodeOptions, Options};

/// Measures the controller at scale.
#[derive(Parser)]
struct Args {
    /// How many pairs.
    #[arg(long, default_value_t = 10_000)]
    pairs: usize,
    /// How many nodes they are on.
    #[arg(long, default_value_t = 100)]
    nodes: usize,
    /// How many pods come at the gentle rate.
    #[arg(long, default_value_t = 300)]
    gentle: usize,
    /// kwok's binary.
    #[arg(long)]
    kwok: PathBuf,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

const GENTLE: Duration = Duration::from_millis(100);

fn main() {
    let args = Args::parse();
    let plane = ControlPlane::start(&Options::default());
    plane.install_roles();
    let kwok = start_kwok(&plane, &args.kwok);
    let nodes: Vec<String> = (0..args.nodes).map(|n| format!("win-{n}")).collect();
    register(&plane, &nodes);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(&args, &plane, &nodes));
    drop(kwok);
}

async fn measure(args: &Args, plane: &ControlPlane, nodes: &[String]) {
    let client = client(plane).await;
    for namespace in ["pairs", "bare", "gentle"] {
        plane.kubectl_ok(&["create", "namespace", namespace]);
        plane.wait_for(
            &["serviceaccount", "default", "-n", namespace],
            "{.metadata.name}",
        );
    }
    say(&format!("{} HP pods on {} nodes", args.pairs, args.nodes));
    let hps: Vec<Pod> = (0..args.pairs)
        .map(|n| pods::hp(&format!("albums-{n}"), &nodes[n % nodes.len()]))
        .collect();
    let (took, created) = create_all(&client, "pairs", hps).await;
    report("HP pods created", created.len(), took);

    let anchors: Vec<Pod> = created.iter().map(pods::bare_like_its_anchor).collect();
    let bare = Arrivals::watch(&client, "bare", args.pairs);
    let (_, twins) = create_all(&client, "bare", anchors).await;
    let floor = bare.all().await;
    report("bare client", twins.len(), floor);
    delete_all(&client, "bare").await;

    let program = Program::start(plane);
    let burst = Arrivals::watch(&client, "pairs", args.pairs);
    program.until_leading();
    let took = burst.all().await;
    report("controller", args.pairs, took);
    println!(
        "{:<28} {:>8.2}",
        "controller to bare client",
        floor.as_secs_f64() / took.as_secs_f64()
    );
    let started = Instant::now();
    program.until("native_host_pairs{state=\"Ready\"}", args.pairs as f64);
    println!(
        "{:<28} {:>8.1} s later",
        "all ready",
        started.elapsed().as_secs_f64()
    );
    memory("resident memory", &program);

    gentle(args, &client, nodes).await;
    memory("resident memory at the end", &program);
    for line in program.interesting() {
        println!("  {line}");
    }
}

fn memory(when: &str, program: &Program) {
    let (now, anonymous, peak) = program.memory();
    println!("{when:<28} {now:>8.1} MiB, {anonymous:.1} of them no file's, at most {peak:.1} MiB");
}

/// One HP pod and one bare pod in turn, each timed until a watch shows what it led to.
async fn gentle(args: &Args, client: &Client, nodes: &[String]) {
    let api: Api<Pod> = Api::namespaced(client.clone(), "gentle");
    let arrivals = Arrivals::watch(client, "gentle", args.gentle * 2);
    let (mut pair, mut bare) = (Vec::new(), Vec::new());
    for n in 0..args.gentle {
        let node = &nodes[n % nodes.len()];
        let hp = api
            .create(&PostParams::default(), &pods::hp(&format!("hp-{n}"), node))
            .await
            .unwrap();
        let bound = Instant::now();
        let anchor =
            native_host::anchor::name(&format!("hp-{n}"), hp.metadata.uid.as_deref().unwrap());
        pair.push(arrivals.of(&anchor).await.saturating_duration_since(bound));
        tokio::time::sleep(GENTLE / 2).await;

        let twin = pods::bare_like_its_anchor(&hp);
        let asked = Instant::now();
        let twin = api.create(&PostParams::default(), &twin).await.unwrap();
        let seen = arrivals.of(twin.metadata.name.as_deref().unwrap()).await;
        bare.push(seen.saturating_duration_since(asked));
        tokio::time::sleep(GENTLE / 2).await;
    }
    for (name, times) in [
        ("bound to anchor created", &mut pair),
        ("bare create", &mut bare),
    ] {
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
        println!("{name:<28} p50 {:>6.1} ms, p99 {:>6.1} ms", at(50), at(99));
    }
}

async fn create_all(client: &Client, namespace: &str, pods: Vec<Pod>) -> (Duration, Vec<Pod>) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let started = Instant::now();
    let created = futures::stream::iter(pods)
        .map(|pod| {
            let api = api.clone();
            async move { api.create(&PostParams::default(), &pod).await.unwrap() }
        })
        .buffer_unordered(WORKERS)
        .collect()
        .await;
    (started.elapsed(), created)
}

/// Leaves nothing of the floor on the control plane while the controller is measured. Not all in one
/// request: that would take longer than the API server gives any.
async fn delete_all(client: &Client, namespace: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let now = DeleteParams::default().grace_period(0);
    loop {
        let page = api
            .list_metadata(&ListParams::default().limit(500))
            .await
            .unwrap();
        if page.items.is_empty() {
            return;
        }
        let names = page.items.into_iter().filter_map(|pod| pod.metadata.name);
        futures::stream::iter(names)
            .for_each_concurrent(WORKERS, |name| {
                let (api, now) = (api.clone(), now.clone());
                // kwok may be quicker.
                async move { drop(api.delete(&name, &now).await) }
            })
            .await;
    }
}

async fn client(plane: &ControlPlane) -> Client {
    let path: Arc<Path> = plane.kubeconfig().into();
    native_host::cluster::client(Some(&path), None)
        .await
        .unwrap()
}

fn register(plane: &ControlPlane, nodes: &[String]) {
    let options = NodeOptions {
        pods: 1000,
        ..NodeOptions::default()
    };
    let items: Vec<_> = nodes
        .iter()
        .map(|name| {
            let mut node = options.manifest(name);
            node["metadata"]["annotations"] = serde_json::json!({"kwok.x-k8s.io/node": "fake"});
            node
        })
        .collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
    plane.apply(&list.to_string());
}

fn start_kwok(plane: &ControlPlane, kwok: &Path) -> Server {
    let stages = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/pairs/stages.yaml");
    let flags = [
        format!("--kubeconfig={}", plane.kubeconfig().display()),
        format!("--config={stages}"),
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake".to_owned(),
        "--node-lease-duration-seconds=0".to_owned(),
        "--cidr=10.0.0.0/12".to_owned(),
        "--server-address=".to_owned(),
    ];
    Server::start("kwok", kwok, &flags, plane.folder()).unwrap()
}

fn say(text: &str) {
    eprintln!("==> {text}");
}

fn report(what: &str, count: usize, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    println!(
        "{what:<28} {count:>8} in {:>6.1} s, {rate:>6.0} a second",
        took.as_secs_f64()
    );
}
