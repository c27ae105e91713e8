//! Upstreams behind TLS: their certificates are checked against the roots of the machine, or those that `SSL_CERT_FILE` names.

use std::{convert::Infallible, fs, net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{
    client::{Kind, Open, Seen},
    processes::{Gateway, plan_of},
};

const ANSWER: &str = r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"over TLS"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An upstream that answers every call, with a certificate for `localhost`.
async fn upstream(authority: &Authority) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Callers that do not trust the certificate hang up.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let answer = service_fn(|request: http::Request<Incoming>| async {
                request.into_body().collect().await.unwrap();
                Ok::<_, Infallible>(
                    Response::builder().header("content-type", "application/json").body(Full::new(Bytes::from(ANSWER))).unwrap(),
                )
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

/// A call to `https://host` through a gateway that trusts an authority.
async fn check(host: &str, upstream: SocketAddr, trusted: &Authority) -> Seen {
    let folder = TempDir::new().unwrap();
    let roots: PathBuf = folder.path().join("roots.pem");
    fs::write(&roots, trusted.pem()).unwrap();
    let url = format!("https://{host}:{}/v1", upstream.port());
    let gateway = Gateway::start_with(folder.path(), &plan_of(&[("model", url)], 0), &[("SSL_CERT_FILE", &roots)]);
    Open::start(gateway.address, "caller", Kind::Unary).await.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_a_trusted_authority_for_this_host_is_called() {
    let (authority, other) = (authority("one"), authority("other"));
    let upstream = upstream(&authority).await;
    let answered = check("localhost", upstream, &authority).await;
    assert_eq!((answered.status, answered.text().as_str(), answered.header("x-tradewind-model")), (200, "over TLS", "default/pool/model"));
    for (host, trusted, why) in [("localhost", &other, "UnknownIssuer"), ("127.0.0.1", &authority, "not valid for name")] {
        let refused = check(host, upstream, trusted).await;
        let message = refused.events[0]["error"]["message"].as_str().unwrap();
        assert_eq!((refused.status, refused.error()), (502, Some("upstream_connect")), "{message}");
        assert!(message.contains("cannot be reached: invalid peer certificate") && message.contains(why), "{message}");
    }
}
