//! HTTP probes (`pkg/probe/http`): a GET on a connection of its own, without a proxy; 200 to 399 is well;
//! redirects are followed to the same host only.
//!
//! One difference: over TLS, Go's client also speaks HTTP/2 where the server does.

use std::fmt::Write as _;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use tokio::io::{AsyncRead, AsyncWrite};

use super::attempt::{Found, address, dial, port};
use super::tls;

/// How much of a body is read (`maxRespBodyLength`).
const BODY: usize = 10 << 10;
/// How many requests there may be before Go's client gives up on redirects.
const REDIRECTS: u32 = 10;

/// A request.
#[derive(Debug, Clone)]
pub struct Get {
    scheme: String,
    host: String,
    port: u16,
    /// With its query, and a slash in front.
    path: String,
    /// Without `Host`, which is apart.
    headers: HeaderMap,
    host_header: Option<HeaderValue>,
}

/// Why there is no response.
enum Unanswered {
    /// A text to stand after `Get "URL": `.
    Get(String),
    /// The body broke off.
    Body(String),
}

impl Get {
    /// The request of an action (`NewRequestForHTTPGetAction`, `request.go`); `purpose` stands in its
    /// User-Agent.
    pub fn new(
        action: &HTTPGetAction,
        container: &Container,
        ip: &str,
        purpose: &str,
    ) -> Result<Self, String> {
        let scheme = action.scheme.as_deref().unwrap_or_default().to_lowercase();
        let host = action.host.as_deref().filter(|host| !host.is_empty());
        let mut headers = HeaderMap::new();
        let mut host_header = None;
        for wanted in action.http_headers.iter().flatten() {
            let name = HeaderName::from_bytes(wanted.name.as_bytes());
            let name = name.map_err(|_| format!("invalid header field name {:?}", wanted.name))?;
            let value = HeaderValue::from_bytes(wanted.value.as_bytes());
            let value = value.map_err(|_| {
                format!("net/http: invalid header field value for {:?}", wanted.name)
            })?;
            if name == header::HOST {
                // Of several, Go takes the first.
                host_header.get_or_insert(value);
            } else {
                headers.append(name, value);
            }
        }
        if !headers.contains_key(header::USER_AGENT) {
            // The version of the control plane that the tests run.
            let agent = format!("kube-{purpose}/1.36");
            headers.insert(header::USER_AGENT, agent.parse().unwrap());
        }
        match headers.get(header::ACCEPT) {
            None => _ = headers.insert(header::ACCEPT, HeaderValue::from_static("*/*")),
            Some(accept) if accept.is_empty() => _ = headers.remove(header::ACCEPT),
            Some(_) => {}
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let scheme = if scheme.is_empty() {
            "http".into()
        } else {
            scheme
        };
        Ok(Self {
            scheme,
            host: host.unwrap_or(ip).to_owned(),
            port: port(&action.port, container)?,
            path: path(action.path.as_deref().unwrap_or_default()),
            headers,
            host_header: host_header.filter(|host| !host.is_empty()),
        })
    }

    /// The same, without TLS.
    pub fn plain(mut self) -> Self {
        self.scheme = "http".into();
        self.headers.remove(header::AUTHORIZATION);
        self
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!(
            "{}://{}{}",
            self.scheme,
            address(&self.host, self.port),
            self.path
        )
    }

    /// Where a redirect leads, if its address can be read.
    fn redirected(&self, location: &str) -> Option<Self> {
        let mut next = self.clone();
        let absolute = if let Some(rest) = location.strip_prefix("//") {
            format!("{}://{rest}", self.scheme)
        } else {
            location.to_owned()
        };
        if absolute.contains("://") {
            let (url, _) = absolute.split_once('#').unwrap_or((&absolute, ""));
            let uri: Uri = url.parse().ok()?;
            next.scheme = uri.scheme_str()?.to_lowercase();
            uri.host()?
                .trim_matches(['[', ']'])
                .clone_into(&mut next.host);
            next.port = match (uri.port_u16(), next.scheme.as_str()) {
                (Some(port), _) => port,
                (None, "https") => 443,
                (None, _) => 80,
            };
            next.path = path(uri.path_and_query().map_or("/", |path| path.as_str()));
            next.host_header = None;
        } else {
            let (location, _) = location.split_once('#').unwrap_or((location, ""));
            let (base, _) = self.path.split_once('?').unwrap_or((&self.path, ""));
            let folder = base.rfind('/').map_or("/", |slash| &base[..=slash]);
            next.path = match location.chars().next() {
                Some('/') => path(location),
                Some('?') => path(&format!("{base}{location}")),
                None => self.path.clone(),
                Some(_) => path(&format!("{folder}{location}")),
            };
        }
        Some(next)
    }
}

/// A path as it goes on the wire: with a slash in front, and what may not stand there escaped.
fn path(path: &str) -> String {
    let (path, _) = path.split_once('#').unwrap_or((path, ""));
    let mut wire = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        wire.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`') {
            wire.push(char::from(byte));
        } else {
            let _ = write!(wire, "%{byte:02X}");
        }
    }
    wire
}

/// Probes. The time is for everything, the body included.
pub async fn probe(get: Get, timeout: Duration) -> Found {
    let url = get.url();
    match tokio::time::timeout(timeout, follow(get)).await {
        Ok(Ok((status, body))) => judge(status, &body),
        Ok(Err(Unanswered::Get(error))) => Found::Failure(format!("Get {url:?}: {error}")),
        Ok(Err(Unanswered::Body(error))) => Found::Error("failure", error),
        Err(_) => Found::Failure(format!(
            "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

fn judge(status: u16, body: &str) -> Found {
    match status {
        200..=299 => Found::Success,
        // What is left of redirects: to another host, or none that can be followed.
        300..=399 => Found::Warning(format!("Probe terminated redirects, Response body: {body}")),
        // The body is not said, since it could hold secrets.
        _ => Found::Failure(format!("HTTP probe failed with statuscode: {status}")),
    }
}

/// Carries out a hook's request: whatever the answer is, it is one.
pub async fn hook(get: Get) -> Result<(), String> {
    let url = get.url();
    match follow(get).await {
        Ok(_) | Err(Unanswered::Body(_)) => Ok(()),
        Err(Unanswered::Get(error)) => Err(format!("Get {url:?}: {error}")),
    }
}

/// Asks, and again where a redirect says so and leads to the same host.
async fn follow(get: Get) -> Result<(u16, String), Unanswered> {
    let first = get.host.clone();
    let mut get = get;
    for _ in 0..REDIRECTS {
        let response = ask(&get).await.map_err(Unanswered::Get)?;
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION);
        let location = location.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308));
        let next = match location {
            None => None,
            Some(location) => {
                let text = String::from_utf8_lossy(location.as_bytes()).into_owned();
                let next = get.redirected(&text).ok_or_else(|| {
                    Unanswered::Get(format!("failed to parse Location header {text:?}"))
                })?;
                Some(next).filter(|next| next.host == first)
            }
        };
        match next {
            Some(next) => get = next,
            None => return Ok((status, body(response.into_body()).await?)),
        }
    }
    Err(Unanswered::Get("stopped after 10 redirects".into()))
}

async fn ask(get: &Get) -> Result<Response<Incoming>, String> {
    let stream = dial(&get.host, get.port).await?;
    match get.scheme.as_str() {
        "http" => exchange(get, stream).await,
        "https" => exchange(get, tls::connect(stream, &get.host).await?).await,
        other => Err(format!("unsupported protocol scheme {other:?}")),
    }
}

async fn exchange<S>(get: &Get, stream: S) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let said = |error: hyper::Error| {
        if error.is_incomplete_message() {
            "EOF".into()
        } else {
            error.to_string()
        }
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    // It ends with the response's body, or when that is dropped.
    tokio::spawn(connection);
    let mut request = Request::get(&get.path).body(Empty::<Bytes>::new());
    let request = request.as_mut().map_err(|error| error.to_string())?;
    let host = match &get.host_header {
        Some(host) => host.clone(),
        None => authority(get).parse().unwrap(),
    };
    request.headers_mut().insert(header::HOST, host);
    for (name, value) in &get.headers {
        request.headers_mut().append(name, value.clone());
    }
    sender
        .send_request(std::mem::take(request))
        .await
        .map_err(said)
}

/// The `Host` of a URL; Go leaves the scheme's own port in.
fn authority(get: &Get) -> String {
    address(&get.host, get.port)
}

async fn body(mut body: Incoming) -> Result<String, Unanswered> {
    let mut read = Vec::new();
    while read.len() < BODY
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|error| Unanswered::Body(error.to_string()))?;
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data);
        }
    }
    read.truncate(BODY);
    Ok(String::from_utf8_lossy(&read).into_owned())
}
