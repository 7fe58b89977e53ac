//! Servers to be probed, on loopback, until they are dropped.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::pending;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// One of them.
pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// What it was asked, in lower case where it is HTTP/1.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Nobody listens there any more.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

async fn serve<F, S>(each: F) -> Server
where
    F: Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let log = asked.clone();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(each(stream, log.clone()));
        }
    });
    Server { port, asked, task }
}

/// What HTTP answers.
pub struct Answer {
    status: u16,
    body: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            body: body.into(),
            headers: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// HTTP that answers by the path.
pub async fn http<F>(answer: F) -> Server
where
    F: Fn(&str) -> Answer + Clone + Send + Sync + 'static,
{
    serve(move |stream, asked| one(stream, asked, answer.clone())).await
}

async fn one<S, F>(mut stream: S, asked: Arc<Mutex<Vec<String>>>, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(&str) -> Answer,
{
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
            _ => return,
        }
        // No HTTP: the beginning of TLS. Go's servers answer so.
        if head[0] == 0x16 {
            let text = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
            let _ = stream.write_all(text).await;
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(head);
    let answer = answer(&path);
    let mut text = format!("HTTP/1.1 {} X\r\n", answer.status);
    for (name, value) in &answer.headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let _ = write!(
        text,
        "content-length: {}\r\n\r\n{}",
        answer.body.len(),
        answer.body
    );
    let _ = stream.write_all(text.as_bytes()).await;
}

/// HTTPS, with a certificate of nobody's.
pub async fn https() -> Server {
    let key = rcgen::generate_simple_self_signed(vec!["nobody".into()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into()),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve(move |stream, asked| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                one(stream, asked, |_| Answer::new(200, "")).await;
            }
        }
    })
    .await
}

/// Accepts, and says nothing.
pub async fn silent() -> Server {
    serve(|stream, _| async move {
        let _open = stream;
        pending::<()>().await;
    })
    .await
}

/// What a gRPC server says of its health.
#[derive(Clone, Copy)]
pub enum Health {
    /// A message with this status.
    Status(u8),
    /// An error's code and message, in the head: no message follows.
    Error(u8, &'static str),
    Never,
}

/// gRPC.
pub async fn grpc(health: Health) -> Server {
    serve(move |stream, asked| async move {
        let service = service_fn(move |request| check(request, health, asked.clone()));
        let io = TokioIo::new(stream);
        let served = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service);
        let _ = served.await;
    })
    .await
}

type Body = StreamBody<futures::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn check(
    request: Request<Incoming>,
    health: Health,
    asked: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let kind = head.headers["content-type"].to_str().unwrap();
    let line = format!(
        "{} {} {kind} {:?}",
        head.method,
        head.uri.path(),
        &body[5..]
    );
    asked.lock().unwrap().push(line);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    let frames = match health {
        Health::Never => pending().await,
        Health::Error(code, message) => {
            headers.insert("grpc-status", code.to_string().parse().unwrap());
            headers.insert("grpc-message", HeaderValue::from_static(message));
            vec![]
        }
        Health::Status(status) => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            // What is 0 is left out.
            let message = if status == 0 {
                vec![0, 0, 0, 0, 0]
            } else {
                vec![0, 0, 0, 0, 2, 8, status]
            };
            vec![
                Ok(Frame::data(Bytes::from(message))),
                Ok(Frame::trailers(trailers)),
            ]
        }
    };
    let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)));
    *response.headers_mut() = headers;
    Ok(response)
}
