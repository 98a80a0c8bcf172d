//! When the peer was last heard.
//!
//! The library looks whether the broker is silent only as often as it says itself that it lives, which is every
//! half heartbeat: it notices a peer that hangs up to half a heartbeat too late. So beneath each connection there is
//! a socket that notes the time of every byte that comes; what the library is given on top of it is a [`Parsable`], by
//! way of a reactor of its own, since that is what decides the type of the library's sockets. In all else the reactor
//! is that of tokio.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_rs::traits::Reactor;
use async_rs::util::{DummyIO, RuntimeParts};
use async_rs::{Runtime, Tokio};
use futures_util::io::{AsyncRead, AsyncWrite};
use futures_util::stream::Stream;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::parsable::Parsable;

/// When the peer of a connection was last heard; a clone is of the same connection.
#[derive(Debug, Clone)]
pub(super) struct LastHeard {
    since: Instant,
    /// After so many milliseconds.
    after_ms: Arc<AtomicU64>,
}

impl LastHeard {
    /// The peer counts as heard now.
    pub(super) fn now() -> Self {
        Self { since: Instant::now(), after_ms: Arc::default() }
    }

    fn note(&self) {
        self.after_ms.store(millis(self.since.elapsed()), Ordering::Relaxed);
    }

    /// For how long nothing has come.
    fn silence(&self) -> Duration {
        let after = Duration::from_millis(self.after_ms.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(after)
    }

    /// Waits until nothing has come for so long.
    pub(super) async fn silent_for(&self, limit: Duration) {
        while let Some(left) = limit.checked_sub(self.silence()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left).await;
        }
    }

    /// What the library is to run on, so that this is noted.
    pub(super) fn runtime(&self) -> Runtime<RuntimeParts<Tokio, Ear>> {
        let tokio = Tokio::current();
        Runtime::new(RuntimeParts::new(tokio.clone(), Ear { tokio, last_heard: self.clone() }))
    }

    /// Connects to the first of these addresses that answers.
    pub(super) async fn connect(&self, addresses: &[SocketAddr]) -> io::Result<Listening> {
        let stream = TcpStream::connect(addresses).await?;
        stream.set_nodelay(true)?;
        self.note();
        Ok(Listening { stream, last_heard: self.clone() })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A socket that notes when something comes.
pub(super) struct Listening {
    stream: TcpStream,
    last_heard: LastHeard,
}

impl Listening {
    /// The socket itself.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.stream
    }
}

impl tokio::io::AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.last_heard.note();
        }
        read
    }
}

impl tokio::io::AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Tokio's reactor, with sockets that listen, and that put right what comes.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    tokio: Tokio,
    last_heard: LastHeard,
}

impl Reactor for Ear {
    type TcpStream = Parsable;
    type Sleep = <Tokio as Reactor>::Sleep;

    // The library brings no handles of its own.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<DummyIO, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = std::time::Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let last_heard = self.last_heard.clone();
        async move { last_heard.connect(&[address]).await.map(Parsable::new) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_the_last_byte_and_ends_the_wait_to_the_millisecond() {
        const LIMIT: Duration = Duration::from_secs(20);
        let last_heard = LastHeard::now();
        let peer = last_heard.clone();
        // A peer that is heard every five seconds, for a minute, and then no more.
        tokio::spawn(async move {
            for _ in 0..12 {
                tokio::time::sleep(Duration::from_secs(5)).await;
                peer.note();
            }
        });
        let started = Instant::now();
        last_heard.silent_for(LIMIT).await;
        let noticed = started.elapsed() - Duration::from_secs(60);
        assert!((LIMIT..LIMIT + Duration::from_millis(5)).contains(&noticed), "{noticed:?}");
    }
}
