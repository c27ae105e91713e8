//! The data plane's end of the channel: polls every replica of the controller, takes what is newer, and keeps what has served well.
//!
//! - `replica`: one replica, polled for ever. `connection` is what it talks over, `roots` whom it trusts.
//! - `follower`: what is in service, and how an update becomes that.
//! - `stock`: plans and predictors on disk, for a start without a controller.
//! - `vault`: keys in memory-backed files, for the same.
//! - `callers`: who the token of a ServiceAccount is.
//! - `status`: what `/plan` shows.

mod replica;
mod connection;
mod roots;
mod follower;
mod stock;
mod vault;
mod callers;
mod status;
mod backoff;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::sync::watch;

pub use self::{callers::Callers, roots::Roots, status::Status};
use self::{connection::Origin, follower::Follower, roots::Source, stock::Stock, vault::Vault};
use crate::{engine::Engine, upstream::guard};

/// Follows the controllers of an engine's settings until it is dropped.
pub struct SyncClient {
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SyncClient {
    /// Serves what was kept, if anything was, and begins to poll. Without controllers in the settings nothing is polled.
    ///
    /// # Errors
    /// Where a URL or a folder of the settings cannot be used.
    pub fn start(engine: &Arc<Engine>) -> io::Result<Self> {
        let settings = engine.settings();
        let origins = settings.controllers.iter().map(|url| Origin::parse(url)).collect::<Result<Vec<_>, _>>();
        let origins = origins.map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
        let vault = settings.keys_cache.as_deref().map(Vault::open).transpose()?;
        let stock = Stock::open(settings.plan_cache.as_deref(), settings.bootstrap_plan.as_deref())?;
        let source = Source::of(settings).map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
        let roots = Arc::new(Roots::new(source, stock.trust()));
        engine.trust_gateways(Arc::clone(&roots));
        let status = Arc::new(Status::new(settings.sync_fault));
        let follower = Arc::new(Follower::new(Arc::clone(engine), stock, vault, Arc::clone(&roots), Arc::clone(&status)));
        spare(engine, &origins);
        follower.resume();
        let (callers, questions) = Callers::new(Arc::clone(&status));
        engine.set_controllers(Arc::clone(&status), callers);
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("tradewind-follow".to_owned()).spawn(move || {
            runtime.block_on(replica::follow(origins, follower, questions, stopped));
            // A look-up of a name may hang for long.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Polls no more. Blocks for moments; may be called again.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that follows the controllers has panicked");
        }
    }
}

impl Drop for SyncClient {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Lets no upstream be at an address that the settings give to the controllers or the API server. Before a plan is served: names are
/// looked up later, again and again.
fn spare(engine: &Engine, origins: &[Origin]) {
    let controllers = origins.iter().map(|origin| (guard::CONTROLLER, &*origin.host));
    for (why, host) in controllers.chain([(guard::API_SERVER, &*engine.settings().api_server)]) {
        if let Ok(address) = host.parse() {
            engine.spare(why, host, [address]);
        }
    }
}
