//! One connection: what it is doing, since when, and how it is brought to an end.
//!
//! ```text
//! Handshake -> Idle -> Head -> Busy -> Writing -> Idle ...
//!                 \________ soft end ________/        \-> Closing (lingers, then gone)
//! ```
//!
//! Instead of a timer for each of these waits, a connection notes its phase and the time in one
//! atomic word; a sweep over all connections ([`super::connections`]) ends those that stay too
//! long. A request costs no timer, and the same word says which connection was idle longest.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;

use super::limits::Limits;
use super::metrics::Closed;
use super::read_ahead::ReadAhead;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// TLS is being agreed on.
    Handshake = 0,
    /// Between two requests, or before the first.
    Idle = 1,
    /// A request has begun; its header is not complete.
    Head = 2,
    /// A service has the request.
    Busy = 3,
    /// The answer is on its way.
    Writing = 4,
    /// Our side is closed; what the client still sends is dropped.
    Closing = 5,
}

/// How long a client may go on sending after our last byte. A socket closed with unread data
/// sends a reset, which takes the answer away from the client that has not read it yet.
const LINGER: Duration = Duration::from_secs(1);

impl Phase {
    fn from_bits(bits: u64) -> Phase {
        match bits {
            0 => Phase::Handshake,
            1 => Phase::Idle,
            2 => Phase::Head,
            3 => Phase::Busy,
            4 => Phase::Writing,
            _ => Phase::Closing,
        }
    }

    /// How long a connection may be in this phase, and what to call it if it stays longer.
    /// A body has its own timer, which can still answer 408.
    fn limit(self, limits: &Limits) -> Option<(Duration, Closed)> {
        match self {
            Phase::Handshake => Some((limits.handshake_timeout, Closed::HandshakeTimeout)),
            Phase::Idle => Some((limits.idle_timeout, Closed::IdleTimeout)),
            Phase::Head => Some((limits.header_timeout, Closed::HeaderTimeout)),
            Phase::Busy => None,
            Phase::Writing => Some((limits.write_timeout, Closed::WriteTimeout)),
            Phase::Closing => Some((LINGER, Closed::Client)),
        }
    }
}

/// What the connection's task, its service and the sweep share.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Milliseconds since `born`, shifted by [`Connection::PHASE_BITS`], and the phase.
    word: AtomicU64,
    born: Instant,
    /// Asked to end as soon as it is idle.
    ending: AtomicBool,
    /// Unread data is to be expected when it ends.
    linger: AtomicBool,
    /// Whether it has had an answer.
    served: AtomicBool,
    limits: Arc<Limits>,
    /// Why it ends: set once, before `wake`.
    why: OnceLock<Closed>,
    wake: Notify,
}

impl Connection {
    const PHASE_BITS: u32 = 3;

    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Connection {
            word: AtomicU64::new(Phase::Handshake as u64),
            born: Instant::now(),
            ending: AtomicBool::new(false),
            linger: AtomicBool::new(false),
            served: AtomicBool::new(false),
            limits,
            why: OnceLock::new(),
            wake: Notify::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX >> Self::PHASE_BITS)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.word.store(
            self.now() << Self::PHASE_BITS | phase as u64,
            Ordering::Relaxed,
        );
    }

    /// The phase, and for how long.
    pub(crate) fn phase(&self) -> (Phase, Duration) {
        let word = self.word.load(Ordering::Relaxed);
        let since = word >> Self::PHASE_BITS;
        let phase = Phase::from_bits(word & ((1 << Self::PHASE_BITS) - 1));
        (
            phase,
            Duration::from_millis(self.now().saturating_sub(since)),
        )
    }

    fn is(&self, phase: Phase) -> bool {
        self.word.load(Ordering::Relaxed) & ((1 << Self::PHASE_BITS) - 1) == phase as u64
    }

    /// Asks the connection to end: at once where nothing is owed to the client, else after the
    /// answer that it is working on, which then says `Connection: close`.
    pub(crate) fn end(&self, why: Closed) {
        let _ = self.why.set(why);
        self.ending.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether answers have to say `Connection: close`.
    pub(crate) fn ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Says whether some of the request's body may be left unread.
    pub(crate) fn leave_unread(&self, unread: bool) {
        self.linger.store(unread, Ordering::Relaxed);
    }

    /// Why it was asked to end, if it was.
    pub(crate) fn why(&self) -> Option<Closed> {
        self.why.get().copied()
    }

    /// Resolves when somebody asked it to end, once for each time.
    pub(crate) async fn asked(&self) {
        self.wake.notified().await;
    }

    /// Whether it has had an answer.
    pub(crate) fn served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Why it is to end now, if it has been in its phase for too long.
    pub(crate) fn late(&self) -> Option<Closed> {
        let (phase, since) = self.phase();
        let (limit, why) = phase.limit(&self.limits)?;
        (since > limit).then_some(why)
    }

    /// Whether the task may just stop: the client had its time, and an idle connection, which
    /// ends in good order, is not concerned.
    pub(crate) fn may_be_dropped(&self) -> bool {
        self.late().is_some() && !self.is(Phase::Idle)
    }
}

/// A byte stream whose TCP side can be read past what the protocol above wants.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn tcp(&mut self) -> &mut ReadAhead;
}

impl Transport for ReadAhead {
    fn tcp(&mut self) -> &mut ReadAhead {
        self
    }
}

impl Transport for TlsStream<ReadAhead> {
    fn tcp(&mut self) -> &mut ReadAhead {
        self.get_mut().0
    }
}

/// The stream under hyper: notes the phases as bytes go by, and ends softly.
#[derive(Debug)]
pub(crate) struct Noted<T> {
    inner: T,
    connection: Arc<Connection>,
    /// Whether our side has said its last word.
    shut: bool,
}

impl<T> Noted<T> {
    pub(crate) fn new(inner: T, connection: Arc<Connection>) -> Self {
        connection.enter(Phase::Idle);
        Noted {
            inner,
            connection,
            shut: false,
        }
    }
}

impl<T: Transport> AsyncRead for Noted<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, out);
        if !this.connection.is(Phase::Idle) {
            return read;
        }
        match read {
            Poll::Ready(Ok(())) if out.filled().len() > before => {
                this.connection.enter(Phase::Head);
                read
            }
            // An idle connection ends as if the client had ended it: hyper then closes in good
            // order. A request that came in the meantime was read just now, and is served.
            Poll::Pending if this.connection.ending() => Poll::Ready(Ok(())),
            _ => read,
        }
    }
}

impl<T: Transport> AsyncWrite for Noted<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        if this.connection.is(Phase::Writing) {
            this.connection.served.store(true, Ordering::Relaxed);
            this.connection.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.connection.is(Phase::Closing) {
            this.connection.enter(Phase::Closing);
        }
        if !this.shut {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            this.shut = true;
        }
        if this.connection.linger.load(Ordering::Relaxed) {
            // A client that resets has read what it wanted.
            let _ = ready!(this.inner.tcp().poll_discard(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection::new(Arc::default())
    }

    #[test]
    fn a_word_holds_phase_and_time() {
        let connection = connection();
        for phase in [
            Phase::Handshake,
            Phase::Idle,
            Phase::Head,
            Phase::Busy,
            Phase::Writing,
            Phase::Closing,
        ] {
            connection.enter(phase);
            let (seen, since) = connection.phase();
            assert_eq!(seen, phase);
            assert!(connection.is(phase));
            assert!(since < Duration::from_secs(5));
        }
    }

    #[test]
    fn what_is_owed_to_a_client_is_never_dropped() {
        let connection = connection();
        for phase in [Phase::Busy, Phase::Head, Phase::Writing, Phase::Idle] {
            connection.enter(phase);
            connection.end(Closed::Drain);
            assert!(!connection.may_be_dropped(), "{phase:?}");
        }
    }

    #[test]
    fn who_is_late_may_be_dropped_even_while_draining() {
        let connection = Connection::new(Arc::new(Limits {
            header_timeout: Duration::ZERO,
            ..Limits::default()
        }));
        connection.enter(Phase::Head);
        connection.end(Closed::Drain);
        while connection.late().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(connection.late(), Some(Closed::HeaderTimeout));
        assert!(connection.may_be_dropped());
        connection.enter(Phase::Busy);
        assert!(!connection.may_be_dropped());
    }

    #[test]
    fn the_first_cause_stands() {
        let connection = connection();
        connection.end(Closed::IdleTimeout);
        connection.end(Closed::Drain);
        assert_eq!(connection.why(), Some(Closed::IdleTimeout));
    }
}
