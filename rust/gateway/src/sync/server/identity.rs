//! Who a token is: asked of the controller, remembered by the token's hash. Bad tokens are remembered too, and whoever brings many of
//! them waits, so that a flood does not reach the API server.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore};

/// Asks the controller who a token is; gives the JSON of [`Holder`]. Blocks.
pub type Identify = dyn Fn(&str) -> Result<Vec<u8>, Unidentified> + Send + Sync;

/// Why a token has no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unidentified {
    /// It is nobody's.
    Unknown,
    /// It could not be asked.
    Unavailable,
    /// Too many bad tokens came from there.
    Flood,
}

/// Who holds a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Holder {
    /// Namespace of the ServiceAccount.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// The pod that the token is bound to.
    #[serde(default)]
    pub pod: String,
    /// The pod's uid.
    #[serde(default)]
    pub pod_uid: String,
    /// Its node.
    #[serde(default)]
    pub node: String,
}

/// Whom bad tokens are counted against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bearer {
    /// A poll from an address.
    Address(IpAddr),
    /// A gateway that asks about its callers.
    Gateway(String),
}

impl Bearer {
    /// Bad tokens in one window.
    const fn patience(&self) -> u32 {
        match self {
            Self::Address(_) => 20,
            Self::Gateway(_) => 200,
        }
    }
}

/// How long a bad token is remembered.
const BAD_FOR: Duration = Duration::from_secs(10);
/// The window in which bad tokens are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Questions to the controller at once; the rest wait.
const AT_ONCE: usize = 16;
/// Tokens, and bearers of bad ones, remembered at once.
const MOST: usize = 20_000;

type Answer = Result<Arc<Holder>, Unidentified>;

struct Entry {
    answer: OnceCell<Answer>,
    since: Instant,
}

/// Remembered identities.
pub struct Identities {
    identify: Arc<Identify>,
    good_for: Duration,
    entries: Mutex<HashMap<[u8; 32], Arc<Entry>>>,
    bad: Mutex<HashMap<Bearer, (Instant, u32)>>,
    places: Semaphore,
}

impl Identities {
    pub fn new(identify: Box<Identify>, good_for: Duration) -> Self {
        Self { identify: identify.into(), good_for, entries: Mutex::default(), bad: Mutex::default(), places: Semaphore::new(AT_ONCE) }
    }

    /// Who holds a token.
    ///
    /// # Errors
    /// See [`Unidentified`].
    pub async fn of(&self, token: &str, bearer: Bearer) -> Answer {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let entry = self.entry(hash);
        if let Some(answer) = entry.answer.get() {
            return answer.clone();
        }
        if self.floods(&bearer) {
            return Err(Unidentified::Flood);
        }
        // Several polls with one token ask once.
        let answer = entry.answer.get_or_init(|| self.ask(token.to_owned())).await.clone();
        match answer {
            Err(Unidentified::Unavailable) => self.forget(&hash, &entry),
            Err(_) => self.count_bad(bearer),
            Ok(_) => {}
        }
        answer
    }

    /// How long what is known of a token is good still.
    pub fn good_for(&self, token: &str) -> Duration {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let since = lock(&self.entries).get(&hash).map(|entry| entry.since);
        since.map_or(Duration::ZERO, |since| self.good_for.saturating_sub(since.elapsed()))
    }

    /// Forgets what is too old.
    pub fn sweep(&self) {
        lock(&self.entries).retain(|_, entry| self.lives(entry));
        lock(&self.bad).retain(|_, (since, _)| since.elapsed() < WINDOW);
    }

    fn entry(&self, hash: [u8; 32]) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get(&hash).filter(|entry| self.lives(entry)) {
            return Arc::clone(entry);
        }
        if entries.len() >= MOST {
            entries.retain(|_, entry| matches!(entry.answer.get(), Some(Ok(_))) && self.lives(entry));
        }
        let entry = Arc::new(Entry { answer: OnceCell::new(), since: Instant::now() });
        entries.insert(hash, Arc::clone(&entry));
        entry
    }

    fn lives(&self, entry: &Entry) -> bool {
        let longest = match entry.answer.get() {
            Some(Err(_)) => BAD_FOR.min(self.good_for),
            _ => self.good_for,
        };
        entry.since.elapsed() < longest
    }

    fn forget(&self, hash: &[u8; 32], entry: &Arc<Entry>) {
        let mut entries = lock(&self.entries);
        if entries.get(hash).is_some_and(|found| Arc::ptr_eq(found, entry)) {
            entries.remove(hash);
        }
    }

    async fn ask(&self, token: String) -> Answer {
        let Ok(_place) = self.places.acquire().await else { return Err(Unidentified::Unavailable) };
        let identify = Arc::clone(&self.identify);
        let answered = tokio::task::spawn_blocking(move || identify(&token)).await;
        let json = answered.unwrap_or(Err(Unidentified::Unavailable))?;
        let holder: Holder = serde_json::from_slice(&json).map_err(|_| Unidentified::Unavailable)?;
        if holder.namespace.is_empty() || holder.service_account.is_empty() {
            return Err(Unidentified::Unknown);
        }
        Ok(Arc::new(holder))
    }

    fn floods(&self, bearer: &Bearer) -> bool {
        lock(&self.bad).get(bearer).is_some_and(|(since, count)| *count >= bearer.patience() && since.elapsed() < WINDOW)
    }

    fn count_bad(&self, bearer: Bearer) {
        let mut bad = lock(&self.bad);
        if bad.len() >= MOST {
            bad.clear();
        }
        let (since, count) = bad.entry(bearer).or_insert_with(|| (Instant::now(), 0));
        if since.elapsed() >= WINDOW {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
