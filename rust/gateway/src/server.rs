//! The native door: a listener on each worker, each with a runtime and connections of its own.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tradewind_core::{Code, Error};

use crate::{answer::AnswerBody, engine::Engine, keys::Peer};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// The least that hyper accepts for a connection's buffer.
const MIN_BUFFER: usize = 8192;
/// A refused body is read to its end up to this size, so that the client reads the answer instead of a reset.
const DISCARD: usize = 64 << 20;

/// A running listener.
pub struct Server {
    /// Where it listens; with port 0 asked for, the port that was given.
    pub local_addr: SocketAddr,
    engine: Arc<Engine>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

/// Listens and serves.
///
/// # Errors
/// Where the address is taken, or is another than loopback while there are no keys.
pub fn serve(engine: &Arc<Engine>, address: &str) -> io::Result<Server> {
    let address = address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("`{address}` is no address")))?;
    if !engine.keys_required() {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("without keys only loopback is served, not {address}; give keys to listen there"),
            ));
        }
        tracing::warn!(%address, "no keys: everyone on this machine is tenant `default`");
    }
    let workers = engine.settings().workers.max(1);
    let shared = workers > 1;
    if shared {
        // Workers share the port, so the kernel would also let another gateway share it: this finds out before.
        drop(bind(address, false)?);
    }
    let first = bind(address, shared)?;
    let local_addr = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(bind(local_addr, true)?);
    }
    let (stop, stopped) = watch::channel(false);
    let places = Arc::new(Semaphore::new(engine.settings().max_connections));
    let mut handles = Vec::with_capacity(workers);
    for (index, listener) in listeners.into_iter().enumerate() {
        let worker = Worker { engine: Arc::clone(engine), stopped: stopped.clone(), places: Arc::clone(&places) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let name = format!("worker-{index}");
        handles.push(thread::Builder::new().name(name).spawn(move || runtime.block_on(worker.run(listener)))?);
    }
    tracing::info!(address = %local_addr, workers, "listening");
    Ok(Server { local_addr, engine: Arc::clone(engine), stop, workers: handles })
}

impl Server {
    /// Stops accepting, and lets calls in flight finish. Returns at once.
    pub fn shutdown(&self) {
        self.engine.drain();
        self.stop.send_replace(true);
    }

    /// Waits until all calls have finished, or the time to drain is over. Blocks.
    pub fn join(self) {
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
    }
}

pub(crate) fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[derive(Clone)]
struct Worker {
    engine: Arc<Engine>,
    stopped: watch::Receiver<bool>,
    places: Arc<Semaphore>,
}

impl Worker {
    async fn run(mut self, listener: std::net::TcpListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a worker cannot listen"),
        };
        let mut connections = JoinSet::new();
        let mut stopped = self.stopped.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&listener) => accepted,
                Some(_) = connections.join_next() => continue,
                () = until(&mut stopped) => break,
            };
            if let Some((stream, peer, place)) = accepted {
                connections.spawn(connection(Arc::clone(&self.engine), stream, peer, place, self.stopped.clone()));
            }
        }
        drop(listener);
        let drain = Duration::from_secs(self.engine.settings().drain_s);
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, finished).await.is_err() {
            self.engine.cut();
            tracing::warn!(left = connections.len(), "calls were still in flight when the time to drain was over");
        }
    }

    async fn accept(&mut self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, peer)) => Some((stream, peer, place)),
            Err(error) => {
                // Such as no file descriptors left: waiting lets some become free.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
                None
            }
        }
    }
}

async fn connection(
    engine: Arc<Engine>,
    stream: TcpStream,
    peer: SocketAddr,
    _place: OwnedSemaphorePermit,
    mut stopped: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(%error, "a connection is gone");
    }
    let settings = engine.settings();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    builder.header_read_timeout(Duration::from_millis(settings.header_read_timeout_ms));
    // The engine refuses larger heads, and says so; of one that never ends, no more than twice as much is held.
    builder.max_header_size(settings.max_header_bytes.saturating_mul(2));
    builder.max_buf_size(settings.max_header_bytes.saturating_mul(2).max(MIN_BUFFER));
    let peer = Peer { address: Some(peer.ip()) };
    let serving = builder.serve_connection(TokioIo::new(stream), service_fn(|request| answer(&engine, request, peer)));
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = &mut serving => result,
        () = until(&mut stopped) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(engine: &Arc<Engine>, request: Request<Incoming>, peer: Peer) -> Result<Response<AnswerBody>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let patience = Duration::from_millis(engine.settings().body_read_timeout_ms);
    let body = match tokio::time::timeout(patience, read(engine, &head, body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return Ok(engine.refuse(&error)),
        Err(_) => {
            return Ok(engine.refuse(&engine.request_timeout()));
        }
    };
    Ok(engine.handle(Request::from_parts(head, body), peer).await)
}

/// The whole body. Usually it comes in one piece, which is not copied.
async fn read(engine: &Engine, head: &http::request::Parts, mut body: Incoming) -> Result<Bytes, Error> {
    let limit = engine.settings().max_body_bytes;
    let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) && head.headers.contains_key(header::EXPECT) {
        // The client waits for a word before it sends the body, and this is it.
        return Err(engine.body_too_large());
    }
    let (mut all, mut joined, mut length) = (Bytes::new(), None::<BytesMut>, 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::new(Code::InvalidRequest, "", format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > DISCARD.max(limit) {
            break;
        }
        if length > limit {
            all = Bytes::new();
            joined = None;
        } else if length == data.len() {
            all = data;
        } else {
            joined.get_or_insert_with(|| BytesMut::from(&std::mem::take(&mut all)[..])).extend_from_slice(&data);
        }
    }
    if length > limit {
        return Err(engine.body_too_large());
    }
    Ok(joined.map_or(all, BytesMut::freeze))
}

pub(crate) async fn until(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}
