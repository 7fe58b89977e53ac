//! One connection of a program, and ours to the API server behind it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};

use super::call::{Call, Kind};
use super::faults::{Faults, Gone, Verdict};

/// Why a connection ends: it was cut, or the API server's was.
type Broken = Box<dyn std::error::Error + Send + Sync>;

type Body = UnsyncBoxBody<Bytes, Broken>;

/// Ours to the API server; opened with the first call.
type Behind = Mutex<Option<SendRequest<Full<Bytes>>>>;

/// Serves one connection until either end closes it, or it is cut.
pub async fn connection(faults: Arc<Faults>, stream: TcpStream) {
    let mut refused = faults.refused.subscribe();
    let behind = Behind::default();
    let service = service_fn(|request| answer(&faults, &behind, request));
    let serve = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        // It may be so already.
        _ = refused.wait_for(|refused| *refused) => {}
        _ = serve => {}
    }
}

async fn answer(
    faults: &Arc<Faults>,
    behind: &Behind,
    request: Request<Incoming>,
) -> Result<Response<Body>, Broken> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let call = Call::new(&head, body.clone());
    faults.thawed().await;

    let (verdict, later) = faults.before(&call);
    match verdict {
        Verdict::Pass => {}
        Verdict::Cut => return cut(faults, call),
        Verdict::Answer(status) => return Ok(failure(faults, call, status)),
    }
    if call.kind == Kind::Watch
        && let Some(how) = faults.expired()
    {
        return Ok(expired(faults, call, how));
    }

    let mut request = Request::from_parts(head, Full::new(body));
    let authority = HeaderValue::from_str(&faults.upstream.authority)?;
    request.headers_mut().insert(HOST, authority);
    for hop in [CONNECTION, TRANSFER_ENCODING] {
        request.headers_mut().remove(hop);
    }
    let cuts = faults.cut.subscribe();
    let answer = match forward(faults, behind, request).await {
        Ok(answer) => answer,
        Err(error) => {
            faults.note(call, None);
            return Err(error);
        }
    };
    faults.thawed().await;
    match faults.after(&call, later) {
        Verdict::Pass => {}
        Verdict::Cut => return cut(faults, call),
        Verdict::Answer(status) => return Ok(failure(faults, call, status)),
    }

    let (mut head, body) = answer.into_parts();
    for hop in [CONNECTION, TRANSFER_ENCODING] {
        head.headers.remove(hop);
    }
    let open = (call.kind == Kind::Watch).then(|| Open::new(faults, cuts));
    faults.note(call, Some(head.status.as_u16()));
    Ok(Response::from_parts(head, relay(faults, body, open)))
}

/// Sends a request on our connection, a new one where there is none that works.
async fn forward(
    faults: &Faults,
    behind: &Behind,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Broken> {
    let mut behind = behind.lock().await;
    let kept = match behind.take() {
        Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
        None => None,
    };
    let mut sender = match kept {
        Some(sender) => sender,
        None => connect(faults).await?,
    };
    let answer = sender.send_request(request).await?;
    *behind = Some(sender);
    Ok(answer)
}

async fn connect(faults: &Faults) -> Result<SendRequest<Full<Bytes>>, Broken> {
    let upstream = &faults.upstream;
    let stream = TcpStream::connect(&upstream.authority).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    let stream = upstream.tls.connect(name, stream).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the sender and the body of its last answer are dropped.
    tokio::spawn(connection);
    Ok(sender)
}

/// An open watch; counted as long as it is there.
struct Open {
    faults: Arc<Faults>,
    cuts: watch::Receiver<()>,
}

impl Open {
    fn new(faults: &Arc<Faults>, cuts: watch::Receiver<()>) -> Self {
        faults.watches.fetch_add(1, Ordering::SeqCst);
        Self {
            faults: Arc::clone(faults),
            cuts,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.faults.watches.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The answer's body, frame by frame, as long as nobody holds or cuts it.
fn relay(faults: &Arc<Faults>, body: Incoming, open: Option<Open>) -> Body {
    let state = (Arc::clone(faults), body, open);
    let frames = stream::unfold(Some(state), |state| async {
        let (faults, mut body, mut open) = state?;
        let frame = match &mut open {
            None => body.frame().await,
            Some(open) => tokio::select! {
                biased;
                _ = open.cuts.changed() => return Some((Err("the watch is cut".into()), None)),
                frame = body.frame() => frame,
            },
        };
        faults.thawed().await;
        match frame? {
            Ok(frame) => Some((Ok(frame), Some((faults, body, open)))),
            Err(error) => Some((Err(Broken::from(error)), None)),
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

fn cut(faults: &Faults, call: Call) -> Result<Response<Body>, Broken> {
    faults.note(call, None);
    Err("the connection is cut".into())
}

/// A Status of ours as the answer.
fn failure(faults: &Faults, call: Call, status: u16) -> Response<Body> {
    let body = status_object(status).to_string();
    faults.note(call, Some(status));
    json_response(status, body)
}

/// What a watch gets whose resource version is too old.
fn expired(faults: &Faults, call: Call, how: Gone) -> Response<Body> {
    let status = status_object(410);
    match how {
        Gone::Status => {
            faults.note(call, Some(410));
            json_response(410, status.to_string())
        }
        Gone::Event => {
            faults.note(call, Some(200));
            let event = json!({"type": "ERROR", "object": status});
            json_response(200, format!("{event}\n"))
        }
    }
}

fn json_response(status: u16, body: String) -> Response<Body> {
    let body = Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status.try_into().unwrap();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// A failure as the API server words it.
fn status_object(code: u16) -> serde_json::Value {
    let (reason, message) = match code {
        403 => ("Forbidden", "forbidden by a test"),
        404 => ("NotFound", "not found, says a test"),
        409 => (
            "Conflict",
            "the object has been modified; please apply your changes to the latest version and try again",
        ),
        410 => ("Expired", "too old resource version: 1 (2)"),
        429 => ("TooManyRequests", "too many requests, says a test"),
        500 => ("InternalError", "an internal error, says a test"),
        503 => (
            "ServiceUnavailable",
            "the server is unavailable, says a test",
        ),
        504 => ("Timeout", "the request timed out, says a test"),
        _ => ("", "a failure, says a test"),
    };
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {},
        "status": "Failure", "reason": reason, "message": message, "code": code,
    })
}
