//! One HTTP/1.1 connection, plain or TLS, driven by the call that uses it: no task of its own, so no second wake-up per frame,
//! and frames that arrived together are seen together.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::Pool;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Driver = http1::Connection<TokioIo<Box<dyn Io>>, Full<Bytes>>;

/// A connection. Between calls it lies in a pool and is not polled.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<Driver>>,
    closed: bool,
    /// When it was last given back; `None` for a new one.
    pub idle_since: Option<Instant>,
}

impl Connection {
    /// Opens a connection to one of some addresses, the first that takes it; over TLS where there is a name to check.
    pub async fn open(addresses: &[SocketAddr], tls: Option<(Arc<ClientConfig>, ServerName<'static>)>) -> io::Result<Self> {
        let stream = TcpStream::connect(addresses).await?;
        stream.set_nodelay(true)?;
        let io: Box<dyn Io> = match tls {
            None => Box::new(stream),
            Some((config, name)) => Box::new(TlsConnector::from(config).connect(name, stream).await?),
        };
        let (sender, driver) = http1::handshake(TokioIo::new(io)).await.map_err(io::Error::other)?;
        let mut connection = Self { sender, driver: Box::pin(driver), closed: false, idle_since: None };
        // The first poll makes the sender ready.
        connection.usable().await;
        Ok(connection)
    }

    /// Whether the connection can take a call now: an upstream that has closed it has been heard of by this.
    pub async fn usable(&mut self) -> bool {
        poll_fn(|context| {
            self.drive(context);
            Poll::Ready(())
        })
        .await;
        !self.closed && self.sender.is_ready()
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        if !self.closed && self.driver.as_mut().poll(context).is_ready() {
            self.closed = true;
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let mut answer = std::pin::pin!(self.sender.send_request(request));
        let (driver, closed) = (&mut self.driver, &mut self.closed);
        poll_fn(|context| {
            if !*closed && driver.as_mut().poll(context).is_ready() {
                *closed = true;
            }
            answer.as_mut().poll(context)
        })
        .await
    }
}

/// The head of an answer and its body.
pub struct Answered {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The rest.
    pub body: Body,
}

/// An answer's body. Read to its end, it gives its connection back to the pool; dropped before, it closes it.
pub struct Body {
    incoming: Incoming,
    connection: Option<Connection>,
    home: (Arc<Pool>, Arc<str>),
    /// Whether the end of the body is marked, so that an early end is seen to be one.
    pub framed: bool,
}

impl Body {
    pub(super) fn of(response: Response<Incoming>, connection: Connection, home: (Arc<Pool>, Arc<str>)) -> Answered {
        let (head, incoming) = response.into_parts();
        let framed = head.headers.contains_key(header::CONTENT_LENGTH) || head.headers.contains_key(header::TRANSFER_ENCODING);
        Answered { status: head.status, headers: head.headers, body: Self { incoming, connection: Some(connection), home, framed } }
    }

    /// The next data, `None` at the end.
    pub fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>> {
        loop {
            let mut frame = Pin::new(&mut self.incoming).poll_frame(context);
            if frame.is_pending() {
                // Reading more of the connection may complete a frame; only if it does not, there is nothing now.
                let Some(connection) = &mut self.connection else { return Poll::Pending };
                connection.drive(context);
                frame = Pin::new(&mut self.incoming).poll_frame(context);
            }
            match frame {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    self.give_back(context);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.connection = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        if self.incoming.is_end_stream() {
                            self.give_back(context);
                        }
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }

    /// The next data, `None` at the end.
    pub async fn data(&mut self) -> Option<hyper::Result<Bytes>> {
        poll_fn(|context| self.poll_data(context)).await
    }

    fn give_back(&mut self, context: &mut Context<'_>) {
        let Some(mut connection) = self.connection.take() else { return };
        // Lets the connection see that the answer is complete and become ready for the next call.
        connection.drive(context);
        if !connection.closed {
            self.home.0.put(&self.home.1, connection);
        }
    }
}

/// The system's certificates, read at the first call to an https upstream.
pub(super) fn system() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let load = || {
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(format!("no root certificates were found on this machine: {:?}", found.errors));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    };
    CONFIG.get_or_init(load).clone().map_err(io::Error::other)
}
