//! What a test makes happen to the node, over HTTP on loopback. Every answer is text or JSON.
//!
//! | request | |
//! |---|---|
//! | `GET /timings` | when what happened to each pod ([`crate::timings`]) |
//! | `POST /reboot?away=MILLISECONDS` | everything on it is gone at once; after so long (1000) it is back, with a new boot ID. Until then the API server has what it had |
//! | `POST /pause`, `POST /resume` | the kubelet is away; containers run on |
//! | `POST /new-ip/NAMESPACE/POD` | the pod's sandbox is lost, and made anew with another address |
//! | `POST /kill/NAMESPACE/POD/CONTAINER/IMAGE.exe` | its processes of that file crash; answers how many |
//! | `POST /evict/NAMESPACE/POD` | the kubelet evicts it, as under memory pressure |

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::net::TcpListener;

use crate::pods::Node;
use crate::register::Registration;
use crate::support::Kubelet;

/// How long a reboot takes if nobody says otherwise.
const AWAY: Duration = Duration::from_secs(1);

/// What it has a hand on.
#[derive(Clone)]
pub struct Control {
    /// What runs.
    pub node: Arc<Node>,
    /// The rules.
    pub kubelet: Arc<Kubelet>,
    /// The Node.
    pub registration: Registration,
}

type Answer = Result<String, (StatusCode, String)>;

impl Control {
    /// Listens, and gives the port.
    pub async fn serve(self, port: u16) -> std::io::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        let router = Router::new()
            .route("/timings", get(timings))
            .route("/reboot", post(reboot))
            .route("/pause", post(pause))
            .route("/resume", post(resume))
            .route("/new-ip/{namespace}/{pod}", post(new_ip))
            .route("/evict/{namespace}/{pod}", post(evict))
            .route("/kill/{namespace}/{pod}/{container}/{image}", post(kill))
            .with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(port)
    }
}

async fn timings(State(control): State<Control>) -> Answer {
    serde_json::to_string(&control.node.timings.list()).map_err(failed)
}

async fn reboot(State(control): State<Control>, RawQuery(query): RawQuery) -> Answer {
    let away = match query
        .as_deref()
        .and_then(|query| query.strip_prefix("away="))
    {
        None => AWAY,
        Some(text) => Duration::from_millis(text.parse().map_err(bad)?),
    };
    let name = &control.registration.name;
    control.kubelet.pause(name);
    control.node.lose_all().map_err(failed)?;
    let client = control.node.client.clone();
    tokio::time::sleep(away).await;
    control
        .registration
        .rebooted(&client)
        .await
        .map_err(failed)?;
    control.kubelet.reboot(name);
    control.kubelet.resume(name);
    Ok("rebooted\n".into())
}

async fn pause(State(control): State<Control>) -> Answer {
    control.kubelet.pause(&control.registration.name);
    Ok("paused\n".into())
}

async fn resume(State(control): State<Control>) -> Answer {
    control.kubelet.resume(&control.registration.name);
    Ok("resumed\n".into())
}

async fn new_ip(
    State(control): State<Control>,
    Path((namespace, pod)): Path<(String, String)>,
) -> Answer {
    control.kubelet.new_ip(&namespace, &pod);
    Ok("lost\n".into())
}

async fn evict(
    State(control): State<Control>,
    Path((namespace, pod)): Path<(String, String)>,
) -> Answer {
    control.kubelet.evict_locally(&namespace, &pod);
    Ok("evicted\n".into())
}

async fn kill(
    State(control): State<Control>,
    Path((namespace, pod, container, image)): Path<(String, String, String, String)>,
) -> Answer {
    let api = Api::<Pod>::namespaced(control.node.client.clone(), &namespace);
    let uid = api
        .get(&pod)
        .await
        .map_err(failed)?
        .metadata
        .uid
        .unwrap_or_default();
    match control
        .node
        .running
        .kill_image(&uid, &container, &image)
        .await
    {
        None => Err((
            StatusCode::NOT_FOUND,
            "no such container runs here\n".into(),
        )),
        Some(count) => Ok(format!("{count}\n")),
    }
}

fn failed(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
}

fn bad(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, format!("{error}\n"))
}
