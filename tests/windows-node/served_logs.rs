//! `kubectl logs`: what the kubelet answers at `/containerLogs/NAMESPACE/POD/CONTAINER` (`getContainerLogs`,
//! `pkg/kubelet/server/server.go`; `kuberuntime/logs/logs.go`), over TLS, on the node's own address. The API server asks
//! there, for a Node says its port.
//!
//! Nobody is asked who he is, and the certificate is nobody's, as is all right for an API server that was not told
//! what to expect; both are so on this machine only.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream};
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::log::Line;
use crate::pods::Running;
use crate::start::log_path;

/// How often a log that is followed is looked at.
const POLL: Duration = Duration::from_millis(200);

/// What is served.
#[derive(Clone)]
pub struct ServedLogs {
    /// For the pods.
    pub client: Client,
    /// The node's folder.
    pub folder: PathBuf,
    /// What runs, and so may write more.
    pub running: Arc<Running>,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl ServedLogs {
    /// Listens on any free port of the address, and gives it.
    pub async fn serve(self, ip: IpAddr) -> io::Result<u16> {
        let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await?;
        let port = listener.local_addr()?.port();
        let acceptor = TlsAcceptor::from(Arc::new(certificate(ip).map_err(io::Error::other)?));
        tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(self.clone().connection(acceptor.clone(), stream));
                }
            }
        });
        Ok(port)
    }

    async fn connection(self, acceptor: TlsAcceptor, stream: TcpStream) {
        let Ok(stream) = acceptor.accept(stream).await else {
            return;
        };
        let service = service_fn(move |request| {
            let served = self.clone();
            async move { Ok::<_, Infallible>(served.answer(request).await) }
        });
        // Who goes before the end of a log has seen enough.
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path: Vec<_> = request.uri().path().split('/').collect();
        let ["", "containerLogs", namespace, pod, container] = path[..] else {
            return text(StatusCode::NOT_FOUND, "404 page not found");
        };
        let options = match Options::parse(request.uri().query().unwrap_or_default()) {
            Ok(options) => options,
            Err(error) => return text(StatusCode::BAD_REQUEST, &error),
        };
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let Ok(Some(found)) = api.get_opt(pod).await else {
            return text(
                StatusCode::NOT_FOUND,
                &format!("pod {pod:?} does not exist"),
            );
        };
        match run(&found, pod, container, options.previous) {
            Ok(run) => {
                let log = log_path(&self.folder, &found, container, run);
                let uid = found.metadata.uid.unwrap_or_default();
                let following = Following {
                    log,
                    read: 0,
                    first: true,
                    ended: false,
                    left: options.limit_bytes,
                    running: Arc::clone(&self.running),
                    key: (uid, container.to_owned()),
                    options,
                };
                let body = StreamBody::new(following.stream());
                Response::new(UnsyncBoxBody::new(body))
            }
            Err((status, error)) => text(status, &error),
        }
    }
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let bytes = Bytes::from(text.to_owned());
    let frames = stream::iter([Ok(Frame::data(bytes))]);
    let mut response = Response::new(UnsyncBoxBody::new(StreamBody::new(frames)));
    *response.status_mut() = status;
    response
}

fn certificate(ip: IpAddr) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let key = rcgen::generate_simple_self_signed(vec![ip.to_string()])?;
    let private = PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = builder.with_no_client_auth();
    Ok(builder.with_single_cert(vec![key.cert.der().clone()], private)?)
}

/// Which of a container's runs, by how often it was started before (`validateContainerLogStatus`,
/// `kubelet_pods.go`).
fn run(
    pod: &Pod,
    name: &str,
    container: &str,
    previous: bool,
) -> Result<i32, (StatusCode, String)> {
    let spec = pod.spec.iter();
    let mut containers = spec.flat_map(|spec| {
        spec.init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
    });
    if !containers.any(|known| known.name == container) {
        let error = format!("container {container:?} not found in pod {name:?}");
        return Err((StatusCode::NOT_FOUND, error));
    }
    let bad = |end: &str| {
        let error = format!("container {container:?} in pod {name:?} {end}");
        Err((StatusCode::BAD_REQUEST, error))
    };
    let status = pod.status.iter();
    let mut statuses = status.flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    });
    let Some(status) = statuses.find(|status| status.name == container) else {
        return bad("is not available");
    };
    let ContainerStatus {
        state,
        last_state,
        restart_count,
        ..
    } = status;
    let state = state.clone().unwrap_or_default();
    let last = last_state
        .as_ref()
        .and_then(|last| last.terminated.as_ref());
    let begun = state.running.is_some()
        || state
            .terminated
            .as_ref()
            .is_some_and(|ended| ended.container_id.is_some());
    match (previous, last.is_some()) {
        (true, false) => {
            let error =
                format!("previous terminated container {container:?} in pod {name:?} not found");
            Err((StatusCode::BAD_REQUEST, error))
        }
        (true, true) if begun => Ok(restart_count - 1),
        (false, _) if begun => Ok(*restart_count),
        // It waits to be started again.
        (_, true) => Ok(*restart_count),
        (false, false) => match state.waiting.and_then(|waiting| waiting.reason) {
            Some(reason) => bad(&format!("is waiting to start: {reason}")),
            None => bad("is waiting to start - no logs yet"),
        },
    }
}

/// `PodLogOptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Options {
    follow: bool,
    previous: bool,
    timestamps: bool,
    since: Option<Timestamp>,
    tail: Option<usize>,
    limit_bytes: Option<usize>,
    stream: Option<String>,
}

impl Options {
    fn parse(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let bad = || format!("{key}: {value:?} is not what it can be");
            let number = || value.parse::<usize>().map_err(|_| bad());
            match key {
                "follow" => options.follow = value == "true",
                "previous" => options.previous = value == "true",
                "timestamps" => options.timestamps = value == "true",
                "tailLines" => options.tail = Some(number()?),
                "limitBytes" => options.limit_bytes = Some(number()?),
                "sinceSeconds" => {
                    let seconds = i64::try_from(number()?).map_err(|_| bad())?;
                    options.since = Some(Timestamp::now() - SignedDuration::from_secs(seconds));
                }
                "sinceTime" => {
                    let time = value.replace("%3A", ":").replace("%2B", "+");
                    options.since = Some(time.parse().map_err(|_| bad())?);
                }
                "stream" if value != "All" => options.stream = Some(value.to_lowercase()),
                _ => {}
            }
        }
        Ok(options)
    }

    /// What is shown of a part of a log; its first part if it is the first.
    fn shown(&self, log: &str, first: bool) -> String {
        let lines: Vec<_> = log.lines().filter_map(Line::parse).collect();
        let tail = self.tail.filter(|_| first).unwrap_or(usize::MAX);
        let lines = &lines[lines.len().saturating_sub(tail)..];
        let mut shown = String::new();
        for line in lines {
            let time = line.time.parse::<Timestamp>().ok();
            let late = self
                .since
                .is_none_or(|since| time.is_some_and(|time| time >= since));
            let wanted = self
                .stream
                .as_ref()
                .is_none_or(|stream| line.stream == stream);
            if !late || !wanted {
                continue;
            }
            if self.timestamps {
                shown.push_str(line.time);
                shown.push(' ');
            }
            shown.push_str(line.text);
            if line.whole {
                shown.push('\n');
            }
        }
        shown
    }
}

/// A log on its way.
struct Following {
    log: PathBuf,
    read: usize,
    first: bool,
    ended: bool,
    left: Option<usize>,
    running: Arc<Running>,
    key: (String, String),
    options: Options,
}

impl Following {
    fn stream(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        stream::unfold(self, |mut this| async {
            let shown = this.next().await?;
            Some((Ok(Frame::data(shown)), this))
        })
    }

    /// What is new, if anything will be.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.ended || self.left == Some(0) {
                return None;
            }
            // Asked before it is read, so that nothing of what an ended container wrote is missed.
            let (pod, container) = &self.key;
            let goes_on =
                self.options.follow && !self.options.previous && self.running.has(pod, container);
            let log = std::fs::read(&self.log).unwrap_or_default();
            let new =
                String::from_utf8_lossy(log.get(self.read..).unwrap_or_default()).into_owned();
            // Only lines that are written to their ends.
            let whole = new.rfind('\n').map_or(0, |end| end + 1);
            let mut shown = self.options.shown(&new[..whole], self.first).into_bytes();
            self.read += whole;
            self.first = false;
            self.ended = !goes_on;
            if let Some(left) = &mut self.left {
                shown.truncate(*left);
                *left -= shown.len();
            }
            if !shown.is_empty() {
                return Some(Bytes::from(shown));
            }
            if goes_on {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const LOG: &str = "2026-11-21T21:00:00.000000001Z stdout F one\n\
                       2026-11-21T21:00:01.000000000Z stderr P two \n\
                       2026-11-21T21:00:02.000000000Z stderr F three\n";

    #[test]
    fn options_choose_what_is_shown() {
        for (query, expected) in [
            ("", "one\ntwo three\n"),
            ("tailLines=1", "three\n"),
            ("tailLines=0", ""),
            ("stream=Stdout", "one\n"),
            ("sinceTime=2026-11-21T21%3A00%3A01Z", "two three\n"),
            (
                "timestamps=true&tailLines=1",
                "2026-11-21T21:00:02.000000000Z three\n",
            ),
        ] {
            let options = Options::parse(query).unwrap();
            assert_eq!(options.shown(LOG, true), expected, "{query}");
        }
        assert!(Options::parse("tailLines=x").is_err());
    }

    #[test]
    fn it_is_the_run_that_the_status_tells_of() {
        let of = |status: Value, previous: bool| {
            let mut status = status;
            for field in ["image", "imageID"] {
                status[field] = json!("");
            }
            status["name"] = json!("c");
            status["ready"] = json!(false);
            let pod = json!({"spec": {"containers": [{"name": "c"}]},
                "status": {"containerStatuses": [status]}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            run(&pod, "p", "c", previous).map_err(|(_, error)| error)
        };
        let running = json!({"running": {}});
        let ended = json!({"terminated": {"exitCode": 1, "containerID": "x"}});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let state = |state: &Value, last: Option<&Value>, count: i32| json!({"state": state, "lastState": last, "restartCount": count});
        assert_eq!(of(state(&running, None, 0), false), Ok(0));
        assert_eq!(of(state(&running, Some(&ended), 2), false), Ok(2));
        assert_eq!(of(state(&running, Some(&ended), 2), true), Ok(1));
        assert_eq!(of(state(&ended, None, 0), false), Ok(0));
        assert_eq!(of(state(&waiting, Some(&ended), 2), false), Ok(2));
        assert_eq!(of(state(&waiting, Some(&ended), 2), true), Ok(2));
        assert_eq!(
            of(state(&running, None, 0), true),
            Err("previous terminated container \"c\" in pod \"p\" not found".into())
        );
        assert_eq!(
            of(state(&waiting, None, 0), false),
            Err("container \"c\" in pod \"p\" is waiting to start: CrashLoopBackOff".into())
        );
    }
}
