//! Whom to trust: the bundle of the settings, until a controller gives another; a later edit of its file counts beside it. It holds for
//! controllers, and for the gateways that sidecars reach other namespaces' models through.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::super::certificates;
use crate::settings::Settings;

/// Where the first bundle is.
#[derive(Debug)]
pub enum Source {
    /// What the system trusts counts.
    System,
    /// In a file, which may be edited.
    File(PathBuf),
    /// In the settings.
    Text(String),
}

impl Source {
    /// What the settings say.
    ///
    /// # Errors
    /// A sentence, where they say two things.
    pub fn of(settings: &Settings) -> Result<Self, String> {
        match (&settings.controller_trust, &*settings.controller_trust_pem) {
            (None, "") => Ok(Self::System),
            (Some(file), "") => Ok(Self::File(file.clone())),
            (None, text) => {
                certificates::roots(text).map(|_| Self::Text(text.to_owned())).map_err(|why| format!("controller_trust_pem: {why}"))
            }
            (Some(_), _) => Err("`controller_trust` and `controller_trust_pem` exclude each other".to_owned()),
        }
    }

    fn read(&self) -> io::Result<Option<String>> {
        match self {
            Self::System => Ok(None),
            Self::File(file) => std::fs::read_to_string(file).map(Some),
            Self::Text(text) => Ok(Some(text.clone())),
        }
    }
}

/// Bundles, and the configuration that was made of them last.
#[derive(Debug)]
pub struct Roots {
    source: Source,
    /// What was there at the start.
    first: Option<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What each replica gave last. What one of them trusts is trusted: one of two may be late.
    given: BTreeMap<SocketAddr, String>,
    made: Option<(String, Arc<ClientConfig>)>,
    /// What was given in an earlier life.
    kept: Option<String>,
}

impl Roots {
    /// From the first bundle, and what was given in an earlier life.
    #[must_use]
    pub fn new(source: Source, kept: Option<String>) -> Self {
        let first = source.read().ok().flatten();
        Self { source, first, state: Mutex::new(State { kept, ..State::default() }) }
    }

    /// Takes what a replica gave; gives all that is trusted by now.
    ///
    /// # Errors
    /// A sentence; then all is as it was.
    pub fn give(&self, replica: SocketAddr, bundle: String) -> Result<String, String> {
        certificates::roots(&bundle)?;
        let mut state = self.lock();
        state.given.insert(replica, bundle);
        Ok(state.in_band().unwrap_or_default())
    }

    /// A replica is gone, and its word with it unless it is the last one.
    pub fn forget(&self, replica: SocketAddr) {
        let mut state = self.lock();
        if state.given.len() > 1 {
            state.given.remove(&replica);
        }
    }

    /// For the next handshake.
    pub fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let file = self.source.read();
        let mut state = self.lock();
        let bundle = match (state.in_band(), file) {
            (Some(given), Ok(file)) if file == self.first => given,
            (Some(given), file) => given + "\n" + &file.ok().flatten().unwrap_or_default(),
            (None, file) => state.kept.clone().unwrap_or_default() + "\n" + &file?.unwrap_or_default(),
        };
        if let Some((made_of, config)) = &state.made
            && *made_of == bundle
        {
            return Ok(Arc::clone(config));
        }
        let roots = if matches!(self.source, Source::System) && bundle.trim().is_empty() {
            system()?
        } else {
            certificates::roots(&bundle).map_err(io::Error::other)?
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would go on with a certificate that is trusted no more.
        config.resumption = rustls::client::Resumption::disabled();
        let config = Arc::new(config);
        state.made = Some((bundle, Arc::clone(&config)));
        Ok(config)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn in_band(&self) -> Option<String> {
        let mut bundles: Vec<&str> = self.given.values().map(String::as_str).collect();
        bundles.sort_unstable();
        bundles.dedup();
        (!bundles.is_empty()).then(|| bundles.join("\n"))
    }
}

fn system() -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(io::Error::other("no certificates to trust a controller by; give controller_trust"));
    }
    Ok(roots)
}
