//! A connection to one replica: HTTP/1.1, over TLS unless it stays on this machine.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::roots::Roots;

/// For a connection and its handshake, each.
const CONNECT: Duration = Duration::from_secs(3);
/// Silence after which a session is over: a parked poll, and some time.
const SILENCE: Duration = Duration::from_secs(45);
/// Bytes of an answer: more than any plan that fits a ConfigMap.
pub const MAX_ANSWER: usize = 256 << 20;

/// Where a controller is, all its replicas together.
#[derive(Clone, Debug)]
pub struct Origin {
    /// As it was given.
    pub url: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    tls: Option<ServerName<'static>>,
    authority: HeaderValue,
}

impl Origin {
    /// Reads `https://host:port`.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(url: &str) -> Result<Self, String> {
        let refuse = |why: &str| format!("`{url}` {why}; expected `https://host:port`");
        let uri: Uri = url.parse().map_err(|error| refuse(&format!("is not a URL: {error}")))?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(|| refuse("has no plain host"))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refuse("has a path"));
        }
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refuse("is neither https nor http")),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = secure.then(|| ServerName::try_from(host.clone())).transpose();
        Ok(Self {
            url: url.to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            tls: name.map_err(|error| refuse(&format!("has no valid host: {error}")))?,
            authority: HeaderValue::from_str(authority.as_str()).map_err(|error| refuse(&error.to_string()))?,
            host,
        })
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An open connection, which carries one request at a time.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    authority: HeaderValue,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects to a replica.
    pub async fn open(origin: &Origin, address: SocketAddr, roots: &Roots) -> io::Result<Self> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "not connected in time");
        if origin.tls.is_none() && !loopback(address.ip()) {
            return Err(io::Error::other("plain http would show our token to the network; expected https"));
        }
        let stream = timeout(CONNECT, TcpStream::connect(address)).await.map_err(late)??;
        stream.set_nodelay(true)?;
        let io: Box<dyn Io> = match &origin.tls {
            None => Box::new(stream),
            Some(name) => {
                let connector = TlsConnector::from(roots.config()?);
                Box::new(timeout(CONNECT, connector.connect(name.clone(), stream)).await.map_err(late)??)
            }
        };
        let (sender, driver) = http1::handshake(TokioIo::new(io)).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a controller's connection ended");
            }
        });
        Ok(Self { sender, driver, authority: origin.authority.clone() })
    }

    /// Sends a request and reads the whole answer.
    pub async fn ask(&mut self, method: Method, target: &str, token: &str, body: Vec<u8>, limit: usize) -> io::Result<(StatusCode, Bytes)> {
        let silent = |_| io::Error::new(io::ErrorKind::TimedOut, format!("silent for {} s", SILENCE.as_secs()));
        self.sender.ready().await.map_err(io::Error::other)?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().map_err(io::Error::other)?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.authority.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !token.is_empty() {
            let mut bearer =
                HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| io::Error::other("the token's file holds no token"))?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let response = timeout(SILENCE, self.sender.send_request(request)).await.map_err(silent)?.map_err(io::Error::other)?;
        let (head, mut incoming) = response.into_parts();
        let mut all = BytesMut::new();
        while let Some(frame) = timeout(SILENCE, incoming.frame()).await.map_err(silent)? {
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                all.extend_from_slice(&data);
            }
            if all.len() > limit {
                return Err(io::Error::other(format!("an answer of more than {limit} bytes")));
            }
        }
        Ok((head.status, all.freeze()))
    }
}

fn loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let port = |url: &str| Origin::parse(url).map(|origin| (origin.host, origin.port, origin.tls.is_some()));
        assert_eq!(port("https://c.ns.svc:8443"), Ok(("c.ns.svc".to_owned(), 8443, true)));
        assert_eq!(port("http://[::1]:80/"), Ok(("::1".to_owned(), 80, false)));
        for bad in ["c:80", "https://", "ftp://c", "https://c/path", "https://u:p@c", "https://c?x=y"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }
}
