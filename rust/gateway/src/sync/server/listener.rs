//! Accepts connections, speaks TLS, and closes what idles or does not read.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    counters::count,
    handler::{self, Shared},
};
use crate::server::until;

/// Connections open at once; more wait to be accepted.
const MAX_CONNECTIONS: u32 = 16_384;
/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a peer may not read.
const STALL: Duration = Duration::from_secs(30);
/// Bytes of a connection's buffer, and so of a request's head.
const BUFFER: usize = 16 << 10;

/// How long answers may take once the server is told to stop.
const STOP: Duration = Duration::from_secs(2);

/// Serves until the server is stopped and the last answer is given.
pub async fn serve(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let mut stopped = shared.stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = until(&mut stopped) => break,
        };
        if let Some((stream, place)) = accepted {
            tokio::spawn(connection(Arc::clone(&shared), stream, tls.clone(), place));
        }
    }
    drop(listener);
    // All places are free when all connections have ended.
    let _ = timeout(STOP, places.acquire_many(MAX_CONNECTIONS)).await;
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a data plane's connection could not be accepted");
            sleep(Duration::from_millis(10)).await;
            None
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, tls: Option<TlsAcceptor>, _place: OwnedSemaphorePermit) {
    let Ok(peer) = stream.peer_addr() else { return };
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = Impatient { stream, stalled: None };
    let Some(tls) = tls else { return requests(&shared, stream, peer.ip()).await };
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => requests(&shared, stream, peer.ip()).await,
        Ok(Err(error)) => {
            shared.counters.refused("tls_handshake");
            tracing::debug!(%error, %peer, "a handshake failed");
        }
        Err(_) => shared.counters.refused("tls_handshake"),
    }
}

async fn requests(shared: &Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin, peer: std::net::IpAddr) {
    let _open = Open::of(shared);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(shared.settings.idle()).max_buf_size(BUFFER);
    let serving = builder.serve_connection(TokioIo::new(stream), service_fn(|request| handler::answer(shared, request, peer)));
    let mut serving = std::pin::pin!(serving);
    let mut stopped = shared.stopped.clone();
    let result = tokio::select! {
        result = &mut serving => result,
        () = until(&mut stopped) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, %peer, "a data plane's connection ended early");
    }
}

/// A connection among those that are open.
struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn of(shared: &'a Shared) -> Self {
        count(&shared.counters.connections);
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.counters.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// A connection that fails when its peer does not read for a while.
struct Impatient {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn bounded(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
