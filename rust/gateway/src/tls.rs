//! Serving TLS with a certificate that may be replaced at any time: what is connected stays, the next handshake sees the new one.

use std::{fmt, io, sync::Arc};

use arc_swap::ArcSwapOption;
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

/// The certificate in use.
#[derive(Default)]
pub struct Certificates {
    current: Arc<Current>,
}

#[derive(Default)]
struct Current(ArcSwapOption<CertifiedKey>);

impl fmt::Debug for Current {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a certificate")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

impl Certificates {
    /// Uses a certificate from the next handshake on.
    ///
    /// # Errors
    /// A sentence; never the key.
    pub fn set(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem).collect();
        let chain = chain.map_err(|_| "the certificate is not PEM".to_owned())?;
        if chain.is_empty() {
            return Err("there is no certificate".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| "the certificate's key cannot be read".to_owned())?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| format!("the certificate and its key do not fit: {error}"))?;
        self.current.0.store(Some(Arc::new(certified)));
        Ok(())
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.current.0.load().is_some()
    }

    /// What accepts handshakes; they fail as long as there is no certificate.
    ///
    /// # Errors
    /// Where the cryptography does not offer what TLS needs.
    pub fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&self.current);
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would go on with a certificate that was replaced.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
