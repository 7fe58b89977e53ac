//! A TCP stream that reads ahead of TLS.
//!
//! rustls asks for 4096 bytes at a time (`READ_SIZE` in `rustls/src/msgs/deframer/buffers.rs`),
//! so a 100 KB body costs 25 system calls. Here one call takes what the kernel has. The buffer
//! exists only while it holds something: a thousand idle connections cost nothing.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What one system call may bring: two TLS records.
const AHEAD: usize = 32 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    tcp: TcpStream,
    buffer: BytesMut,
}

impl ReadAhead {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        ReadAhead {
            tcp,
            buffer: BytesMut::new(),
        }
    }

    /// Reads and forgets what still comes, until the client has closed.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.buffer.clear();
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Before there is something to read there is no need for a buffer.
        ready!(self.tcp.poll_read_ready(cx))?;
        self.buffer.reserve(AHEAD);
        // The future holds nothing but the two references, so making it anew loses nothing.
        let read = pin!(self.tcp.read_buf(&mut self.buffer)).poll(cx);
        if read.is_pending() {
            self.buffer = BytesMut::new();
        }
        read
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.buffer.is_empty() && ready!(this.poll_fill(cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let n = out.remaining().min(this.buffer.len());
        out.put_slice(&this.buffer[..n]);
        this.buffer.advance(n);
        if this.buffer.is_empty() {
            this.buffer = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadAhead {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
