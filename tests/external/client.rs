//! A client through the Service, while its two processes restart in turn.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::PATIENCE;
use crate::process::{PORT, Process};
use crate::support::wait_until;
use crate::world::{World, quick, service};

/// One request over a connection of its own.
fn get(address: IpAddr) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let mut stream = TcpStream::connect(SocketAddr::new(address, PORT)).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    write!(
        stream,
        "GET /albums HTTP/1.1\r\nHost: albums\r\nConnection: close\r\n\r\n"
    )
    .map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    if answer.starts_with("HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(format!("{address}: {answer:?}"))
    }
}

#[test]
fn a_client_sees_no_error_while_one_of_two_restarts_in_turn() {
    let Some(world) = World::shared() else { return };
    let (namespace, name) = ("client", "albums");
    world.namespace(namespace);
    let mut processes = [Process::start("10.245.40.1"), Process::start("10.245.40.2")];
    world.apply(
        namespace,
        &service(name, &quick("10.245.40.1,10.245.40.2"), ""),
    );
    world.until_ready(namespace, name, &["10.245.40.1", "10.245.40.2"]);

    let stop = Arc::new(AtomicBool::new(false));
    // How often the client's list of endpoints was brought up to date, and how many requests were made.
    let (rounds, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let client = {
        let (stop, rounds, requests) = (
            Arc::clone(&stop),
            Arc::clone(&rounds),
            Arc::clone(&requests),
        );
        std::thread::spawn(move || {
            let mut errors = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let ready = world.ready(namespace, name);
                if ready.is_empty() {
                    errors.push("no endpoint is ready".to_owned());
                }
                for address in &ready {
                    for _ in 0..5 {
                        requests.fetch_add(1, Ordering::SeqCst);
                        errors.extend(get(address.parse().unwrap()).err());
                    }
                }
                rounds.fetch_add(1, Ordering::SeqCst);
            }
            errors
        })
    };
    // Everything that the client knew before this is over.
    let heard = || {
        let seen = rounds.load(Ordering::SeqCst);
        wait_until("the client goes on", PATIENCE, || {
            (rounds.load(Ordering::SeqCst) >= seen + 2).then_some(())
        });
    };
    for turn in 0..4 {
        let (this, other) = (turn % 2, ["10.245.40.2", "10.245.40.1"][turn % 2]);
        let address = processes[this].ip().to_string();
        heard();
        processes[this].drain();
        world.until_ready(namespace, name, &[other]);
        heard();
        processes[this].stop();
        processes[this] = Process::start(&address);
        world.until_ready(namespace, name, &["10.245.40.1", "10.245.40.2"]);
    }
    heard();
    stop.store(true, Ordering::SeqCst);
    let errors = client.join().unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    let requests = requests.load(Ordering::SeqCst);
    assert!(requests >= 100, "{requests}");
    println!("{requests} requests through the Service across 4 restarts: no error");
}
