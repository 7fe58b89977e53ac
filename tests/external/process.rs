//! A process that Kubernetes does not run: an HTTP server at an address of its own.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::wait_until;

/// What it listens on.
pub const PORT: u16 = 8080;

#[derive(Default)]
struct State {
    stop: AtomicBool,
    /// Its health path answers 503, and all else goes on.
    draining: AtomicBool,
    probes: AtomicUsize,
    requests: AtomicUsize,
}

/// See the module.
pub struct Process {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts one.
    pub fn start(address: &str) -> Self {
        Self::at(SocketAddr::new(address.parse().unwrap(), PORT))
    }

    pub fn at(address: SocketAddr) -> Self {
        // The one before it may be a moment from being gone.
        let listener = wait_until(&format!("{address} is free"), crate::PATIENCE, || {
            TcpListener::bind(address).ok()
        });
        listener.set_nonblocking(true).unwrap();
        let state = Arc::new(State::default());
        let own = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            while !own.stop.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let state = Arc::clone(&own);
                        std::thread::spawn(move || answer(stream, &state));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Process {
            address,
            state,
            thread: Some(thread),
        }
    }

    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Ends it: its port is closed when this returns.
    pub fn stop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// Says that it is not ready, and serves on.
    pub fn drain(&self) {
        self.state.draining.store(true, Ordering::SeqCst);
    }

    /// How often its health was asked for.
    pub fn probes(&self) -> usize {
        self.state.probes.load(Ordering::SeqCst)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn answer(mut stream: TcpStream, state: &State) {
    stream.set_nonblocking(false).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut request = Vec::new();
    let mut byte = [0; 1];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            // A TCP probe says nothing.
            _ => return,
        }
    }
    let health = request.starts_with(b"GET /health");
    let counter = if health {
        &state.probes
    } else {
        &state.requests
    };
    counter.fetch_add(1, Ordering::SeqCst);
    let status = if health && state.draining.load(Ordering::SeqCst) {
        "503 Service Unavailable"
    } else {
        "200 OK"
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    );
}
