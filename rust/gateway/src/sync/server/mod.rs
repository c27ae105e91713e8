//! The controller's end of the channel: every data plane polls here, and its poll is parked until something differs.
//!
//! - `settings`: what it is told once.
//! - `listener`: accepts, speaks TLS, bounds connections.
//! - `handler`: one request, from its token to an answer.
//! - `identity`: who a token is, asked of the controller and remembered for a while.
//! - `books`: what is published, who has what. One lock, held for moments; rendering is done outside.
//! - `publication`: a plan under its serial, rendered once for each kind of data plane.
//! - `keyring`: keys, cut for each namespace.
//! - `bell`: tells the controller that something changed, once until it looks.
//! - `counters`: figures.

mod settings;
mod listener;
mod handler;
mod identity;
mod books;
mod publication;
mod keyring;
mod bell;
mod counters;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};
use tradewind_core::digest;

use self::{bell::Bell, books::Books, counters::Counters, handler::Shared, identity::Identities, publication::Publication};
pub use self::{
    identity::{Identify, Unidentified},
    settings::Settings,
};
use super::protocol::{Certificate, MAX_PREDICTOR_BYTES, Trust};
use crate::tls::Certificates;

/// Threads that answer polls.
const THREADS: usize = 2;
/// Threads that render plans and wait for the controller to identify tokens.
const BLOCKING_THREADS: usize = 24;
/// How long threads that wait for the controller may take once the server is told to stop.
const STOP: Duration = Duration::from_millis(200);

/// Its threads, and the task that ends after the last answer.
struct Running {
    runtime: Runtime,
    serving: JoinHandle<()>,
}

/// The controller's end of the channel. It has threads of its own from [`Self::listen`] on.
pub struct SyncServer {
    shared: Arc<Shared>,
    certificates: Arc<Certificates>,
    running: Mutex<Option<Running>>,
    stop: watch::Sender<bool>,
    /// The newest plan: what is published was offered before, to several.
    newest: Mutex<Option<Arc<Publication>>>,
}

impl SyncServer {
    /// Stores its parts. `changed` is called on a thread of its own.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn new(settings: Settings, identify: Box<Identify>, changed: Box<dyn Fn() + Send>) -> io::Result<Self> {
        let bell = Bell::start(changed)?;
        let (stop, stopped) = watch::channel(false);
        let shared = Shared {
            identities: Identities::new(identify, Duration::from_secs_f64(settings.identity_cache_s)),
            books: Books::new(bell, settings.silence()),
            counters: Counters::default(),
            settings,
            stopped,
        };
        Ok(Self { shared: Arc::new(shared), certificates: Arc::default(), running: Mutex::default(), stop, newest: Mutex::default() })
    }

    /// Serves this certificate from the next handshake on. Before [`Self::listen`]: without one plain HTTP is served.
    ///
    /// # Errors
    /// A sentence; never the key.
    pub fn set_certificate(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), String> {
        self.certificates.set(chain_pem, key_pem)
    }

    /// Listens and serves; gives the address.
    ///
    /// # Errors
    /// Where the address cannot be had, or it listens already.
    pub fn listen(&self) -> io::Result<SocketAddr> {
        let mut running = lock(&self.running);
        if running.is_some() {
            return Err(io::Error::other("this server listens already"));
        }
        let listener = bind(&self.shared.settings.listen)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("tradewind-sync")
            .enable_all()
            .build()?;
        let tls = self.certificates.is_set().then(|| self.certificates.acceptor()).transpose()?;
        let entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        drop(entered);
        let serving = runtime.spawn(listener::serve(Arc::clone(&self.shared), listener, tls));
        runtime.spawn(handler::sweep(Arc::clone(&self.shared)));
        *running = Some(Running { runtime, serving });
        Ok(address)
    }

    /// Gives every data plane its rendering of this plan source; gives the plan's id.
    ///
    /// # Errors
    /// A sentence, where it is no plan source.
    pub fn publish(&self, lineage: &str, serial: u64, plan: &[u8]) -> Result<String, String> {
        let publication = self.publication(lineage, serial, plan)?;
        let id = publication.id().to_owned();
        self.shared.books.publish(publication);
        Ok(id)
    }

    /// Gives one data plane this plan source, as a trial; gives the plan's id. Several may try at once.
    ///
    /// # Errors
    /// A sentence, where it is no plan source.
    pub fn offer(&self, pod_uid: &str, lineage: &str, serial: u64, plan: &[u8]) -> Result<String, String> {
        let publication = self.publication(lineage, serial, plan)?;
        let id = publication.id().to_owned();
        let rendering = self.shared.books.kind(pod_uid).map(|(schema, role, holder)| {
            let scope = self.shared.scope(role, &holder);
            publication.rendering_now(schema, scope)
        });
        self.shared.books.offer(pod_uid, publication, rendering.transpose()?.as_deref());
        Ok(id)
    }

    /// Forgets all offers. The data planes keep what they took.
    pub fn withdraw(&self) {
        self.shared.books.withdraw();
        lock(&self.newest).take();
    }

    fn publication(&self, lineage: &str, serial: u64, plan: &[u8]) -> Result<Arc<Publication>, String> {
        let mut newest = lock(&self.newest);
        if let Some(known) = newest.as_ref().filter(|known| known.is_of(lineage, serial, plan)) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(Publication::new(lineage, serial, plan)?);
        *newest = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Gives callers' keys to gateways, and credentials to whom they belong.
    ///
    /// # Errors
    /// A sentence that names the place, never a key.
    pub fn set_keys(&self, keys: &[u8]) -> Result<(), String> {
        let ring = keyring::KeyRing::parse(keys)?;
        self.shared.books.set_keys(Arc::new(ring));
        Ok(())
    }

    /// Gives certificates to trust.
    ///
    /// # Errors
    /// A sentence, where there is none in it.
    pub fn set_trust(&self, bundle_pem: &[u8]) -> Result<(), String> {
        let bundle = std::str::from_utf8(bundle_pem).map_err(|_| "the bundle is not PEM".to_owned())?;
        super::certificates::roots(bundle)?;
        let trust = Trust { digest: digest::sha256(bundle_pem), bundle: bundle.to_owned() };
        let json = serde_json::to_vec(&trust).map_err(|error| error.to_string())?;
        self.shared.books.set_trust(keyring::Blob { digest: trust.digest, json: json.into() });
        Ok(())
    }

    /// Gives gateways with a TLS door their certificate; no sidecar gets it.
    ///
    /// # Errors
    /// A sentence; never the key.
    pub fn set_gateway_certificate(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), String> {
        // As a gateway would take it.
        Certificates::default().set(chain_pem, key_pem)?;
        let text = |pem: &[u8]| std::str::from_utf8(pem).map(str::to_owned).map_err(|_| "the certificate is not PEM".to_owned());
        let certificate = Certificate { digest: digest::sha256(chain_pem), chain: text(chain_pem)?, key: text(key_pem)? };
        let json = serde_json::to_vec(&certificate).map_err(|_| "the certificate cannot be written".to_owned())?;
        self.shared.books.set_certificate(keyring::Blob { digest: certificate.digest, json: json.into() });
        Ok(())
    }

    /// Offers a predictor's file for download; gives its digest.
    ///
    /// # Errors
    /// A sentence, where it is larger than a data plane would take.
    pub fn add_predictor(&self, onnx: Vec<u8>) -> Result<String, String> {
        if onnx.len() > MAX_PREDICTOR_BYTES {
            return Err(format!("the predictor has {} bytes; at most {MAX_PREDICTOR_BYTES} are given to data planes", onnx.len()));
        }
        let digest = digest::sha256(&onnx);
        self.shared.books.add_predictor(digest.clone(), Bytes::from(onnx));
        Ok(digest)
    }

    /// Forgets predictors that are neither among these nor named by the plan that is published or by an offer.
    pub fn keep_predictors<'d>(&self, digests: impl IntoIterator<Item = &'d str>) {
        self.shared.books.keep_predictors(&digests.into_iter().collect());
    }

    /// Every session as JSON. `changed` is called again for what happens from here on.
    #[must_use]
    pub fn sessions(&self) -> Vec<u8> {
        self.shared.books.sessions()
    }

    /// Figures as JSON.
    #[must_use]
    pub fn counters(&self) -> Vec<u8> {
        self.shared.counters.json()
    }

    /// Ends parked polls, closes connections and the listener. Blocks for moments; may be called again.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        if let Some(Running { runtime, serving }) = lock(&self.running).take() {
            // An error means that it has panicked, and so has ended.
            let _ = runtime.block_on(serving);
            runtime.shutdown_timeout(STOP);
        }
        self.shared.books.silence_bell();
    }
}

impl Drop for SyncServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(Running { runtime, .. }) = lock(&self.running).take() {
            runtime.shutdown_background();
        }
    }
}

fn bind(address: &str) -> io::Result<TcpListener> {
    let address = address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("`{address}` is no address")))?;
    let listener = crate::server::bind(address, false)?;
    Ok(listener)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
