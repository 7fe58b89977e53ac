//! A connection that ends at a moment, whatever is done with it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What HTTP is spoken over: a TCP connection, or TLS on one.
pub trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// Puts TLS on a connection, **without verifying the certificate**, as the kubelet does for probes
/// (`InsecureSkipVerify`, pkg/probe/http/http.go): a probe asks whether a program answers, not who it is.
///
/// Whoever implements it reports an end within a record as [`io::ErrorKind::UnexpectedEof`], and says no server name
/// (SNI): the host is an IP address.
pub trait Tls {
    /// Makes the handshake. All of it lies within the connection's deadline.
    fn client(&self, plain: Timed) -> io::Result<Box<dyn Connection>>;
}

/// A TCP connection with a deadline over all that is done on it. One thread does everything on it, so that the
/// network compartment of that thread holds for all of it.
#[derive(Debug)]
pub struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    /// Connects.
    pub fn connect(to: SocketAddr, deadline: Instant) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, left(deadline)?)?;
        Ok(Self { stream, deadline })
    }
}

/// What is left until the deadline. Zero would mean "for ever" to a socket, so it is an error.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    // A socket counts milliseconds on Windows, and takes less than one for none at all.
    Ok(left.max(Duration::from_millis(1)))
}

/// A socket's time-out is `WouldBlock` on Unix and `TimedOut` on Windows.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// An error in words that are the same in every language of Windows.
pub(super) fn words(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset by the program",
        io::ErrorKind::ConnectionAborted => "connection aborted",
        io::ErrorKind::TimedOut => "no answer in time",
        io::ErrorKind::UnexpectedEof => "the connection ended too early",
        io::ErrorKind::AddrNotAvailable => "address not available",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        _ => return error.to_string(),
    };
    words.to_owned()
}
