//! Listeners, a thread a connection, and an end in good order.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::request::{self, Answer, Broken};
use crate::routes::{self, Port, Then};
use crate::settings::Settings;
use crate::state::State;

/// How often a connection that waits for a request looks whether it is to end.
const LOOK: Duration = Duration::from_millis(250);
/// How long a connection may be silent between requests.
const IDLE: Duration = Duration::from_secs(120);
/// And once the program is to stop: long enough for a client that uses it to hear with its next answer
/// that it ends, so that no request meets a closed connection.
const LAST_IDLE: Duration = Duration::from_secs(2);
/// How long the parts of one request, and the taking of an answer, may be in coming.
const SLOW: Duration = Duration::from_secs(30);

/// Two bound listeners.
pub(crate) struct Server {
    ports: Vec<(TcpListener, Port)>,
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    state: Arc<State>,
    open: Open,
}

/// How many connections are open, on each port.
#[derive(Default)]
struct Open {
    counts: Mutex<[usize; 2]>,
    changed: Condvar,
}

impl Server {
    /// Binds both addresses.
    pub(crate) fn bind(settings: Settings, state: Arc<State>) -> Result<Self, String> {
        let listen = |address: SocketAddr, what: &str| {
            let listener = TcpListener::bind(address)
                .map_err(|error| format!("cannot listen on {address} for {what}: {error}"))?;
            let address = listener.local_addr().unwrap_or(address);
            println!("albums: {what} on {address}");
            Ok::<_, String>(listener)
        };
        let ports = vec![
            (listen(settings.address, "albums")?, Port::App),
            (listen(settings.health_address, "health")?, Port::Health),
        ];
        let open = Open::default();
        let shared = Shared {
            settings,
            state,
            open,
        };
        Ok(Self {
            ports,
            shared: Arc::new(shared),
        })
    }

    /// Serves until it is told to stop, and then until every connection has ended or the time is up.
    /// The exit code.
    pub(crate) fn run(self) -> Result<i32, String> {
        for (listener, port) in self.ports {
            let shared = Arc::clone(&self.shared);
            thread::Builder::new()
                .spawn(move || accept(&listener, port, &shared))
                .map_err(|error| format!("cannot start a thread: {error}"))?;
        }
        let shared = self.shared;
        shared.state.wait_for_stop();
        // New connections are still taken: whoever does not know yet is answered too.
        println!("albums: stopping");
        let left = shared.open.none_within(shared.settings.stop_timeout);
        println!("albums: stopped, {left} connections cut off");
        Ok(0)
    }
}

/// Takes connections for ever. Where there are as many as there may be, further ones wait.
fn accept(listener: &TcpListener, port: Port, shared: &Arc<Shared>) {
    loop {
        shared.open.room(port, shared.settings.max_connections);
        // Of all that can go wrong here (the peer was faster; no more handles) nothing is about the
        // listener.
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        shared.open.one_more(port);
        let of_thread = Arc::clone(shared);
        let started = thread::Builder::new().spawn(move || {
            // A connection that breaks is its client's loss.
            let _ = connection(stream, port, &of_thread);
            of_thread.open.one_less(port);
        });
        if started.is_err() {
            shared.open.one_less(port);
        }
    }
}

/// One connection's life.
fn connection(mut stream: TcpStream, port: Port, shared: &Shared) -> Result<(), Broken> {
    let (settings, state) = (&shared.settings, &*shared.state);
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SLOW))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let born = Instant::now();
    let mut last = false;
    while !last {
        wait_for_request(&mut reader, state)?;
        let request = match request::read(&mut reader) {
            Ok(request) => request,
            Err(Broken::Bad(status)) => {
                let body = "{\"message\": \"that is no request\"}".into();
                let answer = Answer { status, body };
                request::write(
                    &mut stream,
                    &answer,
                    settings.instance.as_deref(),
                    false,
                    true,
                )?;
                break;
            }
            Err(gone) => return Err(gone),
        };
        let outcome = routes::answer(&request, port, settings, state);
        thread::sleep(outcome.delay);
        if outcome.then == Then::Stop {
            state.stop();
        }
        let old = settings
            .max_connection_age
            .is_some_and(|age| born.elapsed() >= age);
        last = !request.keep_alive || old || state.is_stopping();
        let head = request.method == "HEAD";
        request::write(
            &mut stream,
            &outcome.answer,
            settings.instance.as_deref(),
            head,
            last,
        )?;
        if let Then::Exit(code) = outcome.then {
            std::process::exit(code);
        }
        // A program that hangs takes its last word along, but not those of its other connections.
        while state.is_hung() {
            thread::sleep(LOOK);
        }
    }
    // A socket that is closed while something unread is in it resets the connection, and the answer
    // may be lost with it (RFC 9112, 9.6): so end the own half, and wait for the other a while.
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(LAST_IDLE))?;
    let _ = reader.take(64 * 1024).read_to_end(&mut Vec::new());
    Ok(())
}

/// Returns when the next request has begun.
fn wait_for_request(reader: &mut BufReader<TcpStream>, state: &State) -> Result<(), Broken> {
    reader.get_ref().set_read_timeout(Some(LOOK))?;
    let since = Instant::now();
    let mut stopping_since = None;
    loop {
        while state.is_hung() {
            thread::sleep(LOOK);
        }
        match reader.fill_buf() {
            Ok([]) => return Err(Broken::Gone),
            Ok(_) => break,
            // Unix says the one, Windows the other.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        if state.is_stopping() {
            stopping_since.get_or_insert_with(Instant::now);
        }
        let last = stopping_since.is_some_and(|stopping| stopping.elapsed() >= LAST_IDLE);
        if last || since.elapsed() >= IDLE {
            return Err(Broken::Gone);
        }
    }
    reader.get_ref().set_read_timeout(Some(SLOW))?;
    Ok(())
}

impl Open {
    fn counts(&self) -> MutexGuard<'_, [usize; 2]> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for one more.
    fn room(&self, port: Port, most: usize) {
        let full = |counts: &mut [usize; 2]| counts[port as usize] >= most;
        let room = self.changed.wait_while(self.counts(), full);
        drop(room.unwrap_or_else(PoisonError::into_inner));
    }

    fn one_more(&self, port: Port) {
        self.counts()[port as usize] += 1;
    }

    fn one_less(&self, port: Port) {
        self.counts()[port as usize] -= 1;
        self.changed.notify_all();
    }

    /// Waits until none is open; how many are, once the time is up.
    fn none_within(&self, limit: Duration) -> usize {
        let some = |counts: &mut [usize; 2]| counts.iter().any(|&count| count > 0);
        let counts = self.changed.wait_timeout_while(self.counts(), limit, some);
        counts
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .iter()
            .sum()
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
