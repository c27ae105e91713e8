//! Where a model is served, prepared once per plan so that a call only clones handles.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Uri, uri::Scheme};
use rustls::pki_types::ServerName;
use tradewind_core::plan::{POD, Upstream};

/// A prepared upstream address.
#[derive(Debug)]
pub struct Endpoint {
    /// `scheme://host:port`: connections are shared by all models of one origin. Where a pod's token is shown, `@pod ` is before it:
    /// others are trusted there.
    pub origin: Arc<str>,
    /// Host name or address, without brackets.
    pub host: String,
    /// The host, where it is an address and needs no look-up.
    pub address: Option<IpAddr>,
    /// Port.
    pub port: u16,
    /// The name to check the certificate against; `None` for plain HTTP.
    pub tls: Option<ServerName<'static>>,
    /// `host` header.
    pub authority: HeaderValue,
    /// Request target: the base path and `/chat/completions`.
    pub target: Uri,
    /// What the upstream calls the model, as JSON.
    pub model: Bytes,
    /// Name of the credential.
    pub credential: Option<String>,
}

/// Whether a host, with or without brackets, is this machine by its very name: what goes there meets no network.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

impl Endpoint {
    /// Whether what is sent there can be read on the way.
    pub fn is_in_the_clear(&self) -> bool {
        self.tls.is_none() && !is_loopback(&self.host)
    }

    /// Whether a pod shows its token there: it is a gateway.
    pub fn is_hop(&self) -> bool {
        self.credential.as_deref() == Some(POD)
    }

    /// Prepares an upstream of a plan.
    ///
    /// # Errors
    /// A sentence on what is wrong with its URL.
    pub fn new(upstream: &Upstream) -> Result<Self, String> {
        let refuse = |why: &str| format!("`{}` {why}", upstream.url);
        let url: Uri = upstream.url.parse().map_err(|error| refuse(&format!("is not a URL: {error}")))?;
        let authority = url.authority().ok_or_else(|| refuse("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("holds a user name or password; credentials come from a Secret"));
        }
        if url.query().is_some() {
            return Err(refuse("has a query; expected a base URL"));
        }
        let secure = url.scheme() == Some(&Scheme::HTTPS);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = secure
            .then(|| ServerName::try_from(host.clone()))
            .transpose()
            .map_err(|error| refuse(&format!("has no valid host: {error}")))?;
        let kind = if upstream.credential.as_deref() == Some(POD) { "@pod " } else { "" };
        let target = format!("{}/chat/completions", url.path().trim_end_matches('/'));
        Ok(Self {
            origin: format!("{kind}{}://{}:{port}", if secure { "https" } else { "http" }, authority.host()).into(),
            address: host.parse().ok(),
            port,
            tls,
            authority: HeaderValue::from_str(authority.as_str()).map_err(|error| refuse(&error.to_string()))?,
            target: target.parse().map_err(|error| refuse(&format!("has no valid path: {error}")))?,
            model: serde_json::to_vec(&upstream.model).map_err(|error| error.to_string())?.into(),
            credential: upstream.credential.clone(),
            host,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> Result<Endpoint, String> {
        Endpoint::new(&Upstream { url: url.to_owned(), dialect: "openai".to_owned(), model: "a\"b".to_owned(), credential: None })
    }

    #[test]
    fn a_url_is_prepared_or_refused() {
        let endpoint = check("http://127.0.0.1:8000/v1/").unwrap();
        assert_eq!((&*endpoint.origin, endpoint.target.path(), endpoint.port), ("http://127.0.0.1:8000", "/v1/chat/completions", 8000));
        assert_eq!((endpoint.address.is_some(), &endpoint.model[..]), (true, &br#""a\"b""#[..]));
        let endpoint = check("https://api.example.com/v1").unwrap();
        assert_eq!((&*endpoint.origin, endpoint.tls.is_some()), ("https://api.example.com:443", true));
        assert_eq!(check("http://[::1]:7/v1").unwrap().address, Some("::1".parse().unwrap()));
        for (url, clear) in [
            ("http://gateway/v1", true),
            ("http://10.0.0.1/v1", true),
            ("https://gateway/v1", false),
            ("http://localhost:1/v1", false),
            ("http://127.0.0.2/v1", false),
            ("http://[::1]/v1", false),
            ("http://[::ffff:127.0.0.1]/v1", false),
        ] {
            assert_eq!(check(url).unwrap().is_in_the_clear(), clear, "{url}");
        }
        for (bad, part) in [("http://a:b@c/v1", "password"), ("http://c/v1?x=y", "query"), ("/v1", "no host")] {
            assert!(check(bad).unwrap_err().contains(part), "{bad}");
        }
    }
}
