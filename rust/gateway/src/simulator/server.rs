//! Accepts connections, routes their requests, drains at the end.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use super::{
    books::Totals,
    chat::{self, AnswerBody, Shared, error, full, response},
    settings::{Error, Settings},
    stream::Broken,
    wire::{Reset, Wire},
};

/// Bodies beyond this are refused.
const MAX_BODY_BYTES: usize = 64 << 20;

/// How long answers in flight may take once a simulator is told to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// A simulator that listens already.
pub struct Simulator {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Simulator {
    /// Opens the log and binds the address. From here on connections queue up.
    ///
    /// # Errors
    /// If either cannot be had.
    pub async fn bind(settings: Settings) -> Result<Self, Error> {
        let failed = Error::io(settings.address.to_string());
        let shared = Arc::new(Shared::new(settings)?);
        let bound = async {
            let listener = TcpListener::bind(shared.settings.address).await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = bound.await.map_err(failed)?;
        Ok(Self { listener, address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://host:port`; paths are served with and without `/v1` in front.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Totals, readable while it serves.
    pub fn totals(&self) -> impl Fn() -> Totals + Send + Sync + 'static + use<> {
        let books = Arc::clone(&self.shared.books);
        move || books.totals()
    }

    /// Serves until `shutdown` is ready, then lets answers in flight end for two seconds.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Totals {
        let mut connections = JoinSet::new();
        let drain = GracefulShutdown::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _peer)) => {
                    connections.spawn(serve_connection(Arc::clone(&self.shared), stream, drain.watcher()));
                }
                Err(error) => {
                    // No file descriptors are left, most likely: wait for connections to end.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        drop(self.listener);
        if tokio::time::timeout(DRAIN, drain.shutdown()).await.is_err() {
            tracing::info!("answers in flight are broken off");
        }
        connections.shutdown().await;
        self.shared.books.totals()
    }
}

async fn serve_connection(shared: Arc<Shared>, stream: TcpStream, watcher: Watcher) {
    let delay = shared.connect_delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not set");
    }
    let reset = Reset::default();
    let wire = TokioIo::new(Wire::new(stream, reset.clone()));
    let service = service_fn(move |request| {
        let (shared, reset) = (Arc::clone(&shared), reset.clone());
        async move { route(&shared, request, &reset).await }
    });
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(wire, service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn route(shared: &Shared, request: Request<Incoming>, reset: &Reset) -> Result<Response<AnswerBody>, Broken> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let known = match path.strip_prefix("/v1").unwrap_or(path) {
        "/chat/completions" if head.method == Method::POST => {
            let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
                return Ok(error(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "invalid_request_error",
                    "body_too_large",
                    "the body is too large or broke off",
                ));
            };
            return chat::answer(shared, &head.headers, &body.to_bytes(), reset).await;
        }
        "/models" if head.method == Method::GET => models(shared),
        "/_stats" if head.method == Method::GET => serde_json::to_value(shared.books.totals()).unwrap_or_default(),
        "/healthz" if head.method == Method::GET => json!({"status": "ok"}),
        _ => {
            let message =
                format!("no {} {path} here; served are POST /v1/chat/completions, GET /v1/models, GET /_stats, GET /healthz", head.method);
            return Ok(error(StatusCode::NOT_FOUND, "invalid_request_error", "not_found", &message));
        }
    };
    Ok(response(StatusCode::OK, "application/json", None, full(&known)))
}

fn models(shared: &Shared) -> Value {
    let models: Vec<Value> = shared
        .books
        .models()
        .map(|model| json!({"id": model.name, "object": "model", "created": 0, "owned_by": "tradewind-simulator"}))
        .collect();
    json!({"object": "list", "data": models})
}

/// Binds, says where, and serves until `shutdown` is ready.
///
/// # Errors
/// As [`Simulator::bind`].
pub async fn run(settings: Settings, ready: impl FnOnce(SocketAddr), shutdown: impl Future<Output = ()>) -> Result<Totals, Error> {
    let simulator = Simulator::bind(settings).await?;
    ready(simulator.address());
    Ok(simulator.serve(shutdown).await)
}

/// [`run`] on a runtime of its own, on this thread, until SIGINT or SIGTERM.
///
/// # Errors
/// As [`run`], and where no runtime or signal handler can be had.
pub fn run_until_signal(settings: Settings, ready: impl FnOnce(SocketAddr)) -> Result<Totals, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("runtime"))?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("SIGINT"))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("SIGTERM"))?;
        let stopped = async {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
        };
        run(settings, ready, stopped).await
    })
}
