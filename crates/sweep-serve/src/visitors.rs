//! Accepts connections, but not too many at once, and none that says nothing. So silent connections cannot keep readers
//! out.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Number of connections at once. More wait until one ends.
const MOST: usize = 64;
/// Time in which a connection must say something.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a connection could not be accepted, for example because no file can be opened.
const PAUSE: Duration = Duration::from_millis(200);

/// A listener with limits.
pub(crate) struct Visitors {
    listener: TcpListener,
    seats: Arc<Semaphore>,
}

impl Visitors {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, seats: Arc::new(Semaphore::new(MOST)) }
    }
}

impl Listener for Visitors {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        loop {
            // The semaphore is never closed.
            let seat = Arc::clone(&self.seats).acquire_owned().await.ok();
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let silent = Some(Box::pin(sleep(PATIENCE)));
                    return (Visitor { stream, silent, _seat: seat }, address);
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection.
pub(crate) struct Visitor {
    stream: TcpStream,
    /// Ends the connection, unless it has said something.
    silent: Option<Pin<Box<Sleep>>>,
    /// Given back when the connection ends.
    _seat: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Visitor {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.silent = None;
        }
        let is_late = |silent: &mut Pin<Box<Sleep>>| silent.as_mut().poll(context).is_ready();
        match read.is_pending() && self.silent.as_mut().is_some_and(is_late) {
            true => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            false => read,
        }
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
