//! Idle connections of this worker, the youngest first, and the safe second try when an idle one turns out to be stale.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rustls::ClientConfig;

use super::{
    Endpoint,
    connection::{self, Answered, Body, Connection},
    guard::{Guard, Why},
    hosts::{self, Host},
};
use crate::sync::client::Roots;

/// A kept connection that fails this soon after a request was stale: the upstream had closed it before it read a byte of the request.
/// Later, the upstream may have worked on the request, and another attempt is `resume`'s to name.
const STALE_WITHIN: Duration = Duration::from_millis(250);

/// Limits of the pools, and what connections may be opened to. The connections themselves belong to the thread that runs the call.
#[derive(Debug)]
pub struct Pool {
    /// Differs from every other's of this process: what one may call, another may not.
    pub id: u64,
    /// Idle connections kept per origin and thread.
    pub max_idle: usize,
    /// Age at which an idle connection is not used again.
    pub max_age: Duration,
    /// How long opening one may take.
    pub connect_timeout: Duration,
    /// Addresses that are known without DNS.
    pub hosts: Vec<Host>,
    /// Whom to trust where a pod's token is shown; what the system trusts, where there is nothing.
    pub hop: ArcSwapOption<Roots>,
    /// What may be called; without one, everything.
    pub guard: Option<Arc<Guard>>,
}

type ByOrigin = HashMap<Arc<str>, Vec<Connection>>;

thread_local! {
    // Per thread, so that no lock is taken, and a current-thread runtime only meets connections of its own.
    static IDLE: RefCell<HashMap<u64, ByOrigin>> = RefCell::default();
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// No connection: nothing was sent.
    Connect(io::Error),
    /// None of its addresses may be called.
    Forbidden(Why),
    /// The connection broke before the head of an answer came.
    Broken(hyper::Error),
    /// What came is not HTTP.
    Invalid(hyper::Error),
}

impl Pool {
    pub(super) fn put(&self, origin: &Arc<str>, mut connection: Connection) {
        connection.idle_since = Some(Instant::now());
        // The thread may be ending; then the connection ends with it.
        let _ = IDLE.try_with(|idle| {
            let mut idle = idle.borrow_mut();
            let idle = idle.entry(self.id).or_default();
            match idle.get_mut(origin) {
                Some(idle) if idle.len() < self.max_idle => idle.push(connection),
                Some(_) => {}
                None => {
                    idle.insert(Arc::clone(origin), vec![connection]);
                }
            }
        });
    }

    fn take(&self, origin: &str) -> Option<Connection> {
        IDLE.with(|idle| {
            let mut idle = idle.borrow_mut();
            let connections = idle.get_mut(&self.id)?.get_mut(origin)?;
            let connection = connections.pop()?;
            if connection.idle_since.is_some_and(|since| since.elapsed() < self.max_age) {
                return Some(connection);
            }
            // The rest are older still.
            connections.clear();
            None
        })
    }

    async fn connection(&self, endpoint: &Endpoint) -> Result<Connection, Failure> {
        while let Some(mut connection) = self.take(&endpoint.origin) {
            if connection.usable().await {
                return Ok(connection);
            }
        }
        self.open(endpoint).await
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Connection, Failure> {
        let opening = async {
            // Looked up and looked at for each connection: what a name stands for may change at any time.
            let addresses = self.addresses(endpoint).await?;
            let tls = endpoint.tls.as_ref().map(|name| Ok((self.trusted(endpoint)?, name.clone()))).transpose();
            Connection::open(&addresses, tls.map_err(Failure::Connect)?).await.map_err(Failure::Connect)
        };
        match tokio::time::timeout(self.connect_timeout, opening).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Connect(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("not connected after {} ms", self.connect_timeout.as_millis()),
            ))),
        }
    }

    fn trusted(&self, endpoint: &Endpoint) -> io::Result<Arc<ClientConfig>> {
        match self.hop.load().as_ref().filter(|_| endpoint.is_hop()) {
            Some(roots) => roots.config(),
            None => connection::system(),
        }
    }

    async fn addresses(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Failure> {
        let found = match endpoint.address {
            Some(address) => vec![SocketAddr::new(address, endpoint.port)],
            None => hosts::look_up(&self.hosts, &endpoint.host, endpoint.port).await.map_err(Failure::Connect)?,
        };
        match &self.guard {
            Some(guard) => guard.admitted(found).map_err(Failure::Forbidden),
            None => Ok(found),
        }
    }
}

/// Sends a request over a kept connection, else over a new one, and waits for the head of the answer.
///
/// # Errors
/// See [`Failure`].
pub async fn call(pool: &Arc<Pool>, endpoint: &Endpoint, request: impl Fn() -> Request<Full<Bytes>>) -> Result<Answered, Failure> {
    let mut connection = pool.connection(endpoint).await?;
    let kept = connection.idle_since.is_some();
    let started = Instant::now();
    let mut result = connection.send(request()).await;
    if let Err(error) = &result
        && kept
        && !error.is_parse()
        && started.elapsed() < STALE_WITHIN
    {
        connection = pool.open(endpoint).await?;
        result = connection.send(request()).await;
    }
    match result {
        Ok(response) => Ok(Body::of(response, connection, (Arc::clone(pool), Arc::clone(&endpoint.origin)))),
        Err(error) if error.is_parse() => Err(Failure::Invalid(error)),
        Err(error) => Err(Failure::Broken(error)),
    }
}
