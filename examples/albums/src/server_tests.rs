//! The server, over real sockets.

use std::io::{Read as _, Write as _};

use super::*;
use crate::settings::{self, Command};

/// A server on ports that were free.
fn start(
    variables: &[(&str, &str)],
) -> (SocketAddr, SocketAddr, Arc<State>, thread::JoinHandle<i32>) {
    let command = settings::parse(&[], |name| {
        let fixed = match name {
            "BIND_ADDRESS" => Some("127.0.0.1"),
            "PORT" | "HEALTH_PORT" => Some("0"),
            "RESOURCE" => Some("albums"),
            _ => None,
        };
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value).or(fixed).map(str::to_owned)
    });
    let Ok(Command::Serve(settings)) = command else {
        panic!("{command:?}");
    };
    let state = Arc::new(State::new(settings.startup_time));
    let server = Server::bind(*settings, Arc::clone(&state)).unwrap();
    let address = |place: usize| server.ports[place].0.local_addr().unwrap();
    let (app, health) = (address(0), address(1));
    (
        app,
        health,
        state,
        thread::spawn(move || server.run().unwrap()),
    )
}

/// Sends a request on an open connection and gives the answer, headers and all.
fn ask(stream: &mut TcpStream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: albums\r\n\r\n").unwrap();
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with("\r\n\r\n") {
        assert_eq!(
            stream.read(&mut byte).unwrap(),
            1,
            "the connection ended after {answer:?}"
        );
        answer.push(char::from(byte[0]));
    }
    let length = answer.split("Content-Length: ").nth(1).unwrap();
    let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    answer + std::str::from_utf8(&body).unwrap()
}

fn has_ended(stream: &mut TcpStream) -> bool {
    stream.read(&mut [0]).unwrap() == 0
}

#[test]
fn a_connection_serves_many_requests() {
    let (app, health, state, server) = start(&[("INSTANCE", "blue")]);
    let mut stream = TcpStream::connect(app).unwrap();
    for _ in 0..3 {
        let answer = ask(&mut stream, "/albums");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nAlbums-Instance: blue\r\n") && answer.contains("Pink Moon"));
        assert!(!answer.contains("Connection: close"));
    }
    let mut stream = TcpStream::connect(health).unwrap();
    assert!(ask(&mut stream, "/health/liveness").contains("200 OK"));
    assert!(ask(&mut stream, "/albums").contains("404 Not Found"));
    state.stop();
    assert_eq!(server.join().unwrap(), 0);
}

#[test]
fn what_is_being_answered_when_it_stops_is_answered() {
    let (app, _, state, server) = start(&[]);
    let mut slow = TcpStream::connect(app).unwrap();
    let mut kept = TcpStream::connect(app).unwrap();
    ask(&mut kept, "/albums");
    let slow = thread::spawn(move || {
        let answer = ask(&mut slow, "/albums?delay=1s");
        (answer, has_ended(&mut slow))
    });
    thread::sleep(Duration::from_millis(200));
    state.stop();
    // One that is kept open hears of it with its next answer, and one that is new is answered.
    for stream in [&mut kept, &mut TcpStream::connect(app).unwrap()] {
        let answer = ask(stream, "/albums");
        assert!(
            answer.contains("200 OK") && answer.contains("Connection: close"),
            "{answer}"
        );
        assert!(has_ended(stream));
    }
    let (answer, ended) = slow.join().unwrap();
    assert!(answer.contains("200 OK") && ended);
    assert_eq!(server.join().unwrap(), 0);
}

#[test]
fn an_idle_connection_does_not_keep_it_from_stopping() {
    let (app, _, state, server) = start(&[]);
    let mut idle = TcpStream::connect(app).unwrap();
    ask(&mut idle, "/albums");
    state.stop();
    assert_eq!(server.join().unwrap(), 0);
    assert!(has_ended(&mut idle));
}

#[test]
fn an_old_connection_is_closed_with_an_answer() {
    let (app, ..) = start(&[("MAX_CONNECTION_AGE", "200ms")]);
    let mut stream = TcpStream::connect(app).unwrap();
    assert!(!ask(&mut stream, "/albums").contains("Connection: close"));
    thread::sleep(Duration::from_millis(250));
    assert!(ask(&mut stream, "/albums").contains("Connection: close"));
    assert!(has_ended(&mut stream));
}

#[test]
fn more_connections_than_there_may_be_wait_and_health_does_not_wait_for_albums() {
    let (app, health, ..) = start(&[("MAX_CONNECTIONS", "2")]);
    let mut open: Vec<_> = (0..2).map(|_| TcpStream::connect(app).unwrap()).collect();
    for stream in &mut open {
        ask(stream, "/albums");
    }
    let mut third = TcpStream::connect(app).unwrap();
    third.write_all(b"GET /albums HTTP/1.0\r\n\r\n").unwrap();
    third
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(third.read(&mut [0]).is_err(), "it is not answered yet");
    assert!(ask(&mut TcpStream::connect(health).unwrap(), "/health/liveness").contains("200"));
    drop(open.pop());
    third.set_read_timeout(None).unwrap();
    let mut answer = String::new();
    third.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
}

#[test]
fn a_program_that_hangs_answers_nothing_more_and_does_not_stop() {
    let (app, health, state, server) = start(&[("ALBUMS_TEST_KNOBS", "1")]);
    let mut stream = TcpStream::connect(app).unwrap();
    assert!(ask(&mut stream, "/admin/hang").contains("200 OK"));
    for address in [app, health] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET /health/liveness HTTP/1.1\r\n\r\n")
            .unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        assert!(stream.read(&mut [0]).is_err(), "{address}");
    }
    state.stop();
    thread::sleep(Duration::from_millis(100));
    assert!(!server.is_finished());
}

#[test]
fn what_is_no_request_is_refused_and_ends_the_connection() {
    let (app, ..) = start(&[]);
    let mut stream = TcpStream::connect(app).unwrap();
    stream.write_all(b"HELO albums\r\nmore\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let command = settings::parse(&[], |name| match name {
        "BIND_ADDRESS" => Some("127.0.0.1".into()),
        "PORT" => Some(port.clone()),
        _ => None,
    });
    let Ok(Command::Serve(settings)) = command else {
        panic!("{command:?}");
    };
    let state = Arc::new(State::new(Duration::ZERO));
    let error = Server::bind(*settings, state).err().unwrap();
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
}
