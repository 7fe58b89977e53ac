//! Probes from within the compartment: who is asked, by which thread, and what follows.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use native_host_launcher::timestamp::Timestamp;
use native_host_launcher::{Action, Exit, Probe, ProbeCommand};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::container::{COMPARTMENT, Container, IP, status};
use super::run;

/// A program on the anchor's IP: what it was asked, and what it answers from the n-th request on.
pub(crate) struct Program {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Program {
    pub(crate) fn new(answer: impl Fn(usize) -> u16 + Send + 'static) -> Self {
        Self::over(answer, Some)
    }

    /// One that speaks TLS, with a certificate that nobody has a reason to trust.
    fn with_tls(answer: impl Fn(usize) -> u16 + Send + 'static) -> Self {
        let own = rcgen::generate_simple_self_signed(["nobody.invalid".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        Self::over(answer, move |stream| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            Some(Farewell(StreamOwned::new(connection, stream)))
        })
    }

    fn over<S: std::io::Read + std::io::Write>(
        answer: impl Fn(usize) -> u16 + Send + 'static,
        wrap: impl Fn(TcpStream) -> Option<S> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((IP, 0)).unwrap();
        let program = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let (requests, connections) = (program.requests.clone(), program.connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let Some(mut stream) = wrap(stream.unwrap()) else {
                    continue;
                };
                let mut text = Vec::new();
                let mut byte = [0];
                while !text.ends_with(b"\r\n\r\n")
                    && stream.read(&mut byte).is_ok_and(|read| read == 1)
                {
                    text.push(byte[0]);
                }
                if text.is_empty() {
                    continue;
                }
                let mut requests = requests.lock().unwrap();
                requests.push(String::from_utf8(text).unwrap());
                let status = answer(requests.len());
                // More than one record of TLS, and no length: the end is that of the connection.
                let body = "x".repeat(9000);
                let _ = write!(stream, "HTTP/1.1 {status} x\r\n\r\n{body}");
                let _ = stream.flush();
            }
        });
        program
    }

    pub(crate) fn http(&self, https: bool) -> Action {
        Action::Http {
            port: self.port,
            path: "/live?full=1".to_owned(),
            https,
            headers: vec![("Host".to_owned(), "albums.local".to_owned())],
        }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// TLS that says goodbye when it ends.
struct Farewell(StreamOwned<ServerConnection, TcpStream>);

impl std::io::Read for Farewell {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::io::Write for Farewell {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
    }
}

fn once(action: Action) -> Vec<String> {
    let command = ProbeCommand {
        action,
        timeout_seconds: 60,
    };
    command.to_args()
}

fn entering() -> String {
    format!("SetCurrentThreadCompartmentId compartment={COMPARTMENT}")
}

#[test]
fn probe_asks_the_program_from_within_the_compartment() {
    let Some(container) = Container::lease() else {
        return;
    };
    let program = Program::new(|count| if count == 1 { 204 } else { 503 });
    let ended = container.run(&once(program.http(false)));
    assert_eq!((ended.code, ended.err.trim()), (0, ""), "{ended:?}");
    let seen = program.requests.lock().unwrap()[0].clone();
    assert!(
        seen.starts_with(
            "GET /live?full=1 HTTP/1.1\r\nHost: albums.local\r\nUser-Agent: kube-probe/"
        ),
        "{seen}"
    );
    // It went in before anything else, and made sure of it.
    let calls = container.take_calls();
    let entered = calls
        .iter()
        .position(|(_, call, _)| *call == entering())
        .unwrap();
    let (_, call, found) = &calls[entered + 1];
    assert_eq!(call, "GetCurrentThreadCompartmentId");
    assert_eq!(*found, COMPARTMENT.to_string());

    let ended = container.run(&once(program.http(false)));
    assert_eq!(ended.code, Exit::ProbeFailed.code());
    let line = ended.last_line();
    assert!(
        line.starts_with("native-host-launcher error=ProbeFailed exit=7712 ")
            && line.contains("compartment=5 by=hcn")
            && line.contains("HTTP probe failed with statuscode: 503"),
        "{line}"
    );

    let tcp = Action::Tcp { port: program.port };
    assert_eq!(container.run(&once(tcp)).code, 0);
    assert_eq!((program.requests(), program.connections()), (2, 3));
}

#[test]
fn probe_asks_nobody_where_it_cannot_enter() {
    let Some(container) = Container::lease() else {
        return;
    };
    let program = Program::new(|_| 200);
    for (faults, why) in [
        (
            "SetCurrentThreadCompartmentId 5",
            "SetCurrentThreadCompartmentId 5: ",
        ),
        (
            "SetCurrentThreadCompartmentId ignored",
            "was put into compartment 5 is in 1",
        ),
    ] {
        container.set_faults(faults);
        let ended = container.run(&once(program.http(false)));
        assert_eq!(ended.code, Exit::CompartmentRefused.code(), "{ended:?}");
        assert!(ended.last_line().contains(why), "{ended:?}");
    }
    container.set_faults("");
    container.set_status(&status(IP, Timestamp(0), "a-b"));
    let mut command = ProbeCommand {
        action: program.http(false),
        timeout_seconds: 1,
    };
    let ended = container.run(&command.to_args());
    assert_eq!(ended.code, Exit::AnchorTimeout.code(), "{ended:?}");
    container.set_status(&status(
        "127.20.9.9",
        Timestamp::of(SystemTime::now()),
        "a-b",
    ));
    command.timeout_seconds = 60;
    let ended = container.run(&command.to_args());
    assert_eq!(ended.code, Exit::CompartmentNotFound.code(), "{ended:?}");
    assert_eq!(program.connections(), 0);
}

/// schannel itself, which under wine is GnuTLS below the same calls. TLS 1.3 is more than wine 8.0 speaks.
#[test]
fn https_is_spoken_by_schannel() {
    let Some(container) = Container::lease() else {
        return;
    };
    let program = Program::with_tls(|count| if count == 1 { 200 } else { 500 });
    let ended = container.run(&once(program.http(true)));
    assert_eq!((ended.code, ended.err.trim()), (0, ""), "{ended:?}");
    let ended = container.run(&once(program.http(true)));
    assert!(ended.last_line().contains("statuscode: 500"), "{ended:?}");
    assert_eq!(program.requests(), 2);
    // What answers there but does not speak TLS.
    let listener = TcpListener::bind((IP, 0)).unwrap();
    let mut action = program.http(true);
    if let Action::Http { port, .. } = &mut action {
        *port = listener.local_addr().unwrap().port();
    }
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"220 mail.invalid ESMTP\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let ended = container.run(&once(action));
    assert_eq!(ended.code, Exit::ProbeFailed.code(), "{ended:?}");
    assert!(
        ended.last_line().contains("does not speak TLS"),
        "{ended:?}"
    );
}

fn every_second(action: Action, failures: u32) -> Probe {
    Probe {
        action,
        initial_delay: 0,
        period: 1,
        timeout: 60,
        failure_threshold: failures,
        success_threshold: 1,
        grace: Some(1),
    }
}

/// A target that stays, probed over both until it says that it is not well.
#[test]
fn a_program_is_probed_until_it_fails_and_then_ended() {
    let Some(container) = Container::lease() else {
        return;
    };
    let starting = Program::with_tls(|count| if count < 3 { 503 } else { 200 });
    let living = Program::new(|count| if count < 3 { 200 } else { 500 });
    let mut run = run(&["cmd.exe", "/c", "ping -n 600 127.0.0.1 > nul"]);
    run.startup = Some(every_second(starting.http(true), 3));
    run.liveness = Some(every_second(living.http(false), 2));
    let ended = container.run(&run.to_args().unwrap());
    assert_eq!(ended.code, Exit::LivenessFailed.code(), "{ended:?}");
    let line = ended.last_line();
    assert!(
        line.contains("the liveness probe failed, 2 in a row") && line.contains("statuscode: 500"),
        "{line}"
    );
    // The startup probe ended with its first success.
    assert_eq!((starting.requests(), living.requests()), (3, 4));
    // At its start and before each attempt its thread makes sure of where it is.
    let calls = container.take_calls();
    let entered = calls
        .iter()
        .filter(|(_, call, _)| *call == entering())
        .count();
    assert_eq!(entered, 1 + 7, "{calls:?}");
    container.wait_until_runs(false, "ping", "600");
}
