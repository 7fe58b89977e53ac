//! An HTTP/1.1 client that can misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing in these tests takes longer, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    pub stream: BufReader<TlsStream<TcpStream>>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the server wants another connection from now on.
    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

/// A certificate chain and its key, PEM.
pub type Identity = (String, String);

pub fn trust(ca: &str, identity: Option<&Identity>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

impl Client {
    pub async fn connect(address: SocketAddr, tls: &TlsConnector) -> std::io::Result<Client> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tls.connect(name, tcp).await?;
        Ok(Client {
            stream: BufReader::new(stream),
        })
    }

    pub fn server_certificate(&self) -> Vec<u8> {
        let session = self.stream.get_ref().get_ref().1;
        session.peer_certificates().unwrap()[0].to_vec()
    }

    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    pub async fn head(&mut self, path: &str, length: usize) -> std::io::Result<()> {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        self.send(head.as_bytes()).await
    }

    pub async fn post(&mut self, path: &str, body: &[u8]) -> std::io::Result<Response> {
        self.head(path, body.len()).await?;
        self.send(body).await?;
        self.response().await
    }

    /// The next response; an error if the server closes before it is whole.
    pub async fn response(&mut self) -> std::io::Result<Response> {
        tokio::time::timeout(PATIENCE, self.read()).await.unwrap()
    }

    async fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    async fn read(&mut self) -> std::io::Result<Response> {
        let status = self.line().await?;
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = headers.iter().find(|(n, _)| n == "content-length");
        let mut body = vec![0; length.map_or(0, |(_, v)| v.parse().unwrap())];
        self.stream.read_exact(&mut body).await?;
        Ok(Response {
            status,
            headers,
            body: String::from_utf8(body).unwrap(),
        })
    }

    /// Waits until the server has closed; what it sends until then is dropped.
    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut rest));
        // A server that drops a connection sends no close_notify, which is an error to rustls.
        let _ = read.await.expect("the server keeps the connection open");
    }
}
