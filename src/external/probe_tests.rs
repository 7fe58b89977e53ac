#![allow(clippy::unwrap_used)]

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

const HERE: &str = "127.0.0.1";
const TIMEOUT: Duration = Duration::from_secs(60);

/// Answers each request by its path; gives the requests as they came.
async fn serve(
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, hear) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap();
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let _ = stream.write_all(answer(&path).as_bytes()).await;
            let _ = heard.send(request);
        }
    });
    (port, hear)
}

fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} X\r\nContent-Length: 2\r\n\r\nok")
}

fn to(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

async fn get(port: u16, path: &str) -> Result<(), Failure> {
    let probe = Probe::Http {
        https: false,
        port,
        path: path.into(),
    };
    Prober::new()
        .unwrap()
        .attempt(HERE.parse().unwrap(), &probe, TIMEOUT)
        .await
}

#[tokio::test]
async fn a_status_from_200_to_399_is_well() {
    let (port, mut heard) = serve(|path| status(path[1..].parse().unwrap())).await;
    for (code, well) in [
        (200, true),
        (204, true),
        (304, true),
        (399, true),
        (400, false),
        (404, false),
        (503, false),
    ] {
        let outcome = get(port, &format!("/{code}")).await;
        assert_eq!(outcome.is_ok(), well, "{code}: {outcome:?}");
        if let Err(failure) = outcome {
            assert_eq!(failure.outcome, Outcome::Status);
            assert!(failure.text.contains(&code.to_string()));
        }
    }
    let request = heard.recv().await.unwrap().to_ascii_lowercase();
    assert!(
        request.contains(&format!("host: {HERE}:{port}")),
        "{request}"
    );
    assert!(
        request.contains("user-agent: kube-probe/native-host-")
            && request.contains("connection: close"),
        "{request}"
    );
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let (port, _heard) = serve(move |path| match path {
        "/a" => to("/b?x=1"),
        "/b?x=1" => to("c"),
        "/c" => status(503),
        "/away" => to("http://192.0.2.1/"),
        "/strange" => to("ftp://127.0.0.1/"),
        "/loop" => to("/loop"),
        _ => status(200),
    })
    .await;
    let failure = get(port, "/a").await.unwrap_err();
    assert!(
        failure.text.starts_with("/c is answered with 503"),
        "{failure:?}"
    );
    assert_eq!(get(port, "/away").await, Ok(()));
    assert_eq!(get(port, "/strange").await, Ok(()));
    let failure = get(port, "/loop").await.unwrap_err();
    assert!(failure.text.contains("10 redirects"), "{failure:?}");
}

#[test]
fn a_redirect_is_resolved_as_browsers_do_it() {
    let at = Target {
        https: true,
        port: 8443,
        path: "/a/b?c".into(),
    };
    let address: IpAddr = "172.19.1.1".parse().unwrap();
    let target = |https, port, path: &str| {
        Some(Target {
            https,
            port,
            path: path.into(),
        })
    };
    for (location, expected) in [
        ("/x", target(true, 8443, "/x")),
        ("x", target(true, 8443, "/a/x")),
        ("?y", target(true, 8443, "/a/b?y")),
        ("", target(true, 8443, "/a/b")),
        ("/x#f", target(true, 8443, "/x")),
        ("http://172.19.1.1/x", target(false, 80, "/x")),
        ("https://172.19.1.1:9/", target(true, 9, "/")),
        ("https://172.19.1.1?q", target(true, 443, "/?q")),
        ("//172.19.1.1:7/x", target(true, 7, "/x")),
        (
            "/x?to=http://elsewhere/",
            target(true, 8443, "/x?to=http://elsewhere/"),
        ),
        ("http://172.19.1.2/x", None),
        ("http://name/x", None),
        ("http://172.19.1.1@evil/x", None),
        ("file:///x", None),
    ] {
        assert_eq!(at.moved(address, location), expected, "{location}");
    }
    let v6: IpAddr = "fd00::1".parse().unwrap();
    assert_eq!(
        at.moved(v6, "http://[fd00::1]:81/x"),
        target(false, 81, "/x")
    );
}

#[tokio::test]
async fn what_is_no_http_is_not_well() {
    let (port, _heard) = serve(|path| match path {
        "/cut" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx".into(),
        "/long" => format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n{}",
            "x".repeat(20000)
        ),
        _ => "SSH-2.0-x\r\n".into(),
    })
    .await;
    assert_eq!(get(port, "/").await.unwrap_err().outcome, Outcome::Http);
    assert_eq!(get(port, "/cut").await.unwrap_err().outcome, Outcome::Http);
    assert_eq!(get(port, "/long").await, Ok(()));
}

#[tokio::test]
async fn a_tcp_probe_wants_every_port_open() {
    let open = TcpListener::bind((HERE, 0)).await.unwrap();
    let also = TcpListener::bind((HERE, 0)).await.unwrap();
    let (open, also_port) = (
        open.local_addr().unwrap().port(),
        also.local_addr().unwrap().port(),
    );
    let _kept = TcpListener::bind((HERE, open)).await.err();
    drop(also);
    let prober = Prober::new().unwrap();
    let outcome = prober
        .attempt(HERE.parse().unwrap(), &Probe::Tcp(vec![also_port]), TIMEOUT)
        .await;
    let failure = outcome.unwrap_err();
    assert_eq!(failure.outcome, Outcome::Connect);
    assert!(failure.text.ends_with("connection refused"), "{failure:?}");
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(
        prober
            .attempt(HERE.parse().unwrap(), &Probe::Tcp(vec![port]), TIMEOUT)
            .await,
        Ok(())
    );
    let both = Probe::Tcp(vec![port, also_port]);
    assert!(
        prober
            .attempt(HERE.parse().unwrap(), &both, TIMEOUT)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = Probe::Http {
        https: false,
        port,
        path: "/".into(),
    };
    let prober = Prober::new().unwrap();
    let failure = prober
        .attempt(HERE.parse().unwrap(), &probe, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert_eq!(failure.outcome, Outcome::Timeout);
}

#[tokio::test]
async fn any_certificate_will_do() -> io::Result<()> {
    let pair = rcgen::generate_simple_self_signed(["nobody".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![pair.cert.der().clone()], key)
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((HERE, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(status(200).as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    let prober = Prober::new().unwrap();
    let probe = |https| Probe::Http {
        https,
        port,
        path: "/".into(),
    };
    assert_eq!(
        prober
            .attempt(HERE.parse().unwrap(), &probe(true), TIMEOUT)
            .await,
        Ok(())
    );
    assert!(
        prober
            .attempt(HERE.parse().unwrap(), &probe(false), TIMEOUT)
            .await
            .is_err()
    );
    let listener = TcpListener::bind((HERE, 0)).await?;
    let plain = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(status(400).as_bytes()).await;
        }
    });
    let probe = Probe::Http {
        https: true,
        port: plain,
        path: "/".into(),
    };
    let failure = prober
        .attempt(HERE.parse().unwrap(), &probe, TIMEOUT)
        .await
        .unwrap_err();
    assert_eq!(failure.outcome, Outcome::Tls);
    Ok(())
}
