//! The health listener: what a kubelet and Prometheus ask, on a port of its own, so that no caller's limits and no TLS are in their way.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use crate::{
    answer::AnswerBody,
    engine::{Engine, not_among},
    keys::Peer,
    server::{self, until},
};

/// What is served.
const PATHS: &[(&str, &str)] = &[("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/startupz"), ("GET", "/metrics"), ("GET", "/plan")];
/// Connections open at once; more wait to be accepted.
const MOST: usize = 64;
/// For a request's head; also how long an idle connection is kept. Longer than a usual period of probes and scrapes.
const IDLE: Duration = Duration::from_secs(65);

/// A running health listener. It goes on while the doors close, until it is dropped.
pub struct Health {
    /// Where it listens; with port 0 asked for, the port that was given.
    pub local_addr: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Listens, and serves the state of the engine to whoever asks.
///
/// # Errors
/// Where the address cannot be had.
pub fn serve_health(engine: &Arc<Engine>, address: &str) -> io::Result<Health> {
    let listener = server::bind(server::resolve(address)?, false)?;
    let local_addr = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let engine = Arc::clone(engine);
    let serving = move || runtime.block_on(listen(engine, listener, stopped));
    let thread = thread::Builder::new().name("tradewind-health".to_owned()).spawn(serving)?;
    tracing::info!(address = %local_addr, "health and metrics");
    Ok(Health { local_addr, stop, thread: Some(thread) })
}

impl Drop for Health {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the health listener has panicked");
        }
    }
}

async fn listen(engine: Arc<Engine>, listener: std::net::TcpListener, mut stopped: watch::Receiver<bool>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the health listener cannot listen"),
    };
    let places = Arc::new(Semaphore::new(MOST));
    let accept = async {
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let engine = Arc::clone(&engine);
                    tokio::spawn(async move {
                        connection(&engine, stream).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection for health could not be accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = until(&mut stopped) => {}
    }
}

async fn connection(engine: &Arc<Engine>, stream: TcpStream) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service_fn(|request| answer(engine, request))).await {
        tracing::debug!(%error, "a connection for health ended early");
    }
}

async fn answer(engine: &Arc<Engine>, request: Request<Incoming>) -> Result<Response<AnswerBody>, Infallible> {
    let path = request.uri().path();
    if !PATHS.iter().any(|(_, known)| *known == path) {
        return Ok(engine.refuse(&not_among(PATHS, path)));
    }
    let (head, _) = request.into_parts();
    Ok(engine.handle(Request::from_parts(head, Bytes::new()), Peer::default()).await)
}
