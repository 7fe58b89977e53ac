//! What the API server asks of a kubelet: containers' logs, for `kubectl logs`
//! (`pkg/kubelet/server/server.go`, `getContainerLogs`; `pkg/kubelet/kuberuntime/logs`).
//!
//! It listens on the node's own address, which the Node announces with its port. The certificate is one of
//! its own that nobody knows: an API server without `--kubelet-certificate-authority` does not look at it.
//! Commands in containers (`kubectl exec`) are not answered.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as Segments, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use futures::stream;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::log::plain;

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Answers from a node's folder; gives the port, or None where the node's address is not this machine's: then
/// nobody could ask.
pub async fn serve(folder: &Path, ip: &str) -> io::Result<Option<u16>> {
    let listener = match TcpListener::bind((ip, 0)).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => return Ok(None),
        Err(error) => return Err(error),
    };
    let port = listener.local_addr()?.port();
    let acceptor = TlsAcceptor::from(Arc::new(tls(ip).map_err(io::Error::other)?));
    let router = Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs))
        .with_state(Arc::new(folder.join("logs")));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = TowerToHyperService::new(router);
                let server = hyper::server::conn::http1::Builder::new();
                // Whoever asked may have gone.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(Some(port))
}

fn tls(ip: &str) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let made = rcgen::generate_simple_self_signed(vec![ip.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))?;
    Ok(config)
}

/// What is wanted of a log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail: Option<usize>,
}

impl Wanted {
    fn read(query: &str) -> Self {
        let mut wanted = Self::default();
        for pair in query.split('&') {
            match pair.split_once('=').unwrap_or((pair, "true")) {
                ("follow", value) => wanted.follow = value == "true",
                ("previous", value) => wanted.previous = value == "true",
                ("timestamps", value) => wanted.timestamps = value == "true",
                ("tailLines", value) => wanted.tail = value.parse().ok(),
                _ => {}
            }
        }
        wanted
    }

    /// The log's part that is wanted, as it is shown.
    fn show(&self, log: &str) -> String {
        let lines: Vec<_> = log.split_inclusive('\n').collect();
        let from = self.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        let shown = lines[from..].concat();
        if !self.timestamps {
            return plain(&shown);
        }
        let line = |line: &str| {
            let mut words = line.splitn(4, ' ');
            let (time, text) = (words.next(), words.nth(2));
            format!(
                "{} {}\n",
                time.unwrap_or_default(),
                text.unwrap_or_default()
            )
        };
        shown.lines().map(line).collect()
    }
}

async fn logs(
    State(folder): State<Arc<PathBuf>>,
    Segments((namespace, pod, container)): Segments<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Body, (StatusCode, String)> {
    let wanted = Wanted::read(&query.unwrap_or_default());
    let path = find(
        &folder,
        &format!("{namespace}_{pod}_"),
        &container,
        wanted.previous,
    );
    let Some(path) = path else {
        let text = format!("container {container:?} in pod {pod:?} has no such log\n");
        return Err((StatusCode::BAD_REQUEST, text));
    };
    let mut log = std::fs::read_to_string(&path).map_err(|error| {
        let text = format!("{}: {error}\n", path.display());
        (StatusCode::INTERNAL_SERVER_ERROR, text)
    })?;
    // A line that is being written comes with the next look.
    let whole = log.rfind('\n').map_or(0, |end| end + 1);
    log.truncate(whole);
    let first = wanted.show(&log);
    if !wanted.follow {
        return Ok(Body::from(first));
    }
    let rest = Wanted {
        tail: None,
        ..wanted
    };
    let begun = (path, whole, rest, Some(first));
    Ok(Body::from_stream(stream::unfold(
        begun,
        |(path, from, wanted, first)| async move {
            let (text, from) = match first {
                Some(first) => (first, from),
                None => follow(&path, from, &wanted).await?,
            };
            Some((
                Ok::<_, Infallible>(Bytes::from(text)),
                (path, from, wanted, None),
            ))
        },
    )))
}

/// What comes after a place in a log. It ends with the log's folder, or when a later run has begun.
async fn follow(path: &Path, from: usize, wanted: &Wanted) -> Option<(String, usize)> {
    loop {
        tokio::time::sleep(LOOK).await;
        let bytes = tokio::fs::read(path).await.ok()?;
        let new = bytes.get(from..).unwrap_or_default();
        if let Some(end) = new.iter().rposition(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(&new[..=end]);
            return Some((wanted.show(&text), from + end + 1));
        }
        let number: u32 = path.file_stem()?.to_str()?.parse().ok()?;
        if path.with_file_name(format!("{}.log", number + 1)).exists() {
            return None;
        }
    }
}

/// A container's newest log, or the one before it. Of pods of one name, the newest.
fn find(folder: &Path, pod: &str, container: &str, previous: bool) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let of_pod = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(pod));
    let folders = of_pod.map(|entry| entry.path().join(container));
    let age = |folder: &PathBuf| folder.metadata().and_then(|data| data.created()).ok();
    let folder = folders.filter(|folder| folder.is_dir()).max_by_key(age)?;
    let logs = std::fs::read_dir(&folder).ok()?.filter_map(Result::ok);
    let number = |path: &Path| path.file_stem()?.to_str()?.parse::<u32>().ok();
    let newest = logs.filter_map(|log| number(&log.path())).max()?;
    let number = newest.checked_sub(u32::from(previous))?;
    Some(folder.join(format!("{number}.log"))).filter(|log| log.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str =
        "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stderr F two words\n";

    #[test]
    fn a_log_is_shown_as_asked() {
        let show = |query: &str| Wanted::read(query).show(LOG);
        assert_eq!(show(""), "one\ntwo words\n");
        assert_eq!(show("tailLines=1&follow=true"), "two words\n");
        assert_eq!(show("tailLines=0"), "");
        assert_eq!(
            show("timestamps=true&tailLines=1"),
            "2026-01-01T00:00:01Z two words\n"
        );
    }

    #[test]
    fn the_newest_run_is_meant_or_the_one_before() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("shop_albums_1/main");
        std::fs::create_dir_all(&folder).unwrap();
        let found = |previous| find(scratch.path(), "shop_albums_", "main", previous);
        assert_eq!(found(false), None);
        std::fs::write(folder.join("0.log"), LOG).unwrap();
        assert_eq!(
            (found(false), found(true)),
            (Some(folder.join("0.log")), None)
        );
        for number in 1..=10 {
            std::fs::write(folder.join(format!("{number}.log")), LOG).unwrap();
        }
        assert_eq!(found(false), Some(folder.join("10.log")));
        assert_eq!(found(true), Some(folder.join("9.log")));
    }
}
