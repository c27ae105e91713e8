//! The native door: a listener on each worker, each with a runtime and connections of its own.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, ToSocketAddrs},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tradewind_core::{Code, Error};

use crate::{answer::AnswerBody, engine::Engine, keys::Peer};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// The least that hyper accepts for a connection's buffer.
const MIN_BUFFER: usize = 8192;
/// A refused body is read to its end up to this size, so that the client reads the answer instead of a reset.
const DISCARD: usize = 64 << 20;

/// How long a new connection may take to bring its first call, once nobody else can connect: whoever has just connected is about to ask.
const FIRST: Duration = Duration::from_millis(250);

/// A running listener.
pub struct Server {
    /// Where it listens; with port 0 asked for, the port that was given.
    pub local_addr: SocketAddr,
    engine: Arc<Engine>,
    stop: watch::Sender<bool>,
    /// Each worker holds its other end until no call can come any more.
    quiet: Mutex<mpsc::Receiver<()>>,
    workers: Vec<JoinHandle<()>>,
}

/// Listens and serves.
///
/// # Errors
/// Where the address is taken, or is another than loopback while there are no keys.
pub fn serve(engine: &Arc<Engine>, address: &str) -> io::Result<Server> {
    let address = resolve(address)?;
    if !engine.keys_required() {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("without keys only loopback is served, not {address}; give keys to listen there"),
            ));
        }
        tracing::warn!(%address, "no keys: everyone on this machine is tenant `default`");
    }
    open(engine, address, None)
}

/// Listens and serves over TLS, at this port of the host of the settings' `listen`. Until controllers give a certificate, handshakes
/// fail; the gateway is ready by its plan all the same.
///
/// # Errors
/// Where the address is taken.
pub fn serve_tls(engine: &Arc<Engine>, port: u16) -> io::Result<Server> {
    let mut address = resolve(&engine.settings().listen)?;
    address.set_port(port);
    let server = open(engine, address, Some(engine.certificates().acceptor()?))?;
    if !engine.certificates().is_set() {
        tracing::warn!(address = %server.local_addr, "TLS handshakes fail until a controller gives a certificate");
    }
    Ok(server)
}

pub(crate) fn resolve(address: &str) -> io::Result<SocketAddr> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("`{address}` is no address"));
    address.to_socket_addrs()?.next().ok_or_else(invalid)
}

fn open(engine: &Arc<Engine>, address: SocketAddr, tls: Option<TlsAcceptor>) -> io::Result<Server> {
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
    let (busy, quiet) = mpsc::channel();
    let places = Arc::new(Semaphore::new(engine.settings().max_connections));
    let secure = tls.is_some();
    let mut handles = Vec::with_capacity(workers);
    for (index, listener) in listeners.into_iter().enumerate() {
        let worker = Worker {
            engine: Arc::clone(engine),
            tls: tls.clone(),
            stopped: stopped.clone(),
            places: Arc::clone(&places),
            debts: Arc::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let name = format!("{}-{index}", if secure { "tls" } else { "worker" });
        let busy = busy.clone();
        handles.push(thread::Builder::new().name(name).spawn(move || runtime.block_on(worker.run(listener, busy)))?);
    }
    tracing::info!(address = %local_addr, workers, tls = secure, "listening");
    Ok(Server { local_addr, engine: Arc::clone(engine), stop, quiet: Mutex::new(quiet), workers: handles })
}

/// Stops listening at all these doors of an engine, takes the calls of those who have connected already, and lets those in flight
/// finish. Blocks for moments, no longer than a new connection may take to bring its first call.
pub fn shutdown<'s>(engine: &Engine, servers: impl IntoIterator<Item = &'s Server> + Clone) {
    for server in servers.clone() {
        server.stop.send_replace(true);
    }
    for server in servers {
        // Nothing is sent: it ends when the last worker drops its end.
        let _ = server.quiet.lock().unwrap_or_else(PoisonError::into_inner).recv();
    }
    engine.drain();
}

impl Server {
    /// [`shutdown`] of this door alone.
    pub fn shutdown(&self) {
        shutdown(&self.engine, [self]);
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

struct Worker {
    engine: Arc<Engine>,
    tls: Option<TlsAcceptor>,
    stopped: watch::Receiver<bool>,
    places: Arc<Semaphore>,
    debts: Arc<Debts>,
}

/// What a worker owes: a look at who has connected and not asked yet, and the heads of answers to those who have asked.
#[derive(Default)]
struct Debts {
    count: AtomicUsize,
    none: Notify,
}

impl Debts {
    /// Waits until nothing is owed, for a while.
    async fn settled(&self) {
        // Whoever has asked by now is heard of before this comes back.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        let settled = async {
            while self.count.load(Ordering::SeqCst) > 0 {
                self.none.notified().await;
            }
        };
        let _ = tokio::time::timeout(FIRST, settled).await;
    }
}

struct Debt(Arc<Debts>);

impl Debt {
    fn of(debts: &Arc<Debts>) -> Self {
        debts.count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(debts))
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none.notify_one();
        }
    }
}

/// Whether a connection has asked yet.
struct First {
    debt: Mutex<Option<Debt>>,
    asked: Notify,
}

impl First {
    fn asks(&self) {
        if self.debt().take().is_some() {
            self.asked.notify_one();
        }
    }

    /// Waits for the first call, for a while.
    async fn wait(&self) {
        if self.debt().is_some() {
            let _ = tokio::time::timeout(FIRST, self.asked.notified()).await;
        }
    }

    fn debt(&self) -> MutexGuard<'_, Option<Debt>> {
        self.debt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the client of a connection was last led to expect of it.
#[derive(Clone, Copy)]
enum Expected {
    /// Nothing: it has not been answered.
    Nothing,
    /// An answer, whose head may say that the connection stays. It may have been sent before the gateway left, and end long after.
    Answer,
    /// That it stays, since the end of an answer.
    Stays(Instant),
    /// That it closes.
    Closes,
}

/// The same, for all who wait for a turn of it.
struct Expectation {
    now: Mutex<Expected>,
    turned: Notify,
}

impl Expectation {
    fn turn(&self, now: Expected) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.turned.notify_one();
    }

    /// What is answered, held so that its end is heard of.
    fn answer(self: &Arc<Self>, response: Response<AnswerBody>) -> Response<Held> {
        let closes = response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
        if closes {
            self.turn(Expected::Closes);
        }
        let of = (!closes).then(|| Arc::clone(self));
        response.map(|body| Held { body, of })
    }

    /// Waits until it may close without breaking a promise: whoever was not told keeps on calling, and hears it by the next answer.
    /// Nobody is waited for longer than the gateway lingers.
    async fn met(&self, linger: Duration) {
        loop {
            let turned = self.turned.notified();
            let now = *self.now.lock().unwrap_or_else(PoisonError::into_inner);
            match now {
                Expected::Nothing | Expected::Closes => return,
                Expected::Answer => turned.await,
                Expected::Stays(since) => {
                    if tokio::time::timeout_at(since + linger, turned).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The body of an answer over a connection that stays.
struct Held {
    body: AnswerBody,
    of: Option<Arc<Expectation>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(of) = &self.of {
            of.turn(Expected::Stays(Instant::now()));
        }
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Worker {
    async fn run(self, listener: std::net::TcpListener, busy: mpsc::Sender<()>) {
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
                connections.spawn(self.connection(stream, peer, place));
            }
        }
        let drain = Instant::now() + Duration::from_secs(self.engine.settings().drain_s);
        for (stream, peer, place) in self.rest(listener) {
            connections.spawn(self.connection(stream, peer, place));
        }
        self.debts.settled().await;
        drop(busy);
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout_at(drain, finished).await.is_err() {
            self.engine.cut();
            tracing::warn!(left = connections.len(), "calls were still in flight when the time to drain was over");
        }
    }

    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
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

    /// Those who have connected and wait to be accepted: closing the listener would reset them.
    fn rest(&self, listener: TcpListener) -> Vec<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let accepted = || {
            let listener = listener.into_std()?;
            let mut rest = Vec::new();
            while let (Ok(place), Ok((stream, peer))) = (Arc::clone(&self.places).try_acquire_owned(), listener.accept()) {
                stream.set_nonblocking(true)?;
                rest.push((TcpStream::from_std(stream)?, peer, place));
            }
            Ok(rest)
        };
        accepted().unwrap_or_else(|error: io::Error| {
            tracing::warn!(%error, "those who wait to be accepted are turned away");
            Vec::new()
        })
    }

    fn connection(&self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) -> impl Future<Output = ()> + Send + 'static {
        let (engine, tls, stopped) = (Arc::clone(&self.engine), self.tls.clone(), self.stopped.clone());
        let debts = Arc::clone(&self.debts);
        let first = First { debt: Mutex::new(Some(Debt::of(&debts))), asked: Notify::new() };
        async move {
            let _place = place;
            if let Err(error) = stream.set_nodelay(true) {
                return tracing::debug!(%error, "a connection is gone");
            }
            let Some(tls) = tls else { return requests(&engine, stream, peer, (first, debts), stopped).await };
            let patience = Duration::from_millis(engine.settings().header_read_timeout_ms);
            match tokio::time::timeout(patience, tls.accept(stream)).await {
                Ok(Ok(stream)) => requests(&engine, stream, peer, (first, debts), stopped).await,
                Ok(Err(error)) => tracing::debug!(%error, %peer, "a handshake failed"),
                Err(_) => tracing::debug!(%peer, "a handshake took too long"),
            }
        }
    }
}

async fn requests(
    engine: &Arc<Engine>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    (first, debts): (First, Arc<Debts>),
    mut stopped: watch::Receiver<bool>,
) {
    let settings = engine.settings();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    builder.header_read_timeout(Duration::from_millis(settings.header_read_timeout_ms));
    // The engine refuses larger heads, and says so; of one that never ends, no more than twice as much is held.
    builder.max_header_size(settings.max_header_bytes.saturating_mul(2));
    builder.max_buf_size(settings.max_header_bytes.saturating_mul(2).max(MIN_BUFFER));
    let expectation = Arc::new(Expectation { now: Mutex::new(Expected::Nothing), turned: Notify::new() });
    let stopping = stopped.clone();
    let service = service_fn(|request| async {
        let _debt = Debt::of(&debts);
        first.asks();
        expectation.turn(Expected::Answer);
        // Once the door has stopped, no other call is read.
        let peer = Peer { address: Some(peer.ip()), promised: *stopping.borrow() };
        Ok::<_, Infallible>(expectation.answer(answer(engine, request, peer).await))
    });
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let told = async {
        until(&mut stopped).await;
        // What has arrived by now is heard of after this, and served: closing an idle connection would reset it.
        tokio::task::yield_now().await;
        first.wait().await;
        if settings.linger_s > 0 {
            expectation.met(Duration::from_secs(settings.linger_s)).await;
        }
    };
    let result = tokio::select! {
        biased;
        result = &mut serving => result,
        () = told => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(engine: &Arc<Engine>, request: Request<Incoming>, peer: Peer) -> Response<AnswerBody> {
    let (head, body) = request.into_parts();
    let patience = Duration::from_millis(engine.settings().body_read_timeout_ms);
    let body = match tokio::time::timeout(patience, read(engine, &head, body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return engine.refuse(&error),
        Err(_) => return engine.refuse(&engine.request_timeout()),
    };
    engine.handle(Request::from_parts(head, body), peer).await
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
