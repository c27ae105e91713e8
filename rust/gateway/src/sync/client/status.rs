//! What `/plan` shows of the channel: what is in service, and which replicas answer.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde_json::{Value, json};

use super::{super::protocol::Identity, connection::Origin};
use crate::{account::rfc3339, settings::SyncFault};

/// What is known of the channel.
pub struct Status {
    fault: SyncFault,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lineage: String,
    serial: u64,
    identity: Option<Identity>,
    replicas: BTreeMap<(String, Option<SocketAddr>), Replica>,
}

struct Replica {
    origin: Origin,
    connected: bool,
    since: SystemTime,
    error: Option<String>,
}

impl Status {
    pub(super) fn new(fault: SyncFault) -> Self {
        Self { fault, state: Mutex::default() }
    }

    /// What is in service.
    pub(super) fn serves(&self, lineage: &str, serial: u64, identity: Option<&Identity>) {
        let mut state = self.lock();
        lineage.clone_into(&mut state.lineage);
        state.serial = serial;
        state.identity = identity.cloned();
    }

    /// Who the controller says that we are.
    pub fn identity(&self) -> Option<Identity> {
        self.lock().identity.clone()
    }

    /// A replica answers, or why it does not. Gives how many answer.
    pub(super) fn replica(&self, origin: &Origin, address: Option<SocketAddr>, error: Option<String>) -> usize {
        let mut state = self.lock();
        let connected = error.is_none();
        let key = (origin.url.clone(), address);
        match state.replicas.get_mut(&key) {
            Some(replica) if replica.connected == connected => replica.error = error,
            _ => {
                let replica = Replica { origin: origin.clone(), connected, since: SystemTime::now(), error };
                state.replicas.insert(key, replica);
            }
        }
        state.connected().count()
    }

    /// A replica is no more. Gives how many answer.
    pub(super) fn gone(&self, origin: &Origin, address: Option<SocketAddr>) -> usize {
        let mut state = self.lock();
        state.replicas.remove(&(origin.url.clone(), address));
        state.connected().count()
    }

    /// Whether a replica answers.
    pub(super) fn is_connected(&self, origin: &Origin, address: SocketAddr) -> bool {
        let key = (origin.url.clone(), Some(address));
        self.lock().replicas.get(&key).is_some_and(|replica| replica.connected)
    }

    /// Replicas that answer.
    pub(super) fn connected(&self) -> Vec<(Origin, SocketAddr)> {
        self.lock().connected().collect()
    }

    /// As `/plan` shows it.
    pub fn document(&self) -> Value {
        let state = self.lock();
        let controllers: Vec<Value> = state
            .replicas
            .iter()
            .map(|((url, address), replica)| {
                let (word, since) = (if replica.connected { "connected" } else { "disconnected" }, rfc3339(replica.since));
                json!({"url": url, "address": address, "state": word, "since": since, "error": replica.error})
            })
            .collect();
        let mut document =
            json!({"lineage": state.lineage, "serial": state.serial, "identity": state.identity, "controllers": controllers});
        if self.fault != SyncFault::None {
            document["fault"] = json!(self.fault);
        }
        document
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn connected(&self) -> impl Iterator<Item = (Origin, SocketAddr)> {
        let connected = self.replicas.iter().filter(|(_, replica)| replica.connected);
        connected.filter_map(|((_, address), replica)| Some((replica.origin.clone(), (*address)?)))
    }
}
