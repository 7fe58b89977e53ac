//! Attempts against real sockets, and programs on the other end that behave in every way but well. What is answered and
//! asked for is held against the kubelet in `kubelet_tests`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use crate::probe::Action;
use crate::probing::{Connection, Outcome, Timed, Tls, attempt, attempt_with_retries};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longer than any machine needs for what does come to an end by itself.
const PATIENT: Duration = Duration::from_secs(120);
/// What never comes to an end is cut off after this.
const SHORT: Duration = Duration::from_millis(300);

/// No TLS; it is an error to ask for any.
struct Plain;

impl Tls for Plain {
    fn client(&self, _: Timed) -> io::Result<Box<dyn Connection>> {
        Err(io::Error::other("TLS was asked for"))
    }
}

/// A program: each connection's request, read to its end, goes to `behave`. Its requests can be read afterwards.
struct Program {
    port: u16,
    requests: mpsc::Receiver<String>,
}

impl Program {
    fn new(behave: impl Fn(usize, &str, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind((LOCAL, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for (count, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let request = request(&mut stream);
                // Whoever asked may be gone by then.
                let _ = tell.send(request.clone());
                behave(count, &request, &mut stream);
            }
        });
        Self { port, requests }
    }

    /// Says this to everybody, and closes.
    fn saying(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(move |_, _, stream| {
            let _ = stream.write_all(text.as_bytes());
        })
    }

    fn action(&self, path: &str) -> Action {
        Action::Http {
            port: self.port,
            path: path.to_owned(),
            https: false,
            headers: Vec::new(),
        }
    }

    fn get(&self, timeout: Duration) -> Outcome {
        attempt(&self.action("/live"), LOCAL, timeout, &Plain)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn failure(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failure(why) => why,
        other => panic!("expected a failure, not {other:?}"),
    }
}

fn answer(status: u16) -> String {
    format!("HTTP/1.1 {status} x\r\nContent-Length: 2\r\n\r\nok")
}

#[test]
fn redirects_are_followed_on_the_same_host() {
    let other = Program::saying(answer(204));
    let port = other.port;
    let program = Program::new(move |count, _, stream| {
        let to = match count {
            0 => "next?x=1#part".to_owned(),
            1 => "/two".to_owned(),
            // Another port is the same host.
            _ => format!("http://127.0.0.1:{port}/there"),
        };
        let status = [301, 303, 307][count];
        let _ = write!(stream, "HTTP/1.1 {status} x\r\nLocation: {to}\r\n\r\n");
    });
    let action = Action::Http {
        port: program.port,
        path: "/a/b".to_owned(),
        https: false,
        headers: vec![("Host".to_owned(), "albums".to_owned())],
    };
    assert_eq!(attempt(&action, LOCAL, PATIENT, &Plain), Outcome::Success);
    let seen: Vec<_> = program
        .requests()
        .into_iter()
        .chain(other.requests())
        .collect();
    let line = |request: &String, start: &str| {
        request
            .lines()
            .find(|line| line.starts_with(start))
            .map(str::to_owned)
    };
    let first: Vec<_> = seen
        .iter()
        .map(|request| request.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(
        first,
        [
            "GET /a/b HTTP/1.1",
            "GET /a/next?x=1 HTTP/1.1",
            "GET /two HTTP/1.1",
            "GET /there HTTP/1.1"
        ]
    );
    // A host of the probe's own stays until a location names one.
    let hosts: Vec<_> = seen
        .iter()
        .map(|request| line(request, "Host: ").unwrap())
        .collect();
    let there = format!("Host: 127.0.0.1:{port}");
    assert_eq!(
        hosts,
        [
            "Host: albums",
            "Host: albums",
            "Host: albums",
            there.as_str()
        ]
    );
    let referer = format!("Referer: http://127.0.0.1:{}/a/b", program.port);
    assert_eq!(line(&seen[0], "Referer"), None);
    assert_eq!(line(&seen[1], "Referer"), Some(referer));
}

#[test]
fn other_hosts_are_not_followed_and_count_as_success() {
    for to in [
        "http://example.invalid/",
        "//localhost/x",
        "https://127.0.0.2/",
        "mailto:a@b",
        "http:///x",
    ] {
        let program = Program::saying(format!("HTTP/1.1 302 x\r\nLocation: {to}\r\n\r\n"));
        let outcome = program.get(PATIENT);
        assert!(
            matches!(&outcome, Outcome::Warning(why) if why.contains("another host")),
            "{to}: {outcome:?}"
        );
    }
    let without = Program::saying("HTTP/1.1 302 x\r\nContent-Length: 0\r\n\r\n").get(PATIENT);
    assert!(matches!(without, Outcome::Warning(_)), "{without:?}");
}

#[test]
fn redirects_that_lead_nowhere_fail() {
    let program =
        Program::saying("HTTP/1.1 302 x\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n");
    assert!(failure(&program.get(PATIENT)).ends_with("stopped after 10 redirects"));
    assert_eq!(program.requests().len(), 10);
    for (to, why) in [
        ("/%zz", "no URL"),
        ("ftp://127.0.0.1/x", "no HTTP"),
        ("http://127.0.0.1:99999/", "no such port"),
    ] {
        let program = Program::saying(format!("HTTP/1.1 302 x\r\nLocation: {to}\r\n\r\n"));
        let outcome = program.get(PATIENT);
        assert!(failure(&outcome).contains(why), "{to}: {outcome:?}");
    }
}

/// A program that never comes to an end is given up in time, whatever it is that it does without end.
#[test]
fn the_time_out_is_over_everything() {
    let forever = |text: &'static str, again: &'static str| {
        Program::new(move |_, _, stream| {
            let _ = stream.write_all(text.as_bytes());
            while stream.write_all(again.as_bytes()).is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    // Before the head is complete it is a failure.
    for (text, again) in [
        ("", ""),
        ("HTTP/1.1 200 OK\r\nX: ", "y"),
        ("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
        (
            "HTTP/1.1 102 Processing\r\n\r\n",
            "HTTP/1.1 102 Processing\r\n\r\n",
        ),
    ] {
        let outcome = forever(text, again).get(SHORT);
        assert!(
            failure(&outcome).ends_with("no answer in time"),
            "{text:?}: {outcome:?}"
        );
    }
    // And after it no result at all.
    for (text, again) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "x"),
        ("HTTP/1.1 500 Oh\r\nContent-Length: 999999\r\n\r\n", "x"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\nx\r\n",
        ),
    ] {
        let outcome = forever(text, again).get(SHORT);
        assert!(
            matches!(&outcome, Outcome::Unknown(why) if why.contains("in time")),
            "{text:?}: {outcome:?}"
        );
    }
    // Redirects share it.
    let slow = Program::new(|_, _, stream| {
        std::thread::sleep(SHORT / 2);
        let _ = stream.write_all(b"HTTP/1.1 302 x\r\nLocation: /\r\n\r\n");
    });
    assert!(failure(&slow.get(SHORT)).ends_with("no answer in time"));
    assert!(slow.requests().len() < 4);
}

#[test]
fn ten_kibibytes_of_a_body_are_enough() {
    let program = Program::new(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let _ = stream.write_all(&[b'x'; 10 << 10]);
        // Never closed: whoever waits for more waits in vain.
        std::thread::sleep(PATIENT);
    });
    assert_eq!(program.get(PATIENT), Outcome::Success);
}

#[test]
fn an_attempt_without_a_result_is_made_three_times() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
    let program = Program::saying(cut);
    let outcome = attempt_with_retries(&program.action("/"), LOCAL, PATIENT, &Plain);
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    assert_eq!(program.requests().len(), 3);

    let program = Program::new(move |count, _, stream| {
        let text = if count == 0 {
            cut.to_owned()
        } else {
            answer(500)
        };
        let _ = stream.write_all(text.as_bytes());
    });
    let outcome = attempt_with_retries(&program.action("/"), LOCAL, PATIENT, &Plain);
    assert!(failure(&outcome).ends_with("statuscode: 500"));
    assert_eq!(program.requests().len(), 2);
}

#[test]
fn a_reset_fails() {
    let listener = TcpListener::bind((LOCAL, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Closed with something unread: the system resets the connection.
            let mut byte = [0];
            let _ = stream.read(&mut byte);
        }
    });
    let action = Action::Http {
        port,
        path: "/".to_owned(),
        https: false,
        headers: Vec::new(),
    };
    let outcome = attempt(&action, LOCAL, PATIENT, &Plain);
    assert!(
        failure(&outcome).ends_with("connection reset by the program"),
        "{outcome:?}"
    );
}

#[test]
fn an_answer_before_the_request_was_read_counts() {
    let listener = TcpListener::bind((LOCAL, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(answer(200).as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let action = Action::Http {
        port,
        path: "/".to_owned(),
        https: false,
        headers: Vec::new(),
    };
    assert_eq!(attempt(&action, LOCAL, PATIENT, &Plain), Outcome::Success);
}

#[test]
fn tcp_is_a_connection_that_opens() {
    let listener = TcpListener::bind((LOCAL, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let action = Action::Tcp { port };
    assert_eq!(attempt(&action, LOCAL, PATIENT, &Plain), Outcome::Success);
    drop(listener);
    let outcome = attempt(&action, LOCAL, PATIENT, &Plain);
    let expected = format!("TCP connection to 127.0.0.1:{port}: connection refused");
    assert_eq!(failure(&outcome), expected);
}

#[test]
fn no_header_that_cannot_be_sent_is_sent() {
    let program = Program::saying(answer(200));
    let action = Action::Http {
        port: program.port,
        path: "/".to_owned(),
        https: false,
        headers: vec![("X".to_owned(), "a\r\nY: b".to_owned())],
    };
    let outcome = attempt(&action, LOCAL, PATIENT, &Plain);
    assert!(failure(&outcome).contains("control character"));
    assert_eq!(program.requests(), Vec::<String>::new());
}

/// A stand-in for TLS: every byte travels with its bits turned over.
struct Turned;

struct TurnedStream(Timed);

impl io::Read for TurnedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        buffer[..read].iter_mut().for_each(|byte| *byte = !*byte);
        Ok(read)
    }
}

impl io::Write for TurnedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let turned: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        self.0.write(&turned)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Tls for Turned {
    fn client(&self, plain: Timed) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(TurnedStream(plain)))
    }
}

#[test]
fn https_goes_through_tls_and_so_do_redirects_to_it() {
    let listener = TcpListener::bind((LOCAL, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = Vec::new();
            let mut byte = [0];
            while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1)
            {
                text.push(!byte[0]);
            }
            let turned: Vec<u8> = answer(200).bytes().map(|byte| !byte).collect();
            let _ = stream.write_all(&turned);
        }
    });
    let https = Action::Http {
        port,
        path: "/".to_owned(),
        https: true,
        headers: Vec::new(),
    };
    assert_eq!(attempt(&https, LOCAL, PATIENT, &Turned), Outcome::Success);
    let program = Program::saying(format!(
        "HTTP/1.1 302 x\r\nLocation: https://127.0.0.1:{port}/\r\n\r\n"
    ));
    assert_eq!(
        attempt(&program.action("/"), LOCAL, PATIENT, &Turned),
        Outcome::Success
    );
    let outcome = attempt(&https, LOCAL, PATIENT, &Plain);
    assert!(failure(&outcome).ends_with("TLS was asked for"));
}
