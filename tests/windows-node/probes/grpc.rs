//! gRPC probes (`pkg/probe/grpc/grpc.go`): `grpc.health.v1.Health/Check`, without TLS.
//!
//! The protocol is small enough to be written out: a request with one string, an answer with one number
//! (`grpc/health/v1/health.proto`, and gRPC's `PROTOCOL-HTTP2.md`).

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::attempt::{Found, address, dial, go};

/// Between tries to connect: gRPC's first backoff (`grpc-go/backoff`).
const BACKOFF: Duration = Duration::from_secs(1);

/// The names of statuses, by their numbers (`grpc-go/codes`).
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];
const UNIMPLEMENTED: usize = 12;

/// The names of `ServingStatus`.
const SERVING: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// What a call ended with: its status, or the message.
enum Answer {
    Serving(u64),
    Status(usize, String),
}

/// Probes. The time is for connecting and for the call.
pub async fn probe(host: &str, port: u16, service: &str, timeout: Duration) -> Found {
    let address = address(host, port);
    let deadline = tokio::time::Instant::now() + timeout;
    // A refused connection is tried again until the time is over (`grpc.WithBlock`).
    let connected = tokio::time::timeout_at(deadline, async {
        loop {
            match dial(host, port).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(BACKOFF).await,
            }
        }
    });
    let Ok(stream) = connected.await else {
        return Found::Failure(format!(
            "timeout: failed to connect service {address:?} within {}: context deadline exceeded",
            go(timeout)
        ));
    };
    match tokio::time::timeout_at(deadline, check(stream, &address, service)).await {
        Err(_) => Found::Failure(format!(
            "timeout: health rpc did not complete within {}",
            go(timeout)
        )),
        Ok(Answer::Serving(1)) => Found::Success,
        Ok(Answer::Serving(status)) => {
            let name = usize::try_from(status)
                .ok()
                .and_then(|status| SERVING.get(status));
            let name = name.map_or_else(|| status.to_string(), |name| (*name).to_owned());
            Found::Failure(format!("service unhealthy (responded with {name:?})"))
        }
        Ok(Answer::Status(UNIMPLEMENTED, message)) => Found::Failure(format!(
            "error: this server does not implement the grpc health protocol \
             (grpc.health.v1.Health): {message}"
        )),
        Ok(Answer::Status(code, message)) => {
            let code = CODES
                .get(code)
                .map_or_else(|| format!("Code({code})"), ToString::to_string);
            Found::Failure(format!(
                "error: health rpc probe failed: rpc error: code = {code} desc = {message}"
            ))
        }
    }
}

const UNKNOWN: usize = 2;
const INTERNAL: usize = 13;
const UNAVAILABLE: usize = 14;

async fn check(stream: TcpStream, address: &str, service: &str) -> Answer {
    let lost = |error: hyper::Error| Answer::Status(UNAVAILABLE, error.to_string());
    let io = TokioIo::new(stream);
    let (mut sender, connection) = match http2::handshake(TokioExecutor::new(), io).await {
        Ok(connected) => connected,
        Err(error) => return lost(error),
    };
    tokio::spawn(connection);
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, "kube-probe/1.36")
        .body(Full::new(Bytes::from(frame(&check_request(service)))));
    let request = match request {
        Ok(request) => request,
        Err(error) => return Answer::Status(INTERNAL, error.to_string()),
    };
    match sender.send_request(request).await {
        Ok(response) => read(response).await,
        Err(error) => lost(error),
    }
}

async fn read(response: Response<hyper::body::Incoming>) -> Answer {
    if let Some(status) = status(response.headers()) {
        return status;
    }
    if response.status() != 200 {
        let message = format!(
            "unexpected HTTP status code received from server: {}",
            response.status()
        );
        return Answer::Status(UNKNOWN, message);
    }
    let body = match response.into_body().collect().await {
        Ok(body) => body,
        Err(error) => return Answer::Status(UNAVAILABLE, error.to_string()),
    };
    match body.trailers().and_then(status) {
        Some(Answer::Status(0, _)) => {}
        Some(other) => return other,
        None => return Answer::Status(INTERNAL, "no grpc-status".into()),
    }
    let bytes = body.to_bytes();
    // One byte that says whether it is compressed, four of its length.
    match bytes.get(5..).and_then(serving) {
        Some(status) => Answer::Serving(status),
        None => Answer::Status(INTERNAL, "grpc: error unmarshalling request".into()),
    }
}

fn status(headers: &HeaderMap) -> Option<Answer> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let code = text("grpc-status")?.parse().unwrap_or(UNKNOWN);
    let message = text("grpc-message").unwrap_or_default();
    Some(Answer::Status(code, unescape(message)))
}

/// `%XX` of a status message.
fn unescape(message: &str) -> String {
    let mut bytes = Vec::with_capacity(message.len());
    let mut rest = message.as_bytes();
    while let [byte, after @ ..] = rest {
        let escaped = (*byte == b'%').then(|| message_byte(after)).flatten();
        bytes.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn message_byte(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
    u8::from_str_radix(digits, 16).ok()
}

/// `HealthCheckRequest`: field 1, the service.
fn check_request(service: &str) -> Vec<u8> {
    if service.is_empty() {
        return Vec::new();
    }
    let mut message = vec![0x0a];
    let mut length = service.len();
    while length >= 0x80 {
        message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap_or_default());
    message.extend_from_slice(service.as_bytes());
    message
}

/// `HealthCheckResponse`: field 1, the status; left out where it is 0. None for what is no message.
fn serving(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = varint(&mut message)?,
            // Fields that a newer server may have.
            (_, 0) => _ = varint(&mut message)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 1) => message = message.get(8..)?,
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..10 {
        let byte = *message.first()?;
        *message = &message[1..];
        value |= u64::from(byte & 0x7f).checked_shl(7 * index)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or_default();
    let mut framed = vec![0];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_protobuf_has_them() {
        assert_eq!(check_request("albums"), b"\x0a\x06albums");
        assert_eq!(check_request(&"x".repeat(200))[..3], [0x0a, 0xc8, 0x01]);
        assert_eq!(frame(b"ab"), [0, 0, 0, 0, 2, b'a', b'b']);
        assert_eq!(serving(&[]), Some(0));
        assert_eq!(serving(&[8, 1]), Some(1));
        // An unknown string before it.
        assert_eq!(serving(&[0x12, 1, b'x', 8, 2]), Some(2));
        for broken in [&[8][..], &[8, 0x80], &[0x12, 9, 1], &[0x0b]] {
            assert_eq!(serving(broken), None);
        }
    }

    #[test]
    fn status_messages_are_unescaped() {
        assert_eq!(unescape("100%25 of%20it, 5%"), "100% of it, 5%");
    }
}
